//! FAT volumes that other systems read and write too: dosfstools and mtools are the peers.

mod common;

use common::{Folder, MemoryDisk, pattern, run};
use fata_libos::testing;
use fata_storage::fat::{DirEntry, Kind, Variant, Volume};
use std::fs;

const LONG: &str = "A long name with spaces, and ümläüts of every kind – to the last.text";

/// The image that `mkfs.fat` makes, and what `mtools` puts into it.
fn made_by_others(folder: &Folder, bits: &str, mib: u64, sector_size: &str) -> Vec<u8> {
    let image = folder.at("image");
    fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
    run("dosfstools", "mkfs.fat", &["-F", bits, "-S", sector_size, "-n", "PEER", &image]);
    folder.write("short", b"eight and three\n");
    folder.write("long", pattern(100_000, 7));
    run("mtools", "mcopy", &["-i", &image, &folder.at("short"), "::/SHORT.TXT"]);
    run("mtools", "mmd", &["-i", &image, "::/folder", "::/folder/deeper"]);
    run("mtools", "mcopy", &["-i", &image, &folder.at("long"), &format!("::/folder/deeper/{LONG}")]);
    fs::read(&image).unwrap()
}

async fn entries(volume: &Volume, path: &str) -> Vec<DirEntry> {
    let mut directory = volume.read_dir(path).await.unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = directory.next().await.unwrap() {
        entries.push(entry);
    }
    entries
}

async fn names(volume: &Volume, path: &str) -> Vec<String> {
    let mut names: Vec<_> = entries(volume, path).await.into_iter().map(|entry| entry.name).collect();
    names.sort();
    names
}

fn reads_what_others_made(bits: &str, mib: u64, sector_size: usize, variant: Variant) {
    let folder = Folder::new();
    let image = made_by_others(&folder, bits, mib, &sector_size.to_string());
    let disk = MemoryDisk::of(image, sector_size);
    testing::run(async {
        let volume = Volume::mount(disk.disk()).await.unwrap();
        assert_eq!(volume.variant().await, variant);
        assert_eq!(volume.label().await.unwrap().as_deref(), Some("PEER"));
        assert_eq!(names(&volume, "/").await, ["SHORT.TXT", "folder"]);
        assert_eq!(volume.read("/short.txt", 100).await.unwrap(), b"eight and three\n");
        assert_eq!(names(&volume, "folder/deeper/").await, [LONG]);
        let path = format!("/folder/deeper/{LONG}");
        assert_eq!(volume.read(&path, 100_000).await.unwrap(), pattern(100_000, 7));
        let metadata = volume.metadata(&path.to_uppercase()).await.unwrap();
        assert_eq!((metadata.kind, metadata.len), (Kind::File, 100_000));
        assert_eq!(volume.metadata("/folder").await.unwrap().kind, Kind::Directory);
    });
}

#[test]
fn fat12_of_others_is_read() {
    reads_what_others_made("12", 4, 512, Variant::Fat12);
}

#[test]
fn fat16_of_others_is_read() {
    reads_what_others_made("16", 16, 512, Variant::Fat16);
}

#[test]
fn fat32_of_others_is_read() {
    reads_what_others_made("32", 64, 512, Variant::Fat32);
}

#[test]
fn sectors_of_4096_of_others_are_read() {
    reads_what_others_made("16", 64, 4096, Variant::Fat16);
}
