//! The machine's PCI buses, by the two ports that every PC has for them, and messages instead of interrupt lines. Which bus
//! lies behind a bridge, and where the registers of devices are, is what the firmware has said.

use fata_xen::machine;
use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const MSI_X: u8 = 0x11;
const VENDOR: u8 = 0x09;
const COMMON: u16 = 1;
/// Capabilities that are looked at: more do not fit into a function's space, and a list may run in a circle.
const CAPABILITIES: usize = 48;
/// In virtio's common configuration: which queue, and its message.
const QUEUE_SELECT: usize = 0x16;
const QUEUE_VECTOR: usize = 0x1a;

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

/// Of virtio's devices: the vendor, and the first of the numbers that tell their kinds (virtio 1.2, section 4.1.2).
const VIRTIO: u16 = 0x1af4;
const FIRST_TRANSITIONAL: u16 = 0x1000;
const FIRST_MODERN: u16 = 0x1040;
/// Registers of a function: its kind of header, and, of a bridge, the number of the bus behind it.
const HEADER: u8 = 0xc;
const BUSES: u8 = 0x18;

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
pub(crate) fn find(is_it: &mut dyn FnMut(u32) -> bool) -> Option<DeviceFunction> {
    // A bit for each bus that is known; a bus behind a bridge has a higher number than the bridge's.
    let mut buses = [0u64; 4];
    buses[0] = 1;
    for bus in 0..=255u8 {
        if buses[usize::from(bus / 64)] >> (bus % 64) & 1 == 0 {
            continue;
        }
        for n in 0..=255u8 {
            let at = DeviceFunction { bus, device: n / 8, function: n % 8 };
            let first = Ports.read_word(DeviceFunction { function: 0, ..at }, HEADER);
            let has_more = first != u32::MAX && first >> 23 & 1 != 0;
            if at.function > 0 && !has_more {
                continue;
            }
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
    None
}

/// Whether a device has the registers of virtio 1.0 and later.
pub(crate) fn is_modern(root: &PciRoot<Ports>, function: DeviceFunction) -> bool {
    root.capabilities(function).take(CAPABILITIES).any(|c| c.id == VENDOR && c.private_header >> 8 == COMMON)
}

/// Lets a device read and write memory, and answer.
pub(crate) fn enable(root: &mut PciRoot<Ports>, function: DeviceFunction) {
    root.set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER);
}

/// Where a part of a device's registers is: `bar` and `offset` as a capability names them.
fn region(root: &mut PciRoot<Ports>, function: DeviceFunction, bar: u8, offset: u32) -> Option<*mut u32> {
    let (address, size) = root.bar_info(function, bar).ok()??.memory_address_size()?;
    let inside = address != 0 && u64::from(offset) + 64 <= size;
    let at = inside.then(|| machine::map_device(address.checked_add(offset.into())?, 64)).flatten();
    at.map(|at| at.cast().as_ptr())
}

/// Lets the first `queues` queues of a device wake the guest by the message that the machine takes. Its queues must be set up.
pub(crate) fn use_messages(root: &mut PciRoot<Ports>, function: DeviceFunction, queues: u16) -> Option<()> {
    let capabilities = || root.capabilities(function).take(CAPABILITIES);
    let msi_x = capabilities().find(|c| c.id == MSI_X)?.offset;
    let common = capabilities().find(|c| c.id == VENDOR && c.private_header >> 8 == COMMON)?.offset;
    let table = Ports.read_word(function, msi_x + 4);
    let table = region(root, function, table as u8 & 7, table & !7)?;
    let (bar, offset) = (Ports.read_word(function, common + 4) as u8, Ports.read_word(function, common + 8));
    let common = region(root, function, bar, offset)?;
    let (address, data) = machine::message();
    for (n, word) in [address as u32, (address >> 32) as u32, data, 0].into_iter().enumerate() {
        // SAFETY: the first line of the table is mapped, 16 octets long.
        unsafe { table.add(n).write_volatile(word) };
    }
    let control = Ports.read_word(function, msi_x);
    Ports.write_word(function, msi_x, control & !(1 << 30) | 1 << 31);
    for queue in 0..queues {
        // SAFETY: both registers lie in the common configuration, which is mapped.
        unsafe {
            common.byte_add(QUEUE_SELECT).cast::<u16>().write_volatile(queue);
            common.byte_add(QUEUE_VECTOR).cast::<u16>().write_volatile(0);
        }
    }
    Some(())
}
