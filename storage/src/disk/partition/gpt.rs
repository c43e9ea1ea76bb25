//! GUID partition tables: UEFI specification, 5.3.

use super::{Kind, MOST, Partition, PartitionError, Table};
use crate::fields::Fields;
use alloc::string::String;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc, Table as Lookup};
use fata_libos::block::{BlockError, Disk};

static CRC: Crc<u32, Lookup<1>> = Crc::<u32, Lookup<1>>::new(&CRC_32_ISO_HDLC);

const HEADER: usize = 92;
/// The smallest entry; larger ones are this times a power of two.
const ENTRY: u32 = 128;
/// The most octets of the array of entries.
const MOST_OCTETS: u64 = 512 << 10;

struct Header {
    entries_at: u64,
    entries: u32,
    entry_len: u32,
    entries_crc: u32,
    usable: (u64, u64),
}

/// Reads both copies, and takes the first that is whole.
pub(super) async fn read(disk: &Disk) -> Result<Table, PartitionError> {
    let last = disk.geometry().sectors.saturating_sub(1);
    let primary = copy(disk, 1).await?;
    let backup = copy(disk, last).await?;
    let copies = u32::from(primary.is_some()) + u32::from(backup.is_some());
    let (header, entries) = primary.or(backup).ok_or(PartitionError::Damaged)?;
    Ok(Table { partitions: partitions(&header, &entries)?, copies })
}

/// The copy whose header is in a sector; `None` if it is damaged or cannot be read.
async fn copy(disk: &Disk, sector: u64) -> Result<Option<(Header, Vec<u8>)>, PartitionError> {
    let Some(octets) = readable(disk, sector, 1).await? else { return Ok(None) };
    let Some(header) = header(&octets, sector, disk.geometry().sectors) else { return Ok(None) };
    let len = u64::from(header.entries) * u64::from(header.entry_len);
    let count = len.div_ceil(disk.sector_size() as u64) as usize;
    let Some(octets) = readable(disk, header.entries_at, count).await? else { return Ok(None) };
    let entries = octets[..len as usize].to_vec();
    Ok((CRC.checksum(&entries) == header.entries_crc).then_some((header, entries)))
}

async fn readable(disk: &Disk, sector: u64, count: usize) -> Result<Option<Vec<u8>>, PartitionError> {
    match disk.read(sector, count).await {
        Ok(buffer) => Ok(Some(buffer.to_vec())),
        Err(BlockError::Failed { .. } | BlockError::OutOfRange { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn header(octets: &[u8], sector: u64, sectors: u64) -> Option<Header> {
    let mut f = Fields::new(octets);
    let signature = f.take(8)?;
    let (_revision, len, crc) = (f.u32()?, f.u32()? as usize, f.u32()?);
    if signature != b"EFI PART" || !(HEADER..=octets.len()).contains(&len) {
        return None;
    }
    let mut summed = octets[..len].to_vec();
    summed[16..20].fill(0);
    if CRC.checksum(&summed) != crc {
        return None;
    }
    f.u32()?;
    let (here, _other, first, last) = (f.u64()?, f.u64()?, f.u64()?, f.u64()?);
    f.octets16()?;
    let (entries_at, entries, entry_len, entries_crc) = (f.u64()?, f.u32()?, f.u32()?, f.u32()?);
    let is_sound = here == sector
        && first <= last
        && last < sectors
        && entry_len >= ENTRY
        && entry_len.is_power_of_two()
        && entries as usize <= MOST
        && u64::from(entries) * u64::from(entry_len) <= MOST_OCTETS
        && entries_at > 1;
    is_sound.then_some(Header { entries_at, entries, entry_len, entries_crc, usable: (first, last) })
}

fn partitions(header: &Header, entries: &[u8]) -> Result<Vec<Partition>, PartitionError> {
    let mut out = Vec::new();
    for (number, entry) in (1..).zip(entries.chunks_exact(header.entry_len as usize)) {
        let Some((first, last, kind)) = entry_of(entry) else { continue };
        let (from, to) = header.usable;
        if first < from || last > to || last < first {
            return Err(PartitionError::Outside { number, first });
        }
        out.push(Partition { number, first, sectors: last - first + 1, kind });
    }
    Ok(out)
}

/// First and last sector, and the rest; `None` for an entry that is not in use.
fn entry_of(entry: &[u8]) -> Option<(u64, u64, Kind)> {
    let mut f = Fields::new(entry);
    let (type_id, id) = (f.octets16()?, f.octets16()?);
    let (first, last, attributes) = (f.u64()?, f.u64()?, f.u64()?);
    let units: Vec<u16> = f.take(72)?.chunks_exact(2).map(|u| u16::from_le_bytes([u[0], u[1]])).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    let name = String::from_utf16_lossy(&units[..end]);
    (type_id != [0; 16]).then_some((first, last, Kind::Gpt { type_id, id, name, attributes }))
}
