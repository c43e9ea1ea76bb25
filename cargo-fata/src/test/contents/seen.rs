//! What is in an image, by a file with its symbols: names, source files of instructions, and the crates that both are of.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use anyhow::{Context, Result, anyhow, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use super::Part;
use crate::image::map;

/// What is in a file with symbols.
pub struct Seen {
    /// Names of functions and constants.
    names: Vec<String>,
    /// Source files that instructions come from.
    files: BTreeSet<String>,
}

impl Seen {
    pub fn of(path: &Path) -> Result<Self> {
        let bytes = fs::read(path)?;
        let file = object::File::parse(&*bytes)?;
        let names = file.symbols().filter_map(|symbol| symbol.name().ok());
        let names = names.map(|name| format!("{:#}", rustc_demangle::demangle(name))).collect();
        let code = file.sections().find(|section| section.kind() == SectionKind::Text);
        let code = code.context("no code")?;
        let lines = Loader::new(path).map_err(|error| anyhow!("no line tables: {error}"))?;
        let all = lines.find_location_range(code.address(), code.address() + code.size());
        let all = all.map_err(|error| anyhow!("the line tables cannot be read: {error}"))?;
        let files: BTreeSet<String> =
            all.filter_map(|(_, _, location)| Some(location.file?.to_owned())).collect();
        ensure!(!files.is_empty(), "no line tables");
        Ok(Self { names, files })
    }

    pub fn function(&self, part: &Part) -> Option<&str> {
        self.names.iter().map(String::as_str).find(|name| name.contains(part.path))
    }

    pub fn file(&self, part: &Part) -> Option<&str> {
        self.files.iter().map(String::as_str).find(|file| matches(file, part.files))
    }

    /// The crates that something in it is of, as code spells them, each with a name or file that shows it: those that the names of functions
    /// and constants have, and those of the source files, for what was inlined everywhere.
    pub fn crates(&self, root: &Path) -> BTreeMap<String, &str> {
        let mut crates = BTreeMap::new();
        let mut manifests = Manifests { root, known: BTreeMap::new() };
        for file in &self.files {
            if let Some(krate) = manifests.krate_of(file) {
                crates.insert(krate, file.as_str());
            }
        }
        for name in &self.names {
            for krate in map::crates_in(name) {
                crates.insert(krate.to_owned(), name);
            }
        }
        crates
    }
}

/// The crates of source files.
struct Manifests<'a> {
    /// Of the workspace, where paths begin that have no root.
    root: &'a Path,
    /// By folder.
    known: BTreeMap<PathBuf, Option<String>>,
}

impl Manifests<'_> {
    /// The crate of a file, by the nearest manifest above it. None for the compiler's library, whose paths are of another machine; its
    /// crates are seen by names.
    fn krate_of(&mut self, file: &str) -> Option<String> {
        let path = self.root.join(file);
        if !path.is_file() {
            return None;
        }
        let mut folders = path.ancestors().skip(1);
        folders.find_map(|folder| {
            self.known.entry(folder.to_owned()).or_insert_with(|| crate_in(folder)).clone()
        })
    }
}

/// The crate of the package in a folder, as code spells it.
fn crate_in(folder: &Path) -> Option<String> {
    let manifest: toml::Table = fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()?;
    let name = |table: &str| manifest.get(table)?.get("name")?.as_str();
    Some(name("lib").or_else(|| name("package"))?.replace('-', "_"))
}

/// Whether a path has a pattern in it, whose star is for the rest of a folder's name.
fn matches(path: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return path.contains(pattern) };
    path.match_indices(before).any(|(at, _)| {
        let rest = &path[at + before.len()..];
        rest.find('/').is_some_and(|end| rest[end..].starts_with(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_for_the_rest_of_a_name() {
        assert!(matches("/registry/smoltcp-0.14.0/src/lib.rs", "/smoltcp-*/src/"));
        assert!(!matches("/registry/smoltcp-0.14.0/core/src/fmt.rs", "/smoltcp-*/src/"));
        assert!(matches("/fata/http/src/lib.rs", "http/src/"));
    }

    #[test]
    fn a_file_is_of_the_nearest_package() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut manifests = Manifests { root, known: BTreeMap::new() };
        for (file, krate) in [
            ("src/lib.rs", Some("fata")),
            ("tls/src/lib.rs", Some("fata_tls")),
            ("tls/aead/src/lib.rs", Some("fata_aead")),
            ("apps/web/src/lib.rs", Some("web_site")),
            ("library/core/src/lib.rs", None),
        ] {
            assert_eq!(manifests.krate_of(file).as_deref(), krate, "{file}");
        }
    }
}
