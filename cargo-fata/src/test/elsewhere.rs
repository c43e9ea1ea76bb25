//! A folder outside of every repository, or in ours, and cargo in it: what the tool makes for others is tried there.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::workspace::{BUILD_DIR, Workspace};
use crate::{cargo, command};

/// An empty folder in the system's temporary one; removed when dropped.
pub struct Elsewhere {
    folder: PathBuf,
    target: PathBuf,
    /// Where cargo keeps what it builds from, where that is not in the former.
    build: Option<PathBuf>,
    /// What each cargo is told beside its command.
    options: Vec<String>,
    /// Searched for programs before the rest.
    programs: Option<PathBuf>,
}

impl Elsewhere {
    /// One for the test of that name. What its appliances have in common with each other and with ours is built once.
    pub fn new(name: &str) -> Result<Self> {
        let workspace = Workspace::current()?;
        Self::below(&std::env::temp_dir(), name, workspace.target_dir.join("fata-new"), workspace.build_dir)
    }

    /// The same inside of the repository, in a folder that it ignores. The repository's tool, which is built by its own alias
    /// there, is where all else is built.
    pub fn inside(name: &str, workspace: &Workspace) -> Result<Self> {
        let (target, build) = (workspace.target_dir.clone(), workspace.build_dir.clone());
        Self::below(&workspace.root.join("target"), name, target, build)
    }

    fn below(parent: &Path, name: &str, target: PathBuf, build: PathBuf) -> Result<Self> {
        let folder = parent.join(format!("fata-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, target, build: Some(build), options: Vec::new(), programs: None })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// With options for each cargo that builds an appliance here, which has nothing in common with ours then.
    pub fn options(mut self, options: Vec<String>) -> Self {
        (self.options, self.build) = (options, None);
        self
    }

    /// With a folder of programs before all others: that of an installed tool.
    pub fn programs(mut self, folder: PathBuf) -> Self {
        self.programs = Some(folder);
        self
    }

    /// `cargo fata new` of this very tool: an appliance of that name.
    pub fn make(&self, name: &str, options: &[&str]) -> Result<()> {
        let mut new = Command::new(std::env::current_exe()?);
        command::run(new.args(["new", name]).args(options).current_dir(&self.folder)).map(drop)
    }

    /// Runs cargo in the folder of an appliance; gives what it, or what it runs, has printed.
    pub fn cargo(&self, appliance: &str, arguments: &[&str]) -> Result<String> {
        Ok(command::run(&mut self.command(appliance, arguments))?.stdout)
    }

    /// The same, not started yet.
    pub fn command(&self, appliance: &str, arguments: &[&str]) -> Command {
        let mut cargo = cargo::command();
        cargo.args(&self.options).args(arguments).current_dir(self.folder.join(appliance));
        // The appliance's own configuration is to do it.
        cargo.env("CARGO_TARGET_DIR", &self.target).env_remove("RUSTC_BOOTSTRAP");
        if let Some(build) = &self.build {
            cargo.env(BUILD_DIR, build);
        }
        if let Some(programs) = &self.programs {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let path = [programs.as_os_str(), &path].join(OsStr::new(":"));
            cargo.env("PATH", path);
        }
        cargo
    }

    /// The image that a release build for the guest has built here.
    pub fn image(&self, name: &str) -> PathBuf {
        self.target.join("x86_64-xen-pv/release").join(name)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
