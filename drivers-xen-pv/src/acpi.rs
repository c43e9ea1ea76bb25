//! The way to end power, from ACPI's tables (ACPI 6.5, sections 5.2.5 to 5.2.9, 7.4.2 and 16.1.7): RSDP, XSDT or RSDT, FADT. No
//! interpreter of its language: what `\_S5` says is looked for as the octets that compilers write for it.

/// Tables that are looked at, and octets of the DSDT.
const TABLES: u64 = 64;
const DSDT_MAX: u64 = 1 << 20;

const RSD_PTR: u64 = u64::from_le_bytes(*b"RSD PTR ");
const FADT: u64 = u32::from_le_bytes(*b"FACP") as u64;
const S5: u64 = u32::from_le_bytes(*b"_S5_") as u64;
/// Of the FADT's flags.
const HARDWARE_REDUCED: u64 = 1 << 20;

/// What to write where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PowerOff {
    /// 16 bits to a port.
    Port(u16, u16),
    /// An octet to a port.
    PortByte(u16, u8),
    /// An octet to a physical address.
    Memory(u64, u8),
}

/// Physical memory, an octet at a time.
pub(crate) struct Tables(pub fn(u64) -> u8);

impl Tables {
    /// The number of so many octets at an address.
    #[inline(never)]
    fn number(&self, octets: u64, at: u64) -> u64 {
        (0..octets).rev().fold(0, |number, n| number << 8 | u64::from((self.0)(at.wrapping_add(n))))
    }

    fn fadt(&self, rsdp: u64) -> Option<u64> {
        // From revision 2 on there is a list of addresses of 64 bits.
        let (place, width) = if self.number(1, rsdp.wrapping_add(15)) < 2 { (16, 4) } else { (24, 8) };
        let list = self.number(width, rsdp.wrapping_add(place));
        let end = self.number(4, list.wrapping_add(4)).min(36 + TABLES * width);
        let mut at = 36;
        while at < end {
            let table = self.number(width, list.wrapping_add(at));
            if self.number(4, table) == FADT {
                return Some(table);
            }
            at += width;
        }
        None
    }

    /// The first number of the package that `\_S5` is.
    fn sleep_type(&self, dsdt: u64) -> u8 {
        let size = self.number(4, dsdt.wrapping_add(4)).min(DSDT_MAX);
        let Some(at) = (36..size).map(|n| dsdt.wrapping_add(n)).find(|&at| self.number(4, at) == S5) else {
            return 0;
        };
        // Name, package and its length in octets, how many: then 0 and 1 stand for themselves, others follow a prefix.
        match self.number(2, at.wrapping_add(7)).to_le_bytes() {
            [0x0a, value, ..] => value & 7,
            [value, ..] => value & 1,
        }
    }

    /// How the machine is to be switched off, by its root pointer.
    pub(crate) fn power_off(&self, rsdp: u64) -> Option<PowerOff> {
        let sum = (0..20).fold(0, |sum: u8, n| sum.wrapping_add((self.0)(rsdp.wrapping_add(n))));
        if self.number(8, rsdp) != RSD_PTR || sum != 0 {
            return None;
        }
        let fadt = self.fadt(rsdp)?;
        let field = |octets, offset| self.number(octets, fadt.wrapping_add(offset));
        // The address of 64 bits goes before that of 32, where the table is long enough for it.
        let wide = if field(4, 4) >= 148 { field(8, 140) } else { 0 };
        let kind = self.sleep_type(if wide != 0 { wide } else { field(4, 40) });
        if field(4, 112) & HARDWARE_REDUCED == 0 {
            return Some(PowerOff::Port(field(2, 64) as u16, u16::from(kind) << 10 | 1 << 13));
        }
        // The sleep control register: always of 8 bits.
        let (address, value) = (field(8, 248), kind << 2 | 1 << 5);
        // In memory, or a port; the one beside it only tells of waking up.
        let is_port = field(1, 244) != 0;
        Some(if is_port {
            PowerOff::PortByte(address as u16, value)
        } else {
            PowerOff::Memory(address, value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};

    thread_local! {
        static MEMORY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        static SEED: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
        static LOOKS: Cell<u32> = const { Cell::new(0) };
    }

    const RSDP: u64 = 0x0f_5a00;

    /// Memory with a root pointer, its list, an FADT and a DSDT.
    struct Machine {
        memory: Vec<u8>,
    }

    impl Machine {
        fn new(with_xsdt: bool, s5: &[u8]) -> Self {
            let mut machine = Self { memory: vec![0; 0x4000] };
            machine.put(0, b"RSD PTR ");
            machine.put(15, &[if with_xsdt { 2 } else { 0 }]);
            machine.put(16, &(RSDP as u32 + 0x100).to_le_bytes());
            machine.put(24, &(RSDP + 0x100).to_le_bytes());
            let step = if with_xsdt { 8 } else { 4 };
            machine.put(0x104, &(36 + 2 * step as u32).to_le_bytes());
            machine.put(0x100 + 36, &(RSDP as u32 + 0x200).to_le_bytes());
            machine.put(0x100 + 36 + step, &(RSDP as u32 + 0x300).to_le_bytes());
            machine.put(0x200, b"APIC");
            machine.put(0x300, b"FACP");
            machine.put(0x300 + 40, &(RSDP as u32 + 0x800).to_le_bytes());
            machine.put(0x800, b"DSDT");
            machine.put(0x804, &200_u32.to_le_bytes());
            machine.put(0x800 + 77, s5);
            machine
        }

        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        }

        fn power_off(&self) -> Option<PowerOff> {
            let mut memory = self.memory.clone();
            memory[8] = 0u8.wrapping_sub(memory[..20].iter().fold(0, |sum: u8, n| sum.wrapping_add(*n)));
            self.power_off_of(memory)
        }

        fn power_off_of(&self, memory: Vec<u8>) -> Option<PowerOff> {
            MEMORY.set(memory);
            Tables(|at| {
                let n = at.checked_sub(RSDP).map_or(usize::MAX, |n| n as usize);
                MEMORY.with_borrow(|memory| memory.get(n).copied().unwrap_or(0xff))
            })
            .power_off(RSDP)
        }
    }

    #[test]
    fn a_pc() {
        // As QEMU writes it: Package (0x04) { Zero, Zero, Zero, Zero }.
        for with_xsdt in [false, true] {
            let mut pc = Machine::new(with_xsdt, b"\x08_S5_\x12\x06\x04\0\0\0\0");
            pc.put(0x300 + 64, &0x604_u32.to_le_bytes());
            assert_eq!(pc.power_off(), Some(PowerOff::Port(0x604, 1 << 13)));
        }
        // And as most firmware has it.
        let mut other = Machine::new(true, b"\x08_S5_\x12\x07\x04\x0a\x05\x0a\x05\0\0");
        other.put(0x300 + 64, &0x1804_u32.to_le_bytes());
        assert_eq!(other.power_off(), Some(PowerOff::Port(0x1804, 5 << 10 | 1 << 13)));
    }

    #[test]
    fn a_machine_without_the_old_registers() {
        let mut microvm = Machine::new(true, b"\x08_S5_\x12\x06\x04\x0a\x05\0\0\0");
        microvm.put(0x300 + 112, &(HARDWARE_REDUCED as u32).to_le_bytes());
        microvm.put(0x300 + 248, &0xfea0_0200_u64.to_le_bytes());
        assert_eq!(microvm.power_off(), Some(PowerOff::Memory(0xfea0_0200, 5 << 2 | 1 << 5)));
        microvm.put(0x300 + 244, &[1]);
        microvm.put(0x300 + 248, &0x600_u64.to_le_bytes());
        assert_eq!(microvm.power_off(), Some(PowerOff::PortByte(0x600, 5 << 2 | 1 << 5)));
    }

    /// Cloud Hypervisor fills the address of 64 bits only.
    #[test]
    fn a_dsdt_by_its_wide_address() {
        let mut machine = Machine::new(true, b"\x08_S5_\x12\x06\x04\x0a\x05\0\0\0");
        machine.put(0x300 + 112, &(HARDWARE_REDUCED as u32).to_le_bytes());
        machine.put(0x300 + 244, &[1]);
        machine.put(0x300 + 248, &0x3c0_u64.to_le_bytes());
        machine.put(0x300 + 40, &0x4000_0000_u32.to_le_bytes());
        machine.put(0x300 + 140, &(RSDP + 0x800).to_le_bytes());
        // A table that ends before it has none.
        machine.put(0x304, &116_u32.to_le_bytes());
        assert_eq!(machine.power_off(), Some(PowerOff::PortByte(0x3c0, 1 << 5)));
        machine.put(0x304, &276_u32.to_le_bytes());
        assert_eq!(machine.power_off(), Some(PowerOff::PortByte(0x3c0, 5 << 2 | 1 << 5)));
    }

    #[test]
    fn what_is_no_root_pointer_is_not_followed() {
        let mut pc = Machine::new(true, b"\x08_S5_\x12\x06\x04\0\0\0\0");
        assert!(pc.power_off().is_some());
        let mut wrong_sum = pc.memory.clone();
        wrong_sum[8] = wrong_sum[8].wrapping_add(1);
        assert_eq!(pc.power_off_of(wrong_sum), None);
        pc.put(0, b"RSD PTR?");
        assert_eq!(pc.power_off(), None);
    }

    proptest! {
        /// Tables of whatever octets end the search, and it does not go on for long.
        #[test]
        fn nonsense_ends(seed: u64, rsdp: u64, bits in 0_u32..8) {
            SEED.set((seed, bits));
            LOOKS.set(0);
            let read = |at: u64| {
                let (seed, bits) = SEED.get();
                LOOKS.set(LOOKS.get() + 1);
                (at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(bits * 7) as u8
            };
            let _ = Tables(read).power_off(rsdp);
            prop_assert!(LOOKS.get() < 5_000_000);
        }
    }
}
