//! How much of an image is of which crate, by the symbols of the image or of its twin. Where it calls a generic function the
//! caller's crate pays nothing: the code is counted where its source is.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::image_file;
use crate::symbols::twin;

/// What no symbol of Rust's names: assembly, the compiler's own functions, texts.
const OTHER: &str = "(other)";

/// A crate's part of an image.
#[derive(Debug, PartialEq, Eq)]
pub struct CrateSize {
    /// The crate.
    pub name: String,
    /// Octets of code.
    pub code: u64,
    /// Octets of constants and initialised data.
    pub data: u64,
}

/// The crates in an image, the largest first.
pub fn sizes(image: &Path) -> Result<Vec<CrateSize>> {
    let own = read(image)?;
    Ok(if own.is_empty() { read(&twin::of(image)?)? } else { own })
}

fn read(path: &Path) -> Result<Vec<CrateSize>> {
    let bytes = image_file::read(path)?;
    let file = object::File::parse(&*bytes)?;
    let symbols = file.symbols().filter_map(|symbol| {
        let section = file.section_by_index(symbol.section_index()?).ok()?;
        let part = Part::of(section.kind())?;
        Some((crate_of(symbol.name().ok()?), part, symbol.address(), symbol.size()))
    });
    let mut symbols: Vec<_> = symbols.filter(|(.., size)| *size > 0).collect();
    if symbols.is_empty() {
        return Ok(Vec::new());
    }
    // Functions that are alike are folded: several names, one place.
    symbols.sort_by_key(|(_, _, address, _)| *address);
    symbols.dedup_by_key(|(_, _, address, _)| *address);
    let mut parts: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for (name, part, _, size) in symbols {
        parts.entry(name).or_default()[part as usize] += size;
    }
    for section in file.sections() {
        let Some(part) = Part::of(section.kind()) else { continue };
        parts.entry(OTHER.to_owned()).or_default()[part as usize] += section.size();
    }
    // Other is what is left of the sections.
    for part in [Part::Code, Part::Data] {
        let of_crates =
            parts.iter().filter(|(name, _)| *name != OTHER).map(|(_, sizes)| sizes[part as usize]);
        let sum: u64 = of_crates.sum();
        if let Some(other) = parts.get_mut(OTHER) {
            other[part as usize] = other[part as usize].saturating_sub(sum);
        }
    }
    let mut sizes: Vec<CrateSize> =
        parts.into_iter().map(|(name, [code, data])| CrateSize { name, code, data }).collect();
    sizes.sort_by_key(|size| (std::cmp::Reverse(size.code + size.data), size.name.clone()));
    Ok(sizes)
}

#[derive(Clone, Copy)]
enum Part {
    Code = 0,
    Data = 1,
}

impl Part {
    /// Nothing for what is not in the file.
    fn of(kind: SectionKind) -> Option<Self> {
        match kind {
            SectionKind::Text => Some(Self::Code),
            SectionKind::ReadOnlyData
            | SectionKind::ReadOnlyDataWithRel
            | SectionKind::ReadOnlyString
            | SectionKind::Data
            | SectionKind::Note => Some(Self::Data),
            _ => None,
        }
    }
}

/// The crate whose source a symbol is from: of `<fata_xen::net::Ring as core::fmt::Debug>::fmt` the first one.
fn crate_of(symbol: &str) -> String {
    let name = format!("{:#}", rustc_demangle::demangle(symbol));
    let Some((path, _)) = name.split_once("::") else { return OTHER.to_owned() };
    let last = path.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next();
    last.filter(|name| !name.is_empty()).unwrap_or(OTHER).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_is_of_the_crate_that_its_path_begins_with() {
        assert_eq!(crate_of("_ZN5hello4main17h0123456789abcdefE"), "hello");
        assert_eq!(crate_of("<fata_xen::net::Ring as core::fmt::Debug>::fmt"), "fata_xen");
        assert_eq!(crate_of("<&mut [alloc::string::String] as core::fmt::Debug>::fmt"), "alloc");
        assert_eq!(crate_of("memcpy"), OTHER);
    }
}
