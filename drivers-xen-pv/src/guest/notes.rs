//! The notes that domain builders read (`elfnote.h`), for both doors, and the page that Xen fills with its hypercalls.

use core::arch::global_asm;

// Types 1 to 10 and 18 of `elfnote.h`. PADDR_OFFSET 0 with VIRT_BASE: the image's physical addresses are low, as PVH wants
// them. Type 18 is the PVH door, a physical address; QEMU reads it too, as eight octets.
global_asm!(
    r#"
    .macro XEN_NOTE type, kind:req, value:vararg
    .align 4
    .long 4
    .long 3f - 2f
    .long \type
    .asciz "Xen"
2:  \kind \value
3:
    .align 4
    .endm

    .section .note.Xen, "a", @note
    XEN_NOTE 1, .quad, fata_pv_start
    XEN_NOTE 2, .quad, fata_hypercall_page
    XEN_NOTE 3, .quad, 0xffffffff80000000
    XEN_NOTE 4, .quad, 0
    XEN_NOTE 5, .asciz, "xen-3.0"
    XEN_NOTE 6, .asciz, "fata"
    XEN_NOTE 8, .asciz, "generic"
    XEN_NOTE 9, .asciz, "yes"
    XEN_NOTE 10, .asciz, "!writable_page_tables|pae_pgdir_above_4gb"
    XEN_NOTE 18, .quad, fata_pvh_start - 0xffffffff80000000

    .section .hypercall_page, "ax", @nobits
    .balign 4096
    .global fata_hypercall_page
fata_hypercall_page:
    .skip 4096
"#
);
