//! Exceptions: reported on the console, then the domain ends as crashed. None is ever returned from.

use super::backtrace::Backtrace;
use super::crash::crash;
use super::hypercall;
use super::image;
use crate::abi::shared_info::SharedInfo;
use crate::abi::trap::{FLAT_KERNEL_CS, TI_MASK_EVENTS, TrapInfo};
use core::cell::UnsafeCell;
use core::fmt;

/// Stubs in `entry`, one each 16 octets.
const VECTORS: usize = 22;
const PAGE_FAULT: u64 = 14;

/// What the stubs leave on the stack, lowest address first: r15 down to r8, rbp, rdi, rsi, rdx, rcx, rbx, rax, then these.
#[repr(C)]
pub(super) struct Frame {
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

struct Table(UnsafeCell<[TrapInfo; VECTORS + 1]>);

// SAFETY: written once, by the only thread, before the hypervisor reads it.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([const { TrapInfo::new(0, 0, 0, 0) }; VECTORS + 1]));

unsafe extern "C" {
    static fata_trap_stubs: u8;
}

/// Tells Xen where exceptions go. NMIs (2) and the two vectors that no processor raises any more have no line.
pub(super) fn init() {
    let stubs = (&raw const fata_trap_stubs).addr();
    let table = TABLE.0.get().cast::<TrapInfo>();
    let vectors = (0..VECTORS as u8).filter(|v| !matches!(v, 2 | 9 | 15));
    for (line, vector) in vectors.enumerate() {
        let address = (stubs + 16 * usize::from(vector)) as u64;
        // SAFETY: at most VECTORS lines, so that the last one stays zero.
        unsafe { table.add(line).write(TrapInfo::new(vector, TI_MASK_EVENTS, FLAT_KERNEL_CS, address)) };
    }
    // SAFETY: the table ends with a zero line and stays where it is; its stubs handle each vector.
    let result = unsafe { hypercall::set_trap_table(table) };
    assert!(result == 0, "set_trap_table: {result}");
}

pub(super) extern "C" fn report(frame: &Frame) -> ! {
    crash(format_args!(
        "\n{}\n{frame}{}\n{}",
        Cause(frame),
        fata_libos::task::Doing,
        Backtrace::from_registers(frame.rip as usize, frame.registers[RBP] as usize)
    ))
}

const NAMES: [&str; VECTORS] = [
    "divide error",
    "debug exception",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection fault",
    "page fault",
    "reserved exception",
    "floating-point error",
    "alignment check",
    "machine check",
    "SIMD floating-point error",
    "virtualization exception",
    "control protection exception",
];

struct Cause<'f>(&'f Frame);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame { vector, error, .. } = *self.0;
        let name = NAMES.get(vector as usize).copied().unwrap_or("unknown exception");
        write!(f, "fata: exception {vector}: {name}")?;
        if vector != PAGE_FAULT {
            return write!(f, ", error code {error:#x}");
        }
        let address = fault_address();
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
    let guard = image::stack_guard();
    match address {
        0..4096 => " (a null pointer)",
        a if (guard..guard + 4096).contains(&a) => " (the stack's guard page: stack overflow)",
        a if image::text().contains(&a) => " (code)",
        a if image::rodata().contains(&a) => " (constants)",
        a if image::stack().contains(&a) => " (the stack)",
        _ => "",
    }
}

/// CR2, which Xen keeps in the shared info page.
fn fault_address() -> u64 {
    let shared: *const SharedInfo = super::mm::shared_info();
    // SAFETY: the page is mapped from the start of the boot on.
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
