//! Bars as an SVG picture.

use std::fmt::Write;

use super::contest::figure;

/// Bars that belong together.
pub struct Group<'a> {
    /// What they have in common.
    pub name: &'a str,
    /// Name and length of each.
    pub bars: Vec<(&'a str, f64)>,
}

const WIDTH: f64 = 720.0;
const LABEL_WIDTH: f64 = 130.0;
const VALUE_WIDTH: f64 = 80.0;
const BAR_HEIGHT: f64 = 22.0;
const COLOURS: [&str; 2] = ["#2b6cb0", "#b7791f"];

/// A chart of horizontal bars, all on one scale from zero.
pub fn bars(title: &str, groups: &[Group]) -> String {
    let longest =
        groups.iter().flat_map(|group| &group.bars).map(|bar| bar.1).fold(f64::MIN_POSITIVE, f64::max);
    let scale = (WIDTH - LABEL_WIDTH - VALUE_WIDTH) / longest;
    let mut body = format!("<text x=\"8\" y=\"22\" font-weight=\"bold\">{title}</text>\n");
    let mut y = 40.0;
    for group in groups {
        let _ = writeln!(body, "<text x=\"8\" y=\"{}\">{}</text>", y + 14.0, group.name);
        y += BAR_HEIGHT;
        for ((name, value), colour) in group.bars.iter().zip(COLOURS.iter().cycle()) {
            let (text_y, length) = (y + 14.0, value * scale);
            let _ = writeln!(body, "<text x=\"20\" y=\"{text_y}\">{name}</text>");
            let _ = writeln!(
                body,
                "<rect x=\"{LABEL_WIDTH}\" y=\"{y}\" width=\"{length:.1}\" height=\"18\" fill=\"{colour}\"/>"
            );
            let _ = writeln!(
                body,
                "<text x=\"{:.1}\" y=\"{text_y}\">{}</text>",
                LABEL_WIDTH + length + 6.0,
                figure(*value)
            );
            y += BAR_HEIGHT;
        }
        y += BAR_HEIGHT / 2.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_the_width() {
        let svg = bars("t", &[Group { name: "g", bars: vec![("a", 10.0), ("b", 20.0)] }]);
        assert!(svg.contains("width=\"510.0\"") && svg.contains("width=\"255.0\""));
    }
}
