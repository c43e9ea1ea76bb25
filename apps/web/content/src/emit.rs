//! Writes the tables of `src/site.rs` as source text.

use crate::tree::File;
use crate::{compress, media, write};
use std::fmt::Write;
use std::path::Path;

/// What is kept in gzip too, where that is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    /// All of it.
    All,
    /// All but pages: the length of a page that is compressed and encrypted tells of what is in it (BREACH, <https://breachattack.com>).
    Assets,
}

impl Packed {
    /// By its name; `default` where nothing is said.
    pub fn named(name: Option<&str>, default: Self) -> Result<Self, String> {
        match name {
            None | Some("") => Ok(default),
            Some("all") => Ok(Self::All),
            Some("assets") => Ok(Self::Assets),
            Some(other) => Err(format!("FATA_WEB_GZIP={other} is neither all nor assets")),
        }
    }

    fn has(self, content_type: &str) -> bool {
        self == Self::All || !content_type.starts_with("text/html")
    }
}

/// The text of `content.rs`; puts variants in gzip beside it.
pub fn tables(
    files: &[File],
    packed: Packed,
    last_modified: Option<u64>,
    out: &Path,
) -> Result<String, String> {
    let mut statics = String::new();
    let mut entries = Vec::new();
    for (n, file) in files.iter().enumerate() {
        statics += &file_static(n, file, packed, out)?;
        entries.push((file.path.clone(), format!("Target::File(&FILE_{n})")));
        if let Some(folder) = file.path.strip_suffix("index.html").filter(|f| f.ends_with('/')) {
            entries.push((folder.to_owned(), format!("Target::File(&FILE_{n})")));
            if let Some(bare) = folder.strip_suffix('/').filter(|b| !b.is_empty()) {
                entries.push((bare.to_owned(), format!("Target::Folder({:?})", encode(folder))));
            }
        }
    }
    entries.sort();
    let not_found = files.iter().position(|f| f.path == "/404.html");
    let not_found = not_found.map_or("None".into(), |n| format!("Some(&FILE_{n})"));
    let mut text = format!(
        "/// The content of this image.\npub static SITE: Site = Site {{\n    last_modified: {last_modified:?},\n    \
         not_found: {not_found},\n    entries: &[\n"
    );
    for (path, target) in entries {
        let _ = writeln!(text, "        ({path:?}, {target}),");
    }
    Ok(text + "    ],\n};\n" + &statics)
}

fn file_static(n: usize, file: &File, packed: Packed, out: &Path) -> Result<String, String> {
    let content_type = media::content_type(&file.path);
    let packed = packed.has(content_type).then(|| compress::gzip(&file.content)).flatten();
    let common = format!(
        "Content-Type: {content_type}\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n{}",
        if packed.is_some() { "Vary: Accept-Encoding\r\n" } else { "" }
    );
    let name = compress::digest(&file.content);
    let plain = variant(&common, &name, &file.place)?;
    let gzip = match packed {
        None => "None".to_owned(),
        Some(packed) => {
            let place = out.join(format!("{n}.gz"));
            write(&place, &packed)?;
            let headers = common + "Content-Encoding: gzip\r\n";
            format!("Some({})", variant(&headers, &format!("{name}-gzip"), &place)?)
        }
    };
    Ok(format!("static FILE_{n}: File = File {{ plain: {plain}, gzip: {gzip} }};\n"))
}

fn variant(headers: &str, name: &str, place: &Path) -> Result<String, String> {
    let place = place.to_str().ok_or(format!("{}: the path is not UTF-8", place.display()))?;
    let tag = format!("\"{name}\"");
    let headers = format!("ETag: {tag}\r\n{headers}");
    Ok(format!("Variant {{ headers: {headers:?}, etag: {tag:?}, body: include_bytes!({place:?}) }}"))
}

/// Percent-encodes a path for a `Location`.
fn encode(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b);
    path.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
