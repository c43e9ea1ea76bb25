//! Nodes of the tree in memory, bounded; which goes is chosen by second chance.

use super::layout::Span;
use super::node::Node;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::rc::Rc;

type Place = (u32, u32);

struct Cached {
    node: Rc<Node>,
    crc: u32,
    was_used: bool,
}

pub(crate) struct Cache {
    nodes: BTreeMap<Place, Cached>,
    order: VecDeque<Place>,
    octets: usize,
    limit: usize,
}

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { nodes: BTreeMap::new(), order: VecDeque::new(), octets: 0, limit }
    }

    pub(crate) fn octets(&self) -> usize {
        self.octets
    }

    pub(crate) fn get(&mut self, span: &Span) -> Option<Rc<Node>> {
        let cached = self.nodes.get_mut(&(span.segment, span.offset)).filter(|c| c.crc == span.crc)?;
        cached.was_used = true;
        Some(cached.node.clone())
    }

    pub(crate) fn insert(&mut self, span: &Span, node: Rc<Node>) {
        if node.memory() > self.limit {
            return;
        }
        let place = (span.segment, span.offset);
        self.octets += node.memory();
        match self.nodes.insert(place, Cached { node, crc: span.crc, was_used: false }) {
            Some(before) => self.octets -= before.node.memory(),
            None => self.order.push_back(place),
        }
        while self.octets > self.limit {
            self.evict();
        }
    }

    fn evict(&mut self) {
        let Some(place) = self.order.pop_front() else { return };
        match self.nodes.get_mut(&place) {
            Some(cached) if cached.was_used => {
                cached.was_used = false;
                self.order.push_back(place);
            }
            _ => self.remove(place),
        }
    }

    fn remove(&mut self, place: Place) {
        if let Some(gone) = self.nodes.remove(&place) {
            self.octets -= gone.node.memory();
        }
    }

    /// Forgets the nodes of a segment that is to be written anew.
    pub(crate) fn forget(&mut self, segment: u32) {
        let places: alloc::vec::Vec<Place> =
            self.nodes.range((segment, 0)..=(segment, u32::MAX)).map(|(place, _)| *place).collect();
        if places.is_empty() {
            return;
        }
        for place in places {
            self.remove(place);
        }
        self.order.retain(|place| place.0 != segment);
    }
}
