//! The machine's disks.

use super::VirtioBlk;
use crate::VirtioError;
use crate::find::{self, Found};
use crate::hal::GuestHal;
use alloc::borrow::ToOwned;
use alloc::string::String;
use fata_libos::block::{Access, Disk};
use fata_xen::machine::{self, MachineBoot};
use virtio_drivers::transport::DeviceType;

/// Why there is no disk.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The machine has fewer.
    #[error(
        "block device {name} is missing: the machine has no virtio disk number {index}; for QEMU it is \
         `-drive if=none,id=d{index},format=raw,file=PATH -device virtio-blk-pci,drive=d{index}`"
    )]
    Missing {
        /// The appliance's block device.
        name: String,
        /// Which was asked for, from 0.
        index: usize,
    },
    /// It does not work.
    #[error("block device {name}: {error}")]
    Device {
        /// The appliance's block device.
        name: String,
        /// Why.
        error: VirtioError,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl core::fmt::Debug for DiskError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// The machine's disk that `which` means, for the appliance's block device `name`: `vdb`, or its place from 0 in the order in
/// which disks are found.
pub fn open_block(boot: &MachineBoot, name: &str, which: &str, access: Access) -> Result<Disk, DiskError> {
    let index = index_of(which);
    let Found { transport, wake } = match find::open(boot, DeviceType::Block, index) {
        Err(VirtioError::Missing { .. }) => return Err(DiskError::Missing { name: name.to_owned(), index }),
        found => found.map_err(|error| DiskError::Device { name: name.to_owned(), error })?,
    };
    let started = VirtioBlk::<_, GuestHal>::new(transport, access, machine::interrupted(), || wake.enable(1));
    let device = started.map_err(|error| DiskError::Device { name: name.to_owned(), error })?;
    Ok(Disk::new(device))
}

/// The number of the disk that `which` means, for the appliance's block device `name`, if the machine has it. It is not touched.
pub fn find_block(boot: &MachineBoot, name: &str, which: &str) -> Result<u32, DiskError> {
    let index = index_of(which);
    if index >= find::count(boot, DeviceType::Block) {
        return Err(DiskError::Missing { name: name.to_owned(), index });
    }
    Ok(index as u32)
}

/// 1 for `vdb`, `xvdb` and `1`.
fn index_of(which: &str) -> usize {
    let letter = which.strip_prefix("xvd").or_else(|| which.strip_prefix("vd"));
    match letter.and_then(|letter| letter.bytes().next()) {
        Some(letter) => usize::from(letter.saturating_sub(b'a')),
        None => which.parse().unwrap_or(usize::MAX),
    }
}
