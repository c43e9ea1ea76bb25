//! `cargo fata image`: what is in an image.

pub mod map;

use anyhow::Result;

use crate::cli::ImageCommand;

/// The command itself.
pub fn run(command: &ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Map(args) => map::run(args),
    }
}
