//! The real [`Hypervisor`]: hypercalls of a guest.

use super::{clock, hypercall, memory};
use crate::abi::event_channel::{
    EVTCHNOP_ALLOC_UNBOUND, EVTCHNOP_CLOSE, EVTCHNOP_SEND, EvtchnAllocUnbound, EvtchnPortOp,
};
use crate::abi::sched::{SCHEDOP_POLL, SCHEDOP_SHUTDOWN, SCHEDOP_YIELD, SchedPoll, SchedShutdown};
use crate::abi::shared_info::SharedInfo;
use crate::hypervisor::{HvError, Hypervisor};
use crate::machine;
use crate::types::{DomId, EvtchnPort, Mfn};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use fata_libos::platform::MemoryStats;
use fata_libos::time::{Instant, SystemTime};

/// The hypervisor below a guest. There is one; [`super::Boot`] hands it out.
#[derive(Debug)]
pub struct GuestHypervisor(());

pub(crate) static HYPERVISOR: GuestHypervisor = GuestHypervisor(());

fn check(call: &'static str, result: isize) -> Result<(), HvError> {
    if result < 0 { Err(HvError { call, errno: -result as i32 }) } else { Ok(()) }
}

impl GuestHypervisor {
    /// Ends the domain, or the machine where no Xen is below.
    pub fn shutdown(reason: u32) -> ! {
        if machine::is_below() {
            machine::leave(reason)
        }
        let argument = SchedShutdown { reason };
        loop {
            // SAFETY: the hypervisor reads one `SchedShutdown`. Nothing runs after it.
            unsafe { hypercall::sched_op(SCHEDOP_SHUTDOWN as usize, (&raw const argument).cast()) };
        }
    }

    /// Writes to the hypervisor's own console where it lets guests; best effort.
    pub(super) fn console_io(bytes: &[u8]) {
        // SAFETY: the hypervisor reads the slice.
        unsafe { hypercall::console_io(0, bytes.len(), bytes.as_ptr()) };
    }

    pub(super) fn notify(port: EvtchnPort) {
        let argument = EvtchnPortOp { port: port.0 };
        // SAFETY: the hypervisor reads one `EvtchnPortOp`.
        unsafe {
            hypercall::event_channel_op(EVTCHNOP_SEND as usize, (&raw const argument).cast_mut().cast())
        };
    }

    /// Leaves the processor to others for about a millisecond.
    pub(super) fn nap() {
        let until = clock::now(memory::shared_info()).as_nanos() + 1_000_000;
        let argument = SchedPoll::new(ptr::null(), 0, until);
        // SAFETY: the hypervisor reads one `SchedPoll`, which names no ports.
        let result = unsafe { hypercall::sched_op(SCHEDOP_POLL as usize, (&raw const argument).cast()) };
        if result != 0 {
            // SAFETY: takes no argument.
            unsafe { hypercall::sched_op(SCHEDOP_YIELD as usize, ptr::null()) };
        }
    }

    /// Xen's system time.
    pub fn system_time() -> Instant {
        clock::now(memory::shared_info())
    }

    /// Xen's system time of a moment since the processor was last given to this guest, where that is later than what was
    /// told before; else now. For whoever has just waited.
    pub fn resumed() -> Instant {
        clock::resumed(memory::shared_info())
    }

    /// What so many ticks of the time stamp counter are of system time.
    pub(crate) fn nanoseconds(ticks: u64) -> u64 {
        clock::passed(memory::shared_info(), ticks)
    }

    /// The time of day at a moment of system time.
    pub fn wall_clock(&self, at: Instant) -> SystemTime {
        clock::wall_clock(memory::shared_info(), at)
    }

    /// Memory figures, those of the heap left at 0.
    pub fn memory(&self) -> MemoryStats {
        memory::memory()
    }
}

/// A word of the shared info page.
///
/// # Safety
/// `word` lies in the shared info page, which is mapped for ever.
unsafe fn word(word: *const u64) -> &'static AtomicU64 {
    // SAFETY: by the caller; aligned by the page's layout.
    unsafe { AtomicU64::from_ptr(word.cast_mut()) }
}

fn take_pending(shared: *const SharedInfo, fired: &mut dyn FnMut(EvtchnPort)) {
    // SAFETY: only addresses are formed, all within the shared info page.
    let (upcall, select, pending) = unsafe {
        let vcpu = &raw const (*shared).vcpu_info[0];
        (
            AtomicU8::from_ptr((&raw const (*vcpu).evtchn_upcall_pending).cast_mut()),
            word(&raw const (*vcpu).evtchn_pending_sel),
            (&raw const (*shared).evtchn_pending).cast::<u64>(),
        )
    };
    upcall.store(0, Ordering::Relaxed);
    let mut words = select.swap(0, Ordering::AcqRel);
    while words != 0 {
        let n = words.trailing_zeros();
        words &= words - 1;
        // SAFETY: n is less than 64.
        let mut bits = unsafe { word(pending.add(n as usize)) }.swap(0, Ordering::AcqRel);
        while bits != 0 {
            let bit = bits.trailing_zeros();
            bits &= bits - 1;
            fired(EvtchnPort(n * 64 + bit));
        }
    }
}

// SAFETY: pages come from the frame allocator, which gives each out once, zeroed, mapped at consecutive addresses; grant
// frames are mapped once each into addresses of their own.
unsafe impl Hypervisor for GuestHypervisor {
    fn evtchn_alloc_unbound(&self, remote: DomId) -> Result<EvtchnPort, HvError> {
        let mut argument = EvtchnAllocUnbound { dom: DomId::SELF.0, remote_dom: remote.0, port: 0 };
        // SAFETY: the hypervisor reads and writes one `EvtchnAllocUnbound`.
        let result = unsafe {
            hypercall::event_channel_op(EVTCHNOP_ALLOC_UNBOUND as usize, (&raw mut argument).cast())
        };
        check("EVTCHNOP_alloc_unbound", result).map(|()| EvtchnPort(argument.port))
    }

    fn evtchn_close(&self, port: EvtchnPort) -> Result<(), HvError> {
        let mut argument = EvtchnPortOp { port: port.0 };
        // SAFETY: the hypervisor reads one `EvtchnPortOp`.
        let result =
            unsafe { hypercall::event_channel_op(EVTCHNOP_CLOSE as usize, (&raw mut argument).cast()) };
        check("EVTCHNOP_close", result)
    }

    fn evtchn_notify(&self, port: EvtchnPort) {
        Self::notify(port);
    }

    fn take_pending(&self, fired: &mut dyn FnMut(EvtchnPort)) {
        take_pending(memory::shared_info(), fired);
    }

    fn poll(&self, ports: &[EvtchnPort], deadline: Option<Instant>) {
        let timeout = deadline.map_or(0, |d| d.as_nanos().max(1));
        let argument = SchedPoll::new(ports.as_ptr().cast(), ports.len() as u32, timeout);
        // SAFETY: the hypervisor reads one `SchedPoll` and the ports, which are plain numbers (`repr(transparent)`).
        unsafe { hypercall::sched_op(SCHEDOP_POLL as usize, (&raw const argument).cast()) };
    }

    fn grant_table_frame(&self, index: u32) -> Result<NonNull<u8>, HvError> {
        memory::grant_table_frame(index)
    }

    fn alloc_pages(&self, count: usize) -> Option<NonNull<u8>> {
        memory::alloc_pages(count)
    }

    unsafe fn free_pages(&self, start: NonNull<u8>, count: usize) {
        // SAFETY: by the caller.
        unsafe { memory::free_pages(start, count) }
    }

    fn frame_of(&self, page: NonNull<u8>) -> Mfn {
        memory::frame_of(page)
    }
}
