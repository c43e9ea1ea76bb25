//! Time: the vCPU's time page, the wall clock of the shared info page, and what the vCPU has been charged.

use super::hypercall;
use crate::abi::shared_info::SharedInfo;
use crate::abi::vcpu::{
    RUNSTATE_RUNNING, VCPUOP_GET_RUNSTATE_INFO, VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA, VcpuRunstateInfo,
};
use crate::machine;
use crate::timekeeping::{nanoseconds, ticks_between};
use core::arch::x86_64::{_mm_lfence, _rdtsc};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use fata_libos::time::{Duration, Instant, SystemTime};

/// Reads what the hypervisor may change meanwhile until nothing changed while it was read.
fn read_stable<T>(version: *const u32, read: impl Fn() -> T) -> T {
    loop {
        // SAFETY: the version lies in the shared info page, which stays mapped.
        let before = unsafe { version.read_volatile() };
        fence(Ordering::Acquire);
        let value = read();
        fence(Ordering::Acquire);
        // SAFETY: as above.
        let after = unsafe { version.read_volatile() };
        if before == after && before & 1 == 0 {
            return value;
        }
    }
}

/// The last moment that was told.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds of Xen's system time, the time base of timers and polls. Never earlier than what was told before, whatever the
/// hypervisor writes.
pub(super) fn now(shared: *const SharedInfo) -> Instant {
    // SAFETY: only an address is formed, within the shared info page.
    let time = unsafe { &raw const (*shared).vcpu_info[0].time };
    let nanos = read_stable(time.cast(), || {
        // SAFETY: the page stays mapped; a torn copy is thrown away by `read_stable`.
        let (since, start) = unsafe {
            (
                (&raw const (*time).tsc_timestamp).read_volatile(),
                (&raw const (*time).system_time).read_volatile(),
            )
        };
        start.wrapping_add(passed(shared, ticks_between(since, counter())))
    });
    // One thread, and no interrupt asks.
    let nanos = nanos.max(LAST.load(Ordering::Relaxed));
    LAST.store(nanos, Ordering::Relaxed);
    Instant::from_nanos(nanos)
}

/// Where the hypervisor notes what the vCPU does and since when.
#[repr(align(64))]
struct Runs(UnsafeCell<VcpuRunstateInfo>);

// SAFETY: one vCPU, which the hypervisor writes about only while it does not run; read as volatile.
unsafe impl Sync for Runs {}

static RUNS: Runs = Runs(UnsafeCell::new(VcpuRunstateInfo::NONE));

/// Asks the hypervisor to note since when the vCPU runs, for [`resumed`]; it may not.
pub(crate) fn note_runs() {
    let mut area = RUNS.0.get();
    // SAFETY: the hypervisor reads one address, and writes one `VcpuRunstateInfo` there from then on, which lives for ever.
    unsafe { hypercall::vcpu_op(VCPUOP_REGISTER_RUNSTATE_MEMORY_AREA as usize, 0, (&raw mut area).cast()) };
}

/// Since when the vCPU runs, if it was given the processor since the clock was last asked; else [`now`]. The hypervisor may
/// have the counter trap, and reading it then costs a third of a wake-up.
pub(super) fn resumed(shared: *const SharedInfo) -> Instant {
    // SAFETY: the area lives for ever; it is not written while this vCPU runs.
    let since = unsafe { (&raw const (*RUNS.0.get()).state_entry_time).read_volatile() };
    if since <= LAST.load(Ordering::Relaxed) {
        return now(shared);
    }
    LAST.store(since, Ordering::Relaxed);
    Instant::from_nanos(since)
}

/// What so many ticks of the time stamp counter are, nanoseconds.
#[inline(never)]
pub(super) fn passed(shared: *const SharedInfo, ticks: u64) -> u64 {
    // SAFETY: only addresses are formed, within the shared info page.
    let (mul, shift) = unsafe {
        let time = &raw const (*shared).vcpu_info[0].time;
        (&raw const (*time).tsc_to_system_mul, &raw const (*time).tsc_shift)
    };
    // SAFETY: the page stays mapped.
    unsafe { nanoseconds(ticks, mul.read_volatile(), shift.read_volatile()) }
}

/// The time stamp counter, not earlier than what came before.
fn counter() -> u64 {
    // SAFETY: both instructions exist on every x86-64; Xen lets PV guests read the counter or emulates it.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

/// The time of day: the wall clock at system time 0, and what has passed since.
pub(super) fn wall_clock(shared: *const SharedInfo, at: Instant) -> SystemTime {
    // SAFETY: only addresses are formed, within the shared info page.
    let (version, fields) = unsafe { (&raw const (*shared).wc_version, &raw const (*shared).wc_sec) };
    let start = read_stable(version, || {
        // SAFETY: wc_sec, wc_nsec and wc_sec_hi follow each other in the page.
        let (low, nanos, high) =
            unsafe { (fields.read_volatile(), fields.add(1).read_volatile(), fields.add(2).read_volatile()) };
        Duration::new(u64::from(high) << 32 | u64::from(low), nanos.min(999_999_999))
    });
    SystemTime::from_unix(start + Duration::from_nanos(at.as_nanos()))
}

/// Processor time that the hypervisor has charged this vCPU since the domain was made, nanoseconds.
pub fn cpu_time() -> Duration {
    if machine::is_below() {
        return Duration::ZERO;
    }
    let mut info = VcpuRunstateInfo::default();
    let argument = (&raw mut info).cast();
    // SAFETY: the hypervisor writes one `VcpuRunstateInfo` to `info`.
    let result = unsafe { hypercall::vcpu_op(VCPUOP_GET_RUNSTATE_INFO as usize, 0, argument) };
    if result < 0 { Duration::ZERO } else { Duration::from_nanos(info.time[RUNSTATE_RUNNING]) }
}
