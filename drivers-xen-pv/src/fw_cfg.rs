//! What QEMU tells a guest by its configuration device (QEMU's `docs/specs/fw_cfg.rst`): where its generation ID is
//! (`docs/specs/vmgenid.rst`). The firmware has given that a place and told QEMU, which keeps what it was told in a file of the device; so the
//! tables of ACPI, whose language has it too, need no interpreter.

use crate::types::PAGE_SIZE;

/// What is there if it is this device, and its list of files.
const SIGNATURE: u16 = 0;
const DIRECTORY: u16 = 0x19;
/// Files that are looked at: QEMU has some 40.
const FILES: u64 = 256;
const ID_OCTETS: u64 = 16;

/// The device: a selector, and the octets of what is selected, one after the other.
pub(crate) struct FwCfg {
    pub select: fn(u16),
    pub read: fn() -> u8,
}

impl FwCfg {
    /// The next eight octets, the first one highest.
    #[inline(never)]
    fn word(&self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from((self.read)()))
    }

    /// The physical address of the machine's generation ID; `None` where it has none.
    pub(crate) fn generation_id(&self) -> Option<u64> {
        (self.select)(SIGNATURE);
        if self.word() >> 32 != u64::from(u32::from_be_bytes(*b"QEMU")) {
            return None;
        }
        (self.select)(DIRECTORY);
        // How many there are, 32 bits; each has its size (32), selector (16), 16 that are reserved, and a name of 56 octets that ends with
        // zero: so that words begin within each.
        let count = self.word() >> 32;
        let selector = (0..count.min(FILES)).find_map(|_| {
            let [first, second, third] = [(); 3].map(|()| self.word());
            let is_it = first as u32 == u32::from_be_bytes(*b"etc/")
                && second == u64::from_be_bytes(*b"vmgenid_")
                && third >> 24 == u64::from_be_bytes(*b"\0\0\0addr\0");
            (0..5).for_each(|_| _ = self.word());
            is_it.then_some((first >> 48) as u16)
        })?;
        // Eight octets, the lowest first.
        (self.select)(selector);
        let at = self.word().swap_bytes();
        // Zero until the firmware has said it; within one page, words are where words can be.
        let is_whole = at.is_multiple_of(8) && at % PAGE_SIZE as u64 <= PAGE_SIZE as u64 - ID_OCTETS;
        (at != 0 && is_whole).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    thread_local! {
        static FILES: RefCell<BTreeMap<u16, Vec<u8>>> = const { RefCell::new(BTreeMap::new()) };
        static AT: RefCell<(u16, usize)> = const { RefCell::new((0, 0)) };
    }

    const DEVICE: FwCfg = FwCfg {
        select: |key| AT.set((key, 0)),
        // Nothing behind an end, as of the device; where there is no device, ones.
        read: || {
            FILES.with_borrow(|files| {
                if files.is_empty() {
                    return 0xff;
                }
                let (key, at) = AT.with_borrow(|at| *at);
                AT.set((key, at + 1));
                files.get(&key).and_then(|file| file.get(at)).copied().unwrap_or(0)
            })
        },
    };

    /// A device with these files, from selector 0x20 on, and what it says of so many of them.
    fn with(files: &[(&str, &[u8])], said: u32) -> Option<u64> {
        let mut all = BTreeMap::from([(SIGNATURE, b"QEMU".to_vec())]);
        let mut list = said.to_be_bytes().to_vec();
        for (key, (name, content)) in (0x20_u16..).zip(files) {
            list.extend((content.len() as u32).to_be_bytes());
            list.extend(key.to_be_bytes());
            list.extend([0; 2]);
            list.extend(name.as_bytes());
            list.resize(4 + 64 * usize::from(key - 0x1f), 0);
            all.insert(key, content.to_vec());
        }
        all.insert(DIRECTORY, list);
        FILES.set(all);
        DEVICE.generation_id()
    }

    #[test]
    fn the_address_is_in_its_file() {
        let at = 0x03ff_e028_u64;
        let address = at.to_le_bytes();
        let files: &[(&str, &[u8])] =
            &[("bootorder", b"x"), ("etc/vmgenid_guid", &[7; 4096]), ("etc/vmgenid_addr", &address)];
        assert_eq!(with(files, 3), Some(at));
        assert_eq!(with(files, 2), None, "it is not in the list");
        assert_eq!(with(&files[..2], 1000), None);
        assert_eq!(with(&[("etc/vmgenid_address", &address)], 1), None);
        assert_eq!(with(&[], u32::MAX), None);
    }

    #[test]
    fn an_address_that_is_none_is_not_followed() {
        let said = |at: u64| with(&[("etc/vmgenid_addr", &at.to_le_bytes())], 1);
        assert_eq!(said(0), None, "the firmware has not said it");
        for (at, is_good) in [(0x1ff0, true), (0x1ff8, false), (0x1004, false), (u64::MAX, false)] {
            assert_eq!(said(at).is_some(), is_good, "{at:#x}");
        }
    }

    #[test]
    fn a_machine_without_the_device_has_none() {
        FILES.set(BTreeMap::new());
        assert_eq!(DEVICE.generation_id(), None);
    }
}
