//! The manifests of a package: which there are, and what cargo is told.

use crate::{Error, Manifest, budget, code, read};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// Of the package's main binary.
const MAIN: &str = "unikernel.toml";

/// The linker script with the assertions of sizes.
const LIMITS: &str = "max-size.ld";

/// Folders in which `NAME.toml` is the manifest of `NAME.rs`.
const FOLDERS: [&str; 2] = ["examples", "src/bin"];

/// Reads the manifests of the package whose build script calls this, and writes what `fata::main!` includes. What is wrong
/// with one ends the build.
///
/// `unikernel.toml` beside `Cargo.toml` is the manifest of the package's binary, or `unikernel-FEATURE.toml` where it is built with
/// that feature, or `unikernel-FEATURE+FEATURE.toml` with both; `examples/NAME.toml` and `src/bin/NAME.toml` are those of `NAME.rs` beside them.
pub fn manifest() {
    if let Err(error) = Package::of_build_script().and_then(|package| package.write_all()) {
        println!("cargo::error={error}");
        process::exit(1);
    }
}

/// A manifest, for the build of `stem`.rs where the source must have a certain name: what the build cannot do is refused too.
pub fn read(file: &str, stem: Option<&str>, text: &str) -> Result<Manifest, Error> {
    let manifest = read::manifest(file, text)?;
    let name = &manifest.image.name;
    if let Some(stem) = stem.filter(|stem| stem != name) {
        return Err(Error::of_file(file, format!("image.name is {name:?}, but the source is {stem}.rs")));
    }
    Ok(manifest)
}

/// What cargo tells a build script.
struct Package {
    name: String,
    version: String,
    folder: PathBuf,
    out: PathBuf,
    is_for_guest: bool,
    /// With which it is built, in order.
    features: Vec<String>,
}

impl Package {
    fn of_build_script() -> Result<Self, Error> {
        Ok(Self {
            name: variable("CARGO_PKG_NAME")?,
            version: variable("CARGO_PKG_VERSION")?,
            folder: variable("CARGO_MANIFEST_DIR")?.into(),
            out: variable("OUT_DIR")?.into(),
            is_for_guest: variable("CARGO_CFG_TARGET_OS")? == "xen",
            features: features(env::vars_os().filter_map(|(name, _)| name.into_string().ok())),
        })
    }

    fn write_all(&self) -> Result<(), Error> {
        let sources = sources(&self.folder, &self.features)?;
        let mut images: Vec<(String, Manifest)> = Vec::new();
        for source in &sources {
            let Some(text) = source.manifest(&self.folder)? else { continue };
            let manifest = read(&source.file, source.stem.as_deref(), &text)?;
            differs(&images, &source.file, &manifest.image.name)?;
            let features = if source.is_of_a_feature { &self.features[..] } else { &[] };
            let mut code = code::of(&manifest, &source.file, &self.version, features);
            if self.is_for_guest {
                code += &budget::definition(&manifest.image.name);
            }
            self.write(&format!("{}.rs", manifest.image.name), &code)?;
            images.push((source.file.clone(), manifest));
        }
        for source in &sources {
            self.leave_word(source, &images)?;
        }
        if self.is_for_guest {
            self.write(LIMITS, &budget::script(&images))?;
            limit(&images, &self.out.join(LIMITS));
        }
        Ok(())
    }

    /// Where `fata::main!` would find nothing to include, it finds an error that says what to do.
    fn leave_word(&self, source: &Source, images: &[(String, Manifest)]) -> Result<(), Error> {
        let name = source.stem.as_deref().unwrap_or(&self.name);
        if images.iter().any(|(_, manifest)| manifest.image.name == name) {
            return Ok(());
        }
        let file = &source.file;
        let word = match images.iter().find(|(of, _)| of == file) {
            Some((_, manifest)) => {
                format!("image.name in {file} is {:?}, but the binary is {name:?}", manifest.image.name)
            }
            None => {
                format!("{name} has no manifest: write {file}, beginning with [image] and name = {name:?}")
            }
        };
        self.write(&format!("{name}.rs"), &format!("compile_error!({word:?});\n"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.out.join(name);
        fs::write(&path, text).map_err(|error| Error::of_file(&path.display().to_string(), error.to_string()))
    }
}

/// What is made of a manifest is found by the image's name: each has its own.
fn differs(images: &[(String, Manifest)], file: &str, name: &str) -> Result<(), Error> {
    match images.iter().find(|(_, other)| other.image.name == name) {
        Some((other, _)) => {
            let what = format!(
                "image.name is {name:?}, which is that of {other} too: call one of the sources otherwise"
            );
            Err(Error::of_file(file, what))
        }
        None => Ok(()),
    }
}

/// Has the linker look at the sizes. Cargo refuses an argument for a kind of target that the package has none of.
fn limit(images: &[(String, Manifest)], script: &Path) {
    for (kind, is_example) in [("bins", false), ("examples", true)] {
        if images.iter().any(|(file, _)| file.starts_with("examples/") == is_example) {
            println!("cargo::rustc-link-arg-{kind}={}", script.display());
        }
    }
}

/// A source file with a `main`, and where its manifest stands.
struct Source {
    /// The manifest.
    file: String,
    /// The name of the source, which must be the image's; that of the main binary stands in `Cargo.toml`.
    stem: Option<String>,
    /// Whether it is that of a build with a feature: the image then says with which it was built.
    is_of_a_feature: bool,
}

impl Source {
    /// The manifest's text, if it is there.
    fn manifest(&self, package: &Path) -> Result<Option<String>, Error> {
        match fs::read_to_string(package.join(&self.file)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::of_file(&self.file, error.to_string())),
        }
    }
}

/// The features of a build, by the names of a build script's variables: in lower case, `-` for `_`, as `CARGO_FEATURE_` has them.
fn features(variables: impl Iterator<Item = String>) -> Vec<String> {
    let features = variables.filter_map(|name| {
        Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase().replace('_', "-")).filter(|f| f != "default")
    });
    let mut features: Vec<String> = features.collect();
    features.sort();
    features
}

/// What the package can have a manifest for.
fn sources(package: &Path, features: &[String]) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    // Cargo takes a file that is not there for one that has changed: only where it is missed.
    if package.join(MAIN).exists() || package.join("src/main.rs").exists() {
        sources.push(main_source(package, features)?);
        println!("cargo::rerun-if-changed={}", sources[0].file);
    }
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(package.join(folder)) else { continue };
        println!("cargo::rerun-if-changed={folder}");
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut stems: Vec<String> = names.filter_map(|name| stem(&name).map(str::to_owned)).collect();
        stems.sort();
        stems.dedup();
        sources.extend(stems.into_iter().map(|stem| Source {
            file: format!("{folder}/{stem}.toml"),
            stem: Some(stem),
            is_of_a_feature: false,
        }));
    }
    Ok(sources)
}

/// The manifest of the main binary: that of the most features it is built with, else the usual one.
fn main_source(package: &Path, features: &[String]) -> Result<Source, Error> {
    let entries = fs::read_dir(package).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut there: Vec<(usize, String)> =
        names.filter_map(|file| Some((asked_for(&file, features)?, file))).collect();
    there.sort();
    match (there.pop(), there.pop()) {
        (Some((count, one)), Some((other_count, other))) if count == other_count => {
            Err(Error::of_file(&one, format!("the features of this build ask for {other} too")))
        }
        (Some((_, file)), _) => Ok(Source { file, stem: None, is_of_a_feature: true }),
        (None, _) => Ok(Source { file: MAIN.to_owned(), stem: None, is_of_a_feature: false }),
    }
}

/// How many features a manifest is for, if the build has them all: two with `unikernel-tls+disk.toml`.
fn asked_for(file: &str, features: &[String]) -> Option<usize> {
    let asked = file.strip_prefix("unikernel-")?.strip_suffix(".toml")?;
    let has = |feature: &str| features.iter().any(|there| there == feature);
    asked.split('+').all(has).then(|| asked.split('+').count())
}

fn stem(name: &str) -> Option<&str> {
    name.strip_suffix(".rs").or_else(|| name.strip_suffix(".toml"))
}

fn variable(name: &str) -> Result<String, Error> {
    env::var(name)
        .map_err(|_| Error::of_file("build script", format!("{name} is not set: run by cargo only")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of these files, for the guest; gone at the end.
    struct Files(Package);

    impl Files {
        fn new(test: &str, files: &[(&str, &str)]) -> Self {
            let folder = env::temp_dir().join(format!("fata-build-{test}-{}", process::id()));
            for (name, text) in files {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let out = folder.join("out");
            fs::create_dir_all(&out).unwrap();
            let (name, version) = ("web".to_owned(), "0.1.0".to_owned());
            Self(Package { name, version, folder, out, is_for_guest: true, features: Vec::new() })
        }

        fn out(&self, name: &str) -> String {
            fs::read_to_string(self.0.out.join(name)).unwrap_or_default()
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.folder);
        }
    }

    #[test]
    fn each_source_has_its_manifest() {
        let files = Files::new(
            "each",
            &[
                ("unikernel.toml", "[image]\nname = \"web\"\n[network.main]\n"),
                ("src/bin/other.rs", ""),
                ("src/bin/other.toml", "[image]\nname = \"other\"\nmax-size = 4096\n"),
                ("examples/bare.rs", ""),
            ],
        );
        files.0.write_all().unwrap();
        assert!(files.out("web.rs").contains("pub const MAIN: ::fata::net::Name"));
        assert!(files.out("web.rs").contains("Some(::fata::net::check_params)"));
        assert!(files.out("other.rs").contains("fata_image_other"));
        assert!(files.out(LIMITS).contains("the 4 KiB that src/bin/other.toml allows it"));
        let word = "compile_error!(\"bare has no manifest: write examples/bare.toml, beginning with [image] and name = \\\"bare\\\"\");\n";
        assert_eq!(files.out("bare.rs"), word);
    }

    #[test]
    fn a_feature_may_have_a_manifest_of_its_own() {
        let plain = "[image]\nname = \"web\"\n";
        let with = |key: &str| format!("{plain}[params.{key}]\nhelp = \"x\"\n");
        let (tls, rich) = (with("tls-port"), with("rich"));
        let texts =
            [("unikernel.toml", plain), ("unikernel-tls.toml", &*tls), ("unikernel-rich.toml", &*rich)];
        for (test, features, key, note) in [
            ("plain", &[][..], None, "version = \\\"0.1.0\\\"\\n\\n[image]"),
            ("other", &["h2"], None, "version = \\\"0.1.0\\\"\\n\\n[image]"),
            ("tls", &["h2", "tls"], Some("TLS_PORT"), "features = [\\\"h2\\\", \\\"tls\\\"]\\n\\n[image]"),
        ] {
            let mut files = Files::new(test, &texts);
            files.0.features = features.iter().map(|feature| (*feature).to_owned()).collect();
            files.0.write_all().unwrap();
            let code = files.out("web.rs");
            assert_eq!(code.contains("TLS_PORT"), key.is_some(), "{test}: {code}");
            assert!(code.contains(note), "{test}: {code}");
        }
        let mut files = Files::new("both", &texts);
        files.0.features = vec!["rich".to_owned(), "tls".to_owned()];
        let said = files.0.write_all().unwrap_err().to_string();
        assert_eq!(said, "unikernel-tls.toml: the features of this build ask for unikernel-rich.toml too");
        // One for both is nearer than one for each.
        let both = with("both");
        let texts = [&texts[..], &[("unikernel-tls+rich.toml", &*both)]].concat();
        for (test, features, has_both) in
            [("nearer", &["rich", "tls"][..], true), ("further", &["tls"], false)]
        {
            let mut files = Files::new(test, &texts);
            files.0.features = features.iter().map(|feature| (*feature).to_owned()).collect();
            files.0.write_all().unwrap();
            assert_eq!(files.out("web.rs").contains("BOTH"), has_both, "{test}");
        }
    }

    #[test]
    fn features_are_known_by_variables() {
        let variables = ["CARGO_FEATURE_TLS", "PATH", "CARGO_FEATURE_DEFAULT", "CARGO_FEATURE_BOTH_ENDS"];
        assert_eq!(features(variables.into_iter().map(str::to_owned)), ["both-ends", "tls"]);
    }

    /// What the code names is linked: IPv6 in no image whose manifest has no `ipv6`.
    #[test]
    fn only_the_key_brings_ipv6() {
        let text =
            |key| format!("[image]\nname = \"web\"\n[network.main]\n[network.back]\n{key}\n[block.data]\n");
        for (test, key) in [("four", ""), ("auto", "ipv6 = \"auto\""), ("six", "ipv6 = \"none\"")] {
            let files = Files::new(test, &[("unikernel.toml", &text(key))]);
            files.0.write_all().unwrap();
            let code = files.out("web.rs");
            assert!(code.contains("MAIN: ::fata::net::Name = ::fata::net::Name::new(0, \"main\")"), "{code}");
            let names = [
                "BACK: ::fata::net::Name = ::fata::net::Name::with_ipv6(1, \"back\")",
                "name: \"back.gateway6\", ..::fata::net::Ipv6Config::PARAMS[3]",
                "::fata::net::check_params_with_ipv6(params)",
            ];
            for name in names {
                assert_eq!(code.contains(name), !key.is_empty(), "{key}: {name} in {code}");
            }
            assert!(!key.is_empty() || !code.to_lowercase().replace("ipv4", "").contains("ipv6"), "{code}");
        }
    }

    #[test]
    fn the_binary_has_the_images_name() {
        let files = Files::new("name", &[("unikernel.toml", "[image]\nname = \"wbe\"\n")]);
        files.0.write_all().unwrap();
        let word = "compile_error!(\"image.name in unikernel.toml is \\\"wbe\\\", but the binary is \\\"web\\\"\");\n";
        assert_eq!(files.out("web.rs"), word);
    }

    #[test]
    fn two_images_of_one_name_end_the_build() {
        let manifest = "[image]\nname = \"web\"\n";
        for (test, first, second) in [
            ("twins", "unikernel.toml", "examples/web.toml"),
            ("bins", "unikernel.toml", "src/bin/web.toml"),
            ("kinds", "examples/web.toml", "src/bin/web.toml"),
        ] {
            let files = Files::new(test, &[(first, manifest), (second, manifest)]);
            let said = files.0.write_all().unwrap_err().to_string();
            let what = format!(
                "{second}: image.name is \"web\", which is that of {first} too: call one of the sources otherwise"
            );
            assert_eq!(said, what);
        }
    }

    #[test]
    fn what_is_wrong_ends_the_build() {
        let files = Files::new("wrong", &[("unikernel.toml", "[image]\nname = \"web\"\n[blok.data]\n")]);
        let said = files.0.write_all().unwrap_err().to_string();
        let expected = r#"unikernel.toml:3: unknown key "blok" at the top: did you mean "block"?; known are: image, network, block, params"#;
        assert_eq!(said, expected);
    }
}
