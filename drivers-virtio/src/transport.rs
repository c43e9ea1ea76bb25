//! The way to a device's registers, of MMIO (virtio 1.2, section 4.2, and 4.2.4 for those of before 1.0) or on PCI (section 4.1).
//!
//! Beside the transports of `virtio-drivers`, which take what a device says about itself for granted: they ask it at each
//! notification where to write and panic where that is nowhere, and wait without end for a reset. Here each place is found once
//! and is inside what was mapped, or is not used; and it is a third of the code.

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
