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

/// What the stubs leave on the stack, lowest address first.
#[repr(C)]
pub(super) struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rbp: u64,
    rdi: u64,
    rsi: u64,
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

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
        Backtrace::from_registers(frame.rip as usize, frame.rbp as usize)
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
        let registers: [(&str, u64); 18] = [
            ("rip", self.rip),
            ("rsp", self.rsp),
            ("rfl", self.rflags),
            ("rax", self.rax),
            ("rbx", self.rbx),
            ("rcx", self.rcx),
            ("rdx", self.rdx),
            ("rsi", self.rsi),
            ("rdi", self.rdi),
            ("rbp", self.rbp),
            (" r8", self.r8),
            (" r9", self.r9),
            ("r10", self.r10),
            ("r11", self.r11),
            ("r12", self.r12),
            ("r13", self.r13),
            ("r14", self.r14),
            ("r15", self.r15),
        ];
        for line in registers.chunks(3) {
            for (name, value) in line {
                write!(f, "  {name} {value:016x}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "  cs {:x} ss {:x}", self.cs & 0xffff, self.ss & 0xffff)
    }
}
