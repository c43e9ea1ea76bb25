//! Block devices of an appliance: `env.block(blocks::DATA).await?` is a [`Disk`].
//!
//! ```ignore
//! let disk = env.block(blocks::DATA).await?;
//! let mut sector = disk.read(0, 1).await?;
//! sector[0] += 1;
//! disk.write(0, sector).await?;
//! disk.flush().await?;
//! ```
//!
//! What a disk is below depends on where the appliance runs: a `vbd` of a Xen domain, a virtio device, a file of a process.
//! Which one it is the boot parameters say, `data.disk=xvdb` or `data.file=PATH` (docs/boot-parameters.md).

use crate::{Env, Result};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::cell::RefCell;
pub use fata_libos::block::{
    Access, BlockDevice, BlockError, Buffer, Discard, Disk, Geometry, InFlight, Outcome, Request,
};
use fata_libos::param::{self, Kind, Param};

/// Names a block device of the manifest: a constant in the module `blocks` that [`main!`](crate::main) makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    index: usize,
    name: &'static str,
}

impl Name {
    #[doc(hidden)]
    pub const fn new(index: usize, name: &'static str) -> Self {
        Self { index, name }
    }

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// Its place among the block devices of the manifest, from 0.
    pub const fn index(self) -> usize {
        self.index
    }
}

/// Which disk of the guest.
static DISK: Kind = Kind { what: "a disk, such as xvdb, or its place from 0", check: is_disk };

/// A name of one letter, as Xen's toolstacks and Linux have them, or a place.
fn is_disk(text: &str) -> bool {
    let letter = text.strip_prefix("xvd").or_else(|| text.strip_prefix("vd"));
    match letter.map(str::as_bytes) {
        Some([letter]) => letter.is_ascii_lowercase(),
        _ => (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// The parameters that every block device has, in the order of `fata-build`; each has the device's name before it.
#[doc(hidden)]
pub static PARAMS: [Param; 2] = [
    Param { name: "disk", kind: &DISK, default: None, help: "which of the guest's disks it is" },
    Param { name: "read-only", kind: &param::BOOL, default: None, help: "whether writes are refused" },
];

/// The block devices that are open.
pub(crate) type Disks = RefCell<Vec<(&'static str, Disk)>>;

impl Env {
    /// Opens a block device, which is the same one each time. Waits until it is there to be used; an error says what is missing.
    pub async fn block(&self, name: Name) -> Result<Disk> {
        let disks = *self.shared.disks.get_or_init(|| Box::leak(Box::default()));
        let opened = |disks: &Disks| {
            disks.borrow().iter().find(|(known, _)| *known == name.name).map(|(_, disk)| disk.clone())
        };
        if let Some(disk) = opened(disks) {
            return Ok(disk);
        }
        let read_only = self.shared.params.get(&format!("{}.read-only", name.name)) == Some("on");
        let access = if read_only { Access::ReadOnly } else { Access::ReadWrite };
        let disk = self.open_disk(name, access).await?;
        // Another task may have been faster.
        if let Some(disk) = opened(disks) {
            return Ok(disk);
        }
        disks.borrow_mut().push((name.name, disk.clone()));
        Ok(disk)
    }

    #[cfg(target_os = "xen")]
    async fn open_disk(&self, name: Name, access: Access) -> Result<Disk> {
        let which = format!("{}.disk", name.name);
        let which = self.shared.params.get(&which).unwrap_or_default();
        self.shared.machine.open_disk(name.name, which, access).await
    }

    #[cfg(not(target_os = "xen"))]
    async fn open_disk(&self, name: Name, access: Access) -> Result<Disk> {
        let file = format!("{}.{}", name.name, crate::hosted::FILE);
        let path = self.shared.params.get(&file).ok_or(NoFile { name: name.name })?;
        let device = fata_unix::disk::FileDisk::open(self.shared.machine.reactor(), name.name, path, access)?;
        Ok(Disk::new(device))
    }
}

/// A block device of a process that was given no file.
#[cfg(not(target_os = "xen"))]
#[derive(Debug, thiserror::Error)]
#[error("block device {name} has no file: give {name}.file=PATH")]
pub struct NoFile {
    /// The device.
    pub name: &'static str,
}

#[cfg(test)]
mod tests {
    use super::{PARAMS, is_disk};

    /// `fata-build` declares them by their places.
    #[test]
    fn parameters_are_in_the_order_of_the_manifests_keys() {
        assert_eq!(PARAMS.each_ref().map(|param| param.name), ["disk", "read-only"]);
    }

    #[test]
    fn disks_are_named_or_counted() {
        for good in ["xvda", "xvdz", "vdb", "0", "15"] {
            assert!(is_disk(good), "{good}");
        }
        for bad in ["", "xvd", "xvdA", "xvda1", "sda", "100", "-1", "a"] {
            assert!(!is_disk(bad), "{bad}");
        }
    }
}
