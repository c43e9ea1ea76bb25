//! Reads an appliance's manifest, `unikernel.toml`, in its build script, which is one line:
//! `fn main() { fata_build::manifest() }`.
//!
//! [`manifest()`] finds the manifests of a package, [`Manifest`] is what one says, [`read`] takes it from the text and refuses
//! what it does not know, [`note`] writes it down for the image and reads it back, [`code`] is what `fata::main!` includes.
//! The tool uses the same code on the notes of images, and [`command_line`] to check boot parameters for one. `docs/manifest.md` is the page for its writers.
#![forbid(unsafe_code)]

mod budget;
pub mod code;
pub mod command_line;
mod error;
mod kind;
mod manifest;
mod near;
pub mod note;
pub mod package;
pub mod read;

pub use error::Error;
pub use fata_libos::param::{ParamError, Size};
pub use kind::{KINDS, ParamKind};
pub use manifest::{
    BLOCK_KEYS, Block, Image, Manifest, NETWORK_KEYS, NETWORK_KEYS_WITH_IPV6, Network, Param,
};
pub use package::manifest;
