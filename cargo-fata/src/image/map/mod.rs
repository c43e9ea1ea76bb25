//! `cargo fata image map`: a drawing of what the bytes of an image are, and a table of them by crate.
//!
//! [`pieces`] cuts the file into pieces and says whose each is, by the names that [`owner`] reads; [`tree`] puts them together
//! by crate and module, [`squarify`] gives each a rectangle by its size, [`svg`] draws them.

mod owner;
mod pieces;
mod squarify;
mod svg;
mod table;
mod tree;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use self::owner::Ranks;
pub use self::owner::crates_in;
use self::pieces::Piece;
use super::with_suffix;
use crate::cli::MapArgs;
use crate::note::Note;
use crate::workspace::Workspace;
use crate::{image_file, setup, symbols, ui};

/// The command itself.
pub fn run(args: &MapArgs) -> Result<()> {
    setup::ensure(&[setup::Need::Target])?;
    let image = &args.image;
    let pieces = pieces_of(image)?;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let output = args.output.clone().unwrap_or_else(|| with_suffix(image, ".svg"));
    let drawing = svg::draw(&name, &tree::by_crate(&pieces));
    fs::write(&output, drawing).with_context(|| format!("cannot write {}", output.display()))?;
    print!("{}", table::by_crate(&name, &pieces));
    ui::say(format!("drawn: {}", output.display()));
    Ok(())
}

/// What the bytes of an image are: together as many as the file has.
pub fn pieces_of(image: &Path) -> Result<Vec<Piece>> {
    ensure!(Note::of(image)?.is_some(), "{} is no image: it has no manifest", image.display());
    let (bytes, with_symbols) = (image_file::read(image)?, image_file::read(&symbols::file_of(image)?)?);
    let lock = Workspace::current()
        .ok()
        .and_then(|workspace| fs::read_to_string(workspace.root.join("Cargo.lock")).ok());
    let ranks = Ranks::of(&lock.unwrap_or_default());
    pieces::of(&bytes, &with_symbols, &ranks).with_context(|| format!("cannot read {}", image.display()))
}
