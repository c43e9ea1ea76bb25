//! `cargo fata image`: what an image is, from itself: [`info`] and [`map`] for people, [`config`] for toolstacks. The sizes of its parts
//! are [`crates`]'.

pub mod config;
mod crates;
mod info;
pub mod map;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fata_build::Size;

use crate::cli::ImageCommand;
use crate::note::Note;

/// The command itself.
pub fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Map(args) => map::run(args)?,
        ImageCommand::Info { image } => print!("{}", info::text(image)?),
        ImageCommand::Config(args) => print!("{}", config::text(args)?),
    }
    Ok(())
}

/// The note of an image, which must have one.
fn note_of(image: &Path) -> Result<Note> {
    let note = Note::of(image)?;
    note.with_context(|| format!("{} has no manifest in it: it is no appliance of Fata", image.display()))
}

/// Compares an image's file with the `max-size` of its manifest. The linker does so too, but does not see the whole file.
pub fn check_size(image: &Path) -> Result<()> {
    let Some(limit) = Note::of(image)?.and_then(|note| note.manifest.image.max_size) else { return Ok(()) };
    within(image, fs::metadata(image)?.len(), limit)
}

fn within(image: &Path, octets: u64, limit: Size) -> Result<()> {
    ensure!(
        octets <= limit.octets,
        "{} has {octets} octets, {} over the {limit} that its manifest allows (max-size)",
        image.display(),
        octets - limit.octets
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_limit_are_said() {
        let limit: Size = "64 KiB".parse().unwrap();
        let image = Path::new("hello");
        assert!(within(image, 65_536, limit).is_ok());
        let error = within(image, 65_600, limit).unwrap_err().to_string();
        assert_eq!(error, "hello has 65600 octets, 64 over the 64 KiB that its manifest allows (max-size)");
    }
}
