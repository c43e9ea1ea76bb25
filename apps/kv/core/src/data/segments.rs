//! A vector in pieces: growing never copies more than one piece, and never needs one large piece of memory.

use alloc::vec::Vec;

/// Items of a piece.
const PIECE: usize = 256;

/// One way out for all vectors, which takes less of an image than two checks of bounds each.
#[cold]
#[inline(never)]
fn missing(index: usize) -> ! {
    panic!("there is no item {index}")
}

/// A vector in pieces of 256 items. All but the last piece are full.
pub struct Segments<T> {
    pieces: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Segments<T> {
    pub const fn new() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn at(&self, index: usize) -> &T {
        let item = self.pieces.get(index / PIECE).and_then(|piece| piece.get(index % PIECE));
        item.unwrap_or_else(|| missing(index))
    }

    #[inline]
    pub fn at_mut(&mut self, index: usize) -> &mut T {
        let item = self.pieces.get_mut(index / PIECE).and_then(|piece| piece.get_mut(index % PIECE));
        item.unwrap_or_else(|| missing(index))
    }

    pub fn push(&mut self, item: T) {
        if self.len.is_multiple_of(PIECE) {
            // The first one grows as it is used: most vectors are small.
            let room = if self.len == 0 { 4 } else { PIECE };
            self.pieces.push(Vec::with_capacity(room));
        }
        if let Some(last) = self.pieces.last_mut() {
            last.push(item);
            self.len += 1;
        }
    }

    pub fn pop(&mut self) -> Option<T> {
        let last = self.pieces.last_mut()?;
        let item = last.pop()?;
        self.len -= 1;
        if last.is_empty() {
            self.pieces.pop();
        }
        Some(item)
    }

    /// Takes an item out; the last one takes its place.
    pub fn swap_remove(&mut self, index: usize) -> Option<T> {
        let last = self.pop()?;
        if index == self.len { Some(last) } else { Some(core::mem::replace(self.at_mut(index), last)) }
    }
}
