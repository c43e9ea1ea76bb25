//! Looks for devices: those of MMIO that the command line names, as QEMU's microvm and Firecracker tell them, then the PCI bus.

use crate::VirtioError;
use crate::hal::GuestHal;
use crate::net::VirtioNet;
use crate::pci::{self, Ports};
use alloc::boxed::Box;
use core::mem::ManuallyDrop;
use fata_libos::net::NetDevice;
use fata_xen::machine::{self, MachineBoot};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::pci::bus::PciRoot;
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::transport::{DeviceType, Transport};

/// The machine's network device number `index`, in the order in which they are found.
pub fn open_net(boot: &MachineBoot, index: usize) -> Result<Box<dyn NetDevice>, VirtioError> {
    let mut left = index;
    for (base, size, input) in boot.mmio_devices.split_whitespace().filter_map(mmio_device) {
        let header = machine::map_device(base);
        // SAFETY: the machine names the region; it stays mapped for ever.
        let Ok(transport) = (unsafe { MmioTransport::new(header.cast(), size) }) else { continue };
        // Dropping a transport resets its device, which may be at work: only the one that is opened is taken.
        let transport = ManuallyDrop::new(transport);
        if transport.device_type() != DeviceType::Network {
            continue;
        }
        if left > 0 {
            left -= 1;
            continue;
        }
        let transport = ManuallyDrop::into_inner(transport);
        machine::route(input);
        return Ok(Box::new(VirtioNet::new(transport.into(), &mut || {})?));
    }
    open_pci(left).unwrap_or(Err(VirtioError::Missing { index }))
}

/// `virtio_mmio.device=SIZE@BASE:INPUT`; the size is not more than a page.
fn mmio_device(text: &str) -> Option<(u64, usize, u32)> {
    let (size, place) = text.strip_prefix("virtio_mmio.device=")?.split_once('@')?;
    let mut place = place.split(':');
    let base = u64::from_str_radix(place.next()?.strip_prefix("0x")?, 16).ok()?;
    let size = if size == "4K" { 4096 } else { size.parse().ok().filter(|size| *size <= 4096)? };
    Some((base, size, place.next()?.parse().ok()?))
}

fn open_pci(index: usize) -> Option<Result<Box<dyn NetDevice>, VirtioError>> {
    let mut root = PciRoot::new(Ports);
    let is_net = |info: &_| virtio_device_type(info) == Some(DeviceType::Network);
    let (function, _) = root.enumerate_bus(0).filter(|(_, info)| is_net(info)).nth(index)?;
    pci::enable(&mut root, function);
    let transport = PciTransport::new::<GuestHal, _>(&mut root, function).ok()?;
    let mut wire = || {
        if pci::use_messages(&mut root, function, 2).is_none() {
            log::warn!("virtio-net has no MSI-X: it does not wake the guest");
        }
    };
    Some(VirtioNet::new(transport.into(), &mut wire).map(|net| Box::new(net) as Box<dyn NetDevice>))
}
