//! `cargo fata image`: what an image is, from itself: [`info`] and [`map`] for people, [`config`] for toolstacks; [`pack`] makes
//! its file smaller. The sizes of its parts are [`crates`]'.

pub mod config;
mod crates;
mod info;
pub mod map;
pub mod pack;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fata_build::Size;

use crate::cli::ImageCommand;
use crate::image_file;
use crate::note::Note;

/// The command itself.
pub fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Map(args) => map::run(args)?,
        ImageCommand::Info { image } => print!("{}", info::text(image)?),
        ImageCommand::Pack(args) => pack::run(args)?,
        ImageCommand::Config(args) => print!("{}", config::text(args)?),
    }
    Ok(())
}

/// The note of an image, which must have one.
fn note_of(image: &Path) -> Result<Note> {
    let note = Note::of(image)?;
    note.with_context(|| format!("{} has no manifest in it: it is no appliance of Fata", image.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Compares an image's file with the `max-size` of its manifest. The linker does so too, but does not see the whole file.
pub fn check_size(image: &Path) -> Result<()> {
    let Some(limit) = Note::of(image)?.and_then(|note| note.manifest.image.max_size) else { return Ok(()) };
    within(image, image_file::read(image)?.len() as u64, limit)
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
