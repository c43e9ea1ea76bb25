//! The source of Rust's libraries, of exactly the compiler's version: from rustup, else from Debian.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{command, ui};

/// Debian's suites that may carry a newer compiler than the machine's own.
const SUITES: [&str; 6] = ["bookworm-backports", "trixie", "trixie-backports", "forky", "testing", "sid"];

/// Makes the source be in the sysroot.
pub fn ensure(sysroot: &Path) -> Result<()> {
    let source = sysroot.join("lib/rustlib/src/rust");
    if is_there(&source) {
        return Ok(());
    }
    let Err(from_rustup) = from_rustup(&source) else { return Ok(()) };
    let version = compiler_version()?;
    let Err(from_debian) = from_debian(&source, &version) else { return Ok(()) };
    bail!(
        "the source of Rust's libraries is missing, and neither way to it works:\n\
         1. `rustup component add rust-src`: {from_rustup:#}\n\
         2. Debian's package rust-src {version}, unpacked and linked as {}: {from_debian:#}\n\
         Do one of them by hand, then try again.",
        source.display()
    )
}

fn is_there(source: &Path) -> bool {
    source.join("library/core/src/lib.rs").exists()
}

fn from_rustup(source: &Path) -> Result<()> {
    ui::say("getting the source of Rust's libraries: rustup component add rust-src");
    command::run(Command::new("rustup").args(["component", "add", "rust-src"]))?;
    if !is_there(source) {
        bail!("rustup says that it is installed, but it is not there");
    }
    Ok(())
}

/// Unpacks Debian's package of that upstream version. Its suite is added for this one download, in a temporary
/// configuration: the system's own sources stay as they are.
fn from_debian(source: &Path, version: &str) -> Result<()> {
    ui::say(format!("getting the source of Rust's libraries: Debian's rust-src {version}"));
    let work = crate::cache::root()?.join("rust-src-apt");
    let _ = fs::remove_dir_all(&work);
    let apt = TemporaryApt::new(&work)?;
    let package = apt.find("rust-src", version)?;
    let archive = apt.download(&package)?;
    let rustlib = source.parent().and_then(Path::parent).context("a sysroot without lib/rustlib")?;
    let unpacked = rustlib.join("fata-rust-src");
    command::run(Command::new("dpkg").arg("-x").arg(archive).arg(&unpacked))?;
    fs::create_dir_all(source.parent().context("no parent")?)?;
    let _ = fs::remove_file(source);
    symlink(unpacked.join("usr/src").join(format!("rustc-{version}")), source)?;
    let _ = fs::remove_dir_all(&work);
    if !is_there(source) {
        bail!("the package has no usr/src/rustc-{version}/library");
    }
    Ok(())
}

struct TemporaryApt {
    folder: PathBuf,
}

impl TemporaryApt {
    fn new(folder: &Path) -> Result<Self> {
        for part in ["lists/partial", "archives/partial", "parts"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let mirror = mirror()?;
        let sources: String = SUITES.iter().map(|suite| format!("deb {mirror} {suite} main\n")).collect();
        fs::write(folder.join("sources.list"), sources)?;
        let apt = Self { folder: folder.to_owned() };
        // Some of the suites may not exist (any more): what is there is enough.
        let _ = command::run(apt.command("apt-get").arg("update"));
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            format!("Dir::Etc::SourceParts={folder}/parts"),
            format!("Dir::State::Lists={folder}/lists"),
            format!("Dir::Cache={folder}"),
            format!("Dir::Cache::Archives={folder}/archives"),
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["-o", &option]);
        }
        command.current_dir(&self.folder);
        command
    }

    /// `package=VERSION` of the wanted upstream version.
    fn find(&self, package: &str, upstream: &str) -> Result<String> {
        let said = command::run(self.command("apt-cache").args(["madison", package]))?.stdout;
        let versions: Vec<&str> =
            said.lines().filter_map(|line| Some(line.split('|').nth(1)?.trim())).collect();
        let wanted = versions.iter().find(|version| {
            version.strip_prefix(upstream).is_some_and(|rest| rest.starts_with(['+', '-', '~']))
        });
        let version = wanted.with_context(|| format!("Debian has versions {versions:?}"))?;
        Ok(format!("{package}={version}"))
    }

    fn download(&self, package: &str) -> Result<PathBuf> {
        command::run(self.command("apt-get").args(["download", package]))?;
        let files = fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        let archive =
            files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
        archive.with_context(|| format!("apt-get download {package} left no file"))
    }
}

/// The archive that this machine's own apt uses for Debian.
fn mirror() -> Result<String> {
    let indexes = command::run(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(SITE) $(CODENAME) $(ORIGIN)",
    ]));
    let indexes = indexes.map(|said| said.stdout).unwrap_or_default();
    let site = indexes.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (site, codename, origin) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian" && !codename.contains("-security")).then(|| site.to_owned())
    });
    site.context("this machine's apt sources name no Debian archive, or `apt-get update` has never run")
}

fn compiler_version() -> Result<String> {
    let said = command::run(Command::new("rustc").arg("-vV"))?.stdout;
    let version = said.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(version.context("rustc -vV names no release")?.to_owned())
}
