//! Reads the manifest, and puts a folder into the image: reads it, compresses what gets smaller, and writes the tables that `src/site.rs` serves
//! from, to `$OUT_DIR/content.rs`.
//!
//! The same folder gives the same octets: files come in the order of their paths, and nothing of times, owners or places
//! is kept. See `README.md` for the variables.

use std::path::PathBuf;
use std::{env, process};
use web_content::{emit, tree, write};

fn main() {
    fata_build::manifest();
    println!("cargo:rerun-if-env-changed=FATA_WEB_ROOT");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    if let Err(error) = generate() {
        println!("cargo:error=web: {error}");
        process::exit(1);
    }
}

fn generate() -> Result<(), String> {
    let root = root()?;
    println!("cargo:rerun-if-changed={}", root.display());
    let files = tree::read(&root)?;
    tree::check_names(&files)?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let text = emit::tables(&files, last_modified()?, &out)?;
    write(&out.join("content.rs"), text.as_bytes())
}

/// The folder to serve. A relative path counts from where cargo was started, else from this package.
fn root() -> Result<PathBuf, String> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let Some(asked) = env::var_os("FATA_WEB_ROOT").filter(|v| !v.is_empty()) else {
        return Ok(package.join("site"));
    };
    let bases = [env::var_os("PWD").map(PathBuf::from), Some(package)];
    let places = bases.into_iter().flatten().map(|base| base.join(&asked));
    places.into_iter().find(|p| p.is_dir()).ok_or(format!("FATA_WEB_ROOT={} is no folder", asked.display()))
}

/// Seconds since 1970, where the builder says so (<https://reproducible-builds.org/specs/source-date-epoch/>).
fn last_modified() -> Result<Option<u64>, String> {
    match env::var("SOURCE_DATE_EPOCH") {
        Err(_) => Ok(None),
        Ok(text) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(format!("SOURCE_DATE_EPOCH={text} is not a number of seconds")),
        },
    }
}
