//! `cargo fata new`: an appliance in a folder of its own, from [`templates`].
//!
//! Cargo reads the configurations of all folders around it: lists of both are put together, a string takes the place of a string,
//! and one of each is an error. So what is written here holds strings, as the checkout's own does, and a new appliance works inside
//! of a checkout too.

mod names;
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
    names::check(&name)?;
    let source = match args.by_version {
        true => Source::Version,
        false => Source::of_tool(Path::new(CHECKOUT))?,
    };
    let tool = Tool::of(&source, checkout_around(&args.folder)?, is_installed())?;
    if source == Source::Version && !args.by_version && is_of_checkout(Path::new(CHECKOUT)) {
        ui::warn(missing_checkout(Path::new(CHECKOUT)));
    }
    create(&args.folder, &name, &args.template, &source, &tool)?;
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
        if !is_checkout(checkout) {
            return Ok(Self::Version);
        }
        Ok(Self::Checkout(utf8(&checkout.canonicalize().context("the checkout of Fata")?)?))
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

/// What `cargo fata` is in the new folder.
#[derive(Debug, PartialEq, Eq)]
enum Tool {
    /// What is installed.
    Installed,
    /// That of the checkout in this folder, by an alias.
    Checkout(String),
}

impl Tool {
    /// The installed one, unless there is none, or the alias of a checkout around the new folder hides it.
    fn of(source: &Source, around: Option<PathBuf>, is_installed: bool) -> Result<Self> {
        let checkout = match (source, &around) {
            (Source::Checkout(path), around) if around.is_some() || !is_installed => path.clone(),
            (Source::Version, Some(around)) => utf8(around)?,
            _ => return Ok(Self::Installed),
        };
        // Such a path needs a list, which cannot take the place of the string around it.
        if let Some(around) = around.filter(|_| checkout.contains(char::is_whitespace)) {
            bail!(
                "an appliance cannot be inside of the checkout {}, as there is white space in the path of the tool: \
                 `cargo fata new ../NAME` makes it beside",
                around.display()
            );
        }
        Ok(Self::Checkout(checkout))
    }

    /// The lines of cargo's configuration that make `cargo fata` this.
    fn alias(&self) -> String {
        let Self::Checkout(path) = self else { return String::new() };
        let manifest = format!("{path}/Cargo.toml");
        let words = ["run", "--quiet", "--manifest-path", &manifest, "--package", "cargo-fata", "--"];
        match manifest.contains(char::is_whitespace) {
            true => format!("[alias]\nfata = {words:?}\n\n"),
            false => format!("[alias]\nfata = {:?}\n\n", words.join(" ")),
        }
    }
}

fn is_installed() -> bool {
    std::env::current_exe()
        .is_ok_and(|program| program.parent().is_some_and(|folder| folder.ends_with("bin")))
}

fn is_checkout(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| line == "name = \"fata\"") && folder.join("fata-build/Cargo.toml").exists()
}

/// The checkout of Fata that a new folder will be in, if it will be in one.
fn checkout_around(folder: &Path) -> Result<Option<PathBuf>> {
    let folder = std::path::absolute(folder)?;
    // Where it leads, as cargo will see it; it is not there yet.
    let Some(parent) = folder.ancestors().skip(1).find_map(|folder| folder.canonicalize().ok()) else {
        return Ok(None);
    };
    Ok(parent.ancestors().find(|folder| is_checkout(folder)).map(Path::to_owned))
}

/// Whether a tool was built in a checkout, and not from a package, whose folder has its version in its name.
fn is_of_checkout(checkout: &Path) -> bool {
    checkout.parent().is_some_and(|folder| folder.ends_with("cargo-fata"))
}

/// What is said where a tool no longer finds what it was built from.
fn missing_checkout(checkout: &Path) -> String {
    // It may not be there: the two dots stay otherwise.
    let checkout = checkout.parent().and_then(Path::parent).unwrap_or(checkout);
    format!(
        "there is no checkout of Fata at {}, where this tool was built: the appliance depends on the packages of version \
         {VERSION}, which must have been published; from a checkout elsewhere, `cargo install --locked --path cargo-fata` installs a \
         tool that names it",
        checkout.display()
    )
}

fn utf8(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("the path {} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

/// A lock file without the packages that have no registry in it: those of the workspace.
fn without_ours(lock: &str) -> String {
    const PACKAGE: &str = "[[package]]\n";
    let mut parts = lock.split(PACKAGE);
    let head = parts.next().unwrap_or_default().to_owned();
    let others = parts.filter(|part| part.lines().any(|line| line.starts_with("source = ")));
    others.fold(head, |text, part| text + PACKAGE + part)
}

fn create(folder: &Path, name: &str, template: &str, source: &Source, tool: &Tool) -> Result<()> {
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let template = templates::named(template).with_context(|| format!("there is no template {template}"))?;
    let values = [
        ("name", name.to_owned()),
        ("crate", name.replace('-', "_")),
        ("fata", source.dependency("")),
        ("fata-build", source.dependency("/fata-build")),
        ("alias", tool.alias()),
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
            create(&new, &name, template.name, source, &Tool::Installed).unwrap();
            for (file, _) in templates::COMMON.iter().chain(template.files) {
                let file = new.join(target_of(file));
                let text = fs::read_to_string(&file).unwrap();
                // A pair of braces is left only in code's own format strings.
                for value in ["name", "crate", "fata", "fata-build", "alias"] {
                    assert!(!text.contains(&format!("{{{{{value}}}}}")), "{}", file.display());
                }
            }
            assert!(new.join(".gitignore").is_file() && new.join(".cargo/config.toml").is_file());
            assert!(
                create(&new, "x", template.name, source, &Tool::Installed).is_err(),
                "an old folder was written to"
            );
        }
    }

    #[test]
    fn the_checkout_is_depended_on_where_there_is_one() {
        let folder = Scratch::new("source");
        let manifest = |source: &Source| {
            let new = folder.0.join("new");
            create(&new, "new", "hello", source, &Tool::Installed).unwrap();
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
    fn the_tool_is_that_of_a_checkout_where_the_installed_one_is_not_seen() {
        let (path, spaced) =
            (Source::Checkout("/src/fata".to_owned()), Source::Checkout("/my src/fata".to_owned()));
        let around = || Some(PathBuf::from("/src/fata"));
        let checkout = Tool::Checkout("/src/fata".to_owned());
        for (source, around, is_installed, expected) in [
            (&path, None, false, &checkout),
            (&path, None, true, &Tool::Installed),
            (&path, around(), true, &checkout),
            (&Source::Version, None, true, &Tool::Installed),
            (&Source::Version, around(), true, &checkout),
        ] {
            assert_eq!(&Tool::of(source, around, is_installed).unwrap(), expected);
        }
        let alias = "[alias]\nfata = \"run --quiet --manifest-path /src/fata/Cargo.toml --package cargo-fata --\"\n\n";
        assert_eq!(checkout.alias(), alias);
        // Outside of the checkout nothing has to be replaced.
        let listed = Tool::of(&spaced, None, false).unwrap().alias();
        assert!(
            listed.starts_with("[alias]\nfata = [\"run\", ")
                && listed.contains("\"/my src/fata/Cargo.toml\"")
        );
        let error = Tool::of(&spaced, Some("/my src/fata".into()), false).unwrap_err().to_string();
        assert!(error.contains("`cargo fata new ../NAME` makes it beside"), "{error}");
    }

    #[test]
    fn a_checkout_around_is_found_from_what_is_not_there_yet() {
        let root = Path::new(CHECKOUT).canonicalize().unwrap();
        for inside in ["greeter", "apps/greeter", "not/there/greeter"] {
            assert_eq!(checkout_around(&root.join(inside)).unwrap(), Some(root.clone()));
        }
        assert_eq!(
            checkout_around(&root.join("../greeter").canonicalize().unwrap_or("/greeter".into())).unwrap(),
            None
        );
    }

    /// Lists in it would be put together with those of a checkout around, or be refused beside its strings.
    #[test]
    fn configurations_of_cargo_hold_strings() {
        let clone = fs::read_to_string(Path::new(CHECKOUT).join(".cargo/config.toml")).unwrap();
        let ours = templates::COMMON.iter().find(|(file, _)| *file == ".cargo/config.toml").unwrap().1;
        for text in [clone.as_str(), ours] {
            for key in ["rustflags", "runner"] {
                assert!(
                    text.lines().any(|line| line.starts_with(&format!("{key} = \""))),
                    "{key} in:\n{text}"
                );
            }
        }
        let of_target = |text: &str| text[text.find("[target.").unwrap()..].to_owned();
        assert_eq!(of_target(&clone), of_target(ours));
    }

    #[test]
    fn a_checkout_that_has_gone_is_named() {
        assert!(is_of_checkout(Path::new(CHECKOUT)));
        assert!(!is_of_checkout(Path::new("/root/.cargo/registry/src/index/cargo-fata-0.1.0/..")));
        let said = missing_checkout(Path::new("/gone/fata/cargo-fata/.."));
        assert!(said.starts_with("there is no checkout of Fata at /gone/fata, "), "{said}");
        assert!(said.contains("must have been published"), "{said}");
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
