//! The clock, in the form in which Xen gives it: kvmclock fills the same structures; where there is none they are filled once,
//! from the time stamp counter's rate and the machine's own clock.

use super::{apic, port};
use crate::guest::image::VIRT_BASE;
use crate::guest::{GuestHypervisor, memory};
use crate::timekeeping::{rate_by_crystal, scale, seconds_since_1970};
use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};

/// KVM's leaves, its feature bit for the clock, and the two registers (`Documentation/virt/kvm/x86/msr.rst` of Linux).
const KVM_LEAF: u32 = 0x4000_0000;
const KVM_SIGNATURE: [u32; 3] = [0x4b4d_564b, 0x564b_4d56, 0x4d];
const KVM_CLOCKSOURCE2: u32 = 1 << 3;
const KVM_WALL_CLOCK: u32 = 0x4b56_4d00;
const KVM_SYSTEM_TIME: u32 = 0x4b56_4d01;

/// The interval timer's rate, and what it begins to count from.
const TIMER_HZ: u32 = 1_193_182;
const TIMER_START: u16 = u16::MAX;
/// Its output, in the register of the gate: high when it has counted to the end, or is not there.
const TIMER_OUTPUT: u8 = 1 << 5;
/// Measurements by it that may be spoilt because the guest stood still for longer than it counts, 55 ms.
const ATTEMPTS: u32 = 10;

/// Looks of which the shortest counts, and such rounds until a timer that stands still is given up.
const LOOKS: u32 = 8;
const ROUNDS: u32 = 50_000;
/// No counter is slower.
const SLOWEST: u64 = 100_000_000;
/// Where there is nothing else to measure by, the local APIC's timer: virtual ones count nanoseconds, as KVM's and QEMU's do.
const APIC_HZ: u32 = 1_000_000_000;
/// Ticks by which its true rate is measured: between a quarter of a millisecond and ten.
const RATE_TICKS: u32 = 1 << 18;
/// The leaf in which hypervisors tell the counter's rate, in kHz, and that in which processors do.
const HYPERVISOR_RATE_LEAF: u32 = 0x4000_0010;
const CRYSTAL_LEAF: u32 = 0x15;

/// The battery clock's register that says when the others change, and passes over those at most.
const UPDATE: u8 = 10;
const PATIENCE: u32 = 1000;

pub(super) fn init() {
    let shared = memory::shared_info().cast_mut();
    // SAFETY: only addresses are formed, within the page, which is this guest's own where no Xen is below.
    let (time, wall) = unsafe { (&raw mut (*shared).vcpu_info[0].time, &raw mut (*shared).wc_version) };
    if has_kvm_clock() {
        write_register(KVM_WALL_CLOCK, wall.addr() - VIRT_BASE);
        write_register(KVM_SYSTEM_TIME, (time.addr() - VIRT_BASE) | 1);
        return;
    }
    let (mul, shift) = scale(rate());
    let seconds = time_of_day().unwrap_or_else(|| {
        super::write(b"fata: this machine has no clock of the day: it is taken for 1970\n");
        0
    });
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

/// The counter's ticks in a second: as the processor or the hypervisor says, else measured.
fn rate() -> u64 {
    let measured = || (0..ATTEMPTS).map(|_| by_timer()).find(|&hz| hz > SLOWEST);
    told().or_else(measured).unwrap_or_else(|| {
        apic::count_freely();
        by(APIC_HZ, apic::count)
    })
}

/// The counter's ticks in a second, in a hundredth of one by a timer of `hz`; 0 where that stands still.
#[inline(never)]
fn by(hz: u32, count: fn() -> u32) -> u64 {
    let (ticks, counted) = meanwhile(count, hz / 100);
    ticks * u64::from(hz) / u64::from(counted.max(1))
}

fn timer_is_over() -> bool {
    port::read(0x61) & TIMER_OUTPUT != 0
}

/// By the interval timer's second channel, which a guest may gate and read; 0 where there is none, or it came to its end.
fn by_timer() -> u64 {
    port::write(0x61, port::read(0x61) & !2 | 1);
    port::write(0x43, 0xb0);
    port::write(0x42, TIMER_START as u8);
    port::write(0x42, (TIMER_START >> 8) as u8);
    if timer_is_over() {
        return 0;
    }
    let hz = by(TIMER_HZ, timer_count);
    if timer_is_over() { 0 } else { hz }
}

fn timer_count() -> u32 {
    port::write(0x43, 0x80);
    u32::from(TIMER_START - u16::from_le_bytes([port::read(0x42), port::read(0x42)]))
}

/// Counter and a timer's count at one moment. The guest may stand still at any, for as long as the host has others to run: of
/// several looks the shortest counts.
#[inline(never)]
fn look(count: fn() -> u32) -> (u64, u32) {
    let (mut best, mut found) = (u64::MAX, (0, 0));
    for _ in 0..LOOKS {
        let (before, counted) = (counter(), count());
        let took = counter() - before;
        if took < best {
            (best, found) = (took, (before, counted));
        }
    }
    found
}

/// How far the counter came until a timer had counted to `enough`, and how far that one; 0 and 0 where it stands still.
#[inline(never)]
fn meanwhile(count: fn() -> u32, enough: u32) -> (u64, u32) {
    let (start, from) = look(count);
    for _ in 0..ROUNDS {
        let (end, to) = look(count);
        let counted = to.wrapping_sub(from);
        if counted >= enough {
            return (end - start, counted);
        }
    }
    (0, 0)
}

fn told() -> Option<u64> {
    let hypervisor = __cpuid(HYPERVISOR_RATE_LEAF);
    if __cpuid(KVM_LEAF).eax >= HYPERVISOR_RATE_LEAF && hypervisor.eax != 0 {
        return Some(u64::from(hypervisor.eax) * 1000);
    }
    if __cpuid(0).eax < CRYSTAL_LEAF {
        return None;
    }
    let said = __cpuid(CRYSTAL_LEAF);
    rate_by_crystal(said.eax, said.ebx, said.ecx)
}

/// A timer's ticks in 1024 ns, by 1024, when the clock goes.
pub(super) fn rate_of(count: fn() -> u32) -> u64 {
    let (ticks, counted) = meanwhile(count, RATE_TICKS);
    (u64::from(counted) << 20) / GuestHypervisor::nanoseconds(ticks).max(1)
}

fn clock_register(n: u8) -> u8 {
    port::write(0x70, n);
    port::read(0x71)
}

/// Seconds since 1970, from the battery clock: read until two passes agree, between which nothing has changed.
fn time_of_day() -> Option<u64> {
    let mut fields = [0; 6];
    for _ in 0..PATIENCE {
        let before = fields;
        fields = [0, 2, 4, 7, 8, 9].map(clock_register);
        if fields == before && clock_register(UPDATE) & 0x80 == 0 {
            break;
        }
    }
    seconds_since_1970(fields)
}
