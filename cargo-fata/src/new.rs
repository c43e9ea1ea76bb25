//! `cargo fata new`: an appliance outside of the repository, from the folder `templates/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cli::NewArgs;
use crate::ui;

/// The checkout that this tool was built from: templates are read from it, and new appliances depend on it.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What goes into all of them.
const COMMON: &str = "common";
/// The ending of files that must not be what they are while they are templates.
const SUFFIX: &str = ".in";

/// The command itself.
pub fn run(args: &NewArgs) -> Result<()> {
    let name = args.folder.file_name().context("the new folder has no name")?.to_string_lossy().into_owned();
    check_name(&name)?;
    let checkout = Path::new(CHECKOUT).canonicalize();
    let checkout = checkout.context("the checkout of Fata that this tool was built from is gone")?;
    create(&args.folder, &name, &args.template, &checkout)?;
    ui::say(format!(
        "made {} from the template {}; its README says what can be done with it:",
        name, args.template
    ));
    println!("  cd {}\n  cargo run", args.folder.display());
    Ok(())
}

fn create(folder: &Path, name: &str, template: &str, checkout: &Path) -> Result<()> {
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let fata = checkout.to_str().context("the checkout's path is not UTF-8")?;
    let values = [
        ("name", name.to_owned()),
        ("crate", name.replace('-', "_")),
        ("fata", fata.to_owned()),
        ("alias", alias(fata)),
    ];
    for part in [COMMON, template] {
        let from = checkout.join("templates").join(part);
        for file in files(&from).with_context(|| format!("cannot read {}", from.display()))? {
            let target = folder.join(target_of(file.strip_prefix(&from)?));
            fs::create_dir_all(target.parent().context("no folder")?)?;
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            fs::write(&target, fill_in(&text, &values))
                .with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    // The versions that are tested here; cargo strikes out what the appliance does not use.
    let lock = "Cargo.lock";
    fs::copy(checkout.join(lock), folder.join(lock)).with_context(|| format!("cannot copy {lock}"))?;
    Ok(())
}

/// What a package may be called whose name is a program's and a crate's too.
fn check_name(name: &str) -> Result<()> {
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_fit) {
        bail!("{name:?} is no name for an appliance: lower-case letters, digits, - and _, a letter first");
    }
    // Names of crates that it links, or of folders that cargo makes.
    ensure!(
        !matches!(
            name,
            "fata" | "core" | "alloc" | "std" | "test" | "build" | "deps" | "examples" | "incremental"
        ),
        "an appliance cannot be called {name}: that is something else"
    );
    Ok(())
}

/// The lines that make `cargo fata` the tool of the checkout, where it is not installed.
fn alias(fata: &str) -> String {
    let is_installed = std::env::current_exe()
        .is_ok_and(|program| program.parent().is_some_and(|folder| folder.ends_with("bin")));
    if is_installed {
        return String::new();
    }
    format!(
        "[alias]\nfata = [\"run\", \"--quiet\", \"--manifest-path\", \"{fata}/Cargo.toml\", \"--package\", \"cargo-fata\", \"--\"]\n\n"
    )
}

/// All files of a folder and its folders.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

/// A template's file in the new folder.
fn target_of(file: &Path) -> PathBuf {
    match file.to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
        Some("gitignore") => ".gitignore".into(),
        Some(name) => name.into(),
        None => file.to_owned(),
    }
}

/// Puts values for `{{NAME}}`.
fn fill_in(text: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in ["greeter", "a-b_2"] {
            check_name(name).unwrap();
        }
        for name in ["", "Greeter", "2web", "a b", "fata", "a/b", "über", "-x"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_template_is_filled_in() {
        let folder = std::env::temp_dir().join(format!("fata-new-test-{}", std::process::id()));
        let checkout = Path::new(CHECKOUT).canonicalize().unwrap();
        for template in crate::cli::TEMPLATES {
            let new = folder.join(format!("a-{template}"));
            create(&new, &format!("a-{template}"), template, &checkout).unwrap();
            for file in files(&new).unwrap() {
                let text = fs::read_to_string(&file).unwrap();
                // A pair of braces is left only in code's own format strings.
                for name in ["name", "crate", "fata", "alias"] {
                    assert!(!text.contains(&format!("{{{{{name}}}}}")), "{}", file.display());
                }
                assert!(!file.to_string_lossy().ends_with(SUFFIX));
            }
            assert!(new.join(".gitignore").is_file() && new.join(".cargo/config.toml").is_file());
            assert!(create(&new, "x", template, &checkout).is_err(), "an old folder was written to");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
