//! Where things are on the disk: the area of the superblocks, then segments of one size.

use super::frame::FRAME_HEADER;
use super::{Error, Part};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_libos::block::{Buffer, Disk, Geometry, Transfer};

/// Octets before the first segment; the superblocks are at the area's two ends.
pub(crate) const SUPER_AREA: u64 = 64 << 10;
/// The smallest segment, octets.
pub(crate) const MIN_SEGMENT: u32 = 16 << 10;
/// The largest segment, octets.
pub(crate) const MAX_SEGMENT: u32 = 1 << 30;
/// The least number of segments.
pub(crate) const MIN_SEGMENTS: u32 = 14;
/// The most segments: what bounds the table that a checkpoint writes and an opening reads.
pub(crate) const MAX_SEGMENTS: u32 = 8192;

/// The division of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Octets of a sector.
    pub(crate) sector: u32,
    /// Octets of a segment.
    pub(crate) segment: u32,
    /// How many segments there are.
    pub(crate) segments: u32,
}

/// Octets in a segment, under a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) segment: u32,
    /// From the segment's start.
    pub(crate) offset: u32,
    pub(crate) len: u32,
    /// CRC-32C of the octets.
    pub(crate) crc: u32,
}

impl Span {
    pub(crate) fn corrupt(&self, what: Part) -> Error {
        Error::Corrupt { segment: self.segment, offset: self.offset, what }
    }
}

impl Layout {
    /// For a disk; `segment` octets each, or as suits its size.
    pub(crate) fn new(geometry: Geometry, segment: Option<u32>) -> Result<Self, Error> {
        let sector = sector_size(geometry)?;
        let octets = geometry.octets();
        let segment = segment.unwrap_or_else(|| default_segment(octets));
        if !segment.is_power_of_two() || !(MIN_SEGMENT..=MAX_SEGMENT).contains(&segment) {
            return Err(Error::Option { what: "the size of a segment", value: u64::from(segment) });
        }
        let count = octets.saturating_sub(SUPER_AREA) / u64::from(segment);
        let segments = u32::try_from(count).unwrap_or(u32::MAX).min(most_segments(segment, sector));
        if segments < MIN_SEGMENTS {
            let needed = SUPER_AREA + u64::from(MIN_SEGMENTS) * u64::from(segment);
            return Err(Error::TooSmall { octets, needed });
        }
        Ok(Self { sector, segment, segments })
    }

    /// Whether numbers read from a superblock can be those of a store on this disk.
    pub(crate) fn fits(&self, geometry: Geometry) -> bool {
        let end = SUPER_AREA + u64::from(self.segments) * u64::from(self.segment);
        u64::from(self.sector) == geometry.sector_size as u64
            && self.segment.is_power_of_two()
            && (MIN_SEGMENT..=MAX_SEGMENT).contains(&self.segment)
            && (MIN_SEGMENTS..=most_segments(self.segment, self.sector)).contains(&self.segments)
            && end <= geometry.octets()
    }

    /// Octets of a segment behind its header, which has a sector.
    pub(crate) fn capacity(&self) -> u32 {
        self.segment - self.sector
    }

    /// The size at which a node of the tree is divided, octets: what does not fit into the rest of a segment is left over
    /// there, so small segments have smaller nodes. Two of the longest entries of an inner node fit always.
    pub(crate) fn node_limit(&self) -> u32 {
        (self.capacity() / 8).clamp(4 << 10, 8 << 10)
    }

    /// The sector of an offset, which is a multiple of the sector size.
    pub(crate) fn sector_at(&self, segment: u32, offset: u32) -> u64 {
        (SUPER_AREA + u64::from(segment) * u64::from(self.segment) + u64::from(offset))
            / u64::from(self.sector)
    }

    /// `octets` rounded up to whole sectors.
    pub(crate) fn whole_sectors(&self, octets: u32) -> u32 {
        octets.div_ceil(self.sector) * self.sector
    }

    /// Whether these octets are within a segment, behind its header.
    pub(crate) fn contains(&self, span: &Span) -> bool {
        span.segment < self.segments
            && span.offset >= self.sector
            && span.offset.checked_add(span.len).is_some_and(|end| end <= self.segment)
    }

    /// Writes the header of a segment, whose octets these are.
    pub(crate) fn write_header<'a>(&self, disk: &'a Disk, segment: u32, octets: &[u8]) -> HeaderWrite<'a> {
        let mut sector = Buffer::zeroed(self.sector as usize);
        sector[..octets.len()].copy_from_slice(octets);
        HeaderWrite(disk.write(self.sector_at(segment, 0), sector))
    }

    /// Has a segment without a header.
    pub(crate) fn clear_header<'a>(&self, disk: &'a Disk, segment: u32) -> HeaderWrite<'a> {
        self.write_header(disk, segment, &[])
    }

    /// Reads octets of a segment, with the rest of their sectors: the buffer, and where in it they begin.
    pub(crate) fn read<'a>(&self, disk: &'a Disk, segment: u32, offset: u32, len: u32) -> Read<'a> {
        let start = offset / self.sector * self.sector;
        let sectors = (offset - start + len).div_ceil(self.sector);
        let transfer = disk.read(self.sector_at(segment, start), sectors as usize);
        Read { transfer, begin: (offset - start) as usize }
    }
}

/// Octets of a segment on their way. Not an `async fn`, as below: its code is in an image once, not once a caller.
pub(crate) struct Read<'a> {
    transfer: Transfer<'a>,
    begin: usize,
}

impl Future for Read<'_> {
    type Output = Result<(Buffer, usize), Error>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let begin = self.begin;
        Pin::new(&mut self.transfer).poll(cx).map(|read| Ok((read?, begin)))
    }
}

/// A header on its way.
pub(crate) struct HeaderWrite<'a>(Transfer<'a>);

impl Future for HeaderWrite<'_> {
    type Output = Result<(), Error>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(drop).map_err(Error::from)
    }
}

fn sector_size(geometry: Geometry) -> Result<u32, Error> {
    match geometry.sector_size {
        size @ (512 | 4096) => Ok(size as u32),
        size => Err(Error::Option { what: "the sector size", value: size as u64 }),
    }
}

/// So many segments that the table of them, four octets each, fits into the frame that a segment has room for.
fn most_segments(segment: u32, sector: u32) -> u32 {
    MAX_SEGMENTS.min(segment.saturating_sub(sector + FRAME_HEADER) / 4)
}

/// About a thousand segments, of 64 KiB at least; a tiny disk has smaller ones.
fn default_segment(octets: u64) -> u32 {
    let thousandth = (octets / 1024).clamp(64 << 10, u64::from(MAX_SEGMENT)) as u32;
    let segment = thousandth.next_power_of_two();
    if octets < 2 << 20 { MIN_SEGMENT * 2 } else { segment }
}
