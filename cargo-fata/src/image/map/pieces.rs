//! Cuts an image's file into pieces, each with its owner, none left out.
//!
//! Code is cut at its symbols. Most constants have no symbol: they are cut where something refers into them, as the
//! relocations of the file with symbols say, and are owned by who refers to them first, or by who owns the constant that does.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use object::{
    Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, RelocationTarget, SectionKind, SymbolKind,
};

use super::owner::{Owner, Ranks};

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Instructions.
    Code,
    /// Data that does not change.
    Constants,
    /// Data that does.
    Data,
    /// ELF headers, notes, what is between sections.
    Format,
}

/// A part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Whose it is.
    pub owner: Owner,
    /// The function or constant.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How many octets of the file it is.
    pub octets: u64,
}

/// What stands at an address: from there to the next one.
#[derive(Clone)]
struct Mark {
    owner: Owner,
    name: String,
}

/// The pieces of `image`; symbols and relocations come from `with_symbols`, which loads the same.
pub fn of(image: &[u8], with_symbols: &[u8], ranks: &Ranks) -> Result<Vec<Piece>> {
    let file_len = image.len() as u64 - beside(&object::File::parse(image)?);
    let file = object::File::parse(with_symbols)?;
    let mut marks = symbols(&file, ranks);
    mark_constants(&file, &mut marks);
    let mut pieces = Vec::new();
    for section in file.sections() {
        let Some(kind) = kind_of(&section) else { continue };
        let range = section.address()..section.address() + section.size();
        // What no symbol names: padding, and what assembly leaves without one.
        let nobody = Mark { owner: Owner::new("(no symbol)", ""), name: section.name()?.to_owned() };
        let mut inside: Vec<(u64, &Mark)> =
            marks.range(range.clone()).map(|(at, mark)| (*at, mark)).collect();
        if inside.first().is_none_or(|(at, _)| *at > range.start) {
            inside.insert(0, (range.start, &nobody));
        }
        let ends = inside.iter().skip(1).map(|(at, _)| *at).chain([range.end]);
        for ((at, mark), end) in inside.iter().zip(ends) {
            let (owner, name) = (mark.owner.clone(), mark.name.clone());
            pieces.push(Piece { owner, name, kind, octets: end - at });
        }
    }
    let cut: u64 = pieces.iter().map(|piece| piece.octets).sum();
    ensure!(cut <= file_len, "its sections have {cut} octets, the file only {file_len}");
    let owner = Owner::new("(ELF)", "");
    let name = "headers, notes, alignment".to_owned();
    pieces.push(Piece { owner, name, kind: Kind::Format, octets: file_len - cut });
    pieces.retain(|piece| piece.octets > 0);
    Ok(pieces)
}

/// What a file has for debuggers, which an image has not.
fn beside(file: &object::File<'_>) -> u64 {
    let is_beside = |name: &str| {
        name.starts_with(".debug") || name.starts_with(".rela") || matches!(name, ".symtab" | ".strtab")
    };
    let sections = file.sections().filter(|section| section.name().is_ok_and(is_beside));
    sections.filter_map(|section| section.file_range()).map(|(_, size)| size).sum()
}

/// What a section's octets in the file are, if they are loaded and anybody's.
fn kind_of<'d>(section: &impl ObjectSection<'d>) -> Option<Kind> {
    match section.kind() {
        SectionKind::Text => section.file_range().map(|_| Kind::Code),
        SectionKind::ReadOnlyData | SectionKind::ReadOnlyString | SectionKind::ReadOnlyDataWithRel => {
            Some(Kind::Constants)
        }
        // The linker script puts what is relocated once among the constants, in a section that is marked writable.
        SectionKind::Data if section.name() == Ok(".rodata") => Some(Kind::Constants),
        SectionKind::Data => Some(Kind::Data),
        _ => None,
    }
}

/// The marks that symbols are.
fn symbols(file: &object::File<'_>, ranks: &Ranks) -> BTreeMap<u64, Mark> {
    let mut marks = BTreeMap::new();
    for symbol in file.symbols() {
        let is_of_section = symbol.section_index().is_some();
        let named = symbol.name().ok().filter(|name| !name.is_empty());
        let fits = matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data | SymbolKind::Unknown);
        let Some(name) = named.filter(|_| is_of_section && fits) else { continue };
        // Labels that the linker script sets at places where symbols begin.
        let is_label = symbol.size() == 0 && marks.contains_key(&symbol.address());
        if is_label || name.starts_with("fata_text") || name.starts_with("fata_rodata") {
            continue;
        }
        let name = format!("{:#}", rustc_demangle::demangle(name));
        let owner = ranks.owner(&name).unwrap_or_else(|| unnamed(&name));
        marks.insert(symbol.address(), Mark { owner, name });
    }
    marks
}

/// The owner of symbols without a path: entry code in assembly, and the compiler's memcpy and the like.
fn unnamed(name: &str) -> Owner {
    match name {
        "memcpy" | "memmove" | "memset" | "memcmp" | "bcmp" | "strlen" => {
            Owner::new("compiler_builtins", "mem")
        }
        name if name.starts_with("fata_") || name.starts_with("vector") => {
            Owner::new("fata_xen", "(assembly)")
        }
        _ => Owner::new("(no crate)", ""),
    }
}

/// Adds marks where code and constants refer into constants.
fn mark_constants(file: &object::File<'_>, marks: &mut BTreeMap<u64, Mark>) {
    let mut references = references(file);
    // A constant that is referred to by code is found in the first round, one by that constant in the second, and so on.
    loop {
        let before = references.len();
        references.retain(|&(from, to)| {
            if marks.contains_key(&to) {
                return false;
            }
            let known = marks.range(..=from).next_back().filter(|(at, _)| is_near(file, **at, from));
            let Some((_, mark)) = known else { return true };
            let name = match mark.name.strip_prefix("constant of ") {
                Some(_) => mark.name.clone(),
                None => format!("constant of {}", mark.name),
            };
            let owner = mark.owner.clone();
            marks.insert(to, Mark { owner, name });
            false
        });
        if references.len() == before {
            return;
        }
    }
}

/// Whether both addresses are in one section.
fn is_near(file: &object::File<'_>, a: u64, b: u64) -> bool {
    file.sections().any(|section| {
        let range = section.address()..section.address() + section.size();
        kind_of(&section).is_some() && range.contains(&a) && range.contains(&b)
    })
}

/// From where to which constant, code's first.
fn references(file: &object::File<'_>) -> Vec<(u64, u64)> {
    let constants: Vec<_> = file
        .sections()
        .filter(|section| kind_of(section) == Some(Kind::Constants))
        .map(|section| section.address()..section.address() + section.size())
        .collect();
    let Some(table) = file.symbol_table() else { return Vec::new() };
    let mut references = Vec::new();
    for section in file.sections().filter(|section| kind_of(section).is_some()) {
        for (from, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Ok(symbol) = table.symbol_by_index(index) else { continue };
            // A relative one counts from the end of its four octets.
            let skip = if relocation.kind() == object::RelocationKind::Relative { 4 } else { 0 };
            let to = symbol.address().wrapping_add_signed(relocation.addend() + skip);
            if constants.iter().any(|range| range.contains(&to)) {
                references.push((from, to));
            }
        }
    }
    let is_code = |from: u64| !constants.iter().any(|range| range.contains(&from));
    references.sort_by_key(|(from, to)| (!is_code(*from), *from, *to));
    references
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_without_a_path_have_an_owner() {
        assert_eq!(unnamed("memcpy").krate, "compiler_builtins");
        assert_eq!(unnamed("fata_pv_start").krate, "fata_xen");
        assert_eq!(unnamed("x").krate, "(no crate)");
    }
}
