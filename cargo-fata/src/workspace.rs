//! The packages and examples around us, and the images built from them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup::target;
use crate::{cargo, command};

/// What `cargo metadata` says of this workspace.
pub struct Workspace {
    /// Its root folder.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target_dir: PathBuf,
    packages: Vec<Package>,
}

struct Package {
    name: String,
    folder: PathBuf,
    binaries: Vec<String>,
    examples: Vec<String>,
}

impl Workspace {
    /// The workspace of the current folder.
    pub fn current() -> Result<Self> {
        let mut metadata = cargo::command();
        metadata.args(["metadata", "--no-deps", "--format-version=1", "--quiet"]);
        let said = command::run(&mut metadata).context("not in a cargo workspace?")?;
        let json: Value = serde_json::from_str(&said.stdout)?;
        let path = |key: &str| {
            json[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"))
        };
        let packages = json["packages"].as_array().context("cargo metadata has no packages")?;
        Ok(Self {
            root: path("workspace_root")?,
            target_dir: path("target_directory")?,
            packages: packages.iter().filter_map(Package::from_json).collect(),
        })
    }

    /// Builds one image: the example or appliance of that name.
    pub fn build_image(&self, name: &str, prefer_example: bool) -> Result<PathBuf> {
        let package =
            self.packages.iter().find(|package| package.name == name && !package.binaries.is_empty());
        let example =
            self.packages.iter().find(|package| package.examples.iter().any(|example| example == name));
        let (package, example) = match (package, example) {
            (Some(package), None) => (package, None),
            (Some(package), Some(_)) if !prefer_example => (package, None),
            (_, Some(package)) => (package, Some(name)),
            (None, None) => bail!(
                "there is no appliance or example {name}; there are: {}",
                self.known_images().join(", ")
            ),
        };
        let mut arguments = vec!["--package", &package.name];
        arguments.extend(example.into_iter().flat_map(|name| ["--example", name]));
        let built = build_for_target(&arguments)?;
        let image = built.into_iter().find(|executable| executable.is_example == example.is_some());
        image.map(|image| image.path).with_context(|| format!("cargo built no image for {name}"))
    }

    /// Builds all examples, appliances and test guests; gives what was built, by name, and the errors of what was not.
    pub fn build_all_images(&self) -> (HashMap<String, PathBuf>, Vec<anyhow::Error>) {
        let examples = self.packages.iter().filter(|package| !package.examples.is_empty());
        let examples = examples.map(|package| ["--quiet", "--package", &package.name, "--examples"]);
        let appliances = self.packages.iter().filter(|package| self.is_appliance(package));
        let appliances = appliances.map(|package| ["--quiet", "--package", &package.name, "--bins"]);
        let (mut images, mut errors) = (HashMap::new(), Vec::new());
        for arguments in examples.chain(appliances) {
            match build_for_target(&arguments) {
                Ok(built) => {
                    images.extend(built.into_iter().map(|executable| (executable.name, executable.path)))
                }
                Err(error) => errors.push(error),
            }
        }
        (images, errors)
    }

    /// Appliances and test guests are told from host programs by their place.
    fn is_appliance(&self, package: &Package) -> bool {
        let places = [self.root.join("apps"), self.root.join("tests")];
        !package.binaries.is_empty() && places.iter().any(|place| package.folder.starts_with(place))
    }

    fn known_images(&self) -> Vec<&str> {
        let appliances =
            self.packages.iter().filter(|package| self.is_appliance(package)).map(|package| &*package.name);
        let examples = self.packages.iter().flat_map(|package| &package.examples).map(String::as_str);
        appliances.chain(examples).collect()
    }
}

impl Package {
    fn from_json(json: &Value) -> Option<Self> {
        let targets = json["targets"].as_array()?;
        let names = |wanted: &str| {
            let of_kind = targets.iter().filter(|target| target["kind"][0] == wanted);
            of_kind.filter_map(|target| target["name"].as_str().map(str::to_owned)).collect()
        };
        Some(Self {
            name: json["name"].as_str()?.to_owned(),
            folder: Path::new(json["manifest_path"].as_str()?).parent()?.to_owned(),
            binaries: names("bin"),
            examples: names("example"),
        })
    }
}

fn build_for_target(arguments: &[&str]) -> Result<Vec<cargo::Executable>> {
    let mut all = vec!["--release", "--target", target::NAME];
    all.extend(arguments);
    cargo::build(&all)
}

static IMAGES: OnceLock<HashMap<String, PathBuf>> = OnceLock::new();

/// Keeps what was built for [`image`].
pub fn set_images(images: HashMap<String, PathBuf>) {
    let _ = IMAGES.set(images);
}

/// An image that the test run has built: of an example, an appliance or a test guest.
#[allow(dead_code, reason = "for the boot tests to use")]
pub fn image(name: &str) -> Result<PathBuf> {
    let images = IMAGES.get().context("no image has been built")?;
    images.get(name).cloned().with_context(|| format!("no image {name} has been built"))
}
