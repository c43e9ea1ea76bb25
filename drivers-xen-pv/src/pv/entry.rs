//! The PV door: the notes that the domain builder reads, the first instructions, the hypercall page, the trap stubs.
//!
//! Notes: `elfnote.h`. The builder starts the guest at `fata_pv_start` in 64-bit mode, ring 3, with `start_info` in `rsi`.

use core::arch::global_asm;

// Types 1 to 10 of `elfnote.h`. PADDR_OFFSET 0 with VIRT_BASE: the image's physical addresses are low, as PVH wants them.
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

    .section .hypercall_page, "ax", @nobits
    .balign 4096
    .global fata_hypercall_page
fata_hypercall_page:
    .skip 4096

    .section .text.entry, "ax", @progbits
    .global fata_pv_start
fata_pv_start:
    cld
    mov rsp, offset fata_stack_top
    xor ebp, ebp
    mov rdi, rsi
    call {main}
    ud2
"#,
    main = sym super::start::pv_main,
);

// Xen pushes ss, rsp, rflags, cs, rip, an error code for some vectors, r11, rcx. Each stub takes the last two back and pads
// to one shape, `traps::Frame`. Vectors with an error code of their own: 8, 10 to 14, 17, 21.
global_asm!(
    r#"
    .section .text.entry, "ax", @progbits
    .balign 16
    .global fata_trap_stubs
fata_trap_stubs:
    .set vector, 0
    .rept 22
    .balign 16
    pop rcx
    pop r11
    .if (vector != 8) && ((vector < 10) || (vector > 14)) && (vector != 17) && (vector != 21)
    push 0
    .endif
    push vector
    jmp 4f
    .set vector, vector + 1
    .endr
4:
    push rax
    push rbx
    push rcx
    push rdx
    push rsi
    push rdi
    push rbp
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    and rsp, -16
    call {report}
    ud2
"#,
    report = sym super::traps::report,
);
