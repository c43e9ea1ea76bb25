//! Disks with FAT volumes and archives that are nearly good ones.

use fata_fuzz::{Changes, changes, fuzz};
use fata_libos::block::{Access, BlockDevice, Disk, Geometry, InFlight, Outcome, Request};
use fata_libos::testing;
use fata_storage::archive::{Archive, Limits};
use fata_storage::fat::{Format, Kind, Mode, Variant, Volume};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::Command;
use std::rc::Rc;
use std::sync::LazyLock;

const SECTOR: usize = 512;
/// Far more than any input needs; one that never ends needs more.
const MOST_REQUESTS: usize = 2_000_000;
/// Files and directories that are looked at of one volume.
const MOST_ENTRIES: usize = 400;

/// A disk of which only sectors that are not zero take memory.
#[derive(Clone)]
struct Sparse {
    sectors: Rc<RefCell<BTreeMap<u64, Vec<u8>>>>,
    requests: Rc<RefCell<usize>>,
    geometry: Geometry,
}

impl Sparse {
    fn new(octets: u64) -> Self {
        let geometry = Geometry::new(SECTOR, octets / SECTOR as u64, Access::ReadWrite);
        Self { sectors: Rc::default(), requests: Rc::default(), geometry }
    }

    fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    fn read(&self, sector: u64, buffer: &mut [u8]) {
        for (sector, octets) in (sector..).zip(buffer.chunks_mut(SECTOR)) {
            match self.sectors.borrow().get(&sector) {
                Some(content) => octets.copy_from_slice(content),
                None => octets.fill(0),
            }
        }
    }

    fn write(&self, sector: u64, buffer: &[u8]) {
        for (sector, octets) in (sector..).zip(buffer.chunks(SECTOR)) {
            let mut octets = octets.to_vec();
            octets.resize(SECTOR, 0);
            self.sectors.borrow_mut().insert(sector, octets);
        }
    }
}

impl BlockDevice for Sparse {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, mut request: Request) -> InFlight {
        *self.requests.borrow_mut() += 1;
        assert!(*self.requests.borrow() < MOST_REQUESTS, "no end of requests");
        let result = self.geometry.check(&request);
        if result.is_ok() {
            match &mut request {
                Request::Read { sector, buffer } => self.read(*sector, buffer),
                Request::Write { sector, buffer } => self.write(*sector, buffer),
                Request::Flush | Request::Discard { .. } => {}
            }
        }
        let outcome = Outcome { result, buffer: request.into_buffer() };
        Box::pin(async move { outcome })
    }
}

/// A good volume: its size, and its sectors that are not zero.
struct Image {
    octets: u64,
    places: Vec<u64>,
    content: Vec<u8>,
}

impl Image {
    /// The volume with what changes make of it.
    fn changed(&self, changes: &[Changes]) -> Sparse {
        let mut content = self.content.clone();
        changes.iter().for_each(|changes| changes.apply(&mut content));
        let disk = Sparse::new(self.octets);
        for (sector, octets) in self.places.iter().zip(content.chunks(SECTOR)) {
            disk.write(*sector, octets);
        }
        disk
    }
}

static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    let kinds = [(Variant::Fat12, 1 << 20), (Variant::Fat16, 8 << 20), (Variant::Fat32, 40 << 20)];
    kinds.map(|(variant, octets)| testing::run(image(variant, octets))).into()
});

async fn image(variant: Variant, octets: u64) -> Image {
    let disk = Sparse::new(octets);
    Format::new().variant(variant).cluster(512).label("FUZZ").write(&disk.disk()).await.unwrap();
    let volume = Volume::mount(disk.disk()).await.unwrap();
    volume.create_dir("/a folder").await.unwrap();
    volume.create_dir("/a folder/deeper").await.unwrap();
    for n in 0..6_u8 {
        volume.write(&format!("/a folder/a file with a long name, number {n}"), &[n; 1500]).await.unwrap();
        volume.write(&format!("/SHORT{n}.TXT"), &[n; 700]).await.unwrap();
    }
    volume.write("/a folder/deeper/last", b"last").await.unwrap();
    volume.sync().await.unwrap();
    let mut sectors = disk.sectors.take();
    sectors.retain(|_, octets| octets.iter().any(|octet| *octet != 0));
    let (places, content): (_, Vec<_>) = sectors.into_iter().unzip();
    Image { octets, places, content: content.concat() }
}

/// Looks at all that is there, in any order; what is damaged is an error.
async fn look(volume: &Volume) -> Vec<String> {
    let (mut directories, mut files, mut count) = (vec![String::new()], Vec::new(), 0);
    while let Some(path) = directories.pop() {
        let Ok(mut directory) = volume.read_dir(&path).await else { continue };
        while let Ok(Some(entry)) = directory.next().await {
            count += 1;
            if count > MOST_ENTRIES {
                return files;
            }
            let path = format!("{path}/{}", entry.name);
            match entry.metadata.kind {
                Kind::Directory => directories.push(path),
                Kind::File => {
                    let _ = volume.read(&path, 1 << 16).await;
                    let _ = volume.metadata(&path).await;
                    files.push(path);
                }
            }
        }
    }
    files
}

async fn change(volume: &Volume, files: &[String]) {
    for (n, path) in files.iter().take(12).enumerate() {
        let _ = match n % 4 {
            0 => volume.remove_file(path).await,
            1 => volume.rename(path, &format!("/a folder/renamed {n}")).await,
            2 => volume.write(path, &[7; 3000]).await,
            _ => match volume.open_with(path, Mode::Append).await {
                Ok(mut file) => {
                    let _ = embedded_io_async::Write::write_all(&mut file, &[8; 3000]).await;
                    file.set_len(100).await
                }
                Err(error) => Err(error),
            },
        };
    }
    let _ = volume.create_dir("/a folder/new").await;
    let _ = volume.write("/a folder/new/file with a long name", &[9; 2000]).await;
    let _ = volume.rename("/a folder/new", "/moved").await;
    let _ = volume.remove_dir("/moved").await;
    let _ = volume.space().await;
    let _ = volume.label().await;
    let _ = volume.sync().await;
}

#[test]
fn fat_volumes() {
    let inputs = (any::<Index>(), vec(changes(), 0..4));
    fuzz(&inputs, |(which, changes)| {
        let disk = which.get(&IMAGES).changed(&changes);
        testing::run(async {
            let Ok(volume) = Volume::mount(disk.disk()).await else { return };
            let files = look(&volume).await;
            change(&volume, &files).await;
            look(&volume).await;
        });
    });
}

/// Small archives of all formats, plain and in gzip.
static ARCHIVES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("fata-fuzz-archives-{}", std::process::id()));
    let long = folder.join(["a folder"; 12].join("/"));
    std::fs::create_dir_all(&long).unwrap();
    std::fs::write(folder.join("index.html"), [b'x'; 700]).unwrap();
    std::fs::write(long.join("a very long name ".repeat(10)), b"long").unwrap();
    std::os::unix::fs::symlink("index.html", folder.join("link")).unwrap();
    std::fs::hard_link(folder.join("index.html"), folder.join("other")).unwrap();
    let arguments =
        ["--format=gnu", "--format=pax", "--format=ustar"].map(|format| [format, "--exclude=*long name*"]);
    let mut archives = Vec::new();
    for [format, exclude] in arguments {
        for compress in [None, Some("--gzip")] {
            let mut tar = Command::new("tar");
            tar.args(["-b1", format]).args(compress).args((format == "--format=ustar").then_some(exclude));
            let output = tar.arg("-cC").arg(&folder).arg(".").output();
            let output =
                output.unwrap_or_else(|error| panic!("tar is needed ({error}): apt-get install tar"));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            archives.push(output.stdout);
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    archives
});

/// Gives headers the checksum that they ought to have.
fn with_right_sums(octets: &mut [u8]) {
    for block in octets.chunks_exact_mut(SECTOR).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|octet| u32::from(*octet)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}

#[test]
fn archives() {
    let inputs = (any::<Index>(), vec(changes(), 0..4), any::<bool>());
    fuzz(&inputs, |(which, changes, mends)| {
        let mut octets = which.get(&ARCHIVES).clone();
        changes.iter().for_each(|changes| changes.apply(&mut octets));
        if mends {
            with_right_sums(&mut octets);
        }
        let disk = Sparse::new(octets.len().next_multiple_of(SECTOR) as u64);
        disk.write(0, &octets);
        let limits = Limits { entries: 1000, names: 100_000, unpacked: 1 << 20 };
        testing::run(async {
            let Ok(archive) = Archive::open(disk.disk(), limits).await else { return };
            assert!(archive.in_memory() <= limits.unpacked && archive.entries().len() <= limits.entries);
            for (name, entry) in archive.entries() {
                // What the index has is there.
                let content = archive.read(name, 1 << 24).await.unwrap();
                assert_eq!(content.len() as u64, entry.len);
                assert!(
                    !name.starts_with('/') && !name.split('/').any(|part| matches!(part, "" | "." | "..")),
                    "{name}"
                );
            }
        });
    });
}
