//! The text of the ELF note in which an image carries its manifest: the version of its package, and the manifest in its
//! normal form, where every value is written out. It is TOML.

use crate::manifest::{Block, Manifest, Network, Param};
use crate::{Error, read};
use std::fmt::Write;

/// How the note's first line begins.
const VERSION: &str = "version = ";

/// How the line begins that says with which features the image was built, where its manifest is one of a feature.
const FEATURES: &str = "features = ";

/// What a note says.
#[derive(Debug)]
pub struct Note {
    /// The version of the image's package.
    pub version: String,
    /// The features that it was built with, where its manifest is one of a feature.
    pub features: Vec<String>,
    /// The manifest.
    pub manifest: Manifest,
}

/// The note's text.
pub fn text(manifest: &Manifest, version: &str, features: &[String]) -> String {
    let names: Vec<String> = features.iter().map(|feature| quoted(feature)).collect();
    let features =
        if names.is_empty() { String::new() } else { format!("{FEATURES}[{}]\n", names.join(", ")) };
    format!("{VERSION}{}\n{features}\n{}", quoted(version), normal_form(manifest))
}

/// What a note's text says; `file` is for the errors.
pub fn parse(file: &str, text: &str) -> Result<Note, Error> {
    let no_version = || Error::at(file, 1, "it does not begin with a version");
    let (first, rest) = text.split_once('\n').ok_or_else(no_version)?;
    let version = first.strip_prefix(VERSION).ok_or_else(no_version)?.trim_matches('"').to_owned();
    let (features, rest) = match rest.strip_prefix(FEATURES).and_then(|line| line.split_once('\n')) {
        Some((names, rest)) => (names.trim_matches(['[', ']']), rest),
        None => ("", rest),
    };
    let features =
        features.split(", ").map(|name| name.trim_matches('"').to_owned()).filter(|name| !name.is_empty());
    Ok(Note { version, features: features.collect(), manifest: read::manifest(file, rest)? })
}

/// The manifest as TOML with every value written out, in one order.
pub fn normal_form(manifest: &Manifest) -> String {
    let image = &manifest.image;
    let mut text = format!("[image]\nname = {}\nmemory = \"{}\"\n", quoted(&image.name), image.memory);
    if let Some(size) = image.max_size {
        let _ = writeln!(text, "max-size = \"{size}\"");
    }
    manifest.networks.iter().for_each(|network| add_network(&mut text, network));
    manifest.blocks.iter().for_each(|block| add_block(&mut text, block));
    manifest.params.iter().for_each(|param| add_param(&mut text, param));
    text
}

fn add_network(text: &mut String, network: &Network) {
    let _ = writeln!(text, "\n[network.{}]", network.name);
    for (key, value) in &network.defaults {
        let value = match (key.as_str(), value.as_str()) {
            ("mtu" | "queues", _) => value.clone(),
            ("ecn", switch) => (switch == "on").to_string(),
            _ => quoted(value),
        };
        let _ = writeln!(text, "{key} = {value}");
    }
}

fn add_block(text: &mut String, block: &Block) {
    let _ = writeln!(text, "\n[block.{}]", block.name);
    if let Some(size) = block.size {
        let _ = writeln!(text, "size = \"{size}\"");
    }
    let _ = writeln!(text, "read-only = {}\noptional = {}", block.read_only, block.optional);
    if let Some(queues) = &block.queues {
        let _ = writeln!(text, "queues = {queues}");
    }
}

fn add_param(text: &mut String, param: &Param) {
    let _ = writeln!(text, "\n[params.{}]\ntype = \"{}\"", param.name, param.kind.name);
    if let Some(default) = &param.default {
        let _ = writeln!(text, "default = {}", quoted(default));
    }
    let _ = writeln!(text, "help = {}", quoted(&param.help));
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [params.greeting]
        help = 'what "to" answer \ say'
        default = "hello"
        [network.main]
        dns = ["10.0.0.3", "10.0.0.4"]
        [image]
        name = "web"
        max-size = 524288
        [block.data]
        size = "1 GiB"
        optional = true
        queues = 2
        [network.back]
        ipv4 = "10.0.3.15/24"
        mtu = 1400
        [network.six]
        ipv4 = "none"
        ipv6 = "2001:db8::2/64"
        gateway6 = "fe80::1"
        dns = ["2001:db8::53", "10.0.0.3"]
        [params]
        quiet = { default = true, help = "no line for each client" }
        key = { help = "none by default" }
    "#;

    #[test]
    fn the_normal_form_writes_everything_out() {
        let manifest = read::manifest("unikernel.toml", TEXT).unwrap();
        let expected = r#"[image]
name = "web"
memory = "16 MiB"
max-size = "512 KiB"

[network.main]
dns = "10.0.0.3,10.0.0.4"

[network.back]
ipv4 = "10.0.3.15/24"
mtu = 1400

[network.six]
ipv4 = "none"
ipv6 = "2001:db8::2/64"
gateway6 = "fe80::1"
dns = "2001:db8::53,10.0.0.3"

[block.data]
size = "1 GiB"
read-only = false
optional = true
queues = 2

[params.greeting]
type = "text"
default = "hello"
help = "what \"to\" answer \\ say"

[params.quiet]
type = "bool"
default = "on"
help = "no line for each client"

[params.key]
type = "text"
help = "none by default"
"#;
        assert_eq!(normal_form(&manifest), expected);
    }

    #[test]
    fn a_note_is_read_back_as_it_was_written() {
        let manifest = read::manifest("unikernel.toml", TEXT).unwrap();
        for features in [vec![], vec!["h2".to_owned(), "tls".to_owned()]] {
            let back = parse("web", &text(&manifest, "1.2.3", &features)).unwrap();
            assert_eq!((&*back.version, &back.features), ("1.2.3", &features));
            assert_eq!(normal_form(&back.manifest), normal_form(&manifest));
        }
        assert!(parse("web", "name = \"web\"\n").is_err());
        assert!(parse("web", "").is_err());
    }
}
