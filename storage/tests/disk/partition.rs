//! Tables that are in order, damaged, and hostile.

use crc::{CRC_32_ISO_HDLC, Crc};
use fata_libos::block::{Buffer, Disk};
use fata_libos::testing::run;
use fata_storage::disk::partition::{Kind, PartitionError, read};
use fata_storage::testing::SimDisk;

const SECTORS: u64 = 10_000;
const LINUX: [u8; 16] = *b"\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4";

fn crc(octets: &[u8]) -> u32 {
    Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(octets)
}

fn put(octets: &mut [u8], at: usize, field: &[u8]) {
    octets[at..at + field.len()].copy_from_slice(field);
}

fn record(sector: &mut [u8], index: usize, code: u8, first: u32, sectors: u32) {
    let at = 446 + 16 * index;
    sector[at + 4] = code;
    put(sector, at + 8, &first.to_le_bytes());
    put(sector, at + 12, &sectors.to_le_bytes());
    put(sector, 510, &[0x55, 0xaa]);
}

fn entries(parts: &[(u64, u64, &str)]) -> Vec<u8> {
    let mut out = vec![0; 128 * 128];
    for (index, (first, last, name)) in parts.iter().enumerate() {
        let entry = &mut out[index * 128..][..128];
        put(entry, 0, &LINUX);
        put(entry, 16, &[index as u8 + 1; 16]);
        put(entry, 32, &first.to_le_bytes());
        put(entry, 40, &last.to_le_bytes());
        for (at, unit) in name.encode_utf16().enumerate() {
            put(entry, 56 + 2 * at, &unit.to_le_bytes());
        }
    }
    out
}

fn header(here: u64, other: u64, entries_at: u64, size: usize, entries: &[u8]) -> Vec<u8> {
    let reserve = 2 + (entries.len() as u64).div_ceil(size as u64);
    let mut out = vec![0; size];
    put(&mut out, 0, b"EFI PART");
    put(&mut out, 8, &0x1_0000u32.to_le_bytes());
    put(&mut out, 12, &92u32.to_le_bytes());
    put(&mut out, 24, &here.to_le_bytes());
    put(&mut out, 32, &other.to_le_bytes());
    put(&mut out, 40, &reserve.to_le_bytes());
    put(&mut out, 48, &(SECTORS - reserve).to_le_bytes());
    put(&mut out, 72, &entries_at.to_le_bytes());
    put(&mut out, 80, &128u32.to_le_bytes());
    put(&mut out, 84, &128u32.to_le_bytes());
    put(&mut out, 88, &crc(entries).to_le_bytes());
    let sum = crc(&out[..92]);
    put(&mut out, 16, &sum.to_le_bytes());
    out
}

async fn gpt(size: usize, parts: &[(u64, u64, &str)]) -> (SimDisk, Disk) {
    let sim = SimDisk::new(size, SECTORS);
    let disk = sim.disk();
    let mut first = Buffer::zeroed(size);
    record(&mut first, 0, 0xee, 1, SECTORS as u32 - 1);
    disk.write(0, first).await.unwrap();
    let entries = entries(parts);
    let last = SECTORS - 1;
    let backup = last - (entries.len() / size) as u64;
    for (here, other, at) in [(1, last, 2), (last, 1, backup)] {
        disk.write(at, Buffer::copy_of(&entries)).await.unwrap();
        disk.write(here, Buffer::copy_of(&header(here, other, at, size, &entries))).await.unwrap();
    }
    (sim, disk)
}

#[test]
fn a_guid_partition_table_is_read_with_either_sector_size() {
    for size in [512, 4096] {
        run(async {
            let (_, disk) = gpt(size, &[(100, 199, "root"), (300, 300, "daß")]).await;
            let table = read(&disk).await.unwrap();
            assert_eq!(table.copies, 2);
            let [root, second] = &table.partitions[..] else { panic!("{table:?}") };
            assert_eq!((root.number, root.first, root.sectors), (1, 100, 100));
            assert_eq!((second.number, second.first, second.sectors), (2, 300, 1));
            let Kind::Gpt { type_id, id, name, attributes } = &second.kind else { panic!("{second:?}") };
            assert_eq!((*type_id, *id, &name[..], *attributes), (LINUX, [2; 16], "daß", 0));
            let opened = root.open(&disk).unwrap();
            opened.write(3, Buffer::copy_of(&vec![5; size])).await.unwrap();
            assert_eq!(disk.read(103, 1).await.unwrap()[0], 5);
        });
    }
}

#[test]
fn one_whole_copy_is_enough() {
    run(async {
        let whole = [(100, 199, "root")];
        for octet in [512, 512 + 16, 512 + 24, 512 + 91, 1024, 1024 + 40, 1024 + 16_383] {
            let (sim, disk) = gpt(512, &whole).await;
            sim.flip(octet, 4);
            let table = read(&disk).await.unwrap();
            assert_eq!((table.copies, table.partitions[0].first), (1, 100), "octet {octet}");
            let (sim, disk) = gpt(512, &whole).await;
            sim.break_reads(octet / 512);
            assert_eq!(read(&disk).await.unwrap().copies, 1);
            sim.flip((SECTORS - 1) * 512 + 50, 1);
            assert_eq!(read(&disk).await, Err(PartitionError::Damaged));
        }
    });
}

#[test]
fn partitions_that_overlap_or_leave_the_disk_are_refused() {
    run(async {
        let (_, disk) = gpt(512, &[(300, 400, "a"), (100, 300, "b")]).await;
        assert_eq!(read(&disk).await, Err(PartitionError::Overlap { a: 2, b: 1 }));
        for (first, last) in [(33, 100), (9990, 9999), (u64::MAX, u64::MAX), (200, 199), (0, u64::MAX)] {
            let (_, disk) = gpt(512, &[(first, last, "a")]).await;
            assert_eq!(read(&disk).await, Err(PartitionError::Outside { number: 1, first }));
        }
        let empty = SimDisk::new(512, 100).disk();
        assert_eq!(read(&empty).await, Err(PartitionError::NoTable));
    });
}

/// A record's place in its table, type, first sector and sectors.
type Record = (usize, u8, u32, u32);

async fn old(tables: &[(u64, &[Record])]) -> Disk {
    let disk = SimDisk::new(512, SECTORS).disk();
    for (at, records) in tables {
        let mut sector = Buffer::zeroed(512);
        for (index, code, first, sectors) in *records {
            record(&mut sector, *index, *code, *first, *sectors);
        }
        disk.write(*at, sector).await.unwrap();
    }
    disk
}

#[test]
fn an_old_table_with_logical_partitions() {
    run(async {
        let disk = old(&[
            (0, &[(0, 0x83, 64, 100), (2, 0x0f, 1000, 2000)]),
            (1000, &[(0, 0x83, 10, 90), (1, 0x05, 500, 300)]),
            (1500, &[(0, 0x0c, 1, 299)]),
        ])
        .await;
        let table = read(&disk).await.unwrap();
        let found: Vec<_> = table.partitions.iter().map(|p| (p.number, p.first, p.sectors)).collect();
        assert_eq!(found, [(1, 64, 100), (5, 1010, 90), (6, 1501, 299)]);
        assert_eq!(table.partitions[2].kind, Kind::Mbr { code: 0x0c, is_active: false });
    });
}

#[test]
fn old_tables_that_lie_are_refused() {
    run(async {
        let outside = old(&[(0, &[(1, 0x83, 64, u32::MAX)])]).await;
        assert_eq!(read(&outside).await, Err(PartitionError::Outside { number: 2, first: 64 }));
        let overlap = old(&[(0, &[(0, 0x83, 64, 100), (1, 0x83, 163, 10)])]).await;
        assert_eq!(read(&overlap).await, Err(PartitionError::Overlap { a: 1, b: 2 }));
        let circle = old(&[(0, &[(0, 0x05, 100, 500)]), (100, &[(1, 0x05, 0, 10)])]).await;
        assert_eq!(read(&circle).await, Err(PartitionError::Outside { number: 6, first: 100 }));
        let escape = old(&[(0, &[(0, 0x05, 100, 500)]), (100, &[(0, 0x83, 10, 491)])]).await;
        assert_eq!(read(&escape).await, Err(PartitionError::Outside { number: 5, first: 110 }));
    });
}
