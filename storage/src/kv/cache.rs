//! Nodes of the tree in memory, bounded; which goes is chosen by second chance.

use super::layout::Span;
use super::node::Node;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Octets of nodes for which there is a bucket: about as many as a node takes.
const BUCKET: usize = 4096;
/// The most buckets, as they are made at once: where more nodes may be in memory, each has several of them.
const MOST_BUCKETS: usize = 1 << 14;

type Place = (u32, u32);

struct Cached {
    place: Place,
    node: Rc<Node>,
    crc: u32,
    was_used: bool,
}

/// A hash table of nodes by their places.
pub(crate) struct Cache {
    buckets: Vec<Vec<Cached>>,
    order: VecDeque<Place>,
    octets: usize,
    limit: usize,
}

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        let mut buckets = Vec::new();
        buckets.resize_with((limit / BUCKET + 1).min(MOST_BUCKETS), Vec::new);
        Self { buckets, order: VecDeque::new(), octets: 0, limit }
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    fn bucket(&mut self, (segment, offset): Place) -> &mut Vec<Cached> {
        let hash = (u64::from(segment) << 32 | u64::from(offset)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let count = self.buckets.len();
        &mut self.buckets[hash as usize % count]
    }

    fn find(&mut self, place: Place) -> Option<&mut Cached> {
        self.bucket(place).iter_mut().find(|cached| cached.place == place)
    }

    pub(crate) fn get(&mut self, span: &Span) -> Option<Rc<Node>> {
        let cached = self.find((span.segment, span.offset)).filter(|c| c.crc == span.crc)?;
        cached.was_used = true;
        Some(cached.node.clone())
    }

    pub(crate) fn insert(&mut self, span: &Span, node: Rc<Node>) {
        if node.memory() > self.limit {
            return;
        }
        let place = (span.segment, span.offset);
        self.octets += node.memory();
        let cached = Cached { place, node, crc: span.crc, was_used: false };
        match self.find(place) {
            Some(before) => {
                let gone = core::mem::replace(before, cached);
                self.octets -= gone.node.memory();
            }
            None => {
                self.bucket(place).push(cached);
                self.order.push_back(place);
            }
        }
        while self.octets > self.limit {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some(place) = self.order.pop_front() else { return };
        match self.find(place) {
            Some(cached) if cached.was_used => {
                cached.was_used = false;
                self.order.push_back(place);
            }
            _ => self.remove(place),
        }
    }

    fn remove(&mut self, place: Place) {
        let bucket = self.bucket(place);
        if let Some(at) = bucket.iter().position(|cached| cached.place == place) {
            let gone = bucket.swap_remove(at);
            self.octets -= gone.node.memory();
        }
    }

    /// Forgets the nodes of a segment that is to be written anew.
    pub(crate) fn forget(&mut self, segment: u32) {
        for _ in 0..self.order.len() {
            match self.order.pop_front() {
                Some(place) if place.0 == segment => self.remove(place),
                place => self.order.extend(place),
            }
        }
    }
}
