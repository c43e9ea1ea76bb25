//! `memcpy`, `memmove` and `memset`, which the compiler calls: by registers of 16 octets, where those of `compiler_builtins`
//! (which are weak, and give way) are three `rep` instructions each. What an appliance copies is short for the most part, and
//! a processor takes tens of cycles to begin with each `rep`. Long copies are one `rep movsq`, where the two sides are not
//! so close that processors do it octet by octet: it goes by whole cache lines, and in software emulation takes half the time.

use core::arch::global_asm;

#[cfg(target_os = "xen")]
global_asm!(
    ".section .text.copy, \"ax\", @progbits\n.global memcpy, memmove, memset\nmemcpy:\nmemmove:",
    include_str!("copy.s"),
    "memset:",
    include_str!("set.s"),
);

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    global_asm!(
        ".text\n.global fata_copy_under_test, fata_set_under_test\nfata_copy_under_test:",
        include_str!("copy.s"),
        "fata_set_under_test:",
        include_str!("set.s"),
    );

    unsafe extern "sysv64" {
        fn fata_copy_under_test(to: *mut u8, from: *const u8, len: usize) -> *mut u8;
        fn fata_set_under_test(to: *mut u8, with: i32, len: usize) -> *mut u8;
    }

    /// Longer than twice what one turn of a loop takes.
    const MOST: usize = 200;
    /// Octets on both sides that must stay as they are.
    const AROUND: usize = 300;

    fn pattern() -> Vec<u8> {
        (0..MOST + 2 * AROUND).map(|n| (n * 7 + n / 251) as u8).collect()
    }

    /// Copies within one piece of memory, so that from and to overlap in each way there is.
    fn check_copy(from: usize, to: usize, len: usize) {
        let (mut memory, mut wanted) = (pattern(), pattern());
        wanted.copy_within(from..from + len, to);
        assert!(from.max(to) + len <= memory.len());
        let start = memory.as_mut_ptr();
        // SAFETY: both lie within `memory`, as was just seen.
        let back = unsafe { fata_copy_under_test(start.add(to), start.add(from), len) };
        assert_eq!(back as usize - start as usize, to);
        assert!(memory == wanted, "{len} octets from {from} to {to}");
    }

    #[test]
    fn copies_of_every_length_and_overlap() {
        for len in 0..=MOST {
            for to in AROUND - len.min(AROUND) - 1..=AROUND + len + 1 {
                check_copy(AROUND, to, len);
            }
        }
    }

    /// From where on copies are long.
    const LONG: usize = 1024;

    #[test]
    fn long_copies_of_every_end_and_overlap() {
        for len in LONG - 9..LONG + 10 {
            for (from, to) in (0..200).map(|n| (100, n)).chain([(0, 1500), (1500, 0), (700, 0), (0, 700)]) {
                let mut memory: Vec<u8> = (0..3000).map(|n: usize| (n * 7 + n / 251) as u8).collect();
                let mut wanted = memory.clone();
                wanted.copy_within(from..from + len, to);
                let start = memory.as_mut_ptr();
                // SAFETY: 3000 octets are more than the last place and the longest length together.
                let back = unsafe { fata_copy_under_test(start.add(to), start.add(from), len) };
                assert_eq!(back as usize - start as usize, to);
                assert!(memory == wanted, "{len} octets from {from} to {to}");
            }
        }
    }

    #[test]
    fn every_length_is_set_and_nothing_else() {
        for len in 0..=MOST {
            let (mut memory, mut wanted) = (pattern(), pattern());
            wanted[AROUND..AROUND + len].fill(0xa5);
            let start = memory[AROUND..].as_mut_ptr();
            // SAFETY: `len` octets from there on are in `memory`. Only the lowest octet of the value counts.
            let back = unsafe { fata_set_under_test(start, 0x7fff_ffa5, len) };
            assert_eq!(back, start);
            assert!(memory == wanted, "{len} octets");
        }
    }

    proptest! {
        #[test]
        fn long_ones_as_slices_are_copied(len in 0_usize..5000, from in 0_usize..5000, to in 0_usize..5000) {
            let mut memory: Vec<u8> = (0..10_000).map(|n: usize| (n ^ (n >> 5)) as u8).collect();
            let mut wanted = memory.clone();
            wanted.copy_within(from..from + len, to);
            let start = memory.as_mut_ptr();
            // SAFETY: `from`, `to` and `len` are each below half of what `memory` has.
            unsafe { fata_copy_under_test(start.add(to), start.add(from), len) };
            prop_assert!(memory == wanted);
        }
    }
}
