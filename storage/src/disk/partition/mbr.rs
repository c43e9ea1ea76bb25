//! The partition table of a disk's first sector, and the chain of those of logical partitions.

use super::{Kind, MOST, Partition, PartitionError, Table};
use alloc::vec::Vec;
use fata_libos::block::Disk;

/// The type of the one partition that a GUID partition table puts here, to keep old programs off.
pub(super) const PROTECTIVE: u8 = 0xee;
/// Types of a partition that holds logical ones.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const RECORDS: usize = 446;
const RECORD: usize = 16;

/// One of the four records of a table; its type is 0 if there is nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) code: u8,
    status: u8,
    first: u32,
    sectors: u32,
}

fn number(octets: &[u8]) -> u32 {
    octets.iter().rev().fold(0, |sum, octet| sum << 8 | u32::from(*octet))
}

/// The records of a sector; `None` if it is no table.
pub(super) fn records(sector: &[u8]) -> Option<[Record; 4]> {
    if sector.get(510..512)? != [0x55, 0xaa] {
        return None;
    }
    let record = |index: usize| {
        let at = &sector[RECORDS + index * RECORD..][..RECORD];
        Record { status: at[0], code: at[4], first: number(&at[8..12]), sectors: number(&at[12..16]) }
    };
    let records = [0, 1, 2, 3].map(record);
    // The first sector of a FAT file system ends with the same two octets, and has code here.
    records.iter().all(|r| matches!(r.status, 0 | 0x80)).then_some(records)
}

pub(super) async fn read(disk: &Disk, records: &[Record; 4]) -> Result<Table, PartitionError> {
    let mut partitions = Vec::new();
    let all = disk.geometry().sectors;
    let mut extended = None;
    for (number, record) in (1..).zip(records) {
        if record.code == 0 || record.sectors == 0 {
            continue;
        }
        let partition = within(record, number, 0, (1, all))?;
        if EXTENDED.contains(&record.code) {
            extended.get_or_insert((partition.first, partition.sectors));
        } else {
            partitions.push(partition);
        }
    }
    if let Some((first, sectors)) = extended {
        logical(disk, first, sectors, &mut partitions).await?;
    }
    Ok(Table { partitions, copies: 1 })
}

/// A record's partition, if it is within these sectors.
fn within(
    record: &Record,
    number: u32,
    base: u64,
    (from, to): (u64, u64),
) -> Result<Partition, PartitionError> {
    let first = base + u64::from(record.first);
    let sectors = u64::from(record.sectors);
    if first < from || first + sectors > to {
        return Err(PartitionError::Outside { number, first });
    }
    let kind = Kind::Mbr { code: record.code, is_active: record.status == 0x80 };
    Ok(Partition { number, first, sectors, kind })
}

/// Follows the chain of tables in an extended partition: each has one partition, and says where the next table is.
async fn logical(
    disk: &Disk,
    first: u64,
    sectors: u64,
    partitions: &mut Vec<Partition>,
) -> Result<(), PartitionError> {
    let end = first + sectors;
    let mut at = first;
    for number in 5.. {
        if partitions.len() >= MOST {
            return Err(PartitionError::TooMany { limit: MOST });
        }
        let Some([own, next, ..]) = records(&disk.read(at, 1).await?) else { break };
        if own.code != 0 && own.sectors != 0 {
            partitions.push(within(&own, number, at, (at + 1, end))?);
        }
        if !EXTENDED.contains(&next.code) {
            break;
        }
        let place = first + u64::from(next.first);
        // A chain that goes back would never end.
        if place <= at || place >= end {
            return Err(PartitionError::Outside { number: number + 1, first: place });
        }
        at = place;
    }
    Ok(())
}
