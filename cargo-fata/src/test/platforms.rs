//! Appliances know no platform: one source serves all, so nothing in them is chosen by `cfg` of one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::OwnTest;
use crate::workspace::Workspace;

/// The tests of this topic.
pub const TESTS: [OwnTest; 1] =
    [OwnTest::new("check::lint_no_platform_in_appliances", no_platform_in_appliances)];

/// Where appliances are.
const FOLDERS: [&str; 3] = ["apps", "examples", "templates"];

/// What names a platform in a `cfg`, in source and in manifests; a crate of one platform is as bad. `fata` alone knows them.
const PLATFORMS: [&str; 11] = [
    "target_os",
    "target_env",
    "target_vendor",
    "target_family",
    "cfg(unix",
    "cfg(not(unix",
    "cfg(windows",
    "std::os::",
    "fata_xen::",
    "fata_unix::",
    "fata_virtio::",
];

fn no_platform_in_appliances(workspace: &Workspace) -> Result<()> {
    let mut files = 0;
    for folder in FOLDERS {
        files += search(&workspace.root.join(folder))?;
    }
    ensure!(files > 30, "only {files} files were found: the search is wrong");
    Ok(())
}

/// Looks into all sources and manifests below a folder; gives how many there are.
fn search(folder: &Path) -> Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files += search(&path)?;
        } else if is_source(&path) {
            files += 1;
            let text = fs::read_to_string(&path)?;
            if let Some((line, platform)) = found(&text) {
                bail!(
                    "{}:{line}: {platform} names a platform, which an appliance does not know",
                    path.display()
                );
            }
        }
    }
    Ok(files)
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(".in").unwrap_or(&name);
    // What a program of the host does before the appliance is built may know the host.
    [".rs", ".toml"].iter().any(|ending| name.ends_with(ending))
}

/// The first line that names a platform. A filter of the log names modules, in quotes or behind `log=`.
fn found(text: &str) -> Option<(usize, &'static str)> {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    text.lines().enumerate().find_map(|(number, line)| {
        let line = code(line).replace(' ', "");
        let platform = PLATFORMS.into_iter().find(|platform| line.contains(platform))?;
        Some((number + 1, platform))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_found() {
        for (text, at) in [
            ("fn f() {}\n#[cfg(target_os = \"xen\")]\n", (2, "target_os")),
            ("#[cfg( unix )]", (1, "cfg(unix")),
            ("[target.'cfg(not(target_os = \"xen\"))'.dependencies]", (1, "target_os")),
            ("if cfg!(target_family = \"unix\") {}", (1, "target_family")),
            ("use std::os::fd::AsFd;", (1, "std::os::")),
        ] {
            assert_eq!(found(text), Some(at), "{text}");
        }
        for text in ["#[cfg(test)]", "// not target_os here", "#[cfg(feature = \"net\")]"] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
