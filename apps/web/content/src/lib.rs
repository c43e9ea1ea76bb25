//! Makes a folder into the tables that the web server appliance serves from: reads it ([`tree`]), compresses what gets smaller
//! ([`compress`]), and writes source text ([`emit`]). The appliance's build script calls it.

#![forbid(unsafe_code)]

pub mod compress;
pub mod emit;
pub mod media;
pub mod tree;

use std::fs;
use std::path::Path;

/// Writes a file; an error names it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    fs::write(path, bytes).map_err(|e| format!("{}: {e}", path.display()))
}
