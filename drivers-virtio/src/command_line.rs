//! Devices of MMIO that the kernel command line names, as QEMU's microvm, Firecracker and others tell Linux of them
//! (`virtio_mmio.device=SIZE@BASE:INPUT`, Linux's `drivers/virtio/virtio_mmio.c`).

const NAME: &[u8] = b"virtio_mmio.device=";

/// Where registers of MMIO are, how many octets, and the inputs of interrupt controllers that they may raise.
pub(crate) type Place = (u64, usize, [u32; 2]);

/// The devices that a command line names. What does not read as one is none.
pub(crate) fn mmio_devices(line: &str) -> impl Iterator<Item = Place> {
    line.as_bytes().split(|&byte| byte <= b' ').filter_map(mmio_device)
}

/// The registers are not more than a page, and not less than the configuration needs.
fn mmio_device(word: &[u8]) -> Option<Place> {
    let mut rest = word.strip_prefix(NAME)?;
    let mut size = number(&mut rest, 10)?;
    if let Some(behind) = rest.strip_prefix(b"K") {
        (size, rest) = (size.checked_mul(1024)?, behind);
    }
    rest = rest.strip_prefix(b"@0x")?;
    let base = number(&mut rest, 16)?;
    rest = rest.strip_prefix(b":")?;
    let input = number(&mut rest, 10)?.try_into().ok()?;
    let is_whole = rest.is_empty() || rest[0] == b':';
    (is_whole && base % 4 == 0 && (0x100..=4096).contains(&size)).then_some((base, size as usize, [input; 2]))
}

/// A number at the beginning of `text`, which goes on behind it.
#[inline(never)]
fn number(text: &mut &[u8], radix: u32) -> Option<u64> {
    let mut value = None;
    while let Some((&first, rest)) = text.split_first() {
        let Some(digit) = char::from(first).to_digit(radix) else { break };
        let before: u64 = value.unwrap_or(0);
        value = Some(before.checked_mul(radix.into())?.checked_add(digit.into())?);
        *text = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_machines_write_them() {
        let line = "virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=4K@0xd0000000:5\tother=1 \
                    virtio_mmio.device=4K@0xd0001000:6:1";
        let found: Vec<Place> = mmio_devices(line).collect();
        let wanted = [(0xfeb0_0e00, 512, [12; 2]), (0xd000_0000, 4096, [5; 2]), (0xd000_1000, 4096, [6; 2])];
        assert_eq!(found, wanted);
    }

    #[test]
    fn what_is_none() {
        for line in [
            "",
            "virtio_mmio.device=",
            "virtio_mmio.device=512",
            "virtio_mmio.device=512@feb00e00:12",
            "virtio_mmio.device=512@0xfeb00e00",
            "virtio_mmio.device=512@0xfeb00e00:",
            "virtio_mmio.device=512@0xfeb00e00:12x",
            "virtio_mmio.device=512@0xfeb00e01:12",
            "virtio_mmio.device=255@0xfeb00e00:12",
            "virtio_mmio.device=8K@0xfeb00e00:12",
            "virtio_mmio.device=18446744073709551615K@0xfeb00e00:12",
            "virtio_mmio.device=512@0xfeb00e00:4294967296",
            "virtio_mmio.device=512@0x1ffffffffffffffff:1",
        ] {
            assert_eq!(mmio_devices(line).next(), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(line in ".{0,200}", tail in "[0-9a-fxK@:]{0,60}") {
            let _ = mmio_devices(&line).count();
            for (base, size, _) in mmio_devices(&format!("virtio_mmio.device={tail}")) {
                prop_assert!(base % 4 == 0 && size <= 4096);
            }
        }
    }
}
