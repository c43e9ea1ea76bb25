//! What a guest's random octets are made of: the processor's generators, what it was told at its boot, clocks, jitter. And how
//! to see that the guest may be one of two.

use super::{boot, cpuid, hypercall, memory};
use crate::abi::shared_info::PVCLOCK_GUEST_STOPPED;
use crate::abi::version::XENVER_GUEST_HANDLE;
use crate::machine;
use core::arch::asm;
use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use fata_libos::entropy::{Pool, Source};

/// Feeds the pool with what the processor and the hypervisor have; devices are another crate's.
pub fn gather(pool: &mut Pool<'_>) {
    if has_rdseed() {
        pool.absorb_words(Source::Rdseed, 256, rdseed);
    }
    // Eight words of one reseed have no more than its generator's strength.
    let has_rdrand = has_rdrand();
    HAS_RDRAND.store(has_rdrand, Ordering::Relaxed);
    if has_rdrand {
        pool.absorb_words(Source::Rdrand, 128, rdrand);
    }
    pool.absorb(Source::Boot, boot::told(), 0);
    // SAFETY: only an address is formed, within the shared info page, of a structure of four such words.
    let time = unsafe { (&raw const (*memory::shared_info()).vcpu_info[0].time).cast::<[u64; 4]>() };
    // SAFETY: the page stays mapped. What the hypervisor writes meanwhile makes no difference.
    let ([_, stamp, time, scale], [start, start_nanos]) =
        unsafe { (time.read_volatile(), wall_clock().read_volatile()) };
    let [low, high] = handle();
    let words = [low, high, stamp, time, scale, start, start_nanos, counter()];
    pool.absorb(Source::Boot, words.map(u64::to_le_bytes).as_flattened(), 0);
    pool.absorb_jitter(counter);
}

/// Whether RDRAND was there when the pool was last fed: asking each time would be a trap.
static HAS_RDRAND: AtomicBool = AtomicBool::new(false);

/// A number that a copy of this guest has not: a word of RDRAND, where there is one, and the processor's counter.
pub fn fresh() -> u64 {
    let word = if HAS_RDRAND.load(Ordering::Relaxed) { rdrand() } else { None };
    word.unwrap_or_default() ^ counter()
}

/// A number that is another where the guest may have been copied: on Xen one with another UUID or on another host, by its
/// wall clock; on QEMU one with another generation ID, where the machine has one; on KVM one that stood still, which its clock says.
///
/// The guest takes no part in suspending: what Xen's tools save of it does not live again, as its shared page, grants and
/// channels are another's. When it takes part, its count of resumes belongs in here.
pub fn generation() -> u64 {
    static STOPS: AtomicU64 = AtomicU64::new(0);
    // SAFETY: an address within the shared info page.
    let flags = unsafe { &raw mut (*memory::shared_info().cast_mut()).vcpu_info[0].time.flags };
    // SAFETY: the page stays mapped.
    let said = unsafe { flags.read_volatile() };
    if said & PVCLOCK_GUEST_STOPPED != 0 {
        // SAFETY: as above; the flag is set by the host and taken back by the guest.
        unsafe { flags.write_volatile(said & !PVCLOCK_GUEST_STOPPED) };
        STOPS.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: the page stays mapped.
    let ([low, high], [_, start_nanos]) = (handle(), unsafe { wall_clock().read_volatile() });
    low ^ high.rotate_left(21) ^ start_nanos.rotate_left(42) ^ STOPS.load(Ordering::Relaxed)
}

/// The domain's UUID, or where no Xen is below the machine's generation ID.
fn handle() -> [u64; 2] {
    if machine::is_below() {
        return machine::generation_id();
    }
    let mut handle = [0; 2];
    // SAFETY: the hypervisor writes a `xen_domain_handle_t`, 16 octets.
    unsafe { hypercall::xen_version(XENVER_GUEST_HANDLE as usize, (&raw mut handle).cast()) };
    handle
}

/// The wall clock at system time 0: its version and seconds, then its nanoseconds and the seconds' high half.
fn wall_clock() -> *const [u64; 2] {
    // SAFETY: only an address is formed, within the shared info page; four words of 32 bits, of which the first is aligned to
    // 8 octets.
    unsafe { (&raw const (*memory::shared_info()).wc_version).cast() }
}

fn counter() -> u64 {
    // SAFETY: every x86-64 has it; Xen lets PV guests read it or emulates it.
    unsafe { _rdtsc() }
}

fn has_rdrand() -> bool {
    cpuid(1, 0).ecx & (1 << 30) != 0
}

fn has_rdseed() -> bool {
    cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & (1 << 18) != 0
}

macro_rules! random_instruction {
    ($name:ident, $instruction:literal) => {
        fn $name() -> Option<u64> {
            let (word, good): (u64, u8);
            // SAFETY: called only where the processor has the instruction.
            unsafe {
                asm!($instruction, "setc {good}", word = out(reg) word, good = out(reg_byte) good,
                    options(nomem, nostack));
            }
            (good == 1).then_some(word)
        }
    };
}

random_instruction!(rdseed, "rdseed {word}");
random_instruction!(rdrand, "rdrand {word}");
