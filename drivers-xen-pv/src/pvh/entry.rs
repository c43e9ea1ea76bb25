//! The first instructions of a PVH guest: from 32-bit code without paging to 64-bit code at the image's own addresses.
//!
//! The loader (`xl`, QEMU, others) starts the guest at `fata_pvh_start` with the physical address of `hvm_start_info` in
//! ebx. The first GiB is mapped here with large pages, at its physical addresses and at those of the image; [`super::paging`]
//! puts the real tables in their place.

use super::{cpu, paging, start};
use core::arch::global_asm;

// CR4: PAE, OSFXSR, OSXMMEXCPT. EFER: LME, NXE. CR0: PG, WP, NE, ET, MP, PE; caches on, no emulation.
global_asm!(
    r#"
    .set BASE, 0xffffffff80000000
    .section .text.entry, "ax", @progbits
    .code32
    .global fata_pvh_start
fata_pvh_start:
    cli
    cld
    mov esi, ebx
    mov esp, offset fata_stack_top - BASE
    mov edi, offset {tables} - BASE
    lea eax, [edi + 4096 + 3]
    mov [edi], eax
    mov [edi + 511 * 8], eax
    add eax, 4096
    mov [edi + 4096], eax
    mov [edi + 4096 + 510 * 8], eax
    xor ecx, ecx
2:  mov eax, ecx
    shl eax, 21
    or eax, 0x83
    mov [edi + 8192 + ecx * 8], eax
    inc ecx
    cmp ecx, 512
    jb 2b
    mov cr3, edi
    mov eax, 0x620
    mov cr4, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x900
    wrmsr
    mov eax, 0x80010033
    mov cr0, eax
    lgdt [.Lfata_pvh_gdt - BASE]
    push 8
    mov eax, offset .Lfata_pvh_64 - BASE
    push eax
    retf
.Lfata_pvh_gdt:
    .word 39
    .long {gdt} - BASE
    .code64
.Lfata_pvh_64:
    mov eax, 16
    mov ss, eax
    mov ds, eax
    mov es, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    mov rax, offset .Lfata_pvh_high
    jmp rax
.Lfata_pvh_high:
    mov rsp, offset fata_stack_top
    xor ebp, ebp
    mov edi, esi
    call {main}
    ud2
"#,
    tables = sym paging::TABLES,
    gdt = sym cpu::GDT,
    main = sym start::pvh_main,
);
