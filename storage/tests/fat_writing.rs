//! FAT volumes that we make: `fsck.fat` finds nothing, mtools reads them.

mod common;

use common::{Folder, MemoryDisk, output, pattern, run};
use embedded_io_async::{Read, Seek, SeekFrom, Write};
use fata_libos::block::Access;
use fata_libos::task::spawn;
use fata_libos::testing;
use fata_storage::disk::Cache;
use fata_storage::fat::{Error, Format, Mode, Variant, Volume};
use std::fs;

const LONG: &str = "A long name with spaces, and ümläüts of every kind – to the last.text";

/// What `fsck.fat` says of a disk's content; it must be in order.
fn check(folder: &Folder, disk: &MemoryDisk) -> String {
    let image = folder.at("checked");
    fs::write(&image, disk.octets()).unwrap();
    let checked = output("dosfstools", "fsck.fat", &["-n", "-v", &image]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}");
    said
}

async fn formatted(disk: &MemoryDisk, format: Format<'_>) -> Volume {
    format.write(&disk.disk()).await.unwrap();
    Volume::mount(disk.disk()).await.unwrap()
}

fn others_read_what_we_write(variant: Variant, mib: usize, sector_size: usize) {
    let folder = Folder::new();
    let disk = MemoryDisk::of(vec![0; mib << 20], sector_size);
    testing::run(async {
        let volume = formatted(&disk, Format::new().variant(variant).label("ours")).await;
        assert_eq!(volume.variant().await, variant);
        volume.create_dir("/folder").await.unwrap();
        volume.create_dir("/folder/deeper").await.unwrap();
        volume.write("/SHORT.TXT", b"eight and three\n").await.unwrap();
        volume.write(&format!("/folder/deeper/{LONG}"), &pattern(300_000, 9)).await.unwrap();
        volume.write("/gone", &pattern(50_000, 3)).await.unwrap();
        volume.remove_file("/gone").await.unwrap();
        volume.sync().await.unwrap();
    });
    let said = check(&folder, &disk);
    assert!(!said.contains("Dirty bit"), "{said}");
    let image = folder.at("checked");
    let listed = run("mtools", "mdir", &["-b", "-/", "-i", &image, "::"]);
    assert!(
        listed.contains("::/SHORT.TXT") && listed.contains(&format!("::/folder/deeper/{LONG}")),
        "{listed}"
    );
    assert!(!listed.contains("gone"), "{listed}");
    assert!(run("mtools", "mlabel", &["-s", "-i", &image, "::"]).contains("OURS"));
    run("mtools", "mcopy", &["-i", &image, &format!("::/folder/deeper/{LONG}"), &folder.at("copy")]);
    assert!(fs::read(folder.at("copy")).unwrap() == pattern(300_000, 9));
    assert_eq!(run("mtools", "mtype", &["-i", &image, "::/SHORT.TXT"]), "eight and three\n");
}

#[test]
fn fat12_is_read_by_others() {
    others_read_what_we_write(Variant::Fat12, 4, 512);
}

#[test]
fn fat16_is_read_by_others() {
    others_read_what_we_write(Variant::Fat16, 20, 512);
}

#[test]
fn fat32_is_read_by_others() {
    others_read_what_we_write(Variant::Fat32, 64, 512);
}

#[test]
fn sectors_of_4096_are_read_by_others() {
    others_read_what_we_write(Variant::Fat16, 64, 4096);
}

/// Files are made, grown, cut, renamed and removed at random, beside a model of them.
#[test]
fn a_volume_in_use_is_what_a_model_says() {
    let folder = Folder::new();
    let disk = MemoryDisk::of(vec![0; 8 << 20], 512);
    testing::run(async {
        let volume = formatted(&disk, Format::new()).await;
        let mut model = std::collections::BTreeMap::<String, Vec<u8>>::new();
        let dice = pattern(4000, 99);
        let mut dice =
            dice.chunks_exact(4).map(|octets| u32::from_le_bytes(octets.try_into().unwrap()) as usize);
        while let (Some(what), Some(which), Some(len)) = (dice.next(), dice.next(), dice.next()) {
            let (name, other) = (name(which % 20), name(which / 20 % 20));
            let octets = pattern(len % 40_000, len as u32);
            match what % 5 {
                0 => {
                    volume.write(&name, &octets).await.unwrap();
                    model.insert(name, octets);
                }
                1 => {
                    let mut file = volume.open_with(&name, Mode::Append).await.unwrap();
                    file.write_all(&octets).await.unwrap();
                    // Dropped, not closed.
                    model.entry(name).or_default().extend(octets);
                }
                2 => match model.get_mut(&name) {
                    Some(content) => {
                        let mut file = volume.open_with(&name, Mode::Modify).await.unwrap();
                        file.set_len(octets.len() as u64).await.unwrap();
                        file.close().await.unwrap();
                        content.resize(octets.len(), 0);
                    }
                    None => assert_eq!(volume.open(&name).await.map(drop), Err(Error::NotFound)),
                },
                3 => {
                    let expected = model.remove(&name).map(drop).ok_or(Error::NotFound);
                    assert_eq!(volume.remove_file(&name).await, expected);
                }
                _ => {
                    let content = model.remove(&name);
                    let renamed = volume.rename(&name, &other).await;
                    assert_eq!(
                        renamed,
                        content.as_ref().map(drop).ok_or(Error::NotFound),
                        "{name} to {other}"
                    );
                    model.extend(content.map(|content| (other, content)));
                }
            }
        }
        assert!(model.len() > 5);
        for (name, content) in &model {
            assert!(volume.read(name, 1 << 22).await.unwrap() == *content, "{name}");
        }
        volume.sync().await.unwrap();
    });
    check(&folder, &disk);
}

fn name(number: usize) -> String {
    if number.is_multiple_of(2) {
        format!("A{number}.TXT")
    } else {
        format!("the file of number {number}.text")
    }
}

#[test]
fn a_file_has_a_place() {
    let disk = MemoryDisk::of(vec![0; 4 << 20], 512);
    testing::run(async {
        let volume = formatted(&disk, Format::new()).await;
        let mut file = volume.open_with("/file", Mode::CreateNew).await.unwrap();
        file.write_all(b"0123456789").await.unwrap();
        assert_eq!(file.seek(SeekFrom::End(-4)).await, Ok(6));
        let mut two = [0; 2];
        file.read_exact(&mut two).await.unwrap();
        assert_eq!((&two, file.seek(SeekFrom::Current(0)).await), (b"67", Ok(8)));
        assert_eq!(file.seek(SeekFrom::Current(-9)).await, Err(Error::BadPlace));
        // Behind the end there are zeros when something is written there.
        file.seek(SeekFrom::Start(12)).await.unwrap();
        assert_eq!(file.read(&mut two).await, Ok(0));
        file.write_all(b"ab").await.unwrap();
        // A second handle sees it, before it is closed.
        let mut second = volume.open("/FILE").await.unwrap();
        assert_eq!(second.read_all(100).await.unwrap(), b"0123456789\0\0ab");
        assert_eq!(second.write(b"x").await, Err(Error::WrongMode));
        assert_eq!(volume.remove_file("/file").await, Err(Error::Busy));
        second.seek(SeekFrom::Start(0)).await.unwrap();
        assert_eq!(second.read_all(13).await, Err(Error::MoreThan { most: 13 }));
        drop(second);
        drop(file);
        volume.remove_file("/file").await.unwrap();
    });
}

#[test]
fn what_cannot_be_is_said() {
    let disk = MemoryDisk::of(vec![0; 4 << 20], 512);
    testing::run(async {
        assert!(matches!(Volume::mount(disk.disk()).await.map(drop), Err(Error::NotFat(_))));
        let volume = formatted(&disk, Format::new()).await;
        volume.create_dir("/folder").await.unwrap();
        volume.write("/folder/file", b"x").await.unwrap();
        assert_eq!(volume.create_dir("/FOLDER").await, Err(Error::AlreadyExists));
        assert_eq!(volume.open("/folder").await.map(drop), Err(Error::IsADirectory));
        assert_eq!(volume.open("/folder/file/x").await.map(drop), Err(Error::NotADirectory));
        assert_eq!(volume.read_dir("/folder/file").await.map(drop), Err(Error::NotADirectory));
        assert_eq!(volume.remove_dir("/folder").await, Err(Error::NotEmpty));
        assert_eq!(volume.remove_file("/folder").await, Err(Error::IsADirectory));
        assert_eq!(volume.rename("/folder", "/folder/inner").await, Err(Error::BadPath));
        for path in ["", "/", "/folder/../file", "/a*b", "/a:b", "/a\0b", "/dot."] {
            assert_eq!(volume.create(path).await.map(drop), Err(Error::BadPath), "{path:?}");
        }
        assert_eq!(volume.create(&"x".repeat(256)).await.map(drop), Err(Error::NameTooLong));
        assert_eq!(volume.open(&"x/".repeat(2049)).await.map(drop), Err(Error::NameTooLong));
        let full = volume.write("/full", &vec![1; 5 << 20]).await;
        assert_eq!(full, Err(Error::NoSpace));
        let space = volume.space().await.unwrap();
        assert!(space.total < 4 << 20 && space.free < space.total && space.free > 3 << 20, "{space:?}");
        volume.sync().await.unwrap();
        drop(volume);
        let read_only = MemoryDisk::new(disk.octets(), 512, Access::ReadOnly);
        let before = disk.octets();
        let mounts = [Volume::mount(read_only.disk()).await, Volume::mount_read_only(disk.disk()).await];
        for volume in mounts.map(Result::unwrap) {
            assert_eq!(volume.read("/folder/file", 9).await.unwrap(), b"x");
            assert_eq!(volume.create("/new").await.map(drop), Err(Error::ReadOnly));
            assert_eq!(volume.remove_file("/folder/file").await, Err(Error::ReadOnly));
            volume.sync().await.unwrap();
        }
        assert!(disk.octets() == before);
        let format = Format::new().variant(Variant::Fat32);
        assert_eq!(format.write(&disk.disk()).await, Err(Error::NoSpace));
        assert_eq!(Format::new().label("much too long").write(&disk.disk()).await, Err(Error::BadPath));
    });
}

#[test]
fn tasks_share_a_volume() {
    let folder = Folder::new();
    let disk = MemoryDisk::of(vec![0; 8 << 20], 512);
    testing::run(async {
        let volume = formatted(&disk, Format::new()).await;
        let tasks: Vec<_> = (0..8_u32)
            .map(|n| {
                let volume = volume.clone();
                spawn(async move {
                    let mut file = volume.create(&format!("/written by task {n}")).await.unwrap();
                    for octets in pattern(50_000, n).chunks(777) {
                        file.write_all(octets).await.unwrap();
                    }
                    file.close().await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await;
        }
        for n in 0..8 {
            let content = volume.read(&format!("/written by task {n}"), 1 << 20).await.unwrap();
            assert!(content == pattern(50_000, n));
        }
        volume.sync().await.unwrap();
    });
    check(&folder, &disk);
}

/// Ten thousand files with long names, 100 in each of 100 directories.
#[test]
fn ten_thousand_files() {
    many_files(10_000, |n| format!("/directory {}", n / 100));
}

/// Making one looks through its directory: as many as there is time for.
#[test]
fn many_files_in_one_directory() {
    let is_long = std::env::var_os("FATA_FUZZ_SECONDS").is_some();
    many_files(if is_long { 10_000 } else { 300 }, |_| "/all of them".to_owned());
}

/// How often the disk is read for each file of the first half of a directory, and of the second.
async fn reads_of_halves(octets: usize) -> (u64, u64) {
    let memory = MemoryDisk::of(vec![0; 8 << 20], 512);
    Format::new().variant(Variant::Fat16).write(&memory.disk()).await.unwrap();
    let cache = Cache::new(&memory.disk(), octets);
    let volume = Volume::mount(cache.disk()).await.unwrap();
    volume.create_dir("/all of them").await.unwrap();
    let mut after = [0; 3];
    for (half, reads) in after.iter_mut().enumerate() {
        *reads = cache.stats().misses;
        for n in 0..if half < 2 { 200 } else { 0 } {
            let path = format!("/all of them/a file with a long name, number {half} {n}.text");
            volume.write(&path, b"x").await.unwrap();
        }
    }
    ((after[1] - after[0]) / 200, (after[2] - after[1]) / 200)
}

#[test]
fn over_a_cache_a_large_directory_costs_the_disk_no_more_than_a_small_one() {
    testing::run(async {
        let (first, second) = reads_of_halves(1 << 20).await;
        assert!(second <= first + 2 && second < 20, "{first} reads for a file, then {second}");
        let without = reads_of_halves(0).await;
        println!("reads for a file: {first}, {second}; without a cache {without:?}");
        assert!(without.1 > 5 * second, "a cache is of use: {without:?}");
    });
}

fn many_files(count: usize, directory: fn(usize) -> String) {
    let folder = Folder::new();
    let disk = MemoryDisk::of(vec![0; 64 << 20], 512);
    let path = |n: usize| format!("{}/a file with a long name, number {n}.text", directory(n));
    testing::run(async {
        Format::new().variant(Variant::Fat32).write(&disk.disk()).await.unwrap();
        let volume = Volume::mount(Cache::new(&disk.disk(), 4 << 20).disk()).await.unwrap();
        for n in 0..count {
            if n == 0 || directory(n) != directory(n - 1) {
                volume.create_dir(&directory(n)).await.unwrap();
            }
            volume.write(&path(n), format!("{n}").as_bytes()).await.unwrap();
        }
        volume.sync().await.unwrap();
        for n in (0..count).step_by(97) {
            assert_eq!(volume.read(&path(n), 9).await.unwrap(), format!("{n}").as_bytes());
        }
    });
    check(&folder, &disk);
    let listed = run("mtools", "mdir", &["-b", "-/", "-i", &folder.at("checked"), "::"]);
    let files = listed.lines().filter(|line| line.contains("a file with a long name, number ")).count();
    assert_eq!(files, count);
}
