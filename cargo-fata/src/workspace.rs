//! The packages and examples around us, and the images built from them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::boot_tests::web_tls;
pub use crate::images::image;
use crate::setup::target;
use crate::{cargo, command, image};

/// What `cargo metadata` says of this workspace.
pub struct Workspace {
    /// Its root folder.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target_dir: PathBuf,
    /// Where it keeps what that is made of.
    pub build_dir: PathBuf,
    packages: Vec<Package>,
}

struct Package {
    folder: PathBuf,
    targets: Vec<ImageTarget>,
}

/// What cargo can build an image from.
#[derive(Debug, Clone)]
pub struct ImageTarget {
    /// Its package.
    pub package: String,
    /// Its name.
    pub name: String,
    is_example: bool,
    /// What it does not build without.
    required: Vec<String>,
    /// What it is to be built with beside that.
    features: Vec<String>,
    /// Variables that its build script reads.
    environment: Vec<(String, OsString)>,
}

/// The package of the images that tests have crash, wait, or fill their memory.
const TEST_GUESTS: &str = "guests";

/// Tells cargo where to keep what it builds from, when that is not below the target folder: with the workspace's own, libraries
/// that others have in common with it are not compiled once more.
pub const BUILD_DIR: &str = "CARGO_BUILD_BUILD_DIR";

/// Images with features that the tests need.
const VARIANTS: [&str; 4] = ["web+tls", "web+h2+disk", web_tls::WITH_FILES, "web+h2+acme"];

/// The parts of a name such as `web+tls+h2`.
pub fn name_and_features(name: &str) -> (&str, Vec<String>) {
    let mut parts = name.split('+');
    (parts.next().unwrap_or_default(), parts.map(str::to_owned).collect())
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
            build_dir: path("build_directory")?,
            packages: packages.iter().filter_map(Package::from_json).collect(),
        })
    }

    /// Where the images' twins are built.
    pub fn symbols_dir(&self) -> PathBuf {
        self.target_dir.join("fata-symbols")
    }

    /// The target of that name: an example or an appliance. `NAME+FEATURE+FEATURE` is one built with these features.
    pub fn find(&self, name: &str, prefer_example: bool) -> Result<ImageTarget> {
        let (name, features) = name_and_features(name);
        let examples = self.targets(|target| target.is_example && target.name == name);
        let appliances =
            self.targets(|target| !target.is_example && (target.name == name || target.package == name));
        let (first, second) = if prefer_example { (examples, appliances) } else { (appliances, examples) };
        let found = first.into_iter().chain(second).next();
        found.map(|target| target.with_features(features)).with_context(|| {
            let known: Vec<String> = self.targets(|_| true).into_iter().map(|target| target.name).collect();
            format!("there is no appliance or example {name}; there are: {}", known.join(", "))
        })
    }

    /// The names of all images that the tests take: of examples, appliances, test guests, and of some with features. Those that
    /// most tests take, which are also built soonest, come first.
    pub fn images(&self) -> Vec<String> {
        let mut targets = self.targets(|_| true);
        targets.sort_by_key(|target| !target.is_example && target.package != TEST_GUESTS);
        let names = targets.into_iter().map(|target| target.name);
        names.chain(VARIANTS.map(str::to_owned)).collect()
    }

    fn targets(&self, wanted: impl Fn(&ImageTarget) -> bool) -> Vec<ImageTarget> {
        let all = self
            .packages
            .iter()
            .filter(|package| self.holds_images(package))
            .flat_map(|package| &package.targets);
        all.filter(|target| wanted(target)).cloned().collect()
    }

    /// Appliances and test guests are told from host programs by their place; examples are of the root package.
    fn holds_images(&self, package: &Package) -> bool {
        let places = [self.root.join("apps"), self.root.join("tests")];
        package.folder == self.root || places.iter().any(|place| package.folder.starts_with(place))
    }
}

impl ImageTarget {
    /// With this folder as the web server's content.
    pub fn with_site(mut self, folder: &Path) -> Self {
        self.environment.push(("FATA_WEB_ROOT".to_owned(), folder.into()));
        self
    }

    /// With the certificate and key of this folder in the web server.
    pub fn with_keys(mut self, folder: &Path) -> Self {
        self.environment.push(("FATA_WEB_KEYS".to_owned(), folder.into()));
        self
    }

    /// Built with these features too.
    pub fn with_features(mut self, features: impl IntoIterator<Item = String>) -> Self {
        self.features.extend(features);
        self
    }

    /// The name with the features that were asked for: `web+tls+h2`.
    fn full_name(&self) -> String {
        [std::slice::from_ref(&self.name), &self.features].concat().join("+")
    }

    /// Builds the image, and copies it to a folder, under that name. What stands in cargo's own place stays there.
    pub fn build_as(&self, name: &str, folder: &Path, workspace: &Workspace) -> Result<PathBuf> {
        let place = folder.join("cargo");
        let image = self.sharing(workspace).build(&["--quiet", "--target-dir", &place.to_string_lossy()])?;
        let own = folder.join(name);
        fs::copy(&image, &own).with_context(|| format!("no copy of {}", image.display()))?;
        Ok(own)
    }

    /// Builds the image. One larger than its manifest allows is an error. With features it is beside the one without, under its
    /// full name.
    pub fn build(&self, options: &[&str]) -> Result<PathBuf> {
        let image = self.cargo("build", options, &[])?;
        image::check_size(&image)?;
        self.kept_with_features(image)
    }

    /// What was built with features has a copy under its full name: cargo puts it in the place of the one without.
    fn kept_with_features(&self, built: PathBuf) -> Result<PathBuf> {
        if self.features.is_empty() {
            return Ok(built);
        }
        let own = built.with_file_name(self.full_name());
        fs::copy(&built, &own)?;
        Ok(own)
    }

    /// Builds the image's twin: the same code at the same addresses, with symbols and line tables. It has a target folder
    /// of its own ([`Workspace::symbols_dir`]), so that the image stays as it is.
    pub fn build_twin(&self, workspace: &Workspace) -> Result<PathBuf> {
        let place = workspace.symbols_dir();
        let options = ["--quiet", "--target-dir", &place.to_string_lossy()];
        // Relocations say who refers to which constants; they are beside what is loaded, as symbols are.
        let more = ["-Cstrip=none", "-Clink-arg=--emit-relocs"];
        let twin = self.sharing(workspace).cargo("rustc", &options, &more)?;
        self.kept_with_features(twin)
    }

    /// The same, with what it is made of kept where the workspace has it, wherever it is itself: libraries are compiled once.
    fn sharing(&self, workspace: &Workspace) -> Self {
        let build_dir = (BUILD_DIR.to_owned(), workspace.build_dir.clone().into());
        let environment = self.environment.iter().cloned().chain([build_dir]).collect();
        Self { environment, ..self.clone() }
    }

    /// Builds the appliance as a program of this machine.
    pub fn build_for_host(&self) -> Result<PathBuf> {
        self.build_with("build", &["--quiet"], &[])
    }

    /// The same with all that its debuggers know of it, whatever the environment says.
    pub fn build_for_debuggers(&self) -> Result<PathBuf> {
        let all = ("CARGO_PROFILE_DEV_DEBUG".to_owned(), "full".into());
        let environment = self.environment.iter().cloned().chain([all]).collect();
        Self { environment, ..self.clone() }.build_for_host()
    }

    /// The same as it runs elsewhere, optimised, but with the names of its functions: for profiles.
    pub fn build_for_profiles(&self) -> Result<PathBuf> {
        let names = ("CARGO_PROFILE_RELEASE_STRIP".to_owned(), "none".into());
        let environment = self.environment.iter().cloned().chain([names]).collect();
        Self { environment, ..self.clone() }.build_with("build", &["--quiet", "--release"], &[])
    }

    fn cargo(&self, command: &str, options: &[&str], rustc_options: &[&str]) -> Result<PathBuf> {
        let options = [&["--release", "--target", target::NAME], options].concat();
        self.build_with(command, &options, rustc_options)
    }

    fn build_with(&self, command: &str, options: &[&str], rustc_options: &[&str]) -> Result<PathBuf> {
        let kind = if self.is_example { "--example" } else { "--bin" };
        let mut arguments = vec!["--package", &self.package, kind, &self.name];
        let features = [&*self.required, &*self.features].concat().join(",");
        if !features.is_empty() {
            arguments.extend(["--features", &features]);
        }
        arguments.extend(options);
        if !rustc_options.is_empty() {
            arguments.push("--");
            arguments.extend(rustc_options);
        }
        let built = cargo::build(command, &arguments, &self.environment)?;
        let image = built.into_iter().find(|executable| executable.name == self.name);
        image.map(|image| image.path).with_context(|| format!("cargo built no image for {}", self.name))
    }
}

impl Package {
    fn from_json(json: &Value) -> Option<Self> {
        let name = json["name"].as_str()?;
        let targets = json["targets"]
            .as_array()?
            .iter()
            .filter_map(|target| ImageTarget::from_json(name, target))
            .collect();
        Some(Self { folder: Path::new(json["manifest_path"].as_str()?).parent()?.to_owned(), targets })
    }
}

impl ImageTarget {
    fn from_json(package: &str, json: &Value) -> Option<Self> {
        let kind = json["kind"][0].as_str()?;
        let required = json["required-features"].as_array().into_iter().flatten();
        (kind == "bin" || kind == "example").then_some(Self {
            package: package.to_owned(),
            name: json["name"].as_str()?.to_owned(),
            is_example: kind == "example",
            required: required.filter_map(|feature| feature.as_str().map(str::to_owned)).collect(),
            features: Vec::new(),
            environment: Vec::new(),
        })
    }
}
