//! Which of this crate's formats a disk has, by its first sector.

use crate::archive;
use fata_libos::block::{BlockError, Disk};

/// What a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A FAT volume, for [`fat::Volume`](crate::fat::Volume).
    Fat,
    /// An archive, plain or in gzip, for [`archive::Archive`].
    Archive,
    /// None of these.
    Unknown,
}

/// Reads the first sector and says what the disk has. The whole is not looked at: opening it may fail.
pub async fn detect(disk: &Disk) -> Result<Content, BlockError> {
    if disk.geometry().sectors == 0 {
        return Ok(Content::Unknown);
    }
    let first = disk.read(0, 1).await?;
    Ok(content(&first))
}

/// The same for the first 512 octets or more.
pub fn content(first: &[u8]) -> Content {
    if archive::is_gzip(first) || archive::is_header(first) {
        Content::Archive
    } else if is_boot_sector(first) {
        Content::Fat
    } else {
        Content::Unknown
    }
}

/// A jump, a sector size, and the signature at the end, as each FAT has them.
fn is_boot_sector(first: &[u8]) -> bool {
    let Some(sector) = first.first_chunk::<512>() else { return false };
    let sector_size = u16::from_le_bytes([sector[11], sector[12]]);
    matches!((sector[0], sector[2]), (0xeb, 0x90) | (0xe9, _))
        && matches!(sector_size, 512 | 1024 | 2048 | 4096)
        && sector[13].is_power_of_two()
        && sector[510..] == [0x55, 0xaa]
}
