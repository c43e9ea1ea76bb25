//! Partition tables that other systems make: util-linux' sfdisk and sgdisk are the peers, and sfdisk's dump is what is compared with.

mod common;

use common::{Folder, MemoryDisk, run};
use fata_libos::testing;
use fata_storage::disk::partition::{Kind, Partition, Table, read};
use std::fs;

const MIB: u64 = 1 << 20;

/// An image of zeros.
fn blank(folder: &Folder, mib: u64) -> String {
    let image = folder.at("disk");
    fs::File::create(&image).unwrap().set_len(mib * MIB).unwrap();
    image
}

fn sfdisk(folder: &Folder, image: &str, script: &str) {
    // Said where it is missing.
    run("fdisk", "sfdisk", &["--version"]);
    folder.write("script", script);
    run("fdisk", "sh", &["-c", &format!("sfdisk --quiet {image} <{}", folder.at("script"))]);
}

fn sgdisk(image: &str, options: &[&str]) {
    run("gdisk", "sgdisk", &[options, &[image]].concat());
}

fn table(octets: Vec<u8>) -> Table {
    testing::run(async { read(&MemoryDisk::of(octets, 512).disk()).await.unwrap() })
}

/// An identity as it is written for people: its first three fields lie with their lowest octet first.
fn guid(id: &[u8; 16]) -> String {
    let hex = |places: &[usize]| places.iter().map(|at| format!("{:02X}", id[*at])).collect::<String>();
    let [a, b, c] = [hex(&[3, 2, 1, 0]), hex(&[5, 4]), hex(&[7, 6])];
    format!("{a}-{b}-{c}-{}-{}", hex(&[8, 9]), hex(&[10, 11, 12, 13, 14, 15]))
}

/// A partition as sfdisk's dump has it, with one blank between words.
fn line(partition: &Partition) -> String {
    let Partition { number, first, sectors, kind } = partition;
    let place = format!("disk{number} : start= {first}, size= {sectors}, type=");
    match kind {
        Kind::Mbr { code, is_active } => {
            format!("{place}{code:x}{}", if *is_active { ", bootable" } else { "" })
        }
        Kind::Gpt { type_id, id, name, attributes } => {
            // As sfdisk writes what is not ASCII, octet by octet of UTF-8.
            let escape = |octet: u8| {
                if octet.is_ascii() { char::from(octet).to_string() } else { format!("\\x{octet:02x}") }
            };
            let name: String = name.bytes().map(escape).collect();
            let name = if name.is_empty() { name } else { format!(", name=\"{name}\"") };
            let attributes = if attributes & 4 != 0 { ", attrs=\"LegacyBIOSBootable\"" } else { "" };
            format!("{place}{}, uuid={}{name}{attributes}", guid(type_id), guid(id))
        }
        other => panic!("{other:?}"),
    }
}

/// What sfdisk says of the image's partitions; the container of logical ones is none of ours.
fn dumped(image: &str) -> Vec<String> {
    let text = run("fdisk", "sfdisk", &["--dump", image]);
    let lines = text.lines().filter(|line| line.contains(" : start=") && !line.contains("type=5"));
    let one_blank = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.map(|line| one_blank(line.rsplit('/').next().unwrap_or(line))).collect()
}

/// Reads the image as sfdisk does; how many copies of the table are whole.
fn is_read_alike(image: &str, partitions: usize) -> u32 {
    let table = table(fs::read(image).unwrap());
    let lines: Vec<_> = table.partitions.iter().map(line).collect();
    assert_eq!(lines, dumped(image));
    assert_eq!(lines.len(), partitions);
    table.copies
}

#[test]
fn a_guid_table_by_sgdisk() {
    let folder = Folder::new();
    let image = blank(&folder, 64);
    let first = ["-n", "1:2048:+8M", "-t", "1:8300", "-c", "1:a name with ünïcödé", "-A", "1:set:2"];
    let others = ["-n", "2:0:+4M", "-t", "2:ef00", "-c", "2:EFI", "-n", "9:0:0", "-t", "9:0700"];
    sgdisk(&image, &[&first[..], &others].concat());
    assert_eq!(is_read_alike(&image, 3), 2);
    let whole = fs::read(&image).unwrap();
    let known = table(whole.clone()).partitions;
    // Either copy, header or entries.
    let last = whole.len() - 512;
    for damaged in [512, 1024, last, last - 32 * 512] {
        let mut octets = whole.clone();
        octets[damaged] ^= 1;
        assert_eq!(table(octets), Table { partitions: known.clone(), copies: 1 }, "octet {damaged}");
    }
    // Beside it a table for old systems, of one of the partitions.
    sgdisk(&image, &["-h", "1"]);
    assert_eq!(table(fs::read(&image).unwrap()), Table { partitions: known, copies: 2 });
}

#[test]
fn a_guid_table_by_sfdisk() {
    let folder = Folder::new();
    let image = blank(&folder, 40);
    let mut script = "label: gpt\ntable-length: 256\n".to_owned();
    for n in 1..=30 {
        script += &format!("size=1MiB, type=linux, name=\"part {n}\"\n");
    }
    sfdisk(&folder, &image, &script);
    assert_eq!(is_read_alike(&image, 30), 2);
}

#[test]
fn an_old_table_with_logical_partitions_by_sfdisk() {
    let folder = Folder::new();
    let image = blank(&folder, 64);
    let script = "label: dos
        disk1 : start=2048, size=4096, type=83, bootable
        disk2 : start=8192, size=100000, type=5
        disk3 : start=110592, size=2048, type=c
        disk5 : start=10240, size=4096, type=83
        disk6 : start=20480, size=4096, type=82
        disk7 : start=40960, size=30000, type=b\n";
    sfdisk(&folder, &image, script);
    assert_eq!(is_read_alike(&image, 5), 1);
    // What a partition is given as begins where it does.
    let mut octets = fs::read(&image).unwrap();
    octets[40_960 * 512..][..4].copy_from_slice(b"here");
    testing::run(async {
        let disk = MemoryDisk::of(octets, 512).disk();
        let table = read(&disk).await.unwrap();
        let seventh = table.partitions.iter().find(|p| p.number == 7).unwrap().open(&disk).unwrap();
        assert_eq!(seventh.geometry().sectors, 30_000);
        assert_eq!(seventh.read(0, 1).await.unwrap()[..4], *b"here");
    });
}

#[test]
fn an_empty_table() {
    let folder = Folder::new();
    let image = blank(&folder, 8);
    for (label, copies) in [("dos", 1), ("gpt", 2)] {
        sfdisk(&folder, &image, &format!("label: {label}\n"));
        assert_eq!(is_read_alike(&image, 0), copies);
    }
}
