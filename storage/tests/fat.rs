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

#[test]
fn ten_thousand_files_of_others_are_read() {
    let folder = Folder::new();
    for n in 0..10_000 {
        folder.write(&format!("tree/{}/a file with a long name, number {n}.text", n % 100), n.to_string());
    }
    let image = folder.at("image");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    run("dosfstools", "mkfs.fat", &["-F", "32", "-s", "1", &image]);
    run("mtools", "mcopy", &["-s", "-Q", "-i", &image, &folder.at("tree"), "::"]);
    let disk = MemoryDisk::of(fs::read(&image).unwrap(), 512);
    testing::run(async {
        let volume = Volume::mount(disk.disk()).await.unwrap();
        let mut count = 0;
        for directory in names(&volume, "/tree").await {
            for entry in entries(&volume, &format!("/tree/{directory}")).await {
                let number = entry.name.trim_start_matches("a file with a long name, number ");
                assert_eq!(
                    entry.metadata.len,
                    number.trim_end_matches(".text").len() as u64,
                    "{}",
                    entry.name
                );
                count += 1;
            }
        }
        assert_eq!(count, 10_000);
        for n in (0..10_000).step_by(97) {
            let path = format!("/tree/{}/a file with a long name, number {n}.text", n % 100);
            assert_eq!(volume.read(&path, 9).await.unwrap(), n.to_string().as_bytes());
        }
    });
}

/// What we change, others read: on a volume that they made, with what they put there.
#[test]
fn a_volume_of_others_is_changed() {
    let folder = Folder::new();
    let disk = MemoryDisk::of(made_by_others(&folder, "32", 64, "512"), 512);
    testing::run(async {
        let volume = Volume::mount(disk.disk()).await.unwrap();
        let path = format!("/folder/deeper/{LONG}");
        volume.rename(&path, "/another long name, at the root").await.unwrap();
        volume.write("/folder/deeper/new", &pattern(20_000, 3)).await.unwrap();
        volume.remove_file("/SHORT.TXT").await.unwrap();
        volume.sync().await.unwrap();
        assert!(!volume.was_dirty().await);
    });
    let image = folder.at("image");
    fs::write(&image, disk.octets()).unwrap();
    run("dosfstools", "fsck.fat", &["-n", &image]);
    let listed = run("mtools", "mdir", &["-b", "-/", "-i", &image, "::"]);
    let mut listed: Vec<_> = listed.lines().collect();
    listed.sort_unstable();
    let expected =
        ["::/another long name, at the root", "::/folder/", "::/folder/deeper/", "::/folder/deeper/new"];
    assert_eq!(listed, expected);
    run("mtools", "mcopy", &["-i", &image, "::/folder/deeper/new", &folder.at("copy")]);
    assert!(fs::read(folder.at("copy")).unwrap() == pattern(20_000, 3));
}
