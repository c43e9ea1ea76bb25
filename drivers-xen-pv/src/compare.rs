//! `memcmp` and `bcmp`, which the compiler calls: eight octets at a time in 60 octets of code, where those of
//! `compiler_builtins` (which are weak, and give way) have 800 for the same speed on what is compared here.

use core::arch::global_asm;

#[cfg(target_os = "xen")]
global_asm!(concat!(
    ".section .text.compare, \"ax\", @progbits\n.global memcmp, bcmp\nmemcmp:\nbcmp:\n",
    include_str!("compare.s")
));

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    global_asm!(concat!(
        ".text\n.global fata_compare_under_test\nfata_compare_under_test:\n",
        include_str!("compare.s")
    ));

    unsafe extern "sysv64" {
        fn fata_compare_under_test(a: *const u8, b: *const u8, len: usize) -> i32;
    }

    fn compare(a: &[u8], b: &[u8]) -> i32 {
        assert_eq!(a.len(), b.len());
        // SAFETY: both are as long.
        unsafe { fata_compare_under_test(a.as_ptr(), b.as_ptr(), a.len()) }
    }

    proptest! {
        #[test]
        fn as_slices_are_ordered(a in proptest::collection::vec(any::<u8>(), 0..40), at in any::<usize>(), to: u8) {
            let mut b = a.clone();
            if !b.is_empty() {
                let at = at % b.len();
                b[at] = to;
            }
            prop_assert_eq!(compare(&a, &b).cmp(&0), a.cmp(&b));
            prop_assert_eq!(compare(&b, &a).cmp(&0), b.cmp(&a));
            prop_assert_eq!(compare(&a, &a), 0);
        }
    }
}
