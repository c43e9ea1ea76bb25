//! Virtio devices of a guest without Xen below it, on the `virtio-drivers` crate: net and block, over PCI and MMIO.
//!
//! [`net`] and [`block`] are drivers, over any transport; [`find`] looks for devices, where [`pci`] is the machine's configuration space;
//! [`hal`] is memory as devices see it. The machine below is `fata_xen::machine`.
#![cfg_attr(target_os = "xen", no_std)]

#[cfg(target_os = "xen")]
extern crate alloc;

#[cfg(target_os = "xen")]
pub mod block;
#[cfg(target_os = "xen")]
pub mod find;
#[cfg(target_os = "xen")]
mod hal;
#[cfg(target_os = "xen")]
pub mod net;
#[cfg(target_os = "xen")]
mod pci;

#[cfg(target_os = "xen")]
pub use block::open_block;
#[cfg(target_os = "xen")]
pub use find::open_net;

/// Why there is no device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VirtioError {
    /// The machine has fewer devices of the kind.
    #[error("there is no virtio {kind} device number {index}")]
    Missing {
        /// What kind of device.
        kind: &'static str,
        /// Which was asked for, from 0.
        index: usize,
    },
    /// The device refused, or is none.
    #[error("the virtio device does not work as virtio devices do")]
    Device,
    /// The device is of the time before virtio 1.0.
    #[error(
        "the virtio device is of before virtio 1.0 on PCI, which is not driven (QEMU: disable-modern=off)"
    )]
    Legacy,
    /// There is no memory for its buffers.
    #[error("no memory for a virtio device's buffers")]
    Memory,
}

impl From<virtio_drivers::Error> for VirtioError {
    /// Which of them it was stays untold: their texts, of all kinds of devices, are larger than the driver.
    fn from(_: virtio_drivers::Error) -> Self {
        Self::Device
    }
}

/// Why there is no disk.
#[cfg(target_os = "xen")]
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
        name: alloc::string::String,
        /// Which was asked for, from 0.
        index: usize,
    },
    /// It does not work.
    #[error("block device {name}: {error}")]
    Device {
        /// The appliance's block device.
        name: alloc::string::String,
        /// Why.
        error: VirtioError,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
#[cfg(target_os = "xen")]
impl core::fmt::Debug for DiskError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
