//! The manifests of a package: which there are, and what cargo is told.

use crate::{Error, Manifest, budget, code, read};
use std::io::ErrorKind;
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

/// A manifest, for the build of `stem`.rs where the source must have a certain name: what the build cannot do is refused too.
pub fn read(file: &str, stem: Option<&str>, text: &str) -> Result<Manifest, Error> {
    let manifest = read::manifest(file, text)?;
    let name = &manifest.image.name;
    if let Some(stem) = stem.filter(|stem| stem != name) {
        return Err(Error::of_file(file, format!("image.name is {name:?}, but the source is {stem}.rs")));
    }
    if let Some(block) = manifest.blocks.first() {
        let message = format!("[block.{}]: there is no driver for block devices yet", block.name);
        return Err(Error::at(file, block.line, message));
    }
    Ok(manifest)
}

fn write_all() -> Result<(), Error> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let version = variable("CARGO_PKG_VERSION")?;
    let is_guest = variable("CARGO_CFG_TARGET_OS")? == "xen";
    let sources = sources(&package);
    let mut images = Vec::new();
    for source in &sources {
        let Some(text) = source.manifest(&package)? else { continue };
        let manifest = read(&source.file, source.stem.as_deref(), &text)?;
        let mut code = code::of(&manifest, &source.file, &version);
        if is_guest {
            code += &budget::definition(&manifest.image.name);
        }
        write(&out.join(format!("{}.rs", manifest.image.name)), &code)?;
        images.push((source.file.clone(), manifest));
    }
    for source in &sources {
        leave_word(source, &images, &out)?;
    }
    if is_guest {
        let script = out.join("max-size.ld");
        write(&script, &budget::script(&images))?;
        limit(&images, &script);
    }
    Ok(())
}

/// Has the linker look at the sizes. Cargo refuses an argument for a kind of target that the package has none of.
fn limit(images: &[(String, Manifest)], script: &Path) {
    for (kind, is_example) in [("bins", false), ("examples", true)] {
        if images.iter().any(|(file, _)| file.starts_with("examples/") == is_example) {
            println!("cargo::rustc-link-arg-{kind}={}", script.display());
        }
    }
}

/// A source file with a `main`, and where its manifest stands.
struct Source {
    /// The manifest.
    file: String,
    /// The name of the source, which must be the image's; that of the main binary stands in `Cargo.toml`.
    stem: Option<String>,
}

impl Source {
    /// The manifest's text, if it is there.
    fn manifest(&self, package: &Path) -> Result<Option<String>, Error> {
        match fs::read_to_string(package.join(&self.file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::of_file(&self.file, error.to_string())),
        }
    }
}

/// What the package can have a manifest for.
fn sources(package: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    // Cargo takes a file that is not there for one that has changed: only where it is missed.
    if package.join(MAIN).exists() || package.join("src/main.rs").exists() {
        println!("cargo::rerun-if-changed={MAIN}");
        sources.push(Source { file: MAIN.to_owned(), stem: None });
    }
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(package.join(folder)) else { continue };
        println!("cargo::rerun-if-changed={folder}");
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut stems: Vec<String> = names.filter_map(|name| stem(&name).map(str::to_owned)).collect();
        stems.sort();
        stems.dedup();
        sources.extend(
            stems.into_iter().map(|stem| Source { file: format!("{folder}/{stem}.toml"), stem: Some(stem) }),
        );
    }
    sources
}

fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".rs").or_else(|| name.strip_suffix(".toml"))
}

/// Where `fata::main!` would find nothing to include, it finds an error that says what to do.
fn leave_word(source: &Source, images: &[(String, Manifest)], out: &Path) -> Result<(), Error> {
    let package = variable("CARGO_PKG_NAME")?;
    let name = source.stem.as_deref().unwrap_or(&package);
    if images.iter().any(|(_, manifest)| manifest.image.name == name) {
        return Ok(());
    }
    let file = &source.file;
    let word = match images.iter().find(|(of, _)| of == file) {
        Some((_, manifest)) => {
            format!("image.name in {file} is {:?}, but the binary is {name:?}", manifest.image.name)
        }
        None => format!("{name} has no manifest: write {file}, beginning with [image] and name = {name:?}"),
    };
    write(&out.join(format!("{name}.rs")), &format!("compile_error!({word:?});\n"))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| Error::of_file(&path.display().to_string(), error.to_string()))
}

fn variable(name: &str) -> Result<String, Error> {
    env::var(name)
        .map_err(|_| Error::of_file("build script", format!("{name} is not set: run by cargo only")))
}
