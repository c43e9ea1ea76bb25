//! The functions and lines of a file with symbols, by address.

use std::path::{Path, PathBuf};

use addr2line::{Frame, Loader, gimli};
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionIndex, SectionKind, SymbolKind};

use super::twin;
use crate::image_file;
use crate::workspace::Workspace;

/// Further than this behind a symbol without a size, as assembly leaves them, an address is not in it.
const REACH: u64 = 0x10_0000;

pub(super) struct Table {
    /// By address.
    functions: Vec<Function>,
    lines: Option<Loader>,
    /// The workspace's folder, which is left out of the paths of files.
    root: Option<PathBuf>,
}

struct Function {
    address: u64,
    size: u64,
    name: String,
}

impl Table {
    /// What is known of an image's functions, from itself or from its twin.
    pub(super) fn of(image: &Path) -> Result<Self> {
        let own = Self::read(image)?;
        if !own.functions.is_empty() {
            return Ok(own);
        }
        let twin = Self::read(&twin::of(image)?)?;
        ensure!(!twin.functions.is_empty(), "the build leaves no symbols");
        Ok(twin)
    }

    /// Whether a file has symbols of its own.
    pub(super) fn is_in(path: &Path) -> Result<bool> {
        Ok(!Self::read(path)?.functions.is_empty())
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = image_file::read(path)?;
        let file = object::File::parse(&*bytes)
            .with_context(|| format!("{} is not an ELF image", path.display()))?;
        let is_code = |section: Option<SectionIndex>| {
            section
                .and_then(|index| file.section_by_index(index).ok())
                .is_some_and(|section| section.kind() == SectionKind::Text)
        };
        let mut functions: Vec<Function> = file
            .symbols()
            .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown))
            .filter(|symbol| is_code(symbol.section_index()))
            .filter_map(|symbol| {
                let name = symbol.name().ok().filter(|name| !name.is_empty())?.to_owned();
                Some(Function { address: symbol.address(), size: symbol.size(), name })
            })
            .collect();
        functions.sort_by_key(|function| (function.address, function.size));
        let root = Workspace::current().ok().map(|workspace| workspace.root);
        Ok(Self { functions, lines: Loader::new(path).ok(), root })
    }

    /// `name + 0x1f (file:12)`, and a line for each function that this one was inlined into. The offset is that of `address`
    /// in the function that stands in the file, the last one.
    pub(super) fn describe(&self, instruction: u64, address: u64) -> Option<String> {
        let function = self.function(instruction)?;
        let name = rustc_demangle::demangle(&function.name);
        let outermost = format!("{name:#} + {:#x}", address - function.address);
        let mut calls = self.calls(instruction);
        match calls.last_mut() {
            Some(last) => last.name = outermost,
            None => calls.push(Call { name: outermost, place: String::new() }),
        }
        let calls: Vec<String> = calls.into_iter().map(|call| call.name + &call.place).collect();
        Some(calls.join("\n      inlined into "))
    }

    /// The body of `async fn main` is a closure of it.
    pub(super) fn place_of_main(&self) -> Option<String> {
        let is_main = |name: &str| {
            let name = format!("{:#}", rustc_demangle::demangle(name));
            name.strip_suffix("::main::{closure#0}").is_some_and(|krate| !krate.contains(['<', ':']))
        };
        let main = self.functions.iter().find(|function| is_main(&function.name))?;
        let location = self.lines.as_ref()?.find_location(main.address).ok()??;
        Some(format!("{}:{}", location.file?.rsplit('/').next()?, location.line?))
    }

    fn function(&self, address: u64) -> Option<&Function> {
        let after = self.functions.partition_point(|function| function.address <= address);
        let function = self.functions[..after].last()?;
        let size = if function.size == 0 { REACH } else { function.size };
        (address - function.address < size).then_some(function)
    }

    /// The functions at an address, the innermost first.
    fn calls(&self, address: u64) -> Vec<Call> {
        let mut calls = Vec::new();
        let Some(Ok(mut frames)) = self.lines.as_ref().map(|lines| lines.find_frames(address)) else {
            return calls;
        };
        while let Ok(Some(frame)) = frames.next() {
            calls.push(self.call(&frame));
        }
        calls
    }

    fn call<R: gimli::Reader>(&self, frame: &Frame<'_, R>) -> Call {
        let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
        let place = frame.location.as_ref().and_then(|location| {
            Some(format!(" ({}:{})", shorten(location.file?, self.root.as_deref()), location.line?))
        });
        Call {
            name: name.map_or("?".to_owned(), |name| without_generics(&name).to_owned()),
            place: place.unwrap_or_default(),
        }
    }

    #[cfg(test)]
    pub(super) fn from_functions(functions: &[(u64, u64, &str)]) -> Self {
        let functions =
            functions.iter().map(|&(address, size, name)| Function { address, size, name: name.to_owned() });
        Self { functions: functions.collect(), lines: None, root: None }
    }
}

struct Call {
    name: String,
    place: String,
}

/// Line tables name an inlined function without its path, and with all its type parameters: `from_iter<...>`.
fn without_generics(name: &str) -> &str {
    match name.find('<') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

/// A file's path from the workspace or its package on: what comes before differs from machine to machine.
fn shorten<'f>(file: &'f str, root: Option<&Path>) -> &'f str {
    if let Some(inside) = root.and_then(|root| Path::new(file).strip_prefix(root).ok()?.to_str()) {
        return inside;
    }
    let package = file.rfind("/src/").map_or(0, |at| file[..at].rfind('/').map_or(0, |slash| slash + 1));
    &file[package..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_from_the_workspace_or_their_package_on() {
        let root = Some(Path::new("/home/me/fata"));
        assert_eq!(shorten("/home/me/fata/libos/src/task.rs", root), "libos/src/task.rs");
        assert_eq!(shorten("/home/me/fata/examples/hello.rs", root), "examples/hello.rs");
        assert_eq!(shorten("/home/me/.cargo/registry/src/x/log-0.4/src/lib.rs", root), "log-0.4/src/lib.rs");
        assert_eq!(shorten("examples/hello.rs", None), "examples/hello.rs");
    }

    #[test]
    fn inlined_functions_are_named_without_types() {
        assert_eq!(without_generics("from_iter<u8, core::slice::iter::Iter<u8>>"), "from_iter");
        assert_eq!(without_generics("{closure#0}"), "{closure#0}");
        assert_eq!(without_generics("<impl>"), "<impl>");
    }
}
