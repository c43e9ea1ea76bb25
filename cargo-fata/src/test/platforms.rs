//! Appliances know no platform: one source serves all, so nothing in them is chosen by `cfg` of one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::OwnTest;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 1] =
    [OwnTest::new("check::lint_no_platform_in_appliances", no_platform_in_appliances)];

/// Where appliances are.
const FOLDERS: [&str; 3] = ["apps", "examples", "templates"];

/// What names a platform wherever it stands, in source and in manifests; a crate of one platform is as bad. `fata` alone knows
/// them.
const NAMES: [&str; 9] = [
    "target_os",
    "target_env",
    "target_vendor",
    "target_family",
    "CARGO_CFG_",
    "std::os::",
    "fata_xen::",
    "fata_unix::",
    "fata_virtio::",
];

/// What names one in a condition, and means something else elsewhere.
const WORDS: [&str; 2] = ["unix", "windows"];

fn no_platform_in_appliances(workspace: &Workspace) -> Result<()> {
    let mut files = 0;
    for folder in FOLDERS {
        files += search(&workspace.root.join(folder))?;
    }
    ensure!(files > 30, "only {files} files were found: the search is wrong");
    Ok(())
}

/// Looks into all sources and manifests below a folder; gives how many there are.
fn search(folder: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files += search(&path)?;
        } else if is_source(&path) {
            files += 1;
            let text = fs::read_to_string(&path)?;
            if let Some((line, platform)) = found(&text) {
                bail!(
                    "{}:{line}: {platform} names a platform, which an appliance does not know",
                    path.display()
                );
            }
        }
    }
    Ok(files)
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".in").unwrap_or(&name);
    // What a program of the host does before the appliance is built may know the host.
    [".rs", ".toml"].iter().any(|ending| name.ends_with(ending))
}

/// The first line that names a platform. A filter of the log names modules, in quotes or behind `log=`.
fn found(text: &str) -> Option<(usize, &'static str)> {
    let code: String = text.lines().map(|line| format!("{}\n", without_comment(line))).collect();
    let named = code.lines().enumerate().find_map(|(number, line)| {
        let line = line.replace(' ', "");
        let name = NAMES.into_iter().find(|name| line.contains(name))?;
        Some((number + 1, name))
    });
    let conditions = code.match_indices("cfg").filter_map(|(at, _)| in_condition(&code, at));
    named.into_iter().chain(conditions).min_by_key(|(line, _)| *line)
}

/// A line up to its `//`, unless that stands in quotes.
fn without_comment(line: &str) -> &str {
    let is_code = |at: &usize| line[..*at].matches('"').count().is_multiple_of(2);
    let end = line.match_indices("//").map(|(at, _)| at).find(is_code);
    &line[..end.unwrap_or(line.len())]
}

/// The first platform in the brackets of `cfg(...)`, `cfg!(...)`, `cfg_attr(...)` or `cfg_select! {...}`, if one of these begins at
/// `at`; with its line.
fn in_condition(code: &str, at: usize) -> Option<(usize, &'static str)> {
    if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = &code[at + "cfg".len()..];
    let rest = ["_attr", "_select"].into_iter().find_map(|more| rest.strip_prefix(more)).unwrap_or(rest);
    let rest = rest.trim_start();
    let brackets = rest.strip_prefix('!').unwrap_or(rest).trim_start();
    let (offset, word) = word_in_brackets(brackets)?;
    let line = code[..code.len() - brackets.len() + offset].matches('\n').count() + 1;
    Some((line, word))
}

/// The first of [`WORDS`] up to the bracket that closes the one at the text's beginning, outside of quotes.
fn word_in_brackets(text: &str) -> Option<(usize, &'static str)> {
    let (mut depth, mut is_quoted, mut start) = (0_usize, false, 0);
    for (at, c) in text.char_indices() {
        if c.is_alphanumeric() || c == '_' {
            continue;
        }
        let word = WORDS.into_iter().find(|word| *word == &text[start..at]).filter(|_| !is_quoted);
        if let Some(word) = word {
            return Some((start, word));
        }
        start = at + c.len_utf8();
        match c {
            '"' => is_quoted = !is_quoted,
            '(' | '[' | '{' if !is_quoted => depth += 1,
            ')' | ']' | '}' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_found() {
        for (text, at) in [
            ("fn f() {}\n#[cfg(target_os = \"xen\")]\n", (2, "target_os")),
            ("#[cfg(unix)]", (1, "unix")),
            ("#[cfg( unix )]", (1, "unix")),
            ("#![cfg (windows)]", (1, "windows")),
            ("#[cfg(not(unix))]", (1, "unix")),
            ("#[cfg(any(unix, test))]", (1, "unix")),
            ("#[cfg(all(feature = \"net\", unix))]", (1, "unix")),
            ("#[cfg(any(test, not(windows)))]", (1, "windows")),
            ("#[cfg(any(\n    test,\n    unix,\n))]", (3, "unix")),
            ("let x = cfg!(unix);", (1, "unix")),
            ("let x = if cfg! { any(unix, test) } { 1 } else { 2 };", (1, "unix")),
            ("let url = \"http://x\"; #[cfg(unix)] let x = 1;", (1, "unix")),
            ("#[cfg_attr(unix, path = \"unix.rs\")]", (1, "unix")),
            ("#[cfg_attr(all(unix, test), allow(dead_code))]", (1, "unix")),
            ("#[cfg_attr(feature = \"net\", cfg(unix))]", (1, "unix")),
            ("cfg_select! {\n    unix => { f() }\n    _ => { g() }\n}", (2, "unix")),
            ("[target.'cfg(not(target_os = \"xen\"))'.dependencies]", (1, "target_os")),
            ("[target.'cfg(unix)'.dependencies]", (1, "unix")),
            ("[target.'cfg(not(target_os = \"xen\"))'.dev-dependencies]", (1, "target_os")),
            ("[target.\"cfg(any(windows, unix))\".dependencies]", (1, "windows")),
            ("if cfg!(target_family = \"unix\") {}", (1, "target_family")),
            ("#[cfg(all(\n    target_env = \"gnu\",\n    unix,\n))]", (2, "target_env")),
            ("env::var(\"CARGO_CFG_UNIX\")", (1, "CARGO_CFG_")),
            ("use std::os::fd::AsFd;", (1, "std::os::")),
            ("fata_xen :: net::Frontend::new()", (1, "fata_xen::")),
        ] {
            assert_eq!(found(text), Some(at), "{text}");
        }
    }

    #[test]
    fn what_names_none_is_let_be() {
        for text in [
            "#[cfg(test)]",
            "// not target_os here",
            "//! runs on unix: cfg(unix) is not for appliances",
            "#[cfg(feature = \"net\")]",
            "#[cfg(feature = \"unix\")]",
            "#[cfg(any(test, feature = \"windows (old)\"))] let unix = 1;",
            "#[cfg(test)]\nfn unix() {}",
            "let windows = slice.windows(2);",
            "let unix_time = cfg!(test);",
            "#[cfg(unix_like)]",
            "let mycfg = f(unix); mycfg(unix);",
            "let cfg = config(); g(cfg, unix);",
            "let cfg = [1]; let unix = 2;",
            "log=warn,fata_xen=debug",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
