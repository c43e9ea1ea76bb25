//! The clock, in the form in which Xen gives it: kvmclock fills the same structures; where there is none they are filled once,
//! from the time stamp counter's rate and the machine's own clock.

use super::{apic, port};
use crate::guest::image::VIRT_BASE;
use crate::guest::memory;
use crate::timekeeping::{rate_by_crystal, scale, seconds_since_1970};
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

/// Looks at the timer, of a microsecond or so in a virtual machine.
const TIMER_PATIENCE: u32 = 1_000_000;
/// No counter is slower.
const SLOWEST: u64 = 100_000_000;
/// Where there is nothing else to measure by, the local APIC's timer: virtual ones count nanoseconds, as KVM's and QEMU's do.
const APIC_HZ: u32 = 1_000_000_000;
/// The leaf in which hypervisors tell the counter's rate, in kHz, and that in which processors do.
const HYPERVISOR_RATE_LEAF: u32 = 0x4000_0010;
const CRYSTAL_LEAF: u32 = 0x15;

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
    told().unwrap_or_else(|| {
        let start = counter();
        let ticks = wait_for_timer().then(|| (counter() - start) * TIMER_HZ / TIMER_TICKS);
        // A machine without the timer answers at once.
        ticks.filter(|&hz| hz > SLOWEST).unwrap_or_else(|| {
            let start = counter();
            apic::wait_ticks(APIC_HZ / 100);
            (counter() - start) * 100
        })
    })
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

/// A hundredth of a second by the interval timer's second channel, which a guest may gate and read; false if it does not end.
fn wait_for_timer() -> bool {
    port::write(0x61, port::read(0x61) & !2 | 1);
    port::write(0x43, 0xb0);
    port::write(0x42, TIMER_TICKS as u8);
    port::write(0x42, (TIMER_TICKS >> 8) as u8);
    (0..TIMER_PATIENCE).any(|_| port::read(0x61) & 0x20 != 0)
}

fn clock_register(n: u8) -> u8 {
    port::write(0x70, n);
    port::read(0x71)
}

/// Seconds since 1970, from the battery clock; read when it says that no second begins within the time that takes.
fn time_of_day() -> Option<u64> {
    let _ = (0..PATIENCE).find(|_| clock_register(UPDATE) & 0x80 == 0);
    seconds_since_1970([0, 2, 4, 7, 8, 9].map(clock_register))
}
