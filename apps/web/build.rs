//! Reads the manifest, and puts a folder into the image: reads it, compresses what gets smaller, and writes the tables that `src/site.rs` serves
//! from, to `$OUT_DIR/content.rs`.
//!
//! The same folder gives the same octets: files come in the order of their paths, and nothing of times, owners or places
//! is kept. See `README.md` for the variables.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, fs, process};
use web_content::emit::{self, Packed};
use web_content::{tree, write};

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
    let has_tls = env::var_os("CARGO_FEATURE_TLS").is_some();
    let mut text = emit::tables(&files, packed(has_tls)?, last_modified()?, &out)?;
    if has_tls {
        println!("cargo:rerun-if-env-changed=FATA_WEB_KEYS");
        // Every response says it there.
        text = text.replace("X-Content-Type-Options: nosniff\\r\\n", "");
        text += &keys()?;
    }
    if env::var_os("CARGO_FEATURE_CLIENT_CERTIFICATES").is_some() {
        text += &client_authorities()?;
    }
    write(&out.join("content.rs"), text.as_bytes())
}

/// What is kept in gzip too.
fn packed(has_tls: bool) -> Result<Packed, String> {
    println!("cargo:rerun-if-env-changed=FATA_WEB_GZIP");
    let default = if has_tls { Packed::Assets } else { Packed::All };
    Packed::named(env::var("FATA_WEB_GZIP").ok().as_deref(), default)
}

/// Certificate and key of the image, where there are any.
fn keys() -> Result<String, String> {
    let (what, kind) = ("/// Certificate and key, PEM texts.", "Option<(&str, &str)>");
    let Some(asked) = env::var_os("FATA_WEB_KEYS").filter(|v| !v.is_empty()) else {
        return Ok(format!("{what}\npub const KEYS: {kind} = None;\n"));
    };
    let folder = folder(asked, "FATA_WEB_KEYS")?;
    let file = |name: &str| {
        let path = folder.join(name);
        println!("cargo:rerun-if-changed={}", path.display());
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let (chain, key) = (file("chain.pem")?, file("key.pem")?);
    Ok(format!("{what}\npub const KEYS: {kind} = Some(({chain:?}, {key:?}));\n"))
}

/// Who signs clients' certificates, beside the image's own, if that is said there.
fn client_authorities() -> Result<String, String> {
    let asked = env::var_os("FATA_WEB_KEYS").filter(|v| !v.is_empty());
    let folder = asked.map(|asked| folder(asked, "FATA_WEB_KEYS")).transpose()?;
    let text = match folder.map(|folder| folder.join("client-ca.pem")).filter(|path| path.is_file()) {
        Some(path) => {
            println!("cargo:rerun-if-changed={}", path.display());
            Some(fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
        None => None,
    };
    let what = "/// Who signs clients' certificates, a PEM text.";
    Ok(format!("{what}\npub const CLIENT_AUTHORITIES: Option<&str> = {text:?};\n"))
}

/// The folder to serve.
fn root() -> Result<PathBuf, String> {
    match env::var_os("FATA_WEB_ROOT").filter(|v| !v.is_empty()) {
        Some(asked) => folder(asked, "FATA_WEB_ROOT"),
        None => Ok(package()?.join("site")),
    }
}

fn package() -> Result<PathBuf, String> {
    Ok(PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?))
}

/// A folder that a variable names. A relative path counts from where cargo was started, else from this package.
fn folder(asked: OsString, variable: &str) -> Result<PathBuf, String> {
    let bases = [env::var_os("PWD").map(PathBuf::from), Some(package()?)];
    let places = bases.into_iter().flatten().map(|base| base.join(&asked));
    places.into_iter().find(|p| p.is_dir()).ok_or(format!("{variable}={} is no folder", asked.display()))
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
