//! Exceptions: reported on the console, then the domain ends as crashed. None is ever returned from.

use super::backtrace::Backtrace;
use super::crash::crash;
use super::image;
use crate::abi::shared_info::SharedInfo;
use core::arch::{asm, global_asm};
use core::fmt;

/// Stubs below, one each 16 octets.
pub(crate) const VECTORS: usize = 22;
const PAGE_FAULT: u64 = 14;

/// What the stubs leave on the stack, lowest address first: r15 down to r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, then these.
#[repr(C)]
struct Frame {
    registers: [u64; 15],
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Where `rbp` is among the registers.
const RBP: usize = 8;
/// The registers in the order of the report, with their places in the frame.
const SHOWN: [([u8; 3], u8); 15] = [
    (*b"rax", 14),
    (*b"rbx", 13),
    (*b"rcx", 12),
    (*b"rdx", 11),
    (*b"rsi", 10),
    (*b"rdi", 9),
    (*b"rbp", 8),
    (*b" r8", 7),
    (*b" r9", 6),
    (*b"r10", 5),
    (*b"r11", 4),
    (*b"r12", 3),
    (*b"r13", 2),
    (*b"r14", 1),
    (*b"r15", 0),
];

/// Where the handler of a vector starts, as Xen calls it for a PV guest.
pub(crate) fn stub(vector: usize) -> usize {
    (&raw const fata_trap_stubs).addr() + 16 * vector
}

/// Where it starts when the processor calls it, which pushes neither r11 nor rcx: behind the two instructions that take
/// them back.
pub(crate) fn stub_of_processor(vector: usize) -> usize {
    stub(vector) + 3
}

unsafe extern "C" {
    static fata_trap_stubs: u8;
}

// The processor pushes ss, rsp, rflags, cs, rip, an error code for some vectors; Xen also r11, rcx. Each stub takes the last
// two back and pads to one shape, `Frame`. Vectors with an error code of their own: 8, 10 to 14, 17, 21.
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
    report = sym report,
);

extern "C" fn report(frame: &Frame) -> ! {
    crash(format_args!(
        "\n{}\n{frame}{}\n{}",
        Cause(frame),
        fata_libos::task::Doing,
        Backtrace::from_registers(frame.rip as usize, frame.registers[RBP] as usize)
    ))
}

/// By vector. One text: a table of so many would be larger than what it names.
const NAMES: &str = "divide error|debug exception|non-maskable interrupt|breakpoint|overflow|\
    bound range exceeded|invalid opcode|device not available|double fault|\
    coprocessor overrun|invalid TSS|segment not present|stack fault|\
    general protection fault|page fault|reserved exception|floating-point error|\
    alignment check|machine check|SIMD floating-point error|virtualization exception|\
    control protection exception|";

// One for each vector.
const _: () = {
    let (mut at, mut ends) = (0, 0);
    while at < NAMES.len() {
        ends += (NAMES.as_bytes()[at] == b'|') as usize;
        at += 1;
    }
    assert!(ends == VECTORS);
};

/// By hand: `split` is larger.
fn name_of(vector: u64) -> Option<&'static str> {
    let (mut left, mut start) = (vector, 0);
    for (at, octet) in NAMES.bytes().enumerate() {
        if octet == b'|' {
            if left == 0 {
                return NAMES.get(start..at);
            }
            (left, start) = (left - 1, at + 1);
        }
    }
    None
}

struct Cause<'f>(&'f Frame);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { vector, error, cs, .. } = *self.0;
        let name = name_of(vector).unwrap_or("unknown exception");
        write!(f, "fata: exception {vector}: {name}")?;
        if vector != PAGE_FAULT {
            return write!(f, ", error code {error:#x}");
        }
        let address = fault_address(cs);
        let what = match (error & 16 != 0, error & 2 != 0) {
            (true, _) => "executing",
            (_, true) => "writing",
            _ => "reading",
        };
        let why = if error & 1 == 0 { "nothing is mapped there" } else { "its rights forbid it" };
        write!(f, " {what} {address:#018x}: {why}{}", place(address as usize))
    }
}

fn place(address: usize) -> &'static str {
    match address {
        0..4096 => " (a null pointer)",
        a if image::is_stack_guard(a) => " (the stack's guard page: stack overflow)",
        a if image::text().contains(&a) => " (code)",
        a if image::rodata().contains(&a) => " (constants)",
        a if image::stack().contains(&a) => " (the stack)",
        _ => "",
    }
}

/// CR2; for a PV guest, whose code runs in ring 3, Xen keeps it in the shared info page.
fn fault_address(cs: u64) -> u64 {
    if cs & 3 == 0 {
        let address;
        // SAFETY: reads a register, in ring 0.
        unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
        return address;
    }
    let shared: *const SharedInfo = super::memory::shared_info();
    // SAFETY: the page is mapped from the start of a PV guest's boot on.
    unsafe { (&raw const (*shared).vcpu_info[0].arch.cr2).read_volatile() }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  rip {:016x}  rsp {:016x}  rfl {:016x}", self.rip, self.rsp, self.rflags)?;
        for (n, (name, place)) in SHOWN.iter().enumerate() {
            f.write_str(if n % 3 == 0 { "\n  " } else { "  " })?;
            f.write_str(core::str::from_utf8(name).unwrap_or_default())?;
            write!(f, " {:016x}", self.registers[usize::from(*place)])?;
        }
        writeln!(f, "\n  cs {:x} ss {:x}", self.cs & 0xffff, self.ss & 0xffff)
    }
}
