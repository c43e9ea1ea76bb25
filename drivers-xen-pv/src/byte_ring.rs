//! A ring of octets in a shared page, one direction: what the console (`io/console.h`) and XenStore (`io/xs_wire.h`) are
//! made of.
//!
//! Indices count octets and wrap at 2^32; how far they are apart says how much is in the ring. The guest's own index is kept
//! privately and only ever written to the page; the peer's is read once a step and checked.

use crate::shared::SharedMemory;
use core::sync::atomic::{Ordering, fence};

/// The peer's index is impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ring of {size} octets with producer at {producer}, consumer at {consumer}")]
pub struct IndexFault {
    /// Octets that the ring holds.
    pub size: u32,
    /// The producer's index.
    pub producer: u32,
    /// The consumer's index.
    pub consumer: u32,
}

/// Where a ring is within its page, offsets in octets.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The octets.
    pub data: usize,
    /// Their number, a power of two.
    pub size: u32,
    /// The producer's index.
    pub producer: usize,
    /// The consumer's index.
    pub consumer: usize,
}

impl Layout {
    /// Octets in the ring.
    fn used(&self, producer: u32, consumer: u32) -> Result<u32, IndexFault> {
        let used = producer.wrapping_sub(consumer);
        if used > self.size { Err(IndexFault { size: self.size, producer, consumer }) } else { Ok(used) }
    }

    /// Offset of the octet that index `at` names, and how many follow it up to the ring's end.
    fn place(&self, at: u32) -> (usize, usize) {
        let within = at & (self.size - 1);
        (self.data + within as usize, (self.size - within) as usize)
    }
}

/// The guest's end of a ring that it writes.
#[derive(Debug)]
pub struct Producer {
    page: SharedMemory,
    layout: Layout,
    at: u32,
}

impl Producer {
    /// Goes on where the page's own index says.
    pub fn attach(page: SharedMemory, layout: Layout) -> Self {
        Self { at: page.load_u32(layout.producer), page, layout }
    }

    /// Octets that the peer has not taken yet.
    pub fn pending(&self) -> Result<u32, IndexFault> {
        self.layout.used(self.at, self.page.load_u32(self.layout.consumer))
    }

    /// Puts what fits, and says how much that is. The caller notifies the peer.
    pub fn push(&mut self, bytes: &[u8]) -> Result<usize, IndexFault> {
        let room = self.layout.size - self.pending()?;
        let count = bytes.len().min(room as usize);
        let (bytes, _) = bytes.split_at(count);
        let (offset, to_end) = self.layout.place(self.at);
        let (first, rest) = bytes.split_at(count.min(to_end));
        self.page.write(offset, first);
        self.page.write(self.layout.data, rest);
        self.at = self.at.wrapping_add(count as u32);
        self.page.store_u32(self.layout.producer, self.at);
        Ok(count)
    }
}

/// The guest's end of a ring that it reads.
#[derive(Debug)]
pub struct Consumer {
    page: SharedMemory,
    layout: Layout,
    at: u32,
    was_full: bool,
}

impl Consumer {
    /// Goes on where the page's own index says.
    pub fn attach(page: SharedMemory, layout: Layout) -> Self {
        Self { at: page.load_u32(layout.consumer), page, layout, was_full: false }
    }

    /// Takes what there is and `into` has room for, and says how much that is. See [`was_full`](Self::was_full).
    pub fn pull(&mut self, into: &mut [u8]) -> Result<usize, IndexFault> {
        let used = self.layout.used(self.page.load_u32(self.layout.producer), self.at)?;
        let count = into.len().min(used as usize);
        let (offset, to_end) = self.layout.place(self.at);
        let (first, rest) = into[..count].split_at_mut(count.min(to_end));
        self.page.read(offset, first);
        self.page.read(self.layout.data, rest);
        let before = self.at;
        self.at = self.at.wrapping_add(count as u32);
        self.page.store_u32(self.layout.consumer, self.at);
        // A peer that fills the ring after this look sees the room that was just made.
        fence(Ordering::SeqCst);
        let producer = self.page.load_u32(self.layout.producer);
        self.was_full = producer.wrapping_sub(before) >= self.layout.size;
        Ok(count)
    }

    /// Whether the last [`pull`](Self::pull) found the ring full, so that the peer may wait to be told of room; any other
    /// time telling it is a hypercall for nothing.
    pub fn was_full(&self) -> bool {
        self.was_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHypervisor;
    use crate::shared::Pages;
    use alloc::rc::Rc;
    use proptest::prelude::*;

    const LAYOUT: Layout = Layout { data: 16, size: 64, producer: 0, consumer: 4 };

    fn page(index: u32) -> Rc<Pages> {
        let pages = Pages::alloc(FakeHypervisor::new(), 1).unwrap();
        pages.memory().store_u32(LAYOUT.producer, index);
        pages.memory().store_u32(LAYOUT.consumer, index);
        pages
    }

    proptest! {
        #[test]
        fn what_is_pushed_is_pulled_in_order(
            start in prop_oneof![Just(u32::MAX - 40), any::<u32>()],
            steps in prop::collection::vec((0usize..100, 0usize..100), 1..40),
        ) {
            let pages = page(start);
            let (mut tx, mut rx) =
                (Producer::attach(pages.memory(), LAYOUT), Consumer::attach(pages.memory(), LAYOUT));
            let (mut sent, mut seen) = (0usize, 0usize);
            for (push, pull) in steps {
                let bytes: Vec<u8> = (sent..sent + push).map(|n| n as u8).collect();
                let took = tx.push(&bytes).unwrap();
                prop_assert_eq!(took, push.min(64 - (sent - seen)));
                sent += took;
                let mut into = vec![0; pull];
                let got = rx.pull(&mut into).unwrap();
                prop_assert_eq!(rx.was_full(), sent - seen == 64);
                prop_assert_eq!(got, pull.min(sent - seen));
                prop_assert!(into[..got].iter().enumerate().all(|(i, b)| *b == (seen + i) as u8));
                seen += got;
                prop_assert_eq!(tx.pending().unwrap() as usize, sent - seen);
            }
        }

        #[test]
        fn an_index_that_the_ring_cannot_have_is_a_fault(own in any::<u32>(), apart in 65u32..) {
            let pages = page(own);
            let (mut tx, mut rx) =
                (Producer::attach(pages.memory(), LAYOUT), Consumer::attach(pages.memory(), LAYOUT));
            pages.memory().store_u32(LAYOUT.producer, own.wrapping_add(apart));
            pages.memory().store_u32(LAYOUT.consumer, own.wrapping_sub(apart));
            prop_assert!(rx.pull(&mut [0; 8]).is_err());
            let fault = IndexFault { size: 64, producer: own, consumer: own.wrapping_sub(apart) };
            prop_assert_eq!(tx.push(b"x"), Err(fault));
        }
    }
}
