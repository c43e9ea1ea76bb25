//! Installs the compiler target into the active toolchain: specification, core, alloc, compiler_builtins.
//!
//! From then on `cargo build --target x86_64-xen-pv` works with the stable compiler, as for any target that rustup installs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::rust_src;
use crate::workspace::Workspace;
use crate::{cache, cargo, command, ui};

/// The target's name.
pub const NAME: &str = "x86_64-xen-pv";
const SPECIFICATION: &str = include_str!("../../assets/x86_64-xen-pv.json");

/// Small code as everywhere in an image, except for copying and filling memory.
const SCRATCH_MANIFEST: &str = r#"
[package]
name = "scratch"
version = "0.0.0"
edition = "2024"

[lib]
path = "lib.rs"

[profile.release]
opt-level = "s"
panic = "abort"
codegen-units = 1
debug = false

[profile.release.package.compiler_builtins]
opt-level = 3

[workspace]
"#;
/// Bitcode beside machine code: appliances are linked with LTO, tests of the target without.
const RUSTFLAGS: &str = "-Zunstable-options -Cforce-frame-pointers=yes -Cembed-bitcode=yes";
const CRATES: [&str; 3] = ["core", "alloc", "compiler_builtins"];
/// Changes when the way the target is built changes.
const RECIPE_VERSION: &str = "3";

/// Installs the target if it is missing or was made from something else than there is now.
pub fn ensure() -> Result<()> {
    let Some(reason) = reason_to_install()? else { return Ok(()) };
    let step = ui::step(format!("installing the compiler target {NAME}: {reason}"));
    let sysroot = sysroot()?;
    rust_src::ensure(&sysroot)?;
    Installation::new(&sysroot)?
        .install()
        .with_context(|| format!("cannot install the compiler target {NAME}"))?;
    step.done();
    Ok(())
}

/// Why the target has to be installed, if it has to.
pub fn reason_to_install() -> Result<Option<String>> {
    let installation = Installation::new(&sysroot()?)?;
    if !installation.folder.exists() {
        return Ok(Some("not installed".into()));
    }
    let stamp = fs::read_to_string(installation.stamp_file()).unwrap_or_default();
    Ok((stamp != installation.stamp).then(|| "compiler or specification changed".into()))
}

struct Installation {
    folder: PathBuf,
    stamp: String,
}

impl Installation {
    fn new(sysroot: &Path) -> Result<Self> {
        let compiler = command::run(Command::new("rustc").arg("-vV")).context("is Rust installed?")?.stdout;
        let stamp = cache::digest(&[&compiler, SPECIFICATION, SCRATCH_MANIFEST, RUSTFLAGS, RECIPE_VERSION]);
        Ok(Self { folder: sysroot.join("lib/rustlib").join(NAME), stamp })
    }

    fn stamp_file(&self) -> PathBuf {
        self.folder.join("fata-stamp")
    }

    /// The stamp goes first and comes last, so that an installation cut short is seen as none.
    fn install(&self) -> Result<()> {
        let libraries = self.folder.join("lib");
        fs::create_dir_all(&libraries).with_context(|| {
            format!("cannot write {}: the toolchain belongs to somebody else", libraries.display())
        })?;
        let _ = fs::remove_file(self.stamp_file());
        fs::write(self.folder.join("target.json"), SPECIFICATION)?;
        let scratch = cache::root()?.join("target-scratch");
        let built = build_libraries(&scratch)?;
        for entry in fs::read_dir(&libraries)? {
            fs::remove_file(entry?.path())?;
        }
        for library in &built {
            fs::copy(library, libraries.join(library.file_name().unwrap_or_default()))?;
        }
        let _ = fs::remove_dir_all(&scratch);
        remove_stale_builds()?;
        fs::write(self.stamp_file(), &self.stamp)?;
        Ok(())
    }
}

/// Removes what the workspace built with the former libraries: cargo does not see that they changed, and rustc stops at
/// it with E0463.
fn remove_stale_builds() -> Result<()> {
    let Ok(workspace) = Workspace::current() else { return Ok(()) };
    let stale = [&*workspace.target_dir, &workspace.symbols_dir()].map(|folder| folder.join(NAME));
    for folder in stale.iter().filter(|folder| folder.exists()) {
        ui::say(format!("removing {}: built with the former libraries", folder.display()));
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Builds the libraries for the target that is already in the sysroot by name; gives the files.
fn build_libraries(scratch: &Path) -> Result<Vec<PathBuf>> {
    let _ = fs::remove_dir_all(scratch);
    fs::create_dir_all(scratch)?;
    fs::write(scratch.join("Cargo.toml"), SCRATCH_MANIFEST)?;
    fs::write(scratch.join("lib.rs"), "#![no_std]\n")?;
    // Panics name files of the library: from the library's folder on, so that images do not depend on where it lies.
    let library = sysroot()?.join("lib/rustlib/src/rust/library");
    let remap = format!("--remap-path-prefix={}/=", library.display());
    let flags: Vec<&str> = RUSTFLAGS.split(' ').chain([remap.as_str()]).collect();
    let mut cargo = cargo::command();
    cargo
        .args(["build", "--release", "--target", NAME, "-Zbuild-std=core,alloc,compiler_builtins"])
        .arg("-Zbuild-std-features=compiler-builtins-mem,optimize_for_size")
        .current_dir(scratch)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_BUILD_TARGET");
    command::run(&mut cargo).context("cannot build core and alloc for the target")?;
    find_libraries(&scratch.join("target").join(NAME).join("release/deps"))
}

fn find_libraries(folder: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    let find = |name: &str| {
        let prefix = format!("lib{name}-");
        files.iter().find(|file| {
            let file = file.file_name().unwrap_or_default().to_string_lossy();
            file.starts_with(&prefix) && file.ends_with(".rlib")
        })
    };
    let found: Vec<PathBuf> = CRATES.iter().filter_map(|name| find(name)).cloned().collect();
    if found.len() != CRATES.len() {
        bail!("the build left only {found:?} in {}", folder.display());
    }
    Ok(found)
}

fn sysroot() -> Result<PathBuf> {
    let said =
        command::run(Command::new("rustc").args(["--print", "sysroot"])).context("is Rust installed?")?;
    Ok(said.stdout.trim().into())
}
