//! `cargo fata image info`: what an image says of itself, and how large its parts are.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, elf};

use super::{crates, note_of};
use crate::image_file;
use crate::note::{self, Note};
use crate::ui;

/// All that is known of an image.
pub fn text(image: &Path) -> Result<String> {
    let Note { version, features, manifest } = note_of(image)?;
    let bytes = image_file::read(image)?;
    let mut text = format!("{} {version}\n", manifest.image.name);
    let limit = manifest.image.max_size.map_or_else(String::new, |size| format!(", of at most {size}"));
    let _ = writeln!(text, "  file       {} octets{limit}", grouped(bytes.len() as u64));
    if image_file::is_packed(image)? {
        let _ = writeln!(text, "  packed     {} octets", grouped(fs::metadata(image)?.len()));
    }
    if !features.is_empty() {
        let _ = writeln!(text, "  features   {}", features.join(", "));
    }
    let _ = writeln!(text, "  entries    {}", entries(image)?);
    text += &segments(&bytes)?;
    match crates::sizes(image) {
        Ok(sizes) => text += &by_crate(&sizes),
        Err(error) => ui::say(format!("sizes by crate are not known without the image's source: {error:#}")),
    }
    let manifest = fata_build::note::normal_form(&manifest);
    let _ = write!(text, "\nmanifest:\n\n{manifest}");
    Ok(text)
}

fn entries(image: &Path) -> Result<String> {
    let note::Entries { pv, pvh } = note::entries(image)?;
    let entry = |name, address: Option<u64>| match address {
        Some(address) => format!("{name} at {address:#x}"),
        None => format!("no {name}"),
    };
    Ok(format!("{}, {}", entry("PV", pv), entry("PVH", pvh)))
}

/// A line for each segment that is loaded.
fn segments(file: &[u8]) -> Result<String> {
    let header = elf::FileHeader64::<LittleEndian>::parse(file)?;
    let endian = header.endian()?;
    let mut text = "\nsegment               address   in the file    in memory\n".to_owned();
    for segment in header.program_headers(endian, file)? {
        if segment.p_type(endian) != elf::PT_LOAD {
            continue;
        }
        let name = match segment.p_flags(endian) & (elf::PF_W | elf::PF_X) {
            elf::PF_X => "code",
            0 => "constants",
            elf::PF_W => "data",
            _ => "code and data",
        };
        let (in_file, in_memory) = (grouped(segment.p_filesz(endian)), grouped(segment.p_memsz(endian)));
        let _ = writeln!(text, "  {name:<10} {:#18x} {in_file:>12} {in_memory:>12}", segment.p_vaddr(endian));
    }
    Ok(text)
}

fn by_crate(sizes: &[crates::CrateSize]) -> String {
    let mut text = "\ncrate                       code         data\n".to_owned();
    for crates::CrateSize { name, code, data } in sizes {
        let _ = writeln!(text, "  {name:<20} {:>9} {:>12}", grouped(*code), grouped(*data));
    }
    text
}

/// `65,536`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!(
            [0, 999, 1000, 65_536, 1_000_000].map(grouped),
            ["0", "999", "1,000", "65,536", "1,000,000"]
        );
    }
}
