//! Room on the disk for all tests: what runs out of it fails in the middle of some build, with words that say little.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command;

/// What all tests leave below the target folder, octets: 9.1 GB were measured, and the book's commands build outside it.
const ALL: u64 = 12 << 30;
/// The same with `--long`: 13 GB.
const ALL_LONG: u64 = 15 << 30;
const MIB: u64 = 1 << 20;

/// An error where the disk has not enough room for all tests. What an earlier run left is used again.
pub fn check(target: &Path, is_long: bool) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    let used = figure(Command::new("du").args(["--summarize", "--block-size=1"]).arg(target), 0)?;
    let free = figure(Command::new("df").args(["--output=avail", "--block-size=1"]).arg(target), 1)?;
    enough(if is_long { ALL_LONG } else { ALL }, used, free, target)
}

fn enough(all: u64, used: u64, free: u64, target: &Path) -> Result<()> {
    let wanted = all.saturating_sub(used);
    ensure!(
        free >= wanted,
        "all tests need {} MiB more on the disk of {}, and {} MiB are free there",
        wanted / MIB,
        target.display(),
        free / MIB
    );
    Ok(())
}

/// The number with which a line of a program's output begins.
fn figure(command: &mut Command, line: usize) -> Result<u64> {
    let said = command::run(command)?.stdout;
    let word = said.lines().nth(line).and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).with_context(|| format!("no number in {said:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_need_not_be_free() {
        let target = Path::new("/x");
        assert!(enough(ALL, 0, ALL, target).is_ok());
        assert!(enough(ALL, ALL - 5, 5, target).is_ok());
        assert!(enough(ALL, 2 * ALL, 0, target).is_ok());
        let error = enough(ALL_LONG, 5 << 30, 9 << 30, target).unwrap_err().to_string();
        assert_eq!(error, "all tests need 10240 MiB more on the disk of /x, and 9216 MiB are free there");
    }

    #[test]
    fn programs_tell_figures() {
        let temp = std::env::temp_dir();
        assert!(figure(Command::new("df").args(["--output=avail", "--block-size=1"]).arg(&temp), 1).is_ok());
        assert!(figure(Command::new("df").arg("--output=target").arg(&temp), 1).is_err());
    }
}
