//! Archives that GNU tar makes, plain and in gzip, in each of its formats.

mod common;

use common::{Folder, MemoryDisk, pattern, run};
use embedded_io_async::{Read, Seek, SeekFrom};
use fata_libos::testing;
use fata_storage::archive::{Archive, Error, Limits};
use fata_storage::detect::{Content, detect};
use std::fs;
use std::os::unix::fs::symlink;

/// Longer than the 100 and the 255 octets of older formats.
fn long_name() -> String {
    format!("{}/{}", ["a folder"; 12].join("/"), "a very long nâme ".repeat(10))
}

fn tree() -> Folder {
    let folder = Folder::new();
    folder.write("tree/index.html", b"<h1>hello</h1>\n");
    folder.write("tree/empty", b"");
    folder.write("tree/css/style.css", pattern(1000, 1));
    folder.write("tree/large", pattern(300_000, 2));
    folder.write("tree/exactly.512", pattern(512, 3));
    folder.write("tree/some folder/ümläut.text", pattern(70_000, 4));
    folder
}

/// The archive of `tree`, as long as whole sectors.
fn archive(folder: &Folder, arguments: &[&str]) -> Vec<u8> {
    let (file, at) = (folder.at("archive"), folder.at("tree"));
    let arguments: Vec<_> =
        ["-C", &at, "-cf", &file].iter().chain(arguments).chain([&"."]).copied().collect();
    run("tar", "tar", &arguments);
    padded(fs::read(file).unwrap(), 512)
}

fn padded(mut octets: Vec<u8>, sector_size: usize) -> Vec<u8> {
    octets.resize(octets.len().next_multiple_of(sector_size), 0);
    octets
}

async fn open(octets: Vec<u8>, sector_size: usize) -> Result<Archive, Error> {
    let disk = MemoryDisk::of(padded(octets, sector_size), sector_size).disk();
    assert_eq!(detect(&disk).await, Ok(Content::Archive));
    Archive::open(disk, Limits::default()).await
}

/// Every file of the folder is there as it is, and nothing else.
async fn compare(folder: &Folder, archive: &Archive) {
    let root = folder.path().join("tree");
    let found = run("findutils", "find", &[root.to_str().unwrap(), "-type", "f", "-printf", "%P\\n"]);
    let mut expected: Vec<_> = found.lines().collect();
    expected.sort_unstable();
    let names: Vec<_> = archive.entries().map(|(name, _)| name).collect();
    assert_eq!(names, expected);
    for name in names {
        assert!(archive.read(name, 1 << 20).await.unwrap() == fs::read(root.join(name)).unwrap(), "{name}");
        let modified = fs::metadata(root.join(name)).unwrap().modified().unwrap();
        let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(archive.get(name).unwrap().modified, seconds, "{name}");
    }
}

fn each_format(format: &str, with_long_name: bool) {
    let folder = tree();
    if with_long_name {
        folder.write(&format!("tree/{}", long_name()), b"long");
    }
    let plain = archive(&folder, &[&format!("--format={format}")]);
    let packed = archive(&folder, &[&format!("--format={format}"), "--gzip"]);
    assert!(packed.len() < plain.len());
    testing::run(async {
        for sector_size in [512, 4096] {
            for (octets, in_memory) in [(&plain, 0), (&packed, plain.len())] {
                let archive = open(octets.clone(), sector_size).await.unwrap();
                assert_eq!((archive.in_memory(), archive.left_out()), (in_memory, 0));
                compare(&folder, &archive).await;
            }
        }
    });
}

#[test]
fn gnus_format_is_read() {
    each_format("gnu", true);
}

#[test]
fn ustar_is_read() {
    each_format("ustar", false);
}

#[test]
fn pax_is_read() {
    each_format("pax", true);
}

#[test]
fn the_format_of_the_seventh_edition_is_read() {
    each_format("v7", false);
}

#[test]
fn a_file_has_a_place() {
    let folder = tree();
    let octets = archive(&folder, &[]);
    testing::run(async {
        let archive = open(octets, 512).await.unwrap();
        let mut file = archive.file("large").unwrap();
        assert_eq!(file.seek(SeekFrom::End(-1000)).await, Ok(299_000));
        let mut part = vec![0; 2000];
        assert_eq!(file.read(&mut part).await, Ok(1000));
        assert!(part[..1000] == pattern(300_000, 2)[299_000..]);
        assert_eq!(file.read(&mut part).await, Ok(0));
        assert_eq!(file.seek(SeekFrom::Current(-300_001)).await, Err(Error::BadPlace));
        for (offset, len) in [(0, 1), (511, 2), (1, 140_000), (131_071, 131_073), (299_999, 1)] {
            let mut part = vec![0; len];
            let entry = file.entry();
            assert_eq!(archive.read_at(&entry, offset as u64, &mut part).await, Ok(len));
            assert!(part == pattern(300_000, 2)[offset..][..len]);
        }
        assert!(
            archive.has_directory("css") && archive.has_directory("") && archive.has_directory("some folder")
        );
        for name in ["cs", "css/", "index.html", "zzz", "some"] {
            assert!(!archive.has_directory(name), "{name}");
        }
        assert_eq!(archive.read("css", 9).await, Err(Error::NotFound));
        assert_eq!(archive.read("large", 9).await, Err(Error::MoreThan { octets: 300_000, most: 9 }));
    });
}

#[test]
fn links_are_followed_within_the_archive() {
    let folder = tree();
    let at = |name: &str| folder.path().join("tree").join(name);
    fs::hard_link(at("large"), at("another name of large")).unwrap();
    symlink("../index.html", at("css/up")).unwrap();
    symlink("css/up", at("link to a link")).unwrap();
    let leading_nowhere = [
        ("/etc/passwd", "absolute"),
        ("../outside", "out"),
        ("nothing", "dangling"),
        ("css", "to a folder"),
        ("loop", "loop"),
    ];
    for (target, name) in leading_nowhere {
        symlink(target, at(name)).unwrap();
    }
    for format in ["gnu", "ustar", "pax"] {
        let octets = archive(&folder, &[&format!("--format={format}")]);
        testing::run(async {
            let archive = open(octets, 512).await.unwrap();
            assert_eq!(archive.left_out(), leading_nowhere.len());
            assert!(archive.read("another name of large", 1 << 20).await.unwrap() == pattern(300_000, 2));
            for name in ["css/up", "link to a link"] {
                assert_eq!(archive.read(name, 100).await.unwrap(), b"<h1>hello</h1>\n");
            }
            assert!(leading_nowhere.iter().all(|(_, name)| archive.get(name).is_none()));
        });
    }
}

/// GNU tar writes names by a rule of the user's: here links that have the name of the archive's root.
#[test]
fn a_link_in_the_place_of_the_root_is_left_out() {
    let folder = tree();
    let at = |name: &str| folder.path().join("tree").join(name);
    fs::hard_link(at("index.html"), at("root 1")).unwrap();
    symlink("index.html", at("root 2")).unwrap();
    let (file, from) = (folder.at("archive"), folder.at("tree"));
    let rule = "--transform=flags=r;s,^root [12]$,./,";
    run("tar", "tar", &["-C", &from, "-cf", &file, rule, "index.html", "root 1", "root 2"]);
    let octets = fs::read(file).unwrap();
    testing::run(async {
        let archive = open(octets, 512).await.unwrap();
        let names: Vec<_> = archive.entries().map(|(name, _)| name).collect();
        assert_eq!((names, archive.left_out()), (vec!["index.html"], 2));
    });
}

#[test]
fn a_later_file_of_one_name_counts() {
    let folder = tree();
    let (file, at) = (folder.at("archive"), folder.at("tree"));
    run("tar", "tar", &["-C", &at, "-cf", &file, "."]);
    folder.write("tree/index.html", b"newer\n");
    run("tar", "tar", &["-C", &at, "-rf", &file, "./index.html"]);
    let octets = fs::read(file).unwrap();
    testing::run(async {
        compare(&folder, &open(octets, 512).await.unwrap()).await;
    });
}

#[test]
fn what_cannot_be_served_whole_is_refused() {
    let folder = tree();
    let sparse = fs::File::create(folder.path().join("tree/sparse")).unwrap();
    sparse.set_len(10 << 20).unwrap();
    for format in ["gnu", "pax"] {
        let octets = archive(&folder, &["--sparse", &format!("--format={format}")]);
        let refused = testing::run(open(octets, 512)).map(drop).unwrap_err();
        assert!(refused.to_string().ends_with(": sparse files are not read"), "{format}: {refused}");
    }
    fs::remove_file(folder.path().join("tree/sparse")).unwrap();
    let octets = archive(&folder, &["--transform=s,index,../index,", "-P"]);
    assert!(matches!(testing::run(open(octets, 512)).map(drop), Err(Error::Name { .. })));
}

#[test]
fn limits_hold() {
    let folder = tree();
    let plain = archive(&folder, &[]);
    let packed = archive(&folder, &["--gzip"]);
    let limited = |octets: &Vec<u8>, limits| {
        let disk = MemoryDisk::of(octets.clone(), 512).disk();
        testing::run(Archive::open(disk, limits)).map(drop)
    };
    let most = Limits::default();
    assert_eq!(limited(&plain, Limits { entries: 5, ..most }), Err(Error::Entries { most: 5 }));
    assert_eq!(limited(&plain, Limits { entries: 6, ..most }), Ok(()));
    assert_eq!(limited(&plain, Limits { names: 30, ..most }), Err(Error::Names { most: 30 }));
    let unpacked = plain.len();
    assert_eq!(limited(&packed, Limits { unpacked, ..most }), Ok(()));
    let less = Limits { unpacked: unpacked - 1, ..most };
    assert_eq!(limited(&packed, less), Err(Error::Unpacked { most: unpacked - 1 }));
}

#[test]
fn damage_is_said() {
    let folder = tree();
    let plain = archive(&folder, &[]);
    let packed = archive(&folder, &["--gzip"]);
    let said = |octets: Vec<u8>| {
        let disk = MemoryDisk::of(octets, 512).disk();
        testing::run(Archive::open(disk, Limits::default())).map(drop).unwrap_err()
    };
    assert_eq!(said(vec![0; 10_240]), Error::NotAnArchive);
    assert_eq!(said(pattern(10_240, 8)), Error::NotAnArchive);
    assert_eq!(said(vec![]), Error::NotAnArchive);
    let mut wrong = plain.clone();
    wrong[512] ^= 1;
    assert_eq!(said(wrong), Error::Header { at: 512, field: "checksum" });
    assert!(matches!(said(plain[..100_352].to_vec()), Error::CutOff { octets: 100_352, .. }));
    // A stream that ends too soon, one octet that is another.
    assert!(matches!(said(packed[..10_240].to_vec()), Error::Gzip { at: 10_240, what: "end" }));
    let mut wrong = packed;
    let middle = wrong.len() / 2;
    wrong[middle] ^= 0x10;
    assert!(matches!(said(wrong), Error::Gzip { .. }));
}

/// Members of gzip that follow each other are one content, as `cat` makes them.
#[test]
fn members_follow_each_other() {
    let folder = tree();
    let plain = archive(&folder, &[]);
    let (first, second) = plain.split_at(70_000);
    let mut packed = Vec::new();
    for (name, part) in [("first", first), ("second", second)] {
        folder.write(name, part);
        run("gzip", "gzip", &["-f", &folder.at(name)]);
        packed.extend(fs::read(folder.at(&format!("{name}.gz"))).unwrap());
    }
    testing::run(async {
        compare(&folder, &open(packed, 512).await.unwrap()).await;
    });
}

#[test]
fn ten_thousand_files() {
    let folder = Folder::new();
    for n in 0..10_000 {
        folder.write(&format!("tree/{}/a file with a long name, number {n}.text", n % 100), n.to_string());
    }
    let octets = archive(&folder, &[]);
    testing::run(async {
        let archive = open(octets, 512).await.unwrap();
        assert_eq!(archive.entries().len(), 10_000);
        for n in 0..10_000 {
            let name = format!("{}/a file with a long name, number {n}.text", n % 100);
            assert_eq!(archive.read(&name, 9).await.unwrap(), n.to_string().as_bytes());
        }
    });
}
