//! Files as block devices, on the host's own file system.

use super::*;
use crate::UnixPlatform;
use fata_libos::block::{Buffer, Disk};
use fata_libos::task::block_on;
use std::fs;
use std::path::PathBuf;

const SIZE: u64 = 1 << 20;

struct TestFile(PathBuf);

impl TestFile {
    fn new(name: &str, octets: u64) -> Self {
        let path = std::env::temp_dir().join(format!("fata-disk-{}-{name}", std::process::id()));
        File::create(&path).unwrap().set_len(octets).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn with_disk(file: &TestFile, access: Access, test: impl AsyncFnOnce(Disk)) {
    let platform = UnixPlatform::new().unwrap();
    let device = FileDisk::open(platform.reactor(), "data", file.path(), access).unwrap();
    block_on(platform, test(Disk::new(device)));
}

#[test]
fn what_is_written_is_in_the_file() {
    let file = TestFile::new("written", SIZE);
    with_disk(&file, Access::ReadWrite, async |disk| {
        assert_eq!((disk.geometry().sectors, disk.sector_size()), (2048, 512));
        let buffer = disk.write(3, Buffer::copy_of(&[7; 1024])).await.unwrap();
        assert_eq!(buffer.len(), 1024);
        disk.flush().await.unwrap();
        assert_eq!(*disk.read(4, 1).await.unwrap(), [7; 512]);
        assert_eq!(*disk.read(5, 1).await.unwrap(), [0; 512]);
    });
    let bytes = fs::read(&file.0).unwrap();
    assert!(bytes[3 * 512..5 * 512].iter().all(|b| *b == 7));
    assert_eq!(bytes.iter().filter(|b| **b != 0).count(), 1024);
}

#[test]
fn many_requests_are_in_flight_from_one_task() {
    let file = TestFile::new("many", SIZE);
    with_disk(&file, Access::ReadWrite, async |disk| {
        let writes: Vec<_> = (0..200u64)
            .map(|n| disk.submit(Request::Write { sector: 7 * n, buffer: Buffer::copy_of(&[n as u8; 512]) }))
            .collect();
        for write in writes {
            write.await.result.unwrap();
        }
        let reads: Vec<_> = (0..200u64)
            .map(|n| disk.submit(Request::Read { sector: 7 * n, buffer: Buffer::zeroed(512) }))
            .collect();
        for (n, read) in reads.into_iter().enumerate() {
            assert_eq!(*read.await.buffer.unwrap(), [n as u8; 512]);
        }
    });
}

#[test]
fn a_discard_is_a_hole() {
    use std::os::unix::fs::MetadataExt;
    let file = TestFile::new("hole", SIZE);
    fs::write(&file.0, vec![1; SIZE as usize]).unwrap();
    let before = fs::metadata(&file.0).unwrap().blocks();
    with_disk(&file, Access::ReadWrite, async |disk| {
        disk.discard(8, 1024).await.unwrap();
        disk.discard(8, 0).await.unwrap();
        assert_eq!(*disk.read(8, 1).await.unwrap(), [0; 512]);
        assert_eq!(*disk.read(7, 1).await.unwrap(), [1; 512]);
    });
    assert!(fs::metadata(&file.0).unwrap().blocks() < before);
    assert_eq!(fs::metadata(&file.0).unwrap().len(), SIZE);
}

#[test]
fn a_read_only_disk_leaves_its_file_alone() {
    let file = TestFile::new("read-only", SIZE);
    with_disk(&file, Access::ReadOnly, async |disk| {
        let written = disk.write(9, Buffer::zeroed(512)).await;
        assert_eq!(written.map(drop), Err(BlockError::ReadOnly { sector: 9 }));
        assert_eq!(disk.discard(9, 1).await, Err(BlockError::ReadOnly { sector: 9 }));
        assert!(disk.read(9, 1).await.is_ok());
    });
}

/// The host's own error reaches who asked: a file that was cut shorter meanwhile.
#[test]
fn an_error_of_the_host_is_that_requests_error() {
    let file = TestFile::new("short", SIZE);
    with_disk(&file, Access::ReadWrite, async |disk| {
        OpenOptions::new().write(true).open(&file.0).unwrap().set_len(512).unwrap();
        assert_eq!(disk.read(1, 1).await.map(drop), Err(BlockError::Failed { sector: 1, status: 0 }));
        assert!(disk.read(0, 1).await.is_ok());
    });
}

#[test]
fn what_is_no_disk_is_said() {
    let platform = UnixPlatform::new().unwrap();
    let open = |path: &str, access| FileDisk::open(platform.reactor(), "data", path, access);
    let said = |path: &str| open(path, Access::ReadOnly).map(drop).unwrap_err().to_string();
    assert_eq!(
        said("/no/file"),
        "block device data: cannot open /no/file: No such file or directory (os error 2)"
    );
    assert_eq!(said("/"), "block device data: / is neither a file nor a block device");
    let odd = TestFile::new("odd", 1000);
    let path = odd.path();
    assert_eq!(
        said(path),
        format!("block device data: {path} has 1000 octets, which are not whole sectors of 512")
    );
    let file = TestFile::new("busy", SIZE);
    let first = open(file.path(), Access::ReadWrite).unwrap();
    let second = open(file.path(), Access::ReadOnly).map(drop).unwrap_err();
    assert_eq!(second.to_string(), format!("block device data: another process uses {}", file.path()));
    drop(first);
}
