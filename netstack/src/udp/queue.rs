//! What waits in a socket: bounded in octets, in datagrams, and by the memory of the stack.

use crate::error::Error;
use crate::memory::{Memory, Share, Use};
use crate::traffic::Lost;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use fata_libos::task::WakerSet;

/// What a socket's queue holds at most, octets, each datagram counted with [`OVERHEAD`].
const QUEUE: usize = 256 << 10;
/// What a datagram costs beside its data.
const OVERHEAD: usize = 64;
/// Datagrams that it holds at most.
const DATAGRAMS: usize = QUEUE / OVERHEAD;
/// What a datagram takes of the memory beside its data: the queue may have twice the places that it needs.
const COST: usize = 192;
/// Places that an empty queue keeps.
const KEPT: usize = 16;

/// A datagram that waits.
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) data: Vec<u8>,
    _share: Share,
}

/// What the table knows of a socket.
pub(crate) struct Bound {
    pub(crate) local: SocketAddr,
    pub(crate) peer: Cell<Option<SocketAddr>>,
    queue: RefCell<VecDeque<Datagram>>,
    octets: Cell<usize>,
    pub(super) max_octets: Cell<usize>,
    pub(super) max_datagrams: Cell<usize>,
    pub(super) dropped: Cell<u64>,
    pub(super) error: Cell<Option<Error>>,
    pub(super) readers: WakerSet,
}

impl Bound {
    pub(super) fn new(local: SocketAddr) -> Self {
        Self {
            local,
            peer: Cell::new(None),
            queue: RefCell::default(),
            octets: Cell::new(0),
            max_octets: Cell::new(QUEUE),
            max_datagrams: Cell::new(DATAGRAMS),
            dropped: Cell::new(0),
            error: Cell::new(None),
            readers: WakerSet::new(),
        }
    }

    /// Queues a datagram, if there is room. Who waits for it is woken with the first; he takes all there are.
    pub(super) fn push(&self, memory: &Rc<Memory>, from: SocketAddr, data: &[u8]) -> Result<(), Lost> {
        let pushed = self.try_push(memory, from, data);
        match pushed {
            Ok(()) => self.readers.wake_all(),
            Err(_) => self.dropped.set(self.dropped.get() + 1),
        }
        pushed
    }

    fn try_push(&self, memory: &Rc<Memory>, from: SocketAddr, data: &[u8]) -> Result<(), Lost> {
        let octets = self.octets.get() + data.len() + OVERHEAD;
        let mut queue = self.queue.borrow_mut();
        if octets > self.max_octets.get() || queue.len() >= self.max_datagrams.get() {
            return Err(Lost::UdpQueueFull);
        }
        let _share = memory.take(Use::Datagrams, data.len() + COST).ok_or(Lost::UdpNoMemory)?;
        queue.try_reserve(1).map_err(|_| Lost::UdpNoMemory)?;
        let mut copy = Vec::new();
        copy.try_reserve_exact(data.len()).map_err(|_| Lost::UdpNoMemory)?;
        copy.extend_from_slice(data);
        queue.push_back(Datagram { from, data: copy, _share });
        self.octets.set(octets);
        Ok(())
    }

    pub(super) fn fail(&self, error: Error) {
        self.error.set(Some(error));
        self.readers.wake_all();
    }

    pub(super) fn pop(&self) -> Option<Datagram> {
        let mut queue = self.queue.borrow_mut();
        let datagram = queue.pop_front()?;
        if queue.is_empty() {
            queue.shrink_to(KEPT);
        }
        self.octets.set(self.octets.get() - datagram.data.len() - OVERHEAD);
        Some(datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use core::task::{Context, Waker};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    const PEER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    #[test]
    fn octets_datagrams_and_memory_are_bounded() {
        let memory = Memory::of(1 << 20);
        let bound = Bound::new(PEER);
        bound.max_datagrams.set(3);
        let push = |len| bound.push(&memory, PEER, &vec![7; len]);
        assert_eq!([push(1), push(1), push(1), push(1)], [Ok(()), Ok(()), Ok(()), Err(Lost::UdpQueueFull)]);
        bound.max_datagrams.set(usize::MAX);
        bound.max_octets.set(3 * 65 + 164);
        assert_eq!([push(101), push(100)], [Err(Lost::UdpQueueFull), Ok(())]);
        bound.max_octets.set(usize::MAX);
        let room = memory.limit(Use::Datagrams) - memory.used(Use::Datagrams);
        assert_eq!([push(room - COST + 1), push(room - COST)], [Err(Lost::UdpNoMemory), Ok(())]);
        assert_eq!(bound.dropped.get(), 3);
        let lens: Vec<usize> =
            core::iter::from_fn(|| bound.pop()).map(|datagram| datagram.data.len()).collect();
        assert_eq!(lens, [1, 1, 1, 100, room - COST]);
        assert_eq!((bound.octets.get(), memory.used(Use::Datagrams)), (0, 0));
    }

    #[test]
    fn a_burst_wakes_once() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let (memory, bound) = (Memory::of(1 << 20), Bound::new(PEER));
        bound.readers.register(&Context::from_waker(&waker));
        for _ in 0..64 {
            bound.push(&memory, PEER, b"x").unwrap();
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
