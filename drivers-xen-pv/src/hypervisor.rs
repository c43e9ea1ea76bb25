//! What front ends need of the hypervisor, real or fake.
//!
//! Implementations: the PV guest's (`pv`, on `target_os = "xen"`), and the fake of host tests (`fake`), whose other side is
//! driven step by step and may be hostile. Front ends hold a `&'static dyn Hypervisor`.

use crate::types::{DomId, EvtchnPort, Mfn};
use core::ptr::NonNull;
use fata_libos::time::Instant;

/// A hypercall was refused: the errno of `errno.h`, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed with errno {errno}")]
pub struct HvError {
    /// The hypercall.
    pub call: &'static str,
    /// Xen's error number.
    pub errno: i32,
}

/// The hypervisor as a guest's front ends see it. One thread: nothing here is called from two at once.
///
/// # Safety
/// Front ends do pointer arithmetic on what these methods return. An implementer promises that
/// - memory from [`alloc_pages`](Self::alloc_pages) is page-aligned, `count` pages long, virtually contiguous, zeroed, valid
///   for reads and writes until it is given to [`free_pages`](Self::free_pages), and used by nobody else in this domain;
/// - memory from [`grant_table_frame`](Self::grant_table_frame) is one page of the grant table, valid for ever.
///
/// Callers promise that memory which another domain may write is only touched by volatile copies, never by references.
pub unsafe trait Hypervisor {
    /// Allocates an event channel that `remote` may bind; its number goes to the other side through XenStore.
    fn evtchn_alloc_unbound(&self, remote: DomId) -> Result<EvtchnPort, HvError>;

    /// Closes a channel.
    fn evtchn_close(&self, port: EvtchnPort) -> Result<(), HvError>;

    /// Notifies the other end. A channel whose other end is gone takes the notification silently.
    fn evtchn_notify(&self, port: EvtchnPort);

    /// Calls `fired` for every channel that has fired since the last call, and clears it first.
    fn take_pending(&self, fired: &mut dyn FnMut(EvtchnPort));

    /// Sleeps until one of `ports` fires or `deadline` passes; returns at once if one has fired already.
    fn poll(&self, ports: &[EvtchnPort], deadline: Option<Instant>);

    /// The grant table's page `index`, asking the hypervisor for more of the table where needed.
    fn grant_table_frame(&self, index: u32) -> Result<NonNull<u8>, HvError>;

    /// Allocates pages, or `None` when the guest has no more.
    fn alloc_pages(&self, count: usize) -> Option<NonNull<u8>>;

    /// Takes pages back.
    ///
    /// # Safety
    /// `start` and `count` are as `alloc_pages` gave them out; nobody uses them any more, no other domain has access.
    unsafe fn free_pages(&self, start: NonNull<u8>, count: usize);

    /// The frame, as a grant entry names it, that `page` lies in; `page` is within memory from `alloc_pages`, or of the heap.
    fn frame_of(&self, page: NonNull<u8>) -> Mfn;
}
