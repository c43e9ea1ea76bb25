//! Puts function names and lines to the addresses that a guest's reports print.
//!
//! A guest prints a frame as `  at 0xffffffff80012345`. Images are sealed without symbols; the tool links a twin of the image
//! that has them, and takes it only if its code is the image's, byte for byte.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use addr2line::Loader;
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};

use crate::ui;
use crate::workspace::Workspace;

const FRAME_PREFIX: &str = "  at 0x";
/// Further than this behind a symbol without a size, an address is not in it.
const REACH: u64 = 0x10_0000;

/// The functions of an image, none where they are not known.
#[derive(Default)]
pub struct Symbols {
    /// By address.
    functions: Vec<Function>,
    lines: Option<Loader>,
}

struct Function {
    address: u64,
    size: u64,
    name: String,
}

impl Symbols {
    /// The symbols of an image: its own or its twin's.
    pub fn of(image: &Path) -> Result<Self> {
        let own = Self::read(image)?;
        if !own.functions.is_empty() {
            return Ok(own);
        }
        Self::of_twin(image).or_else(|error| {
            ui::warn(format!("backtraces will have no names: {error:#}"));
            Ok(Self::default())
        })
    }

    fn of_twin(image: &Path) -> Result<Self> {
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let is_example = image.parent().is_some_and(|folder| folder.ends_with("examples"));
        let workspace = Workspace::current()?;
        let twin = workspace.find(&name, is_example)?.build_twin(&workspace.target_dir)?;
        ensure!(code(&twin)? == code(image)?, "{} is not what the source now builds", image.display());
        Self::read(&twin)
    }

    fn read(image: &Path) -> Result<Self> {
        let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
        let file = object::File::parse(&*bytes)
            .with_context(|| format!("{} is not an ELF image", image.display()))?;
        let mut functions: Vec<Function> = file
            .symbols()
            .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Label))
            .filter_map(|symbol| {
                let name = symbol.name().ok()?.to_owned();
                Some(Function { address: symbol.address(), size: symbol.size(), name })
            })
            .collect();
        functions.sort_by_key(|function| function.address);
        Ok(Self { functions, lines: Loader::new(image).ok() })
    }

    /// Whether a function of that crate is in the image.
    pub fn has_crate(&self, name: &str) -> bool {
        // In a mangled name a path's parts stand whole behind their lengths.
        let part = format!("{}{name}", name.len());
        self.functions.iter().any(|function| function.name.contains(&part))
    }

    /// A line of the console, with the function's name if it is a frame.
    pub fn resolve<'a>(&self, line: &'a str) -> Cow<'a, str> {
        match frame_address(line).and_then(|address| self.describe(address)) {
            Some(description) => Cow::Owned(format!("{} {description}", line.trim_end())),
            None => Cow::Borrowed(line),
        }
    }

    /// All lines of a text, resolved.
    pub fn resolve_all(&self, text: &str) -> String {
        text.lines().map(|line| self.resolve(line).into_owned() + "\n").collect()
    }

    /// `name + 0x1f` for a return address: the call is before it, which matters at a function's very end.
    fn describe(&self, address: u64) -> Option<String> {
        let call = address.checked_sub(1)?;
        let after = self.functions.partition_point(|function| function.address <= call);
        let function = self.functions[..after].last()?;
        let offset = call - function.address;
        if offset >= if function.size == 0 { REACH } else { function.size } {
            return None;
        }
        let name = rustc_demangle::demangle(&function.name);
        Some(format!("{name:#} + {:#x}{}", address - function.address, self.line(call)))
    }

    /// ` (file.rs:12)`, if it is known.
    fn line(&self, address: u64) -> String {
        let location = self.lines.as_ref().and_then(|lines| lines.find_location(address).ok()?);
        let place = location.and_then(|location| Some((location.file?, location.line?)));
        place.map(|(file, line)| format!(" ({}:{line})", shorten(file))).unwrap_or_default()
    }
}

/// The code of an image: its executable sections.
fn code(image: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let file = object::File::parse(&*bytes)?;
    let sections = file.sections().filter(|section| section.kind() == SectionKind::Text);
    sections.map(|section| Ok(section.data()?.to_vec())).collect()
}

/// A file's path from its package on: what comes before differs from machine to machine.
fn shorten(file: &str) -> &str {
    let package = file.rfind("/src/").map_or(0, |at| file[..at].rfind('/').map_or(0, |slash| slash + 1));
    &file[package..]
}

/// The address of a line that is a frame and nothing else.
fn frame_address(line: &str) -> Option<u64> {
    let digits = line.trim_end().strip_prefix(FRAME_PREFIX)?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// Whether a line under way may still become a frame.
pub fn may_become_frame(partial: &str) -> bool {
    partial.starts_with(FRAME_PREFIX) || FRAME_PREFIX.starts_with(partial)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Symbols {
        let function = |address, size, name: &str| Function { address, size, name: name.into() };
        Symbols {
            functions: vec![
                function(0xffff_ffff_8000_1000, 0x20, "_ZN5hello4main17h0123456789abcdefE"),
                function(0xffff_ffff_8000_1020, 0, "entry"),
            ],
            lines: None,
        }
    }

    #[test]
    fn a_return_address_at_a_functions_end_is_in_it() {
        let line = symbols().resolve("  at 0xffffffff80001020").into_owned();
        assert_eq!(line, "  at 0xffffffff80001020 hello::main + 0x20");
        assert_eq!(symbols().resolve("  at 0xffffffff80001021"), "  at 0xffffffff80001021 entry + 0x1");
    }

    #[test]
    fn crates_are_found_by_their_whole_name() {
        assert!(symbols().has_crate("hello"));
        assert!(!symbols().has_crate("hell"));
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for line in
            ["at 0xffffffff80001020", "  at 0x12", "  at 0x0000000000000000", "  at 0xffffffff80001020 x", ""]
        {
            assert_eq!(symbols().resolve(line), line);
        }
    }

    #[test]
    fn files_are_named_from_their_package_on() {
        assert_eq!(shorten("/home/me/fata/libos/src/task.rs"), "libos/src/task.rs");
        assert_eq!(shorten("examples/hello.rs"), "examples/hello.rs");
    }

    #[test]
    fn a_frame_is_held_back_until_it_is_whole() {
        assert!(may_become_frame("  a"));
        assert!(may_become_frame("  at 0xfff"));
        assert!(!may_become_frame("login: "));
    }
}
