//! The drawing: a rectangle for each crate, in it one for each module, in these one for each function or constant.
//!
//! Every rectangle says what it is when the pointer rests on it, and in letters where they fit.

use std::fmt::Write;

use super::squarify::{Rect, layout};
use super::tree::Node;

const PAGE: Rect = Rect { x: 0.0, y: 0.0, w: 1600.0, h: 1000.0 };
const TITLE: f64 = 40.0;
/// Headlines of crates and of modules.
const HEADS: [f64; 2] = [20.0, 14.0];
/// Width of a letter by its height, about; the drawing brings no font.
const LETTER: f64 = 0.6;
/// The smallest side that is drawn.
const SMALLEST: f64 = 1.0;

/// The text of the drawing.
pub fn draw(image: &str, tree: &Node) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"27\" font-size=\"20\">{}: {} octets</text>\n",
        PAGE.w,
        PAGE.h,
        escape(image),
        tree.octets
    );
    let sizes: Vec<u64> = tree.parts.iter().map(|part| part.octets).collect();
    let within = PAGE.inside(4.0, TITLE - 4.0);
    for (n, (part, rect)) in tree.parts.iter().zip(layout(&sizes, within)).enumerate() {
        // Neighbours by size have hues far apart.
        let hue = (n * 137) % 360;
        let mut out = Drawing { svg: &mut svg, total: tree.octets, hue };
        out.node(part, &part.name, rect, 0);
    }
    svg + "</svg>\n"
}

struct Drawing<'a> {
    svg: &'a mut String,
    total: u64,
    hue: usize,
}

impl Drawing<'_> {
    /// A part and what is in it; `path` is its full name.
    fn node(&mut self, node: &Node, path: &str, rect: Rect, depth: usize) {
        if rect.w < SMALLEST || rect.h < SMALLEST {
            return;
        }
        let light = [55, 75, 88][depth.min(2)];
        let Rect { x, y, w, h } = rect;
        let share = 100.0 * node.octets as f64 / self.total.max(1) as f64;
        let _ = writeln!(
            self.svg,
            "<g><title>{}: {} octets, {share:.2} %</title>\
             <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"hsl({},60%,{light}%)\" \
             stroke=\"#fff\" stroke-width=\"{}\"/>",
            escape(path),
            node.octets,
            self.hue,
            [2.0, 1.0, 0.5][depth.min(2)]
        );
        let head = HEADS.get(depth).copied().unwrap_or(11.0);
        let size = head * 0.75;
        let has_room = h >= head && w >= 4.0 * size;
        if has_room {
            let name = if node.parts.is_empty() { brief(&node.name) } else { node.name.clone() };
            self.label(&name, node.octets, rect, size);
        }
        self.svg.push_str("</g>\n");
        let head = if has_room { head } else { 0.0 };
        let within = rect.inside(1.0, head);
        let sizes: Vec<u64> = node.parts.iter().map(|part| part.octets).collect();
        for (part, rect) in node.parts.iter().zip(layout(&sizes, within)) {
            // A function's name has its path in it.
            let path = if depth == 0 { format!("{path}::{}", part.name) } else { part.name.clone() };
            self.node(part, path.trim_end_matches("::"), rect, depth + 1);
        }
    }

    fn label(&mut self, name: &str, octets: u64, rect: Rect, size: f64) {
        let fits = ((rect.w - 6.0) / (size * LETTER)) as usize;
        let long = format!("{name} {octets}");
        let text = if long.chars().count() <= fits { long } else { name.chars().take(fits).collect() };
        let (x, y) = (rect.x + 3.0, rect.y + size * 1.1);
        let _ = write!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size:.1}\" pointer-events=\"none\">{}</text>",
            escape(&text)
        );
    }
}

/// A function's name without modules: `<a::b::C<d::e> as f::G>::h` is `<C<e> as G>::h`.
fn brief(name: &str) -> String {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut text = String::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let len = rest.find(|c| !is_of_path(c)).unwrap_or(rest.len()).max(c.len_utf8());
        text += without_modules(&rest[..len]);
        rest = &rest[len..];
    }
    text
}

/// From the first type on, or the last name.
fn without_modules(path: &str) -> &str {
    let mut rest = path;
    while let Some((first, after)) = rest.split_once("::") {
        if !is_module(first) || after.is_empty() {
            break;
        }
        rest = after;
    }
    rest
}

fn is_module(name: &str) -> bool {
    name.starts_with(|c: char| c.is_lowercase() || c == '_')
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_leave_modules_out() {
        for (name, label) in [
            ("<alloc::rc::Rc<net::iface::Iface>>::drop_slow", "<Rc<Iface>>::drop_slow"),
            ("<a::b::C<d::e> as f::G>::h", "<C<e> as G>::h"),
            ("net::run::{closure#0}", "run::{closure#0}"),
            ("net::frontend::run", "run"),
            ("constant of a::b::c", "constant of c"),
            ("é", "é"),
        ] {
            assert_eq!(brief(name), label);
        }
    }

    #[test]
    fn all_that_is_large_enough_is_drawn_with_its_name() {
        let leaf = |name: &str, octets| Node { name: name.to_owned(), octets, parts: Vec::new() };
        let module =
            Node { name: "mm".into(), octets: 90, parts: vec![leaf("<a::B>::c", 60), leaf("d", 30)] };
        let krate = Node { name: "xen".into(), octets: 90, parts: vec![module] };
        let tree = Node { name: String::new(), octets: 100, parts: vec![krate, leaf("(ELF)", 10)] };
        let svg = draw("hello", &tree);
        assert!(svg.contains("hello: 100 octets"));
        for title in ["xen: 90", "xen::mm: 90", "&lt;a::B&gt;::c: 60", "d: 30", "(ELF): 10"] {
            assert!(svg.contains(&format!("<title>{title} octets")), "{title}");
        }
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
        assert_eq!(svg.matches("<rect").count(), 6);
        assert!(svg.ends_with("</svg>\n"));
    }
}
