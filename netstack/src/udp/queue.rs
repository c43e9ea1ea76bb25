//! What waits in a socket: bounded in octets, in datagrams, and by the memory of the stack.

use super::ring::{PLACE, Ring};
use crate::data::Data;
use crate::error::Error;
use crate::memory::Memory;
use crate::traffic::Lost;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::net::SocketAddr;
use fata_libos::task::WakerSet;

/// What a socket's queue holds at most, octets, each datagram counted with [`OVERHEAD`].
const QUEUE: usize = 256 << 10;
/// What a datagram costs beside its data.
const OVERHEAD: usize = 64;
const _: () = assert!(PLACE <= OVERHEAD);
/// Datagrams that it holds at most.
const DATAGRAMS: usize = QUEUE / OVERHEAD;

/// What the table knows of a socket.
pub(crate) struct Bound {
    pub(crate) local: SocketAddr,
    pub(crate) peer: Cell<Option<SocketAddr>>,
    queue: RefCell<Ring>,
    /// Of the queue. Who reads a datagram in place has borrowed it; he may read more meanwhile, but none can come.
    buffer: RefCell<Vec<u8>>,
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
            buffer: RefCell::default(),
            octets: Cell::new(0),
            max_octets: Cell::new(QUEUE),
            max_datagrams: Cell::new(DATAGRAMS),
            dropped: Cell::new(0),
            error: Cell::new(None),
            readers: WakerSet::new(),
        }
    }

    /// Queues a datagram, if there is room. Who waits for it is woken with the first; he takes all there are.
    pub(super) fn push(&self, memory: &Rc<Memory>, from: SocketAddr, data: Data<'_>) -> Result<(), Lost> {
        let pushed = self.try_push(memory, from, data);
        match pushed {
            Ok(()) => self.readers.wake_all(),
            Err(_) => self.dropped.set(self.dropped.get() + 1),
        }
        pushed
    }

    fn try_push(&self, memory: &Rc<Memory>, from: SocketAddr, data: Data<'_>) -> Result<(), Lost> {
        let octets = self.octets.get() + data.len() + OVERHEAD;
        let mut queue = self.queue.borrow_mut();
        let Ok(mut buffer) = self.buffer.try_borrow_mut() else { return Err(Lost::UdpQueueFull) };
        if octets > self.max_octets.get() || queue.len() >= self.max_datagrams.get() {
            return Err(Lost::UdpQueueFull);
        }
        if !queue.push(&mut buffer, memory, from, data) {
            return Err(Lost::UdpNoMemory);
        }
        self.octets.set(octets);
        Ok(())
    }

    pub(super) fn fail(&self, error: Error) {
        self.error.set(Some(error));
        self.readers.wake_all();
    }

    /// Shows the first datagram where it lies, and takes it out; `None` if there is none.
    pub(super) fn pop<R>(&self, read: impl FnOnce(&[u8], SocketAddr) -> R) -> Option<R> {
        let place = self.queue.borrow_mut().pop()?;
        self.octets.set(self.octets.get() - place.len() - OVERHEAD);
        let result = read(&self.buffer.borrow()[place.octets()], place.from);
        if self.octets.get() == 0
            && let Ok(mut buffer) = self.buffer.try_borrow_mut()
        {
            self.queue.borrow_mut().settle(&mut buffer);
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Use;
    use core::net::Ipv4Addr;
    use core::task::{Context, Waker};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    const PEER: SocketAddr = SocketAddr::new(core::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

    fn push(bound: &Bound, memory: &Rc<Memory>, octets: &[u8]) -> Result<(), Lost> {
        bound.push(memory, PEER, Data::new(&octets, 0, octets.len()))
    }

    /// Who reads a datagram may read the next one meanwhile; what comes meanwhile has no place.
    #[test]
    fn reading_in_reading() {
        let (memory, bound) = (Memory::of(1 << 20), Bound::new(PEER));
        for octets in [b"one", b"two", b"end"] {
            push(&bound, &memory, octets).unwrap();
        }
        let read = bound.pop(|first, _| {
            let second = bound.pop(|second, _| second.to_vec()).unwrap();
            assert_eq!(push(&bound, &memory, b"more"), Err(Lost::UdpQueueFull));
            let third = bound.pop(|third, _| third.to_vec());
            [first.to_vec(), second, third.unwrap()].concat()
        });
        assert_eq!(read.unwrap(), b"onetwoend");
        assert_eq!(push(&bound, &memory, b"more"), Ok(()));
    }

    #[test]
    fn octets_datagrams_and_memory_are_bounded() {
        let memory = Memory::of(1 << 20);
        let bound = Bound::new(PEER);
        bound.max_datagrams.set(3);
        let push = |len| push(&bound, &memory, &vec![7; len]);
        assert_eq!([push(1), push(1), push(1), push(1)], [Ok(()), Ok(()), Ok(()), Err(Lost::UdpQueueFull)]);
        bound.max_datagrams.set(usize::MAX);
        bound.max_octets.set(3 * 65 + 164);
        assert_eq!([push(101), push(100)], [Err(Lost::UdpQueueFull), Ok(())]);
        bound.max_octets.set(usize::MAX);
        // All places and all octets that wait have to fit into the memory there is.
        let room = memory.limit(Use::Datagrams) - 8 * PLACE - 103;
        assert_eq!([push(room + 1), push(room)], [Err(Lost::UdpNoMemory), Ok(())]);
        assert_eq!(bound.dropped.get(), 3);
        let lens: Vec<usize> = core::iter::from_fn(|| bound.pop(|data, _| data.len())).collect();
        assert_eq!(lens, [1, 1, 1, 100, room]);
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
            push(&bound, &memory, b"x").unwrap();
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
    }
}
