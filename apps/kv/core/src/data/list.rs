//! Lists.

use super::rope::{Items, Rope};
use super::text::Text;

/// What an element takes beside long octets.
const ELEMENT: usize = size_of::<Text>() + 4;

/// Which end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The left one.
    Head,
    /// The right one.
    Tail,
}

/// A list.
#[derive(Default)]
pub struct List {
    items: Rope<Text>,
    heap: usize,
    /// The position of the first element: it stays the same while others come and go at the ends.
    first: i64,
}

impl List {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What it takes, octets.
    pub fn heap(&self) -> usize {
        self.heap + 64
    }

    /// Adds an element at an end.
    #[inline(never)]
    pub fn push(&mut self, end: End, item: Text) {
        let at = if end == End::Head { 0 } else { self.len() };
        self.insert(at, item);
    }

    /// Takes an element from an end.
    #[inline(never)]
    pub fn pop(&mut self, end: End) -> Option<Text> {
        self.remove(if end == End::Head { 0 } else { self.len().checked_sub(1)? })
    }

    /// The position of the first element, by which elements are kept on a disk.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// Says what the position of the first element is, of a list without elements.
    pub fn begin_at(&mut self, first: i64) {
        self.first = first;
    }

    /// Adds an element so that it is at this place.
    #[inline(never)]
    pub fn insert(&mut self, at: usize, item: Text) {
        self.heap += item.heap() + ELEMENT;
        if at == 0 && !self.is_empty() {
            self.first = self.first.wrapping_sub(1);
        }
        self.items.insert(at, item);
    }

    /// Takes an element out.
    #[inline(never)]
    pub fn remove(&mut self, at: usize) -> Option<Text> {
        let item = self.items.remove(at)?;
        self.heap -= item.heap() + ELEMENT;
        if at == 0 {
            self.first = self.first.wrapping_add(1);
        }
        Some(item)
    }

    /// Puts another element there.
    pub fn set(&mut self, at: usize, item: Text) -> Option<()> {
        let place = self.items.at_mut(at)?;
        self.heap = self.heap + item.heap() - place.heap();
        *place = item;
        Some(())
    }

    /// The element at a place.
    #[inline(never)]
    pub fn at(&self, at: usize) -> Option<&Text> {
        self.items.at(at)
    }

    /// The elements from a place on.
    pub fn from(&self, at: usize) -> Items<'_, Text> {
        self.items.from(at)
    }

    /// The elements from the end on, with their places.
    pub fn backwards(&self) -> impl Iterator<Item = (usize, &Text)> {
        (0..self.len()).rev().filter_map(|at| Some((at, self.at(at)?)))
    }
}
