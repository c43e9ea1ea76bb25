//! Virtio devices of a guest without Xen below it, on the `virtio-drivers` crate: net, over PCI and MMIO.
//!
//! [`net`] is the driver, over any transport; [`find`] looks for devices, where [`pci`] is the machine's configuration space;
//! [`hal`] is memory as devices see it. The machine below is `fata_xen::machine`.
#![cfg_attr(target_os = "xen", no_std)]

#[cfg(target_os = "xen")]
extern crate alloc;

#[cfg(target_os = "xen")]
pub mod find;
#[cfg(target_os = "xen")]
mod hal;
#[cfg(target_os = "xen")]
pub mod net;
#[cfg(target_os = "xen")]
mod pci;

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
