//! Reads a folder.

use std::fs;
use std::path::{Path, PathBuf};

/// Paths that the appliance itself answers: a site must not have them.
const RESERVED: [&str; 6] =
    ["/status", "/status.css", "/status.js", "/status.json", "/metrics", "/capture.pcap"];

/// A file of the site.
pub struct File {
    /// From the root, with `/` before each segment.
    pub path: String,
    /// Where it is.
    pub place: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
}

/// All files below `root`, in the order of their paths. What starts with a dot is left out, but for `.well-known`.
pub fn read(root: &Path) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    visit(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn visit(folder: &Path, path: &str, files: &mut Vec<File>) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let place = entry.path();
        let name = entry.file_name();
        let name = name.to_str().ok_or(format!("{}: the name is not UTF-8", place.display()))?;
        if name.starts_with('.') && name != ".well-known" {
            continue;
        }
        // A link may point to a file, but not to a folder: that could be without end.
        let is_link = entry.file_type().map_err(failed)?.is_symlink();
        let path = format!("{path}/{name}");
        match place.is_dir() {
            true if is_link => return Err(format!("{}: a link to a folder", place.display())),
            true => visit(&place, &path, files)?,
            false => files.push(File { path, content: content(&place)?, place }),
        }
    }
    Ok(())
}

fn content(place: &Path) -> Result<Vec<u8>, String> {
    fs::read(place).map_err(|e| format!("{}: {e}", place.display()))
}

/// Refuses what could never be served.
pub fn check_names(files: &[File]) -> Result<(), String> {
    let inside = |path: &str, folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    for file in files {
        if RESERVED.iter().any(|r| inside(&file.path, r)) {
            return Err(format!("{}: the appliance itself answers that path", file.place.display()));
        }
        if file.path.contains(|c: char| c.is_control() || c == '\\') {
            return Err(format!("{}: a name with a control character or backslash", file.place.display()));
        }
    }
    Ok(())
}
