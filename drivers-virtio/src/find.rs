//! Looks for devices: those of MMIO that the command line names, as QEMU's microvm and Firecracker tell them, then those on the
//! machine's PCI buses.

use crate::VirtioError;
use crate::hal::GuestHal;
use crate::net::VirtioNet;
use crate::pci::{self, Ports};
use alloc::boxed::Box;
use core::ptr::NonNull;
use fata_libos::net::NetDevice;
use fata_xen::machine::{self, MachineBoot};
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::pci::PciTransport;
use virtio_drivers::transport::pci::bus::{DeviceFunction, PciRoot};
use virtio_drivers::transport::{DeviceType, SomeTransport};

/// The way to a device's registers.
pub type DeviceTransport = SomeTransport<'static>;

/// A device that nobody drives yet.
pub struct Found {
    /// Its registers.
    pub transport: DeviceTransport,
    /// How it wakes the guest.
    pub wake: Wake,
}

/// How a device wakes the guest.
pub struct Wake(By);

enum By {
    Inputs([u32; 2]),
    Message(DeviceFunction),
}

impl Wake {
    /// Lets the first `queues` queues of the device wake the guest; they must be set up, the device not yet started. A device
    /// that has no way to wake the guest is looked at from time to time.
    pub fn enable(self, queues: u16) {
        match self.0 {
            By::Inputs(inputs) => inputs.into_iter().for_each(machine::route),
            By::Message(function) => {
                if pci::use_messages(&mut PciRoot::new(Ports), function, queues).is_none() {
                    log::warn!("a virtio device has no MSI-X: it is looked at each millisecond");
                    machine::look_often();
                }
            }
        }
    }
}

/// The machine's network device number `index`.
pub fn open_net(boot: &MachineBoot, index: usize) -> Result<Box<dyn NetDevice>, VirtioError> {
    let Found { transport, wake } = open(boot, DeviceType::Network, index)?;
    Ok(Box::new(VirtioNet::new(transport, || wake.enable(2))?))
}

/// The machine's device number `index` of a kind, from 0 in the order in which they are found.
///
/// Devices that are passed over are not touched: somebody may drive them.
pub fn open(boot: &MachineBoot, kind: DeviceType, index: usize) -> Result<Found, VirtioError> {
    let mut left = index;
    let mut is_it = |found: u32| {
        let it = found == kind as u32 && left == 0;
        left -= usize::from(found == kind as u32 && left > 0);
        it
    };
    for (base, size, inputs) in mmio_devices(boot) {
        let Some(registers) = machine::map_device(base, size) else { continue };
        if mmio_kind(registers).is_some_and(&mut is_it) {
            // SAFETY: the machine names the region; it stays mapped for ever.
            let transport = unsafe { MmioTransport::new(registers.cast(), size) };
            let transport = transport.map_err(|_| VirtioError::Device)?.into();
            return Ok(Found { transport, wake: Wake(By::Inputs(inputs)) });
        }
    }
    let function = pci::find(&mut is_it).ok_or(VirtioError::Missing { kind: name_of(kind), index })?;
    open_pci(function)
}

/// Where QEMU's microvm has its devices when it describes them in ACPI's language rather than on the command line
/// (`hw/i386/microvm.c`): so many octets each, up to so many of them. They raise the inputs of the second interrupt
/// controller, or of the first from 16 on.
const MICROVM: u64 = 0xfeb0_0000;
const MICROVM_SIZE: usize = 512;
const MICROVM_DEVICES: u32 = 24;

type Place = (u64, usize, [u32; 2]);

/// Those that the command line names; where it names none and there is no PCI, those of a microvm.
fn mmio_devices(boot: &MachineBoot) -> impl Iterator<Item = Place> {
    let named = boot.mmio_devices.split_whitespace().filter_map(mmio_device);
    let is_microvm = boot.mmio_devices.is_empty() && !pci::is_there();
    let place = |n| (MICROVM + u64::from(n) * MICROVM_SIZE as u64, MICROVM_SIZE, [24 + n, 16 + n % 8]);
    named.chain((0..MICROVM_DEVICES).filter(move |_| is_microvm).map(place))
}

/// `virtio_mmio.device=SIZE@BASE:INPUT`; the size is not more than a page.
fn mmio_device(text: &str) -> Option<Place> {
    let (size, place) = text.strip_prefix("virtio_mmio.device=")?.split_once('@')?;
    let mut place = place.split(':');
    let base = u64::from_str_radix(place.next()?.strip_prefix("0x")?, 16).ok()?;
    let size = if size == "4K" { 4096 } else { size.parse().ok().filter(|size| *size <= 4096)? };
    let input = place.next()?.parse().ok()?;
    (base % 4 == 0 && size >= 0x100).then_some((base, size, [input; 2]))
}

/// The kind of a device of MMIO (virtio 1.2, section 4.2.2): 0 where there is a place but no device.
fn mmio_kind(registers: NonNull<u8>) -> Option<u32> {
    const MAGIC: u32 = 0x7472_6976;
    // SAFETY: the registers are mapped and aligned; reading these changes nothing.
    let read = |n: usize| unsafe { registers.cast::<u32>().add(n).read_volatile() };
    (read(0) == MAGIC).then(|| read(2))
}

fn open_pci(function: DeviceFunction) -> Result<Found, VirtioError> {
    let mut root = PciRoot::new(Ports);
    if !pci::is_modern(&root, function) {
        return Err(VirtioError::Legacy);
    }
    pci::enable(&mut root, function);
    let transport =
        PciTransport::new::<GuestHal, _>(&mut root, function).map_err(|_| VirtioError::Device)?.into();
    Ok(Found { transport, wake: Wake(By::Message(function)) })
}

fn name_of(kind: DeviceType) -> &'static str {
    match kind {
        DeviceType::Network => "network",
        DeviceType::Block => "block",
        DeviceType::Console => "console",
        DeviceType::EntropySource => "entropy",
        _ => "other",
    }
}
