//! The PV door: the first instructions.
//!
//! The builder starts the guest at `fata_pv_start` in 64-bit mode, ring 3, with `start_info` in `rsi`.

use core::arch::global_asm;

global_asm!(
    r#"
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
