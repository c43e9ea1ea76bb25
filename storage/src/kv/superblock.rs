//! The superblock: what the store is, where its last checkpoint is, and from where on the log is to be replayed.

use super::checksum::{seal, unseal};
use super::frame::MAX_NUMBER;
use super::layout::{Layout, SUPER_AREA, Span};
use super::log::Position;
use super::{Error, FORMAT};
use crate::fields::{Fields, Put};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use fata_libos::block::{BlockError, Buffer, Disk};

const MAGIC: u64 = u64::from_le_bytes(*b"FataKV\r\n");
/// Octets of a superblock, its checksum included; the rest of its sector is zero.
const LENGTH: usize = 184;

/// The top of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Top {
    pub(crate) span: Span,
    /// 0 if the top is a leaf.
    pub(crate) level: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) id: [u8; 16],
    pub(crate) layout: Layout,
    /// One more with each superblock that is written.
    pub(crate) generation: u64,
    /// The number of this opening: of the frames that it writes.
    pub(crate) epoch: u64,
    /// The tree of the last checkpoint; none while it is empty.
    pub(crate) top: Option<Top>,
    /// The table of live octets by segment; none before the first checkpoint.
    pub(crate) table: Option<Span>,
    /// Where replay begins.
    pub(crate) tail: Position,
    /// The sequence number of the last frame that was flushed when this was written.
    pub(crate) durable: u64,
}

/// Where in the area the copies are whose own sectors cannot be written, octets: far from those, as bad sectors have bad
/// neighbours.
const SPARES: [u64; 2] = [16 << 10, 48 << 10];

/// Sectors of the two copies, the area's ends, each with its spare one.
fn places(sector: u64) -> [[u64; 2]; 2] {
    let [first, second] = SPARES.map(|octets| octets / sector);
    [[0, first], [SUPER_AREA / sector - 1, second]]
}

/// Which copies an opening has in their spare sectors, as their own could not be written.
#[derive(Default)]
pub(crate) struct Moved(Cell<[bool; 2]>);

impl Moved {
    pub(crate) fn count(&self) -> u32 {
        self.0.get().into_iter().map(u32::from).sum()
    }
}

impl Superblock {
    pub(crate) fn encode(&self) -> Buffer {
        let mut out = Vec::with_capacity(LENGTH);
        out.put_u64(MAGIC);
        out.put_u32(FORMAT);
        out.put_u32(self.layout.sector);
        out.put_u32(self.layout.segment);
        out.put_u32(self.layout.segments);
        out.put(&self.id);
        out.put_u64(self.generation);
        out.put_u64(self.epoch);
        put_span(&mut out, self.top.map(|t| t.span));
        out.put_u32(self.top.map_or(0, |t| u32::from(t.level)));
        out.put_u32(0);
        put_span(&mut out, self.table);
        out.put_u32(self.tail.segment);
        out.put_u32(self.tail.offset);
        out.put_u64(self.tail.log);
        out.put_u64(self.tail.seq);
        out.put_u64(self.tail.epoch);
        out.put_u32(self.tail.chain);
        out.put_u32(0);
        out.put_u64(self.durable);
        out.resize(LENGTH - 4, 0);
        seal(&mut out);
        let mut buffer = Buffer::zeroed(self.layout.sector as usize);
        buffer[..LENGTH].copy_from_slice(&out);
        buffer
    }

    /// `None` where there is none, or a damaged one.
    pub(crate) fn decode(sector: &[u8]) -> Result<Option<Self>, Error> {
        match sector.get(..LENGTH).and_then(unseal) {
            Some(body) => Self::fields(body),
            None => Ok(None),
        }
    }

    fn fields(body: &[u8]) -> Result<Option<Self>, Error> {
        let mut fields = Fields::new(body);
        if fields.u64() != Some(MAGIC) {
            return Ok(None);
        }
        match fields.u32() {
            Some(FORMAT) => Ok(parse(&mut fields)),
            found => Err(Error::Version { found: found.unwrap_or(0), known: FORMAT }),
        }
    }
}

fn parse(f: &mut Fields<'_>) -> Option<Superblock> {
    let layout = Layout { sector: f.u32()?, segment: f.u32()?, segments: f.u32()? };
    let (id, generation, epoch) = (f.octets16()?, f.u64()?, f.u64()?);
    let top = span(f)?;
    let level = u8::try_from(f.u32()?).ok()?;
    f.u32()?;
    let table = span(f)?;
    let (segment, offset) = (f.u32()?, f.u32()?);
    let (log, seq, tail_epoch) = (f.u64()?, f.u64()?, f.u64()?);
    let chain = f.u32()?;
    f.u32()?;
    let tail = Position { segment, offset, log, seq, epoch: tail_epoch, chain };
    let durable = f.u64()?;
    let top = top.map(|span| Top { span, level });
    Some(Superblock { id, layout, generation, epoch, top, table, tail, durable })
}

/// A length of 0 is none.
fn put_span(out: &mut Vec<u8>, span: Option<Span>) {
    let Span { segment, offset, len, crc } = span.unwrap_or(Span { segment: 0, offset: 0, len: 0, crc: 0 });
    for field in [segment, offset, len, crc] {
        out.put_u32(field);
    }
}

fn span(f: &mut Fields<'_>) -> Option<Option<Span>> {
    let span = Span { segment: f.u32()?, offset: f.u32()?, len: f.u32()?, crc: f.u32()? };
    Some((span.len > 0).then_some(span))
}

/// In a box: its code is in an image once, not once a caller.
type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// What the two copies hold.
pub(crate) struct Copies {
    /// The newest of those that are whole.
    pub(crate) newest: Superblock,
    /// How many are whole.
    pub(crate) whole: usize,
    /// Whether all could be read and none is damaged: then `newest` is the last that was written.
    pub(crate) is_sure: bool,
    /// Which have something in their spare sectors.
    spares: [bool; 2],
}

/// What a sector of a copy has.
enum Found {
    Whole(Superblock),
    Zeros,
    /// Nothing of use: it was damaged, or cannot be read.
    Nothing,
}

/// Reads both copies. One that cannot be read is as one that is damaged, as long as the other is whole.
pub(crate) fn read(disk: &Disk) -> Later<'_, Copies> {
    Box::pin(async move {
        let copies = try_read(disk).await?;
        let Layout { sector, segment, segments } = copies.newest.layout;
        let is_ours = is_of(&copies.newest, disk);
        if is_ours { Ok(copies) } else { Err(Error::OtherDisk { sector, segment, segments }) }
    })
}

/// A generation and an epoch that are higher than those of all that is there, whatever store's it is.
pub(crate) async fn after_all(disk: &Disk) -> Result<(u64, u64), Error> {
    match try_read(disk).await {
        // Numbers that no store comes to are a stranger's.
        Ok(Copies { newest, .. }) if newest.generation.max(newest.epoch) < MAX_NUMBER / 2 => {
            Ok((newest.generation + 1, newest.epoch + 2))
        }
        // What cannot be read now may be read one day: these are higher than any store comes to that was not made so itself.
        Err(Error::Block(BlockError::Failed { .. })) => Ok((MAX_NUMBER / 4, MAX_NUMBER / 4)),
        Err(Error::Block(e)) => Err(e.into()),
        _ => Ok((1, 1)),
    }
}

async fn try_read(disk: &Disk) -> Result<Copies, Error> {
    let mut newest = None::<Superblock>;
    let (mut whole, mut is_sure, mut spares) = (0, true, [false; 2]);
    let mut trouble = Error::NoStore;
    for (copy, places) in places(disk.sector_size() as u64).into_iter().enumerate() {
        let mut is_whole = false;
        for (place, sector) in places.into_iter().enumerate() {
            let found = match disk.read(sector, 1).await {
                Ok(octets) => look(&octets).unwrap_or_else(|version| {
                    trouble = version;
                    Found::Nothing
                }),
                Err(e @ BlockError::Failed { .. }) => {
                    if place == 0 {
                        trouble = e.into();
                    }
                    Found::Nothing
                }
                Err(e) => return Err(e.into()),
            };
            spares[copy] |= place == 1 && !matches!(found, Found::Zeros);
            match found {
                Found::Whole(superblock) => {
                    is_whole = true;
                    let number = |of: &Superblock| (of.generation, of.epoch);
                    if newest.as_ref().is_none_or(|before| number(before) <= number(&superblock)) {
                        newest = Some(superblock);
                    }
                }
                // A spare sector without anything is as it was made.
                Found::Zeros if place == 1 => {}
                _ => is_sure = false,
            }
        }
        whole += usize::from(is_whole);
    }
    let newest = newest.ok_or(trouble)?;
    Ok(Copies { newest, whole, is_sure, spares })
}

fn look(octets: &[u8]) -> Result<Found, Error> {
    Ok(match Superblock::decode(octets)? {
        Some(superblock) => Found::Whole(superblock),
        None if octets.iter().all(|octet| *octet == 0) => Found::Zeros,
        None => Found::Nothing,
    })
}

/// Whether what a superblock says can be of this disk.
fn is_of(newest: &Superblock, disk: &Disk) -> bool {
    let Layout { sector, segment, segments } = newest.layout;
    newest.layout.fits(disk.geometry())
        && newest.tail.segment < segments
        && newest.tail.offset >= sector
        && newest.tail.offset <= segment
        && newest.tail.offset.is_multiple_of(sector)
        && newest.tail.seq > 0
        && newest.table.is_none_or(|table| newest.layout.contains(&table))
        && numbers(newest).into_iter().all(|number| number <= MAX_NUMBER)
}

fn numbers(superblock: &Superblock) -> [u64; 6] {
    let Superblock { generation, epoch, durable, tail, .. } = superblock;
    [*generation, *epoch, *durable, tail.log, tail.seq, tail.epoch]
}

/// Writes both copies, one after the other, so that one is whole whenever the power fails. One whose own sector cannot be
/// written goes to the spare one: only then is the other one, which is whole, written over.
pub(crate) fn write<'a>(disk: &'a Disk, superblock: &'a Superblock, moved: &'a Moved) -> Later<'a, ()> {
    Box::pin(async move {
        for (copy, [own, spare]) in places(disk.sector_size() as u64).into_iter().enumerate() {
            let mut all = moved.0.get();
            if !all[copy] {
                match disk.write(own, superblock.encode()).await {
                    Err(e @ BlockError::Failed { .. }) => {
                        log::error!("kv: a superblock is in sector {spare} from now on: {e}");
                        all[copy] = true;
                        moved.0.set(all);
                    }
                    result => _ = result?,
                }
            }
            if all[copy] {
                disk.write(spare, superblock.encode()).await?;
            }
            disk.flush().await?;
        }
        Ok(())
    })
}

/// Clears what is in spare sectors and is not of use any more, once both copies are on the medium: it is not to be found one day
/// when both are lost.
pub(crate) fn clear_spares<'a>(disk: &'a Disk, used: Option<&'a Copies>, moved: &'a Moved) -> Later<'a, ()> {
    Box::pin(async move {
        let sector = disk.sector_size();
        for (copy, [_, spare]) in places(sector as u64).into_iter().enumerate() {
            if moved.0.get()[copy] || used.is_some_and(|copies| !copies.spares[copy]) {
                continue;
            }
            match disk.write(spare, Buffer::zeroed(sector)).await {
                Err(BlockError::Failed { .. }) => {}
                result => _ = result?,
            }
        }
        Ok(())
    })
}
