//! Disks in memory, and the programs of other systems that tests compare with.
#![allow(dead_code, reason = "each test uses what it needs")]

use fata_libos::block::{Access, BlockDevice, Disk, Geometry, InFlight, Outcome, Request};
use fata_libos::task::yield_now;
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A disk in memory: a clone is the same.
#[derive(Clone)]
pub struct MemoryDisk {
    octets: Rc<RefCell<Vec<u8>>>,
    geometry: Geometry,
}

impl MemoryDisk {
    /// A disk with this content, whole sectors long.
    pub fn new(octets: Vec<u8>, sector_size: usize, access: Access) -> Self {
        assert!(octets.len().is_multiple_of(sector_size));
        let geometry = Geometry::new(sector_size, (octets.len() / sector_size) as u64, access);
        Self { octets: Rc::new(RefCell::new(octets)), geometry }
    }

    /// A writable one.
    pub fn of(octets: Vec<u8>, sector_size: usize) -> Self {
        Self::new(octets, sector_size, Access::ReadWrite)
    }

    /// A handle.
    pub fn disk(&self) -> Disk {
        Disk::new(self.clone())
    }

    /// What it holds now.
    pub fn octets(&self) -> Vec<u8> {
        self.octets.borrow().clone()
    }
}

impl BlockDevice for MemoryDisk {
    fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn submit(&self, mut request: Request) -> InFlight {
        let this = self.clone();
        Box::pin(async move {
            // As a real one, which is never done at once.
            yield_now().await;
            if let Err(error) = this.geometry.check(&request) {
                return Outcome::refused(request, error);
            }
            let at = request.sector() as usize * this.geometry.sector_size;
            let mut octets = this.octets.borrow_mut();
            match &mut request {
                Request::Read { buffer, .. } => {
                    let len = buffer.len();
                    buffer.copy_from_slice(&octets[at..at + len]);
                }
                Request::Write { buffer, .. } => octets[at..at + buffer.len()].copy_from_slice(buffer),
                Request::Flush | Request::Discard { .. } => {}
            }
            drop(octets);
            Outcome { result: Ok(()), buffer: request.into_buffer() }
        })
    }
}

/// A folder that is gone when the test has ended.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("fata-storage-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, as an argument.
    pub fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a program of a Debian package, and gives what it did.
pub fn output(package: &str, program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    // Where Debian has what is the administrator's.
    command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("MTOOLS_SKIP_CHECK", "1")
        .env("LC_ALL", "C.UTF-8");
    match command.args(args).output() {
        Ok(output) => output,
        Err(error) => panic!("{program} is needed ({error}): apt-get install {package}"),
    }
}

/// Runs a program of a Debian package to its good end, and gives what it printed.
pub fn run(package: &str, program: &str, args: &[&str]) -> String {
    let output = output(package, program, args);
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{program} {args:?}: {}\n{out}{err}", output.status);
    out
}

/// Octets that no two places have alike.
pub fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}
