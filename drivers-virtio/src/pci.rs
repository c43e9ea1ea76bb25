//! The machine's PCI buses, by the two ports that every PC has for them, and messages instead of interrupt lines. Which bus
//! lies behind a bridge, and where the registers of devices are, is what the firmware has said.

use fata_xen::machine;
use virtio_drivers::transport::pci::bus::{CapabilityInfo, Command, ConfigurationAccess, DeviceFunction, PciRoot};

const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
const MSI_X: u8 = 0x11;
const VENDOR: u8 = 0x09;
const COMMON: u16 = 1;
const NOTIFY: u16 = 2;
const INTERRUPTED: u16 = 3;
/// Capabilities that are looked at: more do not fit into a function's space, and a list may run in a circle.
const CAPABILITIES: usize = 48;
/// In virtio's common configuration: which queue, its message, where it is told of.
const QUEUE_SELECT: usize = 0x16;
const QUEUE_VECTOR: usize = 0x1a;
const QUEUE_PLACE: usize = 0x1e;
/// The message for changes of the configuration.
const CONFIG_VECTOR: usize = 0x10;
/// Queues that a device of ours has at most, and octets of registers.
const QUEUES: usize = 8;
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

/// Where a part of a device's registers is: `bar` and `offset` as a capability names them, `len` octets.
fn region(
    root: &mut PciRoot<Ports>,
    function: DeviceFunction,
    (bar, offset): (u8, u32),
    len: u32,
) -> Option<*mut u32> {
    let (address, size) = root.bar_info(function, bar).ok()??.memory_address_size()?;
    let inside = address != 0 && u64::from(offset) + u64::from(len) <= size;
    let at = inside.then(|| machine::map_device(address.checked_add(offset.into())?, len as usize)).flatten();
    at.map(|at| at.cast().as_ptr())
}

/// The registers that a capability of virtio's names, `least` octets of them at least: where they are, and how many.
fn registers(
    root: &mut PciRoot<Ports>,
    function: DeviceFunction,
    kind: u16,
    least: u32,
) -> Option<(*mut u32, u32, u8)> {
    let of_kind = |c: &CapabilityInfo| c.id == VENDOR && c.private_header >> 8 == kind;
    let at = root.capabilities(function).take(CAPABILITIES).find(of_kind)?.offset;
    let read = |n: u8| Ports.read_word(function, at.wrapping_add(n));
    let (place, len) = ((read(4) as u8, read(8)), read(12));
    let registers = (least..=LEN_MAX).contains(&len).then(|| region(root, function, place, len)).flatten()?;
    Some((registers, len, at))
}

/// The places by which a device is told of news in its queues (virtio 1.2, section 4.1.4.4). They are read once, so that what a
/// device says later cannot lead elsewhere.
pub(crate) struct Doorbells {
    common: *mut u32,
    places: *mut u32,
    len: u32,
    multiplier: u32,
    of: [Option<*mut u16>; QUEUES],
}

impl Doorbells {
    /// Of a device, all of whose registers are where they can be mapped.
    pub(crate) fn of(root: &mut PciRoot<Ports>, function: DeviceFunction) -> Option<Self> {
        let (common, _, _) = registers(root, function, COMMON, 64)?;
        registers(root, function, INTERRUPTED, 1)?;
        let (places, len, at) = registers(root, function, NOTIFY, 2)?;
        let multiplier = Ports.read_word(function, at.wrapping_add(16));
        Some(Self { common, places, len, multiplier, of: [None; QUEUES] })
    }

    /// Finds the place for a queue, which has just been set up.
    pub(crate) fn find(&mut self, queue: u16) {
        // SAFETY: both registers lie in the common configuration, which is mapped.
        let place = unsafe {
            self.common.byte_add(QUEUE_SELECT).cast::<u16>().write_volatile(queue);
            self.common.byte_add(QUEUE_PLACE).cast::<u16>().read_volatile()
        };
        let offset = u64::from(place) * u64::from(self.multiplier);
        let is_inside = offset % 2 == 0 && offset + 2 <= self.len.into();
        // SAFETY: inside the region, which is mapped.
        let at = is_inside.then(|| unsafe { self.places.byte_add(offset as usize) }.cast());
        if let Some(of) = self.of.get_mut(usize::from(queue)) {
            *of = at;
        }
    }

    /// Tells the device. One whose place for it was nowhere hears nothing.
    pub(crate) fn ring(&self, queue: u16) {
        if let Some(Some(at)) = self.of.get(usize::from(queue)) {
            // SAFETY: a place of the device's that was found for it, mapped for ever.
            unsafe { at.write_volatile(queue) };
        }
    }
}

/// Lets the first `queues` queues of a device, and changes of its configuration, wake the guest by the message that the machine
/// takes. Its queues must be set up.
pub(crate) fn use_messages(root: &mut PciRoot<Ports>, function: DeviceFunction, queues: u16) -> Option<()> {
    let msi_x = root.capabilities(function).take(CAPABILITIES).find(|c| c.id == MSI_X)?.offset;
    let (common, _, _) = registers(root, function, COMMON, 64)?;
    let table = Ports.read_word(function, msi_x + 4);
    let table = region(root, function, (table as u8 & 7, table & !7), 16)?;
    let (address, data) = machine::message();
    for (n, word) in [address as u32, (address >> 32) as u32, data, 0].into_iter().enumerate() {
        // SAFETY: the first line of the table is mapped, 16 octets long.
        unsafe { table.add(n).write_volatile(word) };
    }
    let control = Ports.read_word(function, msi_x);
    Ports.write_word(function, msi_x, control & !(1 << 30) | 1 << 31);
    // SAFETY: it lies in the common configuration, which is mapped.
    unsafe { common.byte_add(CONFIG_VECTOR).cast::<u16>().write_volatile(0) };
    for queue in 0..queues {
        // SAFETY: both registers lie in the common configuration, which is mapped.
        unsafe {
            common.byte_add(QUEUE_SELECT).cast::<u16>().write_volatile(queue);
            common.byte_add(QUEUE_VECTOR).cast::<u16>().write_volatile(0);
        }
    }
    Some(())
}
