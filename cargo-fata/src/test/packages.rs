//! What would be published: `cargo package` of each crate, and appliances built from these packages and from no checkout.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::OwnTest;
use super::elsewhere::Elsewhere;
use crate::workspace::Workspace;
use crate::{cargo, command};

/// The tests of this topic.
pub const TESTS: [OwnTest; 4] = [
    OwnTest::new("package::each_is_complete", each_is_complete).long(),
    OwnTest::new("package::appliance_by_version", appliance_by_version).long(),
    OwnTest::new("package::installed_tool", installed_tool).long(),
    OwnTest::new("package::installed_from_checkout", installed_from_checkout).long(),
];

/// What every package has beside its source.
const FILES: [&str; 4] = ["Cargo.toml", "README.md", "LICENSE-APACHE", "LICENSE-MIT"];
/// What the tool's package must have, as it works without a checkout.
const FILES_OF_TOOL: [&str; 4] = [
    "templates/common/Cargo.toml.in",
    "templates/web/src/main.rs",
    "assets/x86_64-xen-pv.json",
    "assets/appliance.lock",
];

/// The packages, each verified by cargo: built from what is in it, on this machine's target.
struct Packages {
    /// The unpacked folders, by name.
    folders: BTreeMap<String, PathBuf>,
}

impl Packages {
    /// Has cargo make and verify them.
    fn make(workspace: &Workspace) -> Result<Self> {
        let all = metadata()?;
        let (published, others): (Vec<_>, Vec<_>) =
            all.iter().partition(|package| package["publish"].is_null());
        let mut arguments =
            vec!["package".to_owned(), "--workspace".into(), "--allow-dirty".into(), "--quiet".into()];
        for package in others {
            arguments.extend(["--exclude".to_owned(), text(package, "name")?]);
        }
        // A place of their own: what cargo builds of them has the names of what it builds of the workspace, this tool's too.
        let target = workspace.target_dir.join("fata-packages");
        let home = fresh_home(&target)?;
        let package = |more: &[&str]| {
            let mut cargo = cargo::command();
            cargo.args(&arguments).args(more).env("CARGO_TARGET_DIR", &target).env("CARGO_HOME", &home);
            command::run(&mut cargo)
        };
        // What is built here has been downloaded; where it has not, cargo asks the registry.
        match package(&["--offline"]) {
            Err(error) if error.to_string().contains("--offline") => package(&[])?,
            packaged => packaged?,
        };
        let mut folders = BTreeMap::new();
        for package in published {
            let (name, version) = (text(package, "name")?, text(package, "version")?);
            let folder = target.join("package").join(format!("{name}-{version}"));
            ensure!(folder.join("Cargo.toml").is_file(), "cargo left no {}", folder.display());
            folders.insert(name, folder);
        }
        Ok(Self { folders })
    }

    /// Copies of them where no checkout is around them.
    fn copied_to(&self, folder: &Path) -> Result<Self> {
        let mut folders = BTreeMap::new();
        for (name, package) in &self.folders {
            let copy = folder.join("packages").join(name);
            fs::create_dir_all(copy.parent().context("no folder")?)?;
            command::run(Command::new("cp").arg("-r").arg(package).arg(&copy))?;
            folders.insert(name.clone(), copy);
        }
        Ok(Self { folders })
    }

    /// What has cargo take them where the registry's are asked for.
    fn as_registry(&self) -> Vec<String> {
        let patch = |(name, folder): (&String, &PathBuf)| {
            ["--config".to_owned(), format!("patch.crates-io.{name}.path={:?}", folder.display().to_string())]
        };
        self.folders.iter().flat_map(patch).collect()
    }
}

/// A home for cargo that knows no package of ours: what a registry has never changes, so that it would build yesterday's
/// `fata-libos` into today's `fata`. What it knows of others is the user's.
fn fresh_home(target: &Path) -> Result<PathBuf> {
    let users = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let users = users.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let users = users.context("cargo has no home: set CARGO_HOME")?;
    let home = target.join("home");
    if home.exists() {
        fs::remove_dir_all(&home).context("the home of an earlier run")?;
    }
    forget_ours(&target.join("debug/.fingerprint"))?;
    let sources = users.join("registry/src");
    let sources = fs::read_dir(&sources).into_iter().flatten().flatten().map(|entry| entry.file_name());
    // Those without a host in their names are of folders, as the registry that cargo makes for a verification.
    let sources = sources.filter(|name| !name.to_string_lossy().starts_with('-'));
    let sources = sources.map(|name| Path::new("registry/src").join(name));
    let others = ["registry/index", "registry/cache", "config.toml"].map(PathBuf::from);
    fs::create_dir_all(home.join("registry/src"))?;
    for part in others.into_iter().chain(sources).filter(|part| users.join(part).exists()) {
        symlink(users.join(&part), home.join(&part))?;
    }
    Ok(home)
}

/// Has cargo forget what it has built of our packages.
fn forget_ours(fingerprints: &Path) -> Result<()> {
    for entry in fs::read_dir(fingerprints).into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("fata") || name.starts_with("cargo-fata") {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// All members of the workspace.
fn metadata() -> Result<Vec<Value>> {
    let said =
        command::run(cargo::command().args(["metadata", "--no-deps", "--format-version=1", "--quiet"]))?;
    let mut json: Value = serde_json::from_str(&said.stdout)?;
    match json["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => bail!("cargo metadata has no packages"),
    }
}

fn text(package: &Value, key: &str) -> Result<String> {
    package[key].as_str().map(str::to_owned).with_context(|| format!("a package has no {key}"))
}

/// Cargo verifies each, and each says what a registry wants to know.
fn each_is_complete(workspace: &Workspace) -> Result<()> {
    for package in metadata()?.iter().filter(|package| package["publish"].is_null()) {
        let name = text(package, "name")?;
        for key in ["description", "license", "readme", "rust_version"] {
            text(package, key).with_context(|| format!("the package {name}"))?;
        }
        for (key, most) in [("keywords", 5), ("categories", 5), ("authors", 99)] {
            let count = package[key].as_array().map_or(0, Vec::len);
            ensure!((1..=most).contains(&count), "the package {name} has {count} {key}");
        }
    }
    let packages = Packages::make(workspace)?;
    ensure!(
        packages.folders.contains_key("fata") && packages.folders.contains_key("cargo-fata"),
        "not all are there"
    );
    for (name, folder) in &packages.folders {
        let files = FILES.into_iter().chain(FILES_OF_TOOL.into_iter().filter(|_| name == "cargo-fata"));
        for file in files {
            // Not a link to what is not in the package.
            let is_file = fs::symlink_metadata(folder.join(file)).is_ok_and(|metadata| metadata.is_file());
            ensure!(is_file, "the package {name} has no {file}");
        }
        if name == "fata" {
            links_lead_somewhere(folder).context("the package fata")?;
        }
        for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let is_same = fs::read(folder.join(licence))? == fs::read(workspace.root.join(licence))?;
            ensure!(is_same, "the package {name} has another {licence}");
        }
    }
    Ok(())
}

/// Where a package's README leads, there is something in the package.
fn links_lead_somewhere(folder: &Path) -> Result<()> {
    let text = fs::read_to_string(folder.join("README.md"))?;
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
        let file = target.split('#').next().unwrap_or_default();
        ensure!(folder.join(file).exists(), "README.md leads to {target}, which is not in the package");
    }
    Ok(())
}

/// An appliance that names versions is built from the packages alone, as a process and for the guest.
fn appliance_by_version(workspace: &Workspace) -> Result<()> {
    let elsewhere = Elsewhere::new("by-version")?;
    let packages = Packages::make(workspace)?.copied_to(elsewhere.folder())?;
    let elsewhere = elsewhere.options(packages.as_registry());
    elsewhere.make("versioned", &["--template", "web", "--by-version"])?;
    elsewhere.cargo("versioned", &["test", "--quiet"])?;
    elsewhere.cargo("versioned", &["build", "--quiet", "--release", "--target", "x86_64-xen-pv"])?;
    let tree = elsewhere.cargo("versioned", &["tree", "--edges", "normal,build", "--prefix", "none"])?;
    let root = workspace.root.display().to_string();
    ensure!(!tree.contains(&root), "it depends on the checkout:\n{tree}");
    ensure!(elsewhere.image("versioned").is_file(), "there is no image");
    Ok(())
}

/// The tool as a user installs it from the registry: alone.
fn installed_tool(workspace: &Workspace) -> Result<()> {
    let elsewhere = Elsewhere::new("installed")?;
    let packages = Packages::make(workspace)?.copied_to(elsewhere.folder())?;
    let tool = packages.folders["cargo-fata"].display().to_string();
    let elsewhere = elsewhere.options(packages.as_registry());
    elsewhere.cargo("", &["install", "--quiet", "--debug", "--path", &tool, "--root", "."])?;
    // Nothing of what it was built from is left.
    fs::remove_dir_all(&tool)?;
    let programs = elsewhere.folder().join("bin");
    let elsewhere = elsewhere.programs(programs);
    elsewhere.cargo("", &["fata", "new", "alone"])?;
    let manifest = fs::read_to_string(elsewhere.folder().join("alone/Cargo.toml"))?;
    ensure!(manifest.contains("\nfata = \"0."), "it does not name a version:\n{manifest}");
    Ok(())
}

/// The tool as a user installs it from a checkout, and plain cargo for what it makes.
fn installed_from_checkout(workspace: &Workspace) -> Result<()> {
    let elsewhere = Elsewhere::new("checkout")?;
    let tool = workspace.root.join("cargo-fata").display().to_string();
    elsewhere.cargo("", &["install", "--quiet", "--path", &tool, "--root", "."])?;
    let programs = elsewhere.folder().join("bin");
    let elsewhere = elsewhere.programs(programs);
    elsewhere.cargo("", &["fata", "new", "greeter"])?;
    let said = elsewhere.cargo("greeter", &["run", "--quiet", "--", "greeting=welcome"])?;
    ensure!(said == "welcome from greeter\n", "it said {said:?}");
    elsewhere.cargo("greeter", &["build", "--quiet", "--release", "--target", "x86_64-xen-pv"])?;
    let image = elsewhere.image("greeter").display().to_string();
    let info = elsewhere.cargo("greeter", &["fata", "image", "info", &image])?;
    ensure!(info.contains("greeter"), "of its image the installed tool says:\n{info}");
    let map = elsewhere.cargo("greeter", &["fata", "image", "map", &image])?;
    ensure!(map.contains("fata_libos"), "the table of its crates:\n{map}");
    let config = elsewhere.cargo("greeter", &["fata", "image", "config", &image, "--for", "xl"])?;
    ensure!(config.contains("memory = 8\n"), "its configuration:\n{config}");
    Ok(())
}
