//! The manifests of a package: which there are, and what cargo is told.

use crate::{Error, Manifest, code, read};
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Of the package's main binary.
const MAIN: &str = "unikernel.toml";

/// Folders in which `NAME.toml` is the manifest of `NAME.rs`.
const FOLDERS: [&str; 2] = ["examples", "src/bin"];

/// Reads the manifests of the package whose build script calls this, and writes what `fata::main!` includes. What is wrong
/// with one ends the build.
///
/// `unikernel.toml` beside `Cargo.toml` is the manifest of the package's binary; `examples/NAME.toml` and `src/bin/NAME.toml`
/// are those of `NAME.rs` beside them.
pub fn manifest() {
    if let Err(error) = write_all() {
        println!("cargo::error={error}");
        process::exit(1);
    }
}

fn write_all() -> Result<(), Error> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let version = variable("CARGO_PKG_VERSION")?;
    for (file, stem) in found(&package)? {
        let manifest = read_file(&package, &file)?;
        check(&file, stem.as_deref(), &manifest)?;
        let code = code::of(&manifest, &file, &version);
        write(&out.join(format!("{}.rs", manifest.image.name)), &code)?;
    }
    Ok(())
}

/// The manifests, with the name that each must give: `examples/echo.toml` is the manifest of `echo`.
fn found(package: &Path) -> Result<Vec<(String, Option<String>)>, Error> {
    let mut found = Vec::new();
    // Cargo takes a file that is not there for one that has changed.
    if package.join(MAIN).exists() {
        println!("cargo::rerun-if-changed={MAIN}");
        found.push((MAIN.to_owned(), None));
    }
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(package.join(folder)) else { continue };
        println!("cargo::rerun-if-changed={folder}");
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(stem) = name.strip_suffix(".toml") {
                found.push((format!("{folder}/{name}"), Some(stem.to_owned())));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read_file(package: &Path, file: &str) -> Result<Manifest, Error> {
    let text =
        fs::read_to_string(package.join(file)).map_err(|error| Error::of_file(file, error.to_string()))?;
    read::manifest(file, &text)
}

/// What is right in itself, but not for this package or not yet.
fn check(file: &str, stem: Option<&str>, manifest: &Manifest) -> Result<(), Error> {
    let name = &manifest.image.name;
    if let Some(stem) = stem.filter(|stem| stem != name) {
        return Err(Error::of_file(file, format!("image.name is {name:?}, but the source is {stem}.rs")));
    }
    if let Some(block) = manifest.blocks.first() {
        let message = format!("[block.{}]: there is no driver for block devices yet", block.name);
        return Err(Error::at(file, block.line, message));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| Error::of_file(&path.display().to_string(), error.to_string()))
}

fn variable(name: &str) -> Result<String, Error> {
    env::var(name)
        .map_err(|_| Error::of_file("build script", format!("{name} is not set: run by cargo only")))
}
