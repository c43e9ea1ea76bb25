//! The way to a device's registers, of MMIO (virtio 1.2, section 4.2, and 4.2.4 for those of before 1.0) or on PCI (section 4.1).
//!
//! Beside the transports of `virtio-drivers`, which take what a device says about itself for granted: they ask it at each
//! notification where to write and panic where that is nowhere, and wait without end for a reset. Here each place is found once
//! and is inside what was mapped, or is not used; and it is a third of the code.

use bitflags::Flags;
use core::fmt::Debug;
use core::ops::BitAnd;
use core::ptr::NonNull;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{Error, PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Queues that a device of ours has at most.
const QUEUES: usize = 8;

/// A part of a device's registers: mapped for ever, aligned to 4 octets.
#[derive(Clone, Copy)]
pub(crate) struct Region {
    start: NonNull<u8>,
    len: usize,
}

impl Region {
    /// # Safety
    /// So many octets of a device's registers are mapped there for ever, at a multiple of four, and reading them changes no
    /// memory.
    pub(crate) unsafe fn new(start: NonNull<u8>, len: usize) -> Self {
        Self { start, len }
    }

    /// No registers.
    pub(crate) fn nothing(self) -> Self {
        Self { len: 0, ..self }
    }

    fn at<T>(self, offset: usize) -> Option<*mut T> {
        let is_inside = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        let is_aligned = offset.is_multiple_of(size_of::<T>());
        // SAFETY: inside the region.
        (is_inside && is_aligned).then(|| unsafe { self.start.add(offset) }.cast().as_ptr())
    }

    /// A register; what is outside of the region reads as 0.
    #[inline(never)]
    pub(crate) fn read<T: Default>(self, offset: usize) -> T {
        // SAFETY: inside the region and aligned; `T` is a plain number.
        self.at::<T>(offset).map_or(T::default(), |at| unsafe { at.read_volatile() })
    }

    /// Writes a register; nothing happens outside of the region.
    #[inline(never)]
    pub(crate) fn write<T>(self, offset: usize, value: T) {
        if let Some(at) = self.at::<T>(offset) {
            // SAFETY: inside the region and aligned.
            unsafe { at.write_volatile(value) };
        }
    }

    fn write_address(self, offset: usize, address: PhysAddr) {
        self.write(offset, address as u32);
        self.write(offset + 4, (address >> 32) as u32);
    }
}

/// The parts that a device on PCI has (section 4.1.4).
pub(crate) struct PciRegions {
    pub(crate) common: Region,
    pub(crate) notify: Region,
    pub(crate) multiplier: u32,
    pub(crate) interrupted: Region,
    pub(crate) config: Region,
}

enum Registers {
    Mmio {
        all: Region,
        /// Of before virtio 1.0.
        legacy: bool,
    },
    Pci {
        parts: PciRegions,
        /// Where each queue's notifications go.
        doorbells: [usize; QUEUES],
    },
}

/// Registers of MMIO.
mod mmio {
    pub(super) const MAGIC: usize = 0;
    pub(super) const VERSION: usize = 4;
    pub(super) const KIND: usize = 8;
    pub(super) const FEATURES: usize = 0x10;
    pub(super) const FEATURES_SELECT: usize = 0x14;
    pub(super) const ACCEPTED: usize = 0x20;
    pub(super) const ACCEPTED_SELECT: usize = 0x24;
    pub(super) const PAGE_SIZE: usize = 0x28;
    pub(super) const QUEUE: usize = 0x30;
    pub(super) const QUEUE_MAX: usize = 0x34;
    pub(super) const QUEUE_SIZE: usize = 0x38;
    pub(super) const QUEUE_ALIGN: usize = 0x3c;
    pub(super) const QUEUE_PAGE: usize = 0x40;
    pub(super) const QUEUE_READY: usize = 0x44;
    pub(super) const NOTIFY: usize = 0x50;
    pub(super) const INTERRUPTED: usize = 0x60;
    pub(super) const ACKNOWLEDGE: usize = 0x64;
    pub(super) const STATUS: usize = 0x70;
    pub(super) const DESCRIPTORS: usize = 0x80;
    pub(super) const DRIVER: usize = 0x90;
    pub(super) const DEVICE: usize = 0xa0;
    pub(super) const GENERATION: usize = 0xfc;
    pub(super) const CONFIG: usize = 0x100;
    pub(super) const MAGIC_VALUE: u32 = 0x7472_6976;
}

/// The common configuration on PCI.
pub(crate) mod common {
    pub(super) const FEATURES_SELECT: usize = 0;
    pub(super) const FEATURES: usize = 4;
    pub(super) const ACCEPTED_SELECT: usize = 8;
    pub(super) const ACCEPTED: usize = 0xc;
    pub(crate) const CONFIG_VECTOR: usize = 0x10;
    pub(super) const STATUS: usize = 0x14;
    pub(super) const GENERATION: usize = 0x15;
    pub(crate) const QUEUE: usize = 0x16;
    pub(super) const QUEUE_SIZE: usize = 0x18;
    pub(crate) const QUEUE_VECTOR: usize = 0x1a;
    pub(super) const QUEUE_READY: usize = 0x1c;
    pub(super) const QUEUE_NOTIFY: usize = 0x1e;
    pub(super) const DESCRIPTORS: usize = 0x20;
    pub(super) const DRIVER: usize = 0x28;
    pub(super) const DEVICE: usize = 0x30;
}

/// The kind of a device of MMIO: 0 where there is a place but no device, `None` where there is no such place.
pub(crate) fn mmio_kind(registers: Region) -> Option<u32> {
    (registers.read::<u32>(mmio::MAGIC) == mmio::MAGIC_VALUE).then(|| registers.read(mmio::KIND))
}

/// The way to a device's registers.
pub struct DeviceTransport {
    kind: DeviceType,
    registers: Registers,
}

impl DeviceTransport {
    /// Of a device of MMIO; `None` if it is of a version that nobody knows.
    pub(crate) fn of_mmio(kind: DeviceType, all: Region) -> Option<Self> {
        let version: u32 = all.read(mmio::VERSION);
        let registers = Registers::Mmio { all, legacy: version == 1 };
        (1..=2).contains(&version).then_some(Self { kind, registers })
    }

    /// Of a device on PCI.
    pub(crate) fn of_pci(kind: DeviceType, parts: PciRegions) -> Self {
        Self { kind, registers: Registers::Pci { parts, doorbells: [usize::MAX; QUEUES] } }
    }

    fn config(&self) -> (Region, usize) {
        match &self.registers {
            Registers::Mmio { all, .. } => (*all, mmio::CONFIG),
            Registers::Pci { parts, .. } => (parts.config, 0),
        }
    }
}

impl Transport for DeviceTransport {
    fn device_type(&self) -> DeviceType {
        self.kind
    }

    /// As in the trait, but that it says nothing: the texts that it says are of more code than the rest.
    fn begin_init<F: Flags<Bits = u64> + BitAnd<Output = F> + Debug>(&mut self, supported_features: F) -> F {
        let start = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        self.set_status(DeviceStatus::empty());
        self.set_status(start);
        let features = self.read_device_features() & supported_features.bits();
        self.write_driver_features(features);
        self.set_status(start | DeviceStatus::FEATURES_OK);
        self.set_guest_page_size(virtio_drivers::PAGE_SIZE as u32);
        F::from_bits_truncate(features)
    }

    fn read_device_features(&mut self) -> u64 {
        let (region, select, value) = match &self.registers {
            Registers::Mmio { all, .. } => (*all, mmio::FEATURES_SELECT, mmio::FEATURES),
            Registers::Pci { parts, .. } => (parts.common, common::FEATURES_SELECT, common::FEATURES),
        };
        [1, 0].into_iter().fold(0, |features, half: u32| {
            region.write(select, half);
            features << 32 | u64::from(region.read::<u32>(value))
        })
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        let (region, select, value) = match &self.registers {
            Registers::Mmio { all, .. } => (*all, mmio::ACCEPTED_SELECT, mmio::ACCEPTED),
            Registers::Pci { parts, .. } => (parts.common, common::ACCEPTED_SELECT, common::ACCEPTED),
        };
        for half in [0, 1_u32] {
            region.write(select, half);
            region.write(value, (driver_features >> (32 * half)) as u32);
        }
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        match &self.registers {
            Registers::Mmio { all, .. } => {
                all.write(mmio::QUEUE, u32::from(queue));
                all.read(mmio::QUEUE_MAX)
            }
            Registers::Pci { parts, .. } => {
                parts.common.write(common::QUEUE, queue);
                parts.common.read::<u16>(common::QUEUE_SIZE).into()
            }
        }
    }

    fn notify(&mut self, queue: u16) {
        match &self.registers {
            Registers::Mmio { all, .. } => all.write(mmio::NOTIFY, u32::from(queue)),
            Registers::Pci { parts, doorbells } => {
                let at = doorbells.get(usize::from(queue)).copied().unwrap_or(usize::MAX);
                parts.notify.write(at, queue);
            }
        }
    }

    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::from_bits_truncate(match &self.registers {
            Registers::Mmio { all, .. } => all.read(mmio::STATUS),
            Registers::Pci { parts, .. } => parts.common.read::<u8>(common::STATUS).into(),
        })
    }

    fn set_status(&mut self, status: DeviceStatus) {
        match &self.registers {
            Registers::Mmio { all, .. } => all.write(mmio::STATUS, status.bits()),
            Registers::Pci { parts, .. } => parts.common.write(common::STATUS, status.bits() as u8),
        }
    }

    fn set_guest_page_size(&mut self, guest_page_size: u32) {
        if let Registers::Mmio { all, legacy: true } = &self.registers {
            all.write(mmio::PAGE_SIZE, guest_page_size);
        }
    }

    fn requires_legacy_layout(&self) -> bool {
        matches!(self.registers, Registers::Mmio { legacy: true, .. })
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        match &mut self.registers {
            Registers::Mmio { all, legacy } => {
                all.write(mmio::QUEUE, u32::from(queue));
                all.write(mmio::QUEUE_SIZE, size);
                if *legacy {
                    all.write(mmio::QUEUE_ALIGN, virtio_drivers::PAGE_SIZE as u32);
                    all.write(mmio::QUEUE_PAGE, (descriptors / virtio_drivers::PAGE_SIZE as u64) as u32);
                    return;
                }
                all.write_address(mmio::DESCRIPTORS, descriptors);
                all.write_address(mmio::DRIVER, driver_area);
                all.write_address(mmio::DEVICE, device_area);
                all.write(mmio::QUEUE_READY, 1_u32);
            }
            Registers::Pci { parts, doorbells } => {
                let common = parts.common;
                common.write(common::QUEUE, queue);
                common.write(common::QUEUE_SIZE, size as u16);
                common.write_address(common::DESCRIPTORS, descriptors);
                common.write_address(common::DRIVER, driver_area);
                common.write_address(common::DEVICE, device_area);
                common.write(common::QUEUE_READY, 1_u16);
                if let Some(doorbell) = doorbells.get_mut(usize::from(queue)) {
                    let number: u16 = common.read(common::QUEUE_NOTIFY);
                    *doorbell = usize::from(number).saturating_mul(parts.multiplier as usize);
                }
            }
        }
    }

    fn queue_unset(&mut self, _queue: u16) {
        // A reset unsets them all, and nothing less does everywhere.
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        match &self.registers {
            Registers::Mmio { all, legacy } => {
                all.write(mmio::QUEUE, u32::from(queue));
                all.read::<u32>(if *legacy { mmio::QUEUE_PAGE } else { mmio::QUEUE_READY }) != 0
            }
            Registers::Pci { parts, .. } => {
                parts.common.write(common::QUEUE, queue);
                parts.common.read::<u16>(common::QUEUE_READY) != 0
            }
        }
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::from_bits_retain(match &self.registers {
            Registers::Mmio { all, .. } => {
                let why: u32 = all.read(mmio::INTERRUPTED);
                if why != 0 {
                    all.write(mmio::ACKNOWLEDGE, why);
                }
                why
            }
            Registers::Pci { parts, .. } => parts.interrupted.read::<u8>(0).into(),
        })
    }

    fn read_config_generation(&self) -> u32 {
        match &self.registers {
            Registers::Mmio { legacy: true, .. } => 0,
            Registers::Mmio { all, .. } => all.read(mmio::GENERATION),
            Registers::Pci { parts, .. } => parts.common.read::<u8>(common::GENERATION).into(),
        }
    }

    /// By pieces of the value's own size, of four octets at most, as section 4.2.2.2 wants it.
    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let (region, start) = self.config();
        let mut value = T::new_zeroed();
        let bytes = value.as_mut_bytes();
        if start + offset + bytes.len() > region.len {
            return Err(Error::ConfigSpaceTooSmall);
        }
        let width = bytes.len().min(4);
        for (n, piece) in bytes.chunks_mut(width).enumerate() {
            let at = start + offset + n * width;
            match piece {
                [octet] => *octet = region.read(at),
                [_, _] => piece.copy_from_slice(&region.read::<u16>(at).to_le_bytes()),
                _ => piece.copy_from_slice(&region.read::<u32>(at).to_le_bytes()[..piece.len()]),
            }
        }
        Ok(value)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        let (region, start) = self.config();
        let bytes = value.as_bytes();
        if start + offset + bytes.len() > region.len {
            return Err(Error::ConfigSpaceTooSmall);
        }
        for (n, piece) in bytes.chunks(4).enumerate() {
            let at = start + offset + n * 4;
            match *piece {
                [a, b, c, d] => region.write(at, u32::from_le_bytes([a, b, c, d])),
                [a, b] => region.write(at, u16::from_le_bytes([a, b])),
                _ => piece.iter().zip(at..).for_each(|(octet, at)| region.write(at, *octet)),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERS: usize = 0x200;

    /// Registers that are memory: what is written is read.
    fn region(len: usize) -> Region {
        let memory: &mut [u32] = Box::leak(vec![0; REGISTERS / 4].into_boxed_slice());
        // SAFETY: the memory is never freed, and aligned.
        unsafe { Region::new(NonNull::from(memory).cast(), len) }
    }

    fn on_pci(multiplier: u32, notify_len: usize, config_len: usize) -> (DeviceTransport, [Region; 3]) {
        let [common, notify, config] = [region(56), region(notify_len), region(config_len)];
        let parts = PciRegions { common, notify, multiplier, interrupted: region(1), config };
        (DeviceTransport::of_pci(DeviceType::Network, parts), [common, notify, config])
    }

    #[test]
    fn a_region_ends_where_it_ends() {
        let region = region(10);
        region.write(8, 0xbeef_u16);
        region.write(8, 0xdead_beef_u32);
        region.write(9, 0xdead_u16);
        region.write(usize::MAX, 1_u8);
        assert_eq!(region.read::<u16>(8), 0xbeef);
        assert_eq!((region.read::<u32>(8), region.read::<u8>(10), region.read::<u16>(usize::MAX)), (0, 0, 0));
        assert_eq!(region.nothing().read::<u8>(0), 0);
    }

    #[test]
    fn notifications_go_where_a_queue_has_its_place_or_nowhere() {
        for (multiplier, place, wanted) in
            [(4, 1, Some(4)), (2, 7, Some(14)), (4, 4, None), (u32::MAX, u16::MAX, None), (3, 1, None)]
        {
            let (mut transport, [common, notify, _]) = on_pci(multiplier, 16, 0);
            common.write(common::QUEUE_NOTIFY, place);
            transport.queue_set(1, 128, 0x1_2345_6000, 0x1_2345_7000, 0x1_2345_8000);
            // What the device says later changes nothing.
            common.write(common::QUEUE_NOTIFY, 0_u16);
            transport.notify(1);
            transport.notify(7);
            transport.notify(u16::MAX);
            let rung = (0..16).step_by(2).find(|&at| notify.read::<u16>(at) != 0);
            assert_eq!(rung, wanted, "place {place} by {multiplier}");
            assert_eq!(common.read::<u32>(common::DESCRIPTORS), 0x2345_6000);
            assert_eq!(common.read::<u32>(common::DESCRIPTORS + 4), 1);
            assert!(transport.queue_used(1));
        }
    }

    #[test]
    fn a_configuration_is_read_as_far_as_it_goes() {
        let (mut transport, [_, _, config]) = on_pci(4, 16, 12);
        transport.write_config_space(0, [1_u8, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(transport.read_config_space::<[u8; 6]>(0), Ok([1, 2, 3, 4, 5, 6]));
        assert_eq!(transport.read_config_space::<u16>(6), Ok(0x0807));
        assert_eq!(transport.read_config_space::<u64>(0), Ok(0x0807_0605_0403_0201));
        assert_eq!(config.read::<u32>(4), 0x0807_0605);
        for offset in [11, 12, 4000] {
            assert_eq!(transport.read_config_space::<u16>(offset), Err(Error::ConfigSpaceTooSmall));
            assert_eq!(transport.write_config_space(offset, 1_u16), Err(Error::ConfigSpaceTooSmall));
        }
    }

    #[test]
    fn devices_of_mmio_by_version() {
        for (version, is_known) in [(0_u32, false), (1, true), (2, true), (3, false)] {
            let all = region(REGISTERS);
            assert_eq!(mmio_kind(all), None);
            all.write(mmio::MAGIC, mmio::MAGIC_VALUE);
            all.write(mmio::KIND, 1_u32);
            all.write(mmio::VERSION, version);
            assert_eq!(mmio_kind(all), Some(1));
            let transport = DeviceTransport::of_mmio(DeviceType::Network, all);
            assert_eq!(transport.is_some(), is_known);
            let Some(mut transport) = transport else { continue };
            assert_eq!(transport.requires_legacy_layout(), version == 1);
            transport.queue_set(0, 8, 0x1_0000_3000, 0x1_0000_3080, 0x1_0000_4000);
            let page: u32 = all.read(mmio::QUEUE_PAGE);
            assert_eq!(page, if version == 1 { 0x10_0003 } else { 0 });
            assert!(transport.queue_used(0));
            transport.notify(3);
            assert_eq!(all.read::<u32>(mmio::NOTIFY), 3);
        }
    }
}
