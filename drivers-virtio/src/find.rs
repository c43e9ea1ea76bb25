//! Looks for devices: those of MMIO that the command line names, as QEMU's microvm and Firecracker tell them, then those on the
//! machine's PCI buses.

use crate::VirtioError;
use crate::command_line::{Place, mmio_devices};
use crate::entropy::{self, NotBefore};
use crate::hal::GuestHal;
use crate::net::VirtioNet;
use crate::pci;
use crate::transport::{DeviceTransport, Region, mmio_kind};
use alloc::boxed::Box;
use fata_libos::net::NetDevice;
use fata_xen::guest::GuestHypervisor;
use fata_xen::machine::{self, MachineBoot};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::DeviceFunction;

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
                if pci::use_messages(function, queues).is_none() {
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
    Ok(Box::new(VirtioNet::<GuestHal, _>::new(transport, machine::interrupted(), || wake.enable(2))?))
}

/// Fills `seed` with random octets of the machine's virtio-rng, or with zeros where it gives none within half a second. Such a device is
/// asked again after a minute: its host may have had none. One that breaks the protocol is not. False if there is none, or it is not
/// asked now.
pub fn seed(boot: &MachineBoot, seed: &mut [u8; 32]) -> bool {
    static NOT_BEFORE: NotBefore = NotBefore::new();
    let device = || open(boot, DeviceType::EntropySource, 0).ok().map(|found| found.transport);
    entropy::seed::<GuestHal, _>(&NOT_BEFORE, &GuestHypervisor::system_time, device, seed)
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
    first(boot, kind, &mut is_it).unwrap_or(Err(VirtioError::Missing { kind: name_of(kind), index }))
}

/// How many devices of a kind the machine has. None is touched.
pub fn count(boot: &MachineBoot, kind: DeviceType) -> usize {
    let mut count = 0;
    let mut is_it = |found: u32| {
        count += usize::from(found == kind as u32);
        false
    };
    first(boot, kind, &mut is_it);
    count
}

/// An error where the machine has no network device number `index`. None is touched.
pub fn find_net(boot: &MachineBoot, index: usize) -> Result<(), VirtioError> {
    match count(boot, DeviceType::Network) {
        count if index < count => Ok(()),
        count => Err(VirtioError::Missing { kind: name_of(DeviceType::Network), index: count }),
    }
}

/// The first device that is the one.
fn first(
    boot: &MachineBoot,
    kind: DeviceType,
    is_it: &mut dyn FnMut(u32) -> bool,
) -> Option<Result<Found, VirtioError>> {
    for place in mmio_devices(boot.mmio_devices) {
        let found = open_mmio(kind, place, is_it);
        if found.is_some() {
            return found;
        }
    }
    if boot.mmio_devices.is_empty() && !pci::is_there() {
        for n in 0..MICROVM_DEVICES {
            let base = MICROVM + u64::from(n) * MICROVM_SIZE as u64;
            let found = open_mmio(kind, (base, MICROVM_SIZE, [24 + n, 16 + n % 8]), is_it);
            if found.is_some() {
                return found;
            }
        }
    }
    let function = pci::find(is_it)?;
    let transport = pci::open(function).map(|device| DeviceTransport::of_pci(kind, device));
    Some(transport.map(|transport| Found { transport, wake: Wake(By::Message(function)) }))
}

/// Where QEMU's microvm has its devices when it describes them in ACPI's language rather than on the command line
/// (`hw/i386/microvm.c`): so many octets each, up to so many of them. They raise the inputs of the second interrupt
/// controller, or of the first from 16 on.
const MICROVM: u64 = 0xfeb0_0000;
const MICROVM_SIZE: usize = 512;
const MICROVM_DEVICES: u32 = 24;

/// The device at a place, if there is one and it is the one.
#[inline(never)]
fn open_mmio(
    kind: DeviceType,
    (base, size, inputs): Place,
    is_it: &mut dyn FnMut(u32) -> bool,
) -> Option<Result<Found, VirtioError>> {
    let registers = machine::map_device(base, size)?;
    // SAFETY: the machine names the region; it stays mapped for ever.
    let registers = unsafe { Region::new(registers, size) };
    if !is_it(mmio_kind(registers)?) {
        return None;
    }
    let transport = DeviceTransport::of_mmio(kind, registers).ok_or(VirtioError::Device);
    Some(transport.map(|transport| Found { transport, wake: Wake(By::Inputs(inputs)) }))
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
