//! The machine's PCI buses, by the two ports that every PC has for them, and messages instead of interrupt lines. Which bus
//! lies behind a bridge, and where the registers of devices are, is what the firmware has said.

use crate::VirtioError;
use crate::transport::{PciRegions, Region, common};
use fata_xen::machine;
use virtio_drivers::transport::pci::bus::{
    CapabilityInfo, Command, ConfigurationAccess, DeviceFunction, PciRoot,
};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// Registers of a function: its kind of header, and, of a bridge, the number of the bus behind it.
const HEADER: u8 = 0xc;
const BUSES: u8 = 0x18;
/// Kinds of capabilities.
const MSI_X: u8 = 0x11;
const VENDOR: u8 = 0x09;
/// Capabilities that are looked at: more do not fit into a function's space, and a list may run in a circle.
const CAPABILITIES: usize = 48;

/// Of virtio's devices: the vendor, and the first of the numbers that tell their kinds (virtio 1.2, section 4.1.2).
const VIRTIO: u16 = 0x1af4;
const FIRST_TRANSITIONAL: u16 = 0x1000;
const FIRST_MODERN: u16 = 0x1040;
/// Of virtio's capabilities (section 4.1.4): which registers it is about.
const COMMON: u16 = 1;
const NOTIFY: u16 = 2;
const INTERRUPTED: u16 = 3;
const CONFIG: u16 = 4;
/// Octets of registers that are mapped at most.
const LEN_MAX: u32 = 1 << 20;

/// Configuration space.
pub(crate) struct Ports;

fn select(function: DeviceFunction, register: u8) {
    let DeviceFunction { bus, device, function } = function;
    let address = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
    // SAFETY: choosing a register has no effect but that.
    unsafe { machine::write_u32(ADDRESS, 1 << 31 | address | u32::from(register & !3)) };
}

impl ConfigurationAccess for Ports {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        select(function, register);
        // SAFETY: reading configuration space changes nothing.
        unsafe { machine::read_u32(DATA) }
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, data: u32) {
        select(function, register);
        // SAFETY: this crate and virtio-drivers write what concerns a device they drive.
        unsafe { machine::write_u32(DATA, data) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// Whether the machine has PCI.
pub(crate) fn is_there() -> bool {
    Ports.read_word(DeviceFunction { bus: 0, device: 0, function: 0 }, 0) != u32::MAX
}

/// The kind of a virtio device by its vendor and device number.
fn virtio_kind(id: u32) -> Option<u32> {
    let (vendor, device) = (id as u16, (id >> 16) as u16);
    if vendor != VIRTIO {
        return None;
    }
    match device.checked_sub(FIRST_MODERN) {
        Some(kind) => Some(kind.into()),
        // Transitional devices have numbers of their own: network, block, memory balloon, console, SCSI, entropy.
        None => [1, 2, 5, 3, 8, 4].get(usize::from(device.checked_sub(FIRST_TRANSITIONAL)?)).copied(),
    }
}

/// The first virtio device, bus by bus, that `is_it` says yes to when it is told the kind.
#[inline(never)]
pub(crate) fn find(is_it: &mut dyn FnMut(u32) -> bool) -> Option<DeviceFunction> {
    // A bit for each bus that is known; a bus behind a bridge has a higher number than the bridge's.
    let mut buses = [0u64; 4];
    buses[0] = 1;
    for bus in 0..=255u8 {
        if buses[usize::from(bus / 64)] >> (bus % 64) & 1 == 0 {
            continue;
        }
        for device in 0..32 {
            let at = |function| DeviceFunction { bus, device, function };
            let first = Ports.read_word(at(0), HEADER);
            // A device of several functions says so; one that is not there reads as ones.
            let functions = if first == u32::MAX { 0 } else { 1 + 7 * (first >> 23 & 1) as u8 };
            for at in (0..functions).map(at) {
                let id = Ports.read_word(at, 0);
                if virtio_kind(id).is_some_and(&mut *is_it) {
                    return Some(at);
                }
                if id != u32::MAX && Ports.read_word(at, HEADER) >> 16 & 0x7f == 1 {
                    let behind = (Ports.read_word(at, BUSES) >> 8) as u8;
                    buses[usize::from(behind / 64)] |= 1 << (behind % 64);
                }
            }
        }
    }
    None
}

#[inline(never)]
fn capability(function: DeviceFunction, is_it: &dyn Fn(&CapabilityInfo) -> bool) -> Option<u8> {
    PciRoot::new(Ports).capabilities(function).take(CAPABILITIES).find(is_it).map(|c| c.offset)
}

fn capability_of_virtio(function: DeviceFunction, kind: u16) -> Option<u8> {
    capability(function, &|c| c.id == VENDOR && c.private_header >> 8 == kind)
}

/// A part of a device's registers: `bar` and `offset` as a capability names them, `len` octets.
fn region(function: DeviceFunction, bar: u8, offset: u32, len: u32) -> Option<Region> {
    if bar > 5 || !offset.is_multiple_of(4) || len > LEN_MAX {
        return None;
    }
    let (address, size) = PciRoot::new(Ports).bar_info(function, bar).ok()??.memory_address_size()?;
    let is_inside = address != 0 && u64::from(offset) + u64::from(len) <= size;
    let at = is_inside.then(|| address.checked_add(offset.into())).flatten()?;
    let start = machine::map_device(at, len as usize)?;
    // SAFETY: the firmware has given the device these addresses; they stay mapped, and a BAR is aligned.
    Some(unsafe { Region::new(start, len as usize) })
}

/// The registers that a capability of virtio's names, at least so many octets of them.
#[inline(never)]
fn registers(function: DeviceFunction, kind: u16, least: u32) -> Option<Region> {
    let at = capability_of_virtio(function, kind)?;
    let read = |n: u8| Ports.read_word(function, at.wrapping_add(n));
    let len = read(12);
    (len >= least).then(|| region(function, read(4) as u8, read(8), len)).flatten()
}

/// The registers of a device, which is let read and write memory, and answer.
pub(crate) fn open(function: DeviceFunction) -> Result<PciRegions, VirtioError> {
    let notify_at = capability_of_virtio(function, NOTIFY).ok_or(VirtioError::Legacy)?;
    PciRoot::new(Ports).set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER);
    let part = |kind, least| registers(function, kind, least).ok_or(VirtioError::Registers);
    let common = part(COMMON, 56)?;
    Ok(PciRegions {
        common,
        notify: part(NOTIFY, 2)?,
        multiplier: Ports.read_word(function, notify_at.wrapping_add(16)),
        interrupted: part(INTERRUPTED, 1)?,
        // Not every device has one.
        config: part(CONFIG, 1).unwrap_or(common.nothing()),
    })
}

/// Lets the first `queues` queues of a device, and changes of its configuration, wake the guest by the message that the machine
/// takes. Its queues must be set up.
pub(crate) fn use_messages(function: DeviceFunction, queues: u16) -> Option<()> {
    let at = capability(function, &|c| c.id == MSI_X)?;
    let common = registers(function, COMMON, 56)?;
    let table = Ports.read_word(function, at.wrapping_add(4));
    let table = region(function, table as u8 & 7, table & !7, 16)?;
    let (address, data) = machine::message();
    for (n, word) in [address as u32, (address >> 32) as u32, data, 0].into_iter().enumerate() {
        table.write(4 * n, word);
    }
    let control = Ports.read_word(function, at);
    Ports.write_word(function, at, control & !(1 << 30) | 1 << 31);
    common.write(common::CONFIG_VECTOR, 0_u16);
    for queue in 0..queues {
        common.write(common::QUEUE, queue);
        common.write(common::QUEUE_VECTOR, 0_u16);
    }
    Some(())
}
