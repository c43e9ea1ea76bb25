//! Where things are on a disk with checksums, and the sector that says so.

use super::sums::{PAIR, Sums, TRAILER};
use crate::checksum::{seal, unseal};
use crate::fields::{Fields, Put};
use alloc::vec::Vec;
use fata_libos::block::{BlockError, Buffer, Disk, Geometry};

const MAGIC: u64 = u64::from_le_bytes(*b"FataSums");
const FORMAT: u32 = 1;
/// Octets of the header, its checksum included.
const LENGTH: usize = 32;
/// Sectors of checksums that are written at once.
const AT_ONCE: u64 = 128;

/// Why a disk with checksums could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device failed.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// There is no room for a sector of data, or sectors are too small for checksums.
    #[error("{sectors} sectors of {sector_size} octets are too few for checksums")]
    TooSmall {
        /// The disk's sectors.
        sectors: u64,
        /// Octets of one.
        sector_size: usize,
    },
    /// The disk was not formatted for checksums, or its first sector is damaged.
    #[error("the disk has no checksums")]
    NoChecksums,
    /// It has checksums of another format.
    #[error("the checksums have format {found}, this program knows {known}")]
    Version {
        /// The disk's.
        found: u32,
        /// This program's.
        known: u32,
    },
    /// It was formatted as a larger disk, or as one with other sectors.
    #[error("the disk was formatted for {sectors} sectors of {sector_size} octets: not this one")]
    OtherDisk {
        /// Sectors of data.
        sectors: u64,
        /// Octets of one.
        sector_size: u32,
    },
}

/// The header is in sector 0; then come checksums, then data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    sector_size: usize,
    /// Sectors of data.
    sectors: u64,
}

impl Layout {
    fn new(geometry: Geometry) -> Result<Self, Error> {
        let Geometry { sector_size, sectors, .. } = geometry;
        let too_small = Error::TooSmall { sectors, sector_size };
        if sector_size < LENGTH.max(PAIR + TRAILER) {
            return Err(too_small);
        }
        let group = group_of(sector_size);
        let behind = sectors.saturating_sub(1);
        let data = behind - behind.div_ceil(group + 1);
        if data == 0 { Err(too_small) } else { Ok(Self { sector_size, sectors: data }) }
    }

    pub(super) fn sector_size(&self) -> usize {
        self.sector_size
    }

    pub(super) fn sectors(&self) -> u64 {
        self.sectors
    }

    /// How many sectors share one of checksums.
    pub(super) fn group(&self) -> u64 {
        group_of(self.sector_size)
    }

    fn groups(&self) -> u64 {
        self.sectors.div_ceil(self.group())
    }

    /// The group of a sector, and which of it the sector is.
    pub(super) fn split(&self, sector: u64) -> (u64, usize) {
        (sector / self.group(), (sector % self.group()) as usize)
    }

    pub(super) fn place_of_sums(&self, group: u64) -> u64 {
        1 + group
    }

    /// Where a sector is on the disk.
    pub(super) fn place(&self, sector: u64) -> u64 {
        1 + self.groups() + sector
    }

    fn encode(&self) -> Buffer {
        let mut out = Vec::with_capacity(LENGTH);
        out.put_u64(MAGIC);
        out.put_u32(FORMAT);
        out.put_u32(self.sector_size as u32);
        out.put_u64(self.sectors);
        out.resize(LENGTH - 4, 0);
        seal(&mut out);
        let mut buffer = Buffer::zeroed(self.sector_size);
        buffer[..LENGTH].copy_from_slice(&out);
        buffer
    }

    fn decode(octets: &[u8], geometry: Geometry) -> Result<Self, Error> {
        let body = octets.get(..LENGTH).and_then(unseal).ok_or(Error::NoChecksums)?;
        let mut fields = Fields::new(body);
        if fields.u64() != Some(MAGIC) {
            return Err(Error::NoChecksums);
        }
        let version = fields.u32().ok_or(Error::NoChecksums)?;
        if version != FORMAT {
            return Err(Error::Version { found: version, known: FORMAT });
        }
        let (Some(sector_size), Some(sectors)) = (fields.u32(), fields.u64()) else {
            return Err(Error::NoChecksums);
        };
        // A disk that has grown since has more room than is used.
        let most = Self::new(geometry)?;
        if sector_size as usize != most.sector_size || sectors == 0 || sectors > most.sectors {
            return Err(Error::OtherDisk { sectors, sector_size });
        }
        Ok(Self { sectors, ..most })
    }
}

fn group_of(sector_size: usize) -> u64 {
    ((sector_size - TRAILER) / PAIR) as u64
}

pub(super) async fn read(disk: &Disk) -> Result<Layout, Error> {
    let header = disk.read(0, 1).await?;
    Layout::decode(&header, disk.geometry())
}

/// Writes the header last, so that what was begun only is no disk with checksums.
pub(super) async fn format(disk: &Disk) -> Result<(), Error> {
    let layout = Layout::new(disk.geometry())?;
    let size = layout.sector_size;
    disk.write(0, Buffer::zeroed(size)).await?;
    disk.flush().await?;
    let mut first = 0;
    while first < layout.groups() {
        let count = AT_ONCE.min(layout.groups() - first);
        let octets = count as usize * size;
        let sector = layout.place_of_sums(first);
        let mut buffer = Buffer::try_zeroed(octets).ok_or(BlockError::NoMemory { sector, octets })?;
        for (group, octets) in (first..).zip(buffer.chunks_exact_mut(size)) {
            octets.copy_from_slice(Sums::empty(group, size).octets());
        }
        disk.write(sector, buffer).await?;
        first += count;
    }
    disk.flush().await?;
    disk.write(0, layout.encode()).await?;
    disk.flush().await?;
    Ok(())
}
