//! The files of `templates/`, which the tool has in itself: installed, it has no checkout to read them from.

/// A template: its name, and its files with their paths.
pub struct Template {
    /// What `--template` calls it.
    pub name: &'static str,
    /// Its files.
    pub files: &'static [(&'static str, &'static str)],
}

/// The versions of other packages that are tested here.
pub const LOCK: &str = include_str!("../../assets/appliance.lock");

/// What goes into all appliances.
pub const COMMON: &[(&str, &str)] = &[
    (".cargo/config.toml", include_str!("../../templates/common/.cargo/config.toml")),
    ("Cargo.toml.in", include_str!("../../templates/common/Cargo.toml.in")),
    ("build.rs", include_str!("../../templates/common/build.rs")),
    ("gitignore.in", include_str!("../../templates/common/gitignore.in")),
];

macro_rules! template {
    ($name:literal) => {
        Template {
            name: $name,
            files: &[
                ("README.md", include_str!(concat!("../../templates/", $name, "/README.md"))),
                ("unikernel.toml", include_str!(concat!("../../templates/", $name, "/unikernel.toml"))),
                ("src/main.rs", include_str!(concat!("../../templates/", $name, "/src/main.rs"))),
                ("tests/process.rs", include_str!(concat!("../../templates/", $name, "/tests/process.rs"))),
            ],
        }
    };
}

/// All there are: a greeting, a TCP service, a web server.
pub const ALL: [Template; 3] = [template!("hello"), template!("service"), template!("web")];

/// The one of that name.
pub fn named(name: &str) -> Option<&'static Template> {
    const { &ALL }.iter().find(|template| template.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The files below a folder, by their paths in it.
    fn files_of(folder: &Path, path: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{path}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                files_of(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_in_the_tool() {
        let (mut there, mut here) = (BTreeSet::new(), BTreeSet::from(["README.md".to_owned()]));
        files_of(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/templates")), "", &mut there);
        here.extend(COMMON.iter().map(|(file, _)| format!("common/{file}")));
        for template in &ALL {
            here.extend(template.files.iter().map(|(file, _)| format!("{}/{file}", template.name)));
        }
        assert_eq!(here, there);
    }

    #[test]
    fn each_name_of_the_command_line_is_a_template() {
        assert_eq!(ALL.map(|template| template.name), crate::cli::TEMPLATES);
    }
}
