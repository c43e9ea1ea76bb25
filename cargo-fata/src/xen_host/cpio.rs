//! Writes the archive format that Linux takes as an initramfs (`newc`, see `Documentation/driver-api/early-userspace` of
//! Linux). Archives concatenate: the kernel unpacks one after the other.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// An archive being written. Everything belongs to root, whoever packs it.
pub struct Archive<W> {
    writer: W,
    inode: u32,
}

impl<W: Write> Archive<W> {
    /// An archive with nothing in it yet.
    pub fn new(writer: W) -> Self {
        Self { writer, inode: 1 }
    }

    /// Adds a file; its folder must be there already.
    pub fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> io::Result<()> {
        self.entry(name.as_bytes(), FILE | permissions, content)
    }

    /// Adds a folder.
    #[cfg(test)]
    pub fn folder(&mut self, name: &str) -> io::Result<()> {
        self.entry(name.as_bytes(), FOLDER | 0o755, b"")
    }

    /// Adds what is in `folder`, in the order of names, so that the same tree gives the same archive. Device nodes and
    /// sockets are left out.
    pub fn tree(&mut self, folder: &Path) -> io::Result<()> {
        self.subtree(folder, folder)
    }

    fn subtree(&mut self, top: &Path, folder: &Path) -> io::Result<()> {
        let mut entries = std::fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = path.strip_prefix(top).map_err(io::Error::other)?.as_os_str().as_bytes().to_vec();
            let metadata = entry.metadata()?;
            let permissions = metadata.permissions().mode() & 0o7777;
            if metadata.is_symlink() {
                let target = std::fs::read_link(&path)?;
                self.entry(&name, LINK | 0o777, target.as_os_str().as_bytes())?;
            } else if metadata.is_dir() {
                self.entry(&name, FOLDER | permissions, b"")?;
                self.subtree(top, &path)?;
            } else if metadata.is_file() {
                self.entry(&name, FILE | permissions, &std::fs::read(&path)?)?;
            }
        }
        Ok(())
    }

    /// Writes the end mark and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.entry(b"TRAILER!!!", 0, b"")?;
        Ok(self.writer)
    }

    fn entry(&mut self, name: &[u8], mode: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| io::Error::other("a file of 4 GiB or more"))?;
        let inode = self.inode;
        self.inode += 1;
        let (uid, gid, links, time, device, checksum) = (0, 0, 1, 0, 0, 0);
        let fields = [
            inode,
            mode,
            uid,
            gid,
            links,
            time,
            size,
            device,
            device,
            device,
            device,
            name.len() as u32 + 1,
            checksum,
        ];
        let mut header = b"070701".to_vec();
        for field in fields {
            header.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        header.extend_from_slice(name);
        header.push(0);
        self.padded(&header)?;
        self.padded(content)
    }

    /// Headers and contents both end on a multiple of four.
    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.write_all(&[0; 3][..bytes.len().wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_counted() {
        let mut archive = Archive::new(Vec::new());
        archive.folder("etc").unwrap();
        archive.file("etc/a", 0o644, b"hello").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert!(bytes.starts_with(b"070701"));
        let second = 110 + 4 + 2;
        assert_eq!(&bytes[second..second + 6], b"070701");
        assert_eq!(&bytes[second + 54..second + 62], b"00000005");
    }
}
