//! The fake hypervisor itself: channels, clock, and what it takes from its parts.

use super::grants::Grants;
use super::memory::{Memory, leaked_pages};
use crate::abi::hypercall::{EINVAL, ENOSPC};
use crate::abi::shared_info::EVTCHN_2L_NR_CHANNELS;
use crate::hypervisor::{HvError, Hypervisor};
use crate::shared::SharedMemory;
use crate::types::{DomId, EvtchnPort, Mfn, PAGE_SIZE};
use fata_libos::time::{Duration, Instant};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

/// Sleeps without the clock moving, after which a test is taken to go round in circles.
const MAX_POLLS_WITHOUT_TIME: usize = 1_000_000;

/// Another domain: a daemon of dom0, a back end.
pub trait Peer {
    /// Does what there is to do now, and returns.
    fn step(&self);
}

/// An event channel.
#[derive(Default)]
struct Port {
    open: bool,
    remote: Option<DomId>,
    fired: bool,
    notified: usize,
}

/// A hypervisor with one guest, in ordinary memory.
pub struct FakeHypervisor {
    now: Cell<Instant>,
    polls: Cell<usize>,
    hypercalls: Cell<usize>,
    ports: RefCell<Vec<Port>>,
    max_ports: Cell<usize>,
    memory: RefCell<Memory>,
    grants: RefCell<Grants>,
    max_grant_frames: Cell<usize>,
    poll_cost: Cell<Duration>,
    peers: RefCell<Vec<Rc<dyn Peer>>>,
}

impl fmt::Debug for FakeHypervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeHypervisor")
    }
}

impl FakeHypervisor {
    /// A new one; leaked, as front ends keep it for ever.
    pub fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            now: Cell::new(Instant::from_nanos(1_000_000)),
            polls: Cell::new(0),
            hypercalls: Cell::new(0),
            // Port 0 is never valid.
            ports: RefCell::new(vec![Port::default()]),
            max_ports: Cell::new(EVTCHN_2L_NR_CHANNELS),
            memory: RefCell::default(),
            grants: RefCell::default(),
            max_grant_frames: Cell::new(64),
            poll_cost: Cell::new(Duration::ZERO),
            peers: RefCell::default(),
        }))
    }

    /// Adds a peer, which takes a step whenever the guest sleeps.
    pub fn attach(&self, peer: Rc<dyn Peer>) {
        self.peers.borrow_mut().push(peer);
    }

    /// Lets every attached peer take a step.
    pub fn step_peers(&self) {
        let peers = self.peers.borrow().clone();
        peers.iter().for_each(|p| p.step());
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// Lets each poll take so long from now on.
    pub fn set_poll_cost(&self, cost: Duration) {
        self.poll_cost.set(cost);
    }

    /// Moves the virtual time.
    pub fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
        self.polls.set(0);
    }

    /// A peer notifies the guest. Nothing happens if the guest has closed the channel.
    pub fn peer_notify(&self, port: EvtchnPort) {
        if let Some(port) = self.ports.borrow_mut().get_mut(port.0 as usize)
            && port.open
        {
            port.fired = true;
        }
    }

    /// How often the guest has notified through `port` since the last time this was asked.
    pub fn take_notified(&self, port: EvtchnPort) -> usize {
        self.ports.borrow_mut().get_mut(port.0 as usize).map_or(0, |p| std::mem::take(&mut p.notified))
    }

    /// How many hypercalls there were so far: what else a guest asks of this trait is its own memory.
    pub fn hypercalls(&self) -> usize {
        self.hypercalls.get()
    }

    fn count_hypercall(&self) {
        self.hypercalls.set(self.hypercalls.get() + 1);
    }

    /// Who may bind `port`; `None` if it is closed.
    pub fn port_remote(&self, port: EvtchnPort) -> Option<DomId> {
        self.ports.borrow().get(port.0 as usize).filter(|p| p.open).and_then(|p| p.remote)
    }

    /// Channels that are open.
    pub fn open_ports(&self) -> usize {
        self.ports.borrow().iter().filter(|p| p.open).count()
    }

    /// Pages that the guest has allocated and not freed.
    pub fn live_pages(&self) -> usize {
        self.memory.borrow().live_pages()
    }

    /// Lets the next `allocations` of pages succeed and those after them fail; `None`: all succeed.
    pub fn fail_allocations_after(&self, allocations: Option<usize>) {
        self.memory.borrow_mut().budget = allocations;
    }

    /// Lets allocations of just so many pages fail.
    pub fn fail_allocations_of(&self, pages: Option<usize>) {
        self.memory.borrow_mut().refused = pages;
    }

    /// The limit of the grant table, in pages of 512 entries; 64 at first.
    pub fn limit_grant_frames(&self, frames: usize) {
        self.max_grant_frames.set(frames);
    }

    /// How many channels there may be.
    pub fn limit_ports(&self, ports: usize) {
        self.max_ports.set(ports);
    }

    pub(super) fn with_grants<R>(&self, f: impl FnOnce(&mut Grants) -> R) -> R {
        f(&mut self.grants.borrow_mut())
    }

    pub(super) fn page_of_frame(&self, frame: u64) -> Option<NonNull<u8>> {
        self.memory.borrow().page(frame)
    }

    fn any_fired(&self, ports: &[EvtchnPort]) -> bool {
        let known = self.ports.borrow();
        ports.iter().any(|p| known.get(p.0 as usize).is_some_and(|p| p.fired))
    }

    fn count_poll(&self) {
        self.polls.set(self.polls.get() + 1);
        assert!(self.polls.get() < MAX_POLLS_WITHOUT_TIME, "the test goes round in circles");
    }
}

// SAFETY: pages come from the host's allocator with the size and alignment asked for, zeroed, and are never given back to it;
// so do those of the grant table.
unsafe impl Hypervisor for FakeHypervisor {
    fn evtchn_alloc_unbound(&self, remote: DomId) -> Result<EvtchnPort, HvError> {
        self.count_hypercall();
        let mut ports = self.ports.borrow_mut();
        if ports.len() >= self.max_ports.get() {
            return Err(HvError { call: "evtchn_alloc_unbound", errno: ENOSPC });
        }
        ports.push(Port { open: true, remote: Some(remote), ..Port::default() });
        Ok(EvtchnPort(ports.len() as u32 - 1))
    }

    fn evtchn_close(&self, port: EvtchnPort) -> Result<(), HvError> {
        self.count_hypercall();
        let mut ports = self.ports.borrow_mut();
        let port = ports.get_mut(port.0 as usize).filter(|p| p.open);
        *port.expect("a channel is closed once, and was open") = Port::default();
        Ok(())
    }

    fn evtchn_notify(&self, port: EvtchnPort) {
        self.count_hypercall();
        let mut ports = self.ports.borrow_mut();
        let port = ports.get_mut(port.0 as usize).filter(|p| p.open);
        port.expect("the guest notifies only through open channels").notified += 1;
    }

    fn take_pending(&self, fired: &mut dyn FnMut(EvtchnPort)) {
        let count = self.ports.borrow().len();
        for number in 0..count {
            let was = self.ports.borrow_mut().get_mut(number).map(|p| std::mem::take(&mut p.fired));
            if was == Some(true) {
                fired(EvtchnPort(number as u32));
            }
        }
    }

    fn poll(&self, ports: &[EvtchnPort], deadline: Option<Instant>) {
        self.count_hypercall();
        self.count_poll();
        self.now.set(self.now.get() + self.poll_cost.get());
        if self.any_fired(ports) {
            return;
        }
        self.step_peers();
        if self.any_fired(ports) {
            return;
        }
        let deadline = deadline.expect("every task waits for something that can never happen");
        if deadline > self.now.get() {
            self.now.set(deadline);
            self.polls.set(0);
        }
    }

    fn grant_table_frame(&self, index: u32) -> Result<NonNull<u8>, HvError> {
        self.count_hypercall();
        let index = index as usize;
        if index >= self.max_grant_frames.get() {
            return Err(HvError { call: "grant_table_op", errno: EINVAL });
        }
        let mut grants = self.grants.borrow_mut();
        assert_eq!(index, grants.frames.len(), "the table grows page by page, each asked for once");
        let page = leaked_pages(1);
        // SAFETY: a leaked page; both sides access it through `SharedMemory`.
        grants.frames.push(unsafe { SharedMemory::new(page, PAGE_SIZE) });
        Ok(page)
    }

    fn alloc_pages(&self, count: usize) -> Option<NonNull<u8>> {
        self.memory.borrow_mut().alloc(count)
    }

    unsafe fn free_pages(&self, start: NonNull<u8>, count: usize) {
        for index in 0..count {
            // SAFETY: within the pages, by the caller's promise; the address is only looked up.
            let frame = self.frame_of(unsafe { start.add(index * PAGE_SIZE) });
            let granting = self.grants.borrow().granting(frame.0);
            assert_eq!(granting, None, "page {index} of {count} is freed while a grant names it");
        }
        self.memory.borrow_mut().free(start, count);
    }

    fn frame_of(&self, page: NonNull<u8>) -> Mfn {
        self.memory.borrow_mut().frame_of(page)
    }
}
