//! Descriptor tables: one code segment, one stack for exceptions, a gate for each exception.

use crate::guest::exception::{self, VECTORS};
use crate::guest::image;
use crate::guest::memory::Place;
use crate::machine::{LINE_VECTOR, WAKE_VECTOR};
use core::arch::asm;

/// 64-bit code, data, and the two words of the task state segment.
pub(super) static GDT: Place<[u64; 5]> = Place::new([0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0, 0]);
const CODE: u64 = 8;
const TASK: u16 = 24;
/// Selector of the stack in the task state segment (IST 1), present, interrupt gate.
const GATE: u64 = 0x8e01;
/// The same on the stack in use.
const WAKE_GATE: u64 = 0x8e00;

/// Task state segment: 26 words of 32 bits; words 9 and 10 are the stack of the gates, the last one's high half says that
/// there is no map of ports.
static TSS: Place<[u32; 26]> = Place::new([0; 26]);
static IDT: Place<[[u64; 2]; LINE_VECTOR + 1]> = Place::new([[0; 2]; LINE_VECTOR + 1]);

/// What `lgdt` and `lidt` read.
#[repr(C, packed)]
struct Pointer {
    limit: u16,
    base: u64,
}

fn pointer_to<T>(table: &Place<T>) -> Pointer {
    Pointer { limit: (size_of::<T>() - 1) as u16, base: table.get().addr() as u64 }
}

unsafe extern "C" {
    /// See `machine::apic`.
    static fata_wake_stub: u8;
    static fata_line_stub: u8;
}

fn gate(handler: usize, kind: u64) -> [u64; 2] {
    let handler = handler as u64;
    [handler & 0xffff | CODE << 16 | kind << 32 | (handler >> 16 & 0xffff) << 48, handler >> 32]
}

/// Tells the processor where exceptions go: to the stubs that PV has, on a stack of their own, so that an overflow of the
/// guest's is reported too.
pub(super) fn init() {
    let stack = image::fault_stack_top() as u64;
    TSS.with(|tss| {
        tss[9] = stack as u32;
        tss[10] = (stack >> 32) as u32;
        tss[25] = 104 << 16;
    });
    let tss = TSS.get().addr() as u64;
    GDT.with(|gdt| {
        gdt[3] = 103 | (tss & 0xff_ffff) << 16 | 0x89 << 40 | (tss >> 24 & 0xff) << 56;
        gdt[4] = tss >> 32;
    });
    IDT.with(|idt| {
        for (vector, line) in idt.iter_mut().take(VECTORS).enumerate() {
            *line = gate(exception::stub_of_processor(vector), GATE);
        }
        idt[WAKE_VECTOR] = gate((&raw const fata_wake_stub).addr(), WAKE_GATE);
        idt[LINE_VECTOR] = gate((&raw const fata_line_stub).addr(), WAKE_GATE);
    });
    let (gdt, idt) = (pointer_to(&GDT), pointer_to(&IDT));
    // SAFETY: the tables are complete and stay where they are; code and data segments are those in use.
    unsafe {
        asm!("lgdt [{gdt}]", "lidt [{idt}]", "ltr {task:x}",
            gdt = in(reg) &gdt, idt = in(reg) &idt, task = in(reg) TASK, options(nostack, preserves_flags));
    }
}
