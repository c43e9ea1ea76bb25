//! `cargo fata new`: an appliance outside of the repository, from [`templates`].

mod templates;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::cli::NewArgs;
use crate::ui;

/// Where the checkout is that this tool was built from, if it was built from one.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The version of this tool, and of the libraries that go with it.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The ending of files that must not be what they are while they are templates.
const SUFFIX: &str = ".in";

/// What a new appliance depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A checkout of Fata, by path.
    Checkout(String),
    /// The packages of this tool's version, from the registry.
    Version,
}

/// The command itself.
pub fn run(args: &NewArgs) -> Result<()> {
    let name = args.folder.file_name().context("the new folder has no name")?.to_string_lossy().into_owned();
    check_name(&name)?;
    let source = match args.by_version {
        true => Source::Version,
        false => Source::of_tool(Path::new(CHECKOUT))?,
    };
    create(&args.folder, &name, &args.template, &source)?;
    ui::say(format!(
        "made {name} from the template {}, with {}; its README says what can be done with it:",
        args.template,
        source.said()
    ));
    println!("  cd {}\n  cargo run", args.folder.display());
    Ok(())
}

impl Source {
    /// The checkout that this tool was built from, where it is still there; else the published packages.
    fn of_tool(checkout: &Path) -> Result<Self> {
        let manifest = fs::read_to_string(checkout.join("Cargo.toml")).unwrap_or_default();
        let is_fata = manifest.lines().any(|line| line == "name = \"fata\"");
        if !is_fata || !checkout.join("fata-build/Cargo.toml").exists() {
            return Ok(Self::Version);
        }
        let checkout = checkout.canonicalize().context("the checkout of Fata")?;
        let checkout = checkout.to_str().context("the checkout's path is not UTF-8")?;
        Ok(Self::Checkout(checkout.to_owned()))
    }

    fn said(&self) -> String {
        match self {
            Self::Checkout(path) => format!("Fata from {path}"),
            Self::Version => format!("Fata {VERSION} from the package registry"),
        }
    }

    /// A dependency as `Cargo.toml` has it; `folder` is the package's in a checkout.
    fn dependency(&self, folder: &str) -> String {
        match self {
            Self::Checkout(path) => format!("{{ path = {:?} }}", format!("{path}{folder}")),
            Self::Version => format!("{VERSION:?}"),
        }
    }

    /// The lines that make `cargo fata` the tool of the checkout, where it is not installed.
    fn alias(&self) -> String {
        let is_installed = std::env::current_exe()
            .is_ok_and(|program| program.parent().is_some_and(|folder| folder.ends_with("bin")));
        let (Self::Checkout(path), false) = (self, is_installed) else { return String::new() };
        let manifest = format!("{path}/Cargo.toml");
        format!(
            "[alias]\nfata = [\"run\", \"--quiet\", \"--manifest-path\", {manifest:?}, \"--package\", \"cargo-fata\", \"--\"]\n\n"
        )
    }

    /// The versions that are tested here; cargo strikes out what the appliance does not use.
    fn lock(&self) -> Result<String> {
        match self {
            Self::Checkout(path) => {
                let lock = Path::new(path).join("Cargo.lock");
                fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))
            }
            Self::Version => Ok(without_ours(templates::LOCK)),
        }
    }
}

/// A lock file without the packages that have no registry in it: those of the workspace.
fn without_ours(lock: &str) -> String {
    const PACKAGE: &str = "[[package]]\n";
    let mut parts = lock.split(PACKAGE);
    let head = parts.next().unwrap_or_default().to_owned();
    let others = parts.filter(|part| part.lines().any(|line| line.starts_with("source = ")));
    others.fold(head, |text, part| text + PACKAGE + part)
}

fn create(folder: &Path, name: &str, template: &str, source: &Source) -> Result<()> {
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let template = templates::named(template).with_context(|| format!("there is no template {template}"))?;
    let values = [
        ("name", name.to_owned()),
        ("crate", name.replace('-', "_")),
        ("fata", source.dependency("")),
        ("fata-build", source.dependency("/fata-build")),
        ("alias", source.alias()),
    ];
    let lock = source.lock()?;
    for (file, text) in templates::COMMON.iter().chain(template.files) {
        write(&folder.join(target_of(file)), &fill_in(text, &values))?;
    }
    write(&folder.join("Cargo.lock"), &lock)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(file.parent().context("no folder")?)?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// What a package may be called whose name is a program's and a crate's too.
fn check_name(name: &str) -> Result<()> {
    let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_fit) {
        bail!("{name:?} is no name for an appliance: lower-case letters, digits, - and _, a letter first");
    }
    // Names of crates that it links, or of folders that cargo makes.
    ensure!(
        !matches!(
            name,
            "fata" | "core" | "alloc" | "std" | "test" | "build" | "deps" | "examples" | "incremental"
        ),
        "an appliance cannot be called {name}: that is something else"
    );
    Ok(())
}

/// A template's file in the new folder.
fn target_of(file: &str) -> PathBuf {
    match file.strip_suffix(SUFFIX) {
        Some("gitignore") => ".gitignore".into(),
        Some(name) => name.into(),
        None => file.into(),
    }
}

/// Puts values for `{{NAME}}`.
fn fill_in(text: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused() {
        for name in ["greeter", "a-b_2"] {
            check_name(name).unwrap();
        }
        for name in ["", "Greeter", "2web", "a b", "fata", "a/b", "über", "-x"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    /// A folder of a test's own; removed when dropped.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("fata-new-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn every_template_is_filled_in() {
        let folder = Scratch::new("filled");
        let here = Source::of_tool(Path::new(CHECKOUT)).unwrap();
        for (source, template) in
            [&here, &Source::Version].into_iter().flat_map(|source| templates::ALL.map(|t| (source, t)))
        {
            let name = format!("a-{}-{}", template.name, matches!(source, Source::Version));
            let new = folder.0.join(&name);
            create(&new, &name, template.name, source).unwrap();
            for (file, _) in templates::COMMON.iter().chain(template.files) {
                let file = new.join(target_of(file));
                let text = fs::read_to_string(&file).unwrap();
                // A pair of braces is left only in code's own format strings.
                for value in ["name", "crate", "fata", "fata-build", "alias"] {
                    assert!(!text.contains(&format!("{{{{{value}}}}}")), "{}", file.display());
                }
            }
            assert!(new.join(".gitignore").is_file() && new.join(".cargo/config.toml").is_file());
            assert!(create(&new, "x", template.name, source).is_err(), "an old folder was written to");
        }
    }

    #[test]
    fn the_checkout_is_depended_on_where_there_is_one() {
        let folder = Scratch::new("source");
        let manifest = |source: &Source| {
            let new = folder.0.join("new");
            create(&new, "new", "hello", source).unwrap();
            let text = fs::read_to_string(new.join("Cargo.toml")).unwrap();
            fs::remove_dir_all(new).unwrap();
            text
        };
        // A tool that was built from a package stands alone.
        assert_eq!(Source::of_tool(&folder.0).unwrap(), Source::Version);
        let by_version = manifest(&Source::Version);
        assert!(by_version.contains(&format!("fata = {VERSION:?}\n")), "{by_version}");
        assert!(by_version.contains(&format!("fata-build = {VERSION:?}\n")), "{by_version}");
        let here = Source::of_tool(Path::new(CHECKOUT)).unwrap();
        let Source::Checkout(path) = &here else { panic!("no checkout around this test") };
        let by_path = manifest(&here);
        assert!(by_path.contains(&format!("fata = {{ path = {path:?} }}\n")), "{by_path}");
        assert!(by_path.contains(&format!("fata-build = {{ path = \"{path}/fata-build\" }}\n")), "{by_path}");
    }

    #[test]
    fn a_lock_by_version_names_nothing_of_the_workspace() {
        let lock = without_ours(templates::LOCK);
        assert!(lock.starts_with("# ") && lock.contains("name = \"smoltcp\"\n"));
        for ours in ["fata", "fata-libos", "cargo-fata", "web"] {
            assert!(!lock.contains(&format!("name = {ours:?}\n")), "{ours}");
        }
    }
}
