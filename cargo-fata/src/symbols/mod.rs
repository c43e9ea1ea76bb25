//! Puts function names and lines to the addresses that a guest's reports print.
//!
//! A guest prints a frame as `  at 0xffffffff80012345`; it is shown as `  at 0xffffffff80012345 faults::divide + 0x1f
//! (tests/guests/src/faults.rs:40)`, and below it the functions that it was inlined into.

mod table;
pub mod twin;

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::table::Table;
use crate::ui;

const FRAME_PREFIX: &str = "  at 0x";
/// How the first line of an exception's registers begins.
const REGISTERS_PREFIX: &str = "  rip ";

/// The functions of an image. They are read, and built where the image has none, when the first frame is seen.
pub struct Symbols {
    image: PathBuf,
    table: OnceCell<Option<Table>>,
    /// The faulting instruction of a report whose frames have not come yet.
    fault: Cell<Option<u64>>,
}

/// A file with an image's symbols: itself, or its twin, built if it is not there.
pub fn file_of(image: &Path) -> Result<PathBuf> {
    if Table::is_in(image)? { Ok(image.to_owned()) } else { twin::of(image) }
}

/// Where an appliance's `main` begins, as `hello.rs:14`, in a file with symbols.
pub fn place_of_main(file: &Path) -> Option<String> {
    Table::read(file).ok()?.place_of_main()
}

/// A text with all its frames resolved; an error where they cannot be.
pub fn resolve_text(image: &Path, text: &str) -> Result<String> {
    let symbols = Symbols::of(image);
    let _ = symbols.table.set(Some(Table::of(image)?));
    Ok(symbols.resolve_all(text))
}

impl Symbols {
    /// The symbols of an image: its own or its twin's.
    pub fn of(image: &Path) -> Self {
        Self { image: image.to_owned(), table: OnceCell::new(), fault: Cell::new(None) }
    }

    /// A line of the console, with the function's name if it is a frame. The lines of a report must come in order.
    pub fn resolve<'a>(&self, line: &'a str) -> Cow<'a, str> {
        if let Some(address) = fault_address(line) {
            self.fault.set(Some(address));
        }
        match frame_address(line).and_then(|address| self.describe(address)) {
            Some(description) => Cow::Owned(format!("{} {description}", line.trim_end())),
            None => Cow::Borrowed(line),
        }
    }

    /// All lines of a text, resolved.
    pub fn resolve_all(&self, text: &str) -> String {
        text.lines().map(|line| self.resolve(line).into_owned() + "\n").collect()
    }

    /// A return address stands for the call before it, which matters at a function's very end; a fault's own address, the
    /// first frame of its report, for itself.
    fn describe(&self, address: u64) -> Option<String> {
        let is_fault = self.fault.take() == Some(address);
        let instruction = if is_fault { address } else { address.checked_sub(1)? };
        self.table()?.describe(instruction, address)
    }

    fn table(&self) -> Option<&Table> {
        let load = || match Table::of(&self.image) {
            Ok(table) => Some(table),
            Err(error) => {
                ui::warn(format!("functions are not named: {error:#}"));
                None
            }
        };
        self.table.get_or_init(load).as_ref()
    }
}

/// The address of a line that is a frame and nothing else.
fn frame_address(line: &str) -> Option<u64> {
    address(line.trim_end().strip_prefix(FRAME_PREFIX)?)
}

/// The instruction that an exception's report blames.
fn fault_address(line: &str) -> Option<u64> {
    address(line.strip_prefix(REGISTERS_PREFIX)?.get(..16)?)
}

fn address(digits: &str) -> Option<u64> {
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
        let functions = [
            (0xffff_ffff_8000_1000, 0x20, "_ZN5hello4main17h0123456789abcdefE"),
            (0xffff_ffff_8000_1020, 0, "entry"),
        ];
        let symbols = Symbols::of(Path::new("nothing"));
        let _ = symbols.table.set(Some(Table::from_functions(&functions)));
        symbols
    }

    #[test]
    fn a_return_address_at_a_functions_end_is_in_it() {
        let line = symbols().resolve("  at 0xffffffff80001020").into_owned();
        assert_eq!(line, "  at 0xffffffff80001020 hello::main + 0x20");
        assert_eq!(symbols().resolve("  at 0xffffffff80001021"), "  at 0xffffffff80001021 entry + 0x1");
    }

    #[test]
    fn a_fault_at_a_functions_start_is_in_it() {
        let report =
            "  rip ffffffff80001020  rsp ffffffff80133f00  rfl 0000000000010206\n  at 0xffffffff80001020\n";
        let resolved = symbols().resolve_all(&report.repeat(2));
        assert_eq!(resolved.matches("  at 0xffffffff80001020 entry + 0x0\n").count(), 2);
        let caller = symbols().resolve_all(&format!("{report}  at 0xffffffff80001020\n"));
        assert!(caller.ends_with("hello::main + 0x20\n"), "{caller}");
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for line in [
            "at 0xffffffff80001020",
            "  at 0x12",
            "  at 0x0000000000000000",
            "  at 0xffffffff80001020 x",
            "  rip 12",
            "  rip ffffffff8000102\u{e9}",
            "",
        ] {
            assert_eq!(symbols().resolve(line), line);
        }
    }

    #[test]
    fn a_frame_is_held_back_until_it_is_whole() {
        assert!(may_become_frame("  a"));
        assert!(may_become_frame("  at 0xfff"));
        assert!(!may_become_frame("login: "));
    }
}
