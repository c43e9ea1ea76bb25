//! Interrupts, for one purpose: to wake the processor from its sleep. One vector for devices and the timer, one for the machine's
//! own lines (serial port, power button), where there is more to look at; the handlers say that there was one and nothing else.
//! They are let in only while the guest sleeps or looks.

use super::{clock, port};
use crate::abi::sched::SHUTDOWN_CRASH;
use crate::guest::GuestHypervisor;
use crate::guest::memory::{self, Purpose};
use core::arch::{asm, global_asm};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};
use fata_libos::time::Instant;

/// The vector of devices and the timer.
pub(crate) const WAKE_VECTOR: usize = 32;
/// The vector of the machine's own lines.
pub(crate) const LINE_VECTOR: usize = 33;

const LOCAL: u64 = 0xfee0_0000;
const SPURIOUS: usize = 0xf0;
const TIMER: usize = 0x320;
const LINT0: usize = 0x350;
const COUNT: usize = 0x380;
const COUNTED: usize = 0x390;
const DIVIDE: usize = 0x3e0;
const UNDIVIDED: u32 = 0xb;
const MASKED: u32 = 1 << 16;
/// The I/O interrupt controllers of a PC and QEMU's second one, with 24 inputs each.
const IO: [u64; 2] = [0xfec0_0000, 0xfec1_0000];
const IO_INPUTS: u32 = 24;
const SERIAL_INPUT: u32 = 4;

/// Ticks of the timer in 1024 ns, by 1024.
static RATE: AtomicU64 = AtomicU64::new(0);
/// Where the local APIC's registers are mapped.
static LOCAL_AT: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());
static WOKEN: AtomicU8 = AtomicU8::new(0);
static LINE_ROSE: AtomicU8 = AtomicU8::new(0);

// The end-of-interrupt register, at the address that `map_device` gives it: it is asked for these registers first.
global_asm!(
    r#"
    .section .text.entry, "ax", @progbits
    .global fata_line_stub
fata_line_stub:
    mov byte ptr [{line}], 1
    .global fata_wake_stub
fata_wake_stub:
    push rax
    mov byte ptr [{woken}], 1
    movabs rax, 0xffff9000000000b0
    mov dword ptr [rax], 0
    pop rax
    iretq
"#,
    woken = sym WOKEN,
    line = sym LINE_ROSE,
);

/// Registers that every such machine has.
#[inline(never)]
fn registers(physical: u64) -> NonNull<u32> {
    match memory::map_device(physical, Purpose::Registers) {
        Some(at) => at.cast(),
        None => super::leave(SHUTDOWN_CRASH),
    }
}

fn register(offset: usize) -> NonNull<u32> {
    // Looked for once: an idle loop is here each time.
    let base = NonNull::new(LOCAL_AT.load(Ordering::Relaxed)).unwrap_or_else(|| {
        let at = registers(LOCAL);
        LOCAL_AT.store(at.as_ptr(), Ordering::Relaxed);
        at
    });
    // SAFETY: within the page of registers.
    unsafe { base.byte_add(offset) }
}

#[inline(never)]
fn read(offset: usize) -> u32 {
    // SAFETY: the local APIC's registers are mapped and aligned.
    unsafe { register(offset).read_volatile() }
}

#[inline(never)]
fn write(offset: usize, value: u32) {
    // SAFETY: as above; what is written concerns this processor's interrupts only.
    unsafe { register(offset).write_volatile(value) };
}

/// Lets the timer count, and interrupt nobody.
pub(super) fn count_freely() {
    write(SPURIOUS, 0x100 | WAKE_VECTOR as u32);
    write(DIVIDE, UNDIVIDED);
    write(TIMER, MASKED);
    write(COUNT, u32::MAX);
}

/// Its ticks since then.
pub(super) fn count() -> u32 {
    u32::MAX - read(COUNTED)
}

pub(super) fn init() {
    // The old controllers are silent.
    port::write(0x21, 0xff);
    port::write(0xa1, 0xff);
    write(LINT0, MASKED);
    count_freely();
    RATE.store(clock::rate_of(count), Ordering::Relaxed);
    write(COUNT, 0);
    write(TIMER, WAKE_VECTOR as u32);
    route_line(SERIAL_INPUT);
}

#[inline(never)]
pub(super) fn now() -> u64 {
    GuestHypervisor::system_time().as_nanos()
}

/// Lets an input of the machine's interrupt controllers wake the guest, each time it rises; where they have no such input,
/// the guest looks each millisecond.
pub fn route(input: u32) {
    route_to(input, WAKE_VECTOR);
}

/// The same for an input that is not a device's: [`wait`] says that it rose.
pub(super) fn route_line(input: u32) {
    route_to(input, LINE_VECTOR);
}

fn route_to(input: u32, vector: usize) {
    let Some(&controller) = IO.get((input / IO_INPUTS) as usize) else { return super::look_often() };
    let base = registers(controller);
    let line = 0x10 + 2 * (input % IO_INPUTS);
    for (index, value) in [(line + 1, 0), (line, vector as u32)] {
        // SAFETY: the index register and, 16 octets behind it, the data register are mapped.
        unsafe {
            base.write_volatile(index);
            base.add(4).write_volatile(value);
        }
    }
}

/// Address and data of the message by which a device wakes the guest.
pub fn message() -> (u64, u32) {
    (LOCAL, WAKE_VECTOR as u32)
}

/// What ended a sleep.
pub(super) struct Woken {
    /// An interrupt did, not the deadline.
    pub(super) by_interrupt: bool,
    /// One of the machine's own lines.
    pub(super) by_line: bool,
}

/// Sleeps until an interrupt or `deadline`; a deadline of zero only looks.
pub(super) fn wait(deadline: Option<Instant>) -> Woken {
    if deadline == Some(Instant::default()) {
        // SAFETY: the handler saves what it uses; `nop` is the one instruction at which interrupts come.
        unsafe { asm!("sti", "nop", "cli") };
    } else {
        let left = deadline.map_or(0, |d| d.as_nanos().saturating_sub(now()).max(1));
        let ticks = (u128::from(left) * u128::from(RATE.load(Ordering::Relaxed))) >> 20;
        write(COUNT, if left == 0 { 0 } else { ticks.clamp(1, u32::MAX.into()) as u32 });
        // SAFETY: as above; an interrupt that is due ends the sleep at once.
        unsafe { asm!("sti", "hlt", "cli") };
    }
    let rose = |flag: &AtomicU8| flag.swap(0, Ordering::Acquire) != 0;
    Woken { by_interrupt: rose(&WOKEN), by_line: rose(&LINE_ROSE) }
}
