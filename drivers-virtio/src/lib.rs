//! Virtio devices of a guest without Xen below it, on the `virtio-drivers` crate: net, block, entropy and console, over PCI and MMIO.
//!
//! [`net`], [`block`], `entropy` and `console` are the drivers, over any transport and any memory, so that host tests run them against
//! a device of their own; `queue` and `single` are what they stand on: queues whose device is not trusted. On a guest, `find` looks for devices,
//! `pci` is the machine's configuration space, `transport` the way to registers, `hal` memory as devices see it. The machine
//! below is `fata_xen::machine`.
#![cfg_attr(target_os = "xen", no_std)]

extern crate alloc;

pub mod block;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod command_line;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod console;
#[cfg(target_os = "xen")]
mod console_of_guest;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod entropy;
#[cfg(test)]
mod fake;
#[cfg(target_os = "xen")]
pub mod find;
#[cfg(target_os = "xen")]
mod hal;
pub mod net;
#[cfg(target_os = "xen")]
mod pci;
mod queue;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod single;
#[cfg_attr(not(target_os = "xen"), allow(dead_code))]
mod transport;

#[cfg(target_os = "xen")]
pub use block::{DiskError, find_block, open_block};
#[cfg(target_os = "xen")]
pub use console_of_guest::open_console;
#[cfg(target_os = "xen")]
pub use find::{find_net, open_net, seed};
#[cfg(target_os = "xen")]
pub use transport::DeviceTransport;

use core::fmt;
use virtio_drivers::transport::{DeviceStatus, Transport};

/// Whether the device has agreed to what the driver chose (virtio 1.2, section 3.1.1, step 6), which those before version 1 are
/// not asked.
fn agreed(transport: &impl Transport, features: u64) -> Result<(), VirtioError> {
    let is_old = features & (1 << 32) == 0;
    let is_agreed = is_old || transport.get_status().contains(DeviceStatus::FEATURES_OK);
    is_agreed.then_some(()).ok_or(VirtioError::Device)
}

/// Why there is no device.
#[derive(thiserror::Error)]
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
    /// Its registers are nowhere: the firmware has not said where, or they have no room.
    #[error("the virtio device's registers are not where they can be mapped")]
    Registers,
    /// There is no memory for its buffers.
    #[error("no memory for a virtio device's buffers")]
    Memory,
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for VirtioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<virtio_drivers::Error> for VirtioError {
    /// Which of them it was stays untold: their texts, of all kinds of devices, are larger than the driver.
    fn from(_: virtio_drivers::Error) -> Self {
        Self::Device
    }
}
