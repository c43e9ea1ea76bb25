//! The clock, in the form in which Xen gives it: kvmclock fills the same structures; where there is none they are filled once,
//! from the time stamp counter's rate and the machine's own clock.

use super::port;
use crate::guest::image::VIRT_BASE;
use crate::guest::memory;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};

/// KVM's leaves, its feature bit for the clock, and the two registers (`Documentation/virt/kvm/x86/msr.rst` of Linux).
const KVM_LEAF: u32 = 0x4000_0000;
const KVM_SIGNATURE: [u32; 3] = [0x4b4d_564b, 0x564b_4d56, 0x4d];
const KVM_CLOCKSOURCE2: u32 = 1 << 3;
const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;
const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;

/// The interval timer's rate, and how long it is let run: a hundredth of a second.
const TIMER_HZ: u64 = 1_193_182;
const TIMER_TICKS: u64 = TIMER_HZ / 100;
/// How often it is measured at most.
const TRIES: u32 = 32;

/// The battery clock's register that says when the others change, and looks at it at most.
const UPDATE: u8 = 10;
const PATIENCE: u32 = 100_000;

pub(super) fn init() {
    let shared = memory::shared_info().cast_mut();
    // SAFETY: only addresses are formed, within the page, which is this guest's own where no Xen is below.
    let (time, wall) = unsafe { (&raw mut (*shared).vcpu_info[0].time, &raw mut (*shared).wc_version) };
    if has_kvm_clock() {
        write_register(KVM_WALL_CLOCK, wall.addr() - VIRT_BASE);
        write_register(KVM_SYSTEM_TIME, (time.addr() - VIRT_BASE) | 1);
        return;
    }
    let (mul, shift) = scale(measure());
    let seconds = time_of_day();
    // SAFETY: wc_sec, wc_nsec and wc_sec_hi follow wc_version; nobody else writes there, and nobody reads yet.
    unsafe {
        (&raw mut (*time).tsc_timestamp).write_volatile(counter());
        (&raw mut (*time).tsc_to_system_mul).write_volatile(mul);
        (&raw mut (*time).tsc_shift).write_volatile(shift);
        wall.add(1).write_volatile(seconds as u32);
        wall.add(3).write_volatile((seconds >> 32) as u32);
    }
}

fn has_kvm_clock() -> bool {
    let said = __cpuid(KVM_LEAF);
    [said.ebx, said.ecx, said.edx] == KVM_SIGNATURE && __cpuid(KVM_LEAF + 1).eax & KVM_CLOCKSOURCE2 != 0
}

fn write_register(register: u32, physical: usize) {
    // SAFETY: KVM writes its time to the address, which is kept for that.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") physical as u32, in("edx") (physical >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

fn counter() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { _rdtsc() }
}

/// Whether the timer's first channel has counted down: its output, by the read-back command.
fn is_timer_done() -> bool {
    port::write(0x43, 0xe2);
    port::read(0x40) & 0x80 != 0
}

/// The counter's ticks in a second: by the interval timer's first channel, as microvm has no gate for the others. A host that takes the
/// processor away at the wrong moment spoils that; it shows as doubt about when the time began or ended, and there are more tries.
fn measure() -> u64 {
    let (mut least_doubt, mut ticks) = (u64::MAX, 0);
    for _ in 0..TRIES {
        let before = counter();
        port::write(0x43, 0x30);
        port::write(0x40, TIMER_TICKS as u8);
        port::write(0x40, (TIMER_TICKS >> 8) as u8);
        let start = counter();
        let mut last = start;
        while !is_timer_done() {
            last = counter();
        }
        let end = counter();
        let doubt = (start - before) + (end - last);
        if doubt < least_doubt {
            (least_doubt, ticks) = (doubt, end - start);
        }
        if least_doubt < ticks / 64 {
            break;
        }
    }
    // A machine without the timer answers at once; a counter of 1 GHz is then as good a guess as another.
    if ticks < 1_000_000 { 1_000_000_000 } else { ticks * TIMER_HZ / TIMER_TICKS }
}

/// See [`VcpuTimeInfo::tsc_to_system_mul`].
fn scale(hz: u64) -> (u32, i8) {
    let (mut mul, mut shift) = ((1_000_000_000 << 32) / hz, 0);
    while mul >> 32 != 0 {
        (mul, shift) = (mul >> 1, shift + 1);
    }
    (mul as u32, shift)
}

fn clock_register(n: u8) -> u8 {
    port::write(0x70, n);
    port::read(0x71)
}

/// Seconds since 1970, from the battery clock in binary-coded decimal, as every PC has it; read when it says that no second
/// begins within the time that takes.
fn time_of_day() -> u64 {
    let _ = (0..PATIENCE).find(|_| clock_register(UPDATE) & 0x80 == 0);
    let fields = [0, 2, 4, 7, 8, 9].map(clock_register);
    let [second, minute, hour, day, month, year] = fields.map(|n| u64::from((n >> 4) * 10 + (n & 15)));
    // The years run from March, and 2000 to 2099 have no exception to the rule of four.
    let (y, m) = if month > 2 { (year + 2000, month - 3) } else { (year + 1999, month + 9) };
    let days = 365 * (y - 1970) + (y / 4 - 492) + (153 * m + 2) / 5 + day + 58;
    ((days * 24 + hour) * 60 + minute) * 60 + second
}
