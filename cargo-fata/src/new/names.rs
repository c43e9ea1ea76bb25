//! What an appliance can be called: its name is a package's, a crate's and a program's.

use anyhow::{Result, bail, ensure};

/// What no crate can be called, of the language now and reserved
/// (<https://doc.rust-lang.org/reference/keywords.html>); all in lower case, as names are.
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn",
    "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static",
    "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual",
    "where", "while", "yield",
];

/// What a package may be called whose name is a program's and a crate's too.
pub fn check(name: &str) -> Result<()> {
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_fit) {
        bail!("{name:?} is no name for an appliance: lower-case letters, digits, - and _, a letter first");
    }
    let package = name.replace('_', "-");
    ensure!(
        package != "fata" && package != "cargo-fata" && !package.starts_with("fata-"),
        "an appliance cannot be called {name}: Fata's own packages have such names"
    );
    ensure!(!KEYWORDS.contains(&name), "an appliance cannot be called {name}: that is a keyword of Rust");
    // Names of crates that it links, or of folders that cargo makes.
    ensure!(
        !matches!(name, "core" | "alloc" | "std" | "test" | "build" | "deps" | "examples" | "incremental"),
        "an appliance cannot be called {name}: that is something else"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in ["greeter", "a-b_2"] {
            check(name).unwrap();
        }
        for name in ["", "Greeter", "2web", "a b", "a/b", "über", "-x", "std", "deps"] {
            assert!(check(name).is_err(), "{name}");
        }
        let error = |name: &str| check(name).unwrap_err().to_string();
        for name in ["match", "gen", "type"] {
            assert!(error(name).ends_with("that is a keyword of Rust"), "{name}");
        }
        for name in ["fata", "fata-http", "fata_http", "cargo-fata"] {
            assert!(error(name).ends_with("Fata's own packages have such names"), "{name}");
        }
    }
}
