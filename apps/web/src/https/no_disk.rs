//! The names of `disk.rs` in an image that has no code for disks, where there is never one.

use super::keys::{Found, KeysError, Pair};
use super::made::Maker;

/// A disk, of which there is none.
pub enum Disk {}

/// What is said where the image has no keys either.
pub const NONE: &str = "no keys in the image, and no code for disks (feature disk)";

/// Reads the pair of a disk.
pub async fn read(disk: &Disk) -> Result<Pair, KeysError> {
    match *disk {}
}

/// Reads the pair of a disk, or makes one and keeps it there.
pub async fn read_or_make(disk: &Disk, _: &Maker) -> fata::Result<Found> {
    match *disk {}
}

/// Makes another pair in the place of one that was made there before.
pub(super) async fn remake(disk: &Disk, _: &Maker) -> Result<Pair, KeysError> {
    match *disk {}
}
