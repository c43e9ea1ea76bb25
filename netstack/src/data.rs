//! The data of a segment or a datagram: octets that are copied once, from the frame that brought them to where they belong.

use alloc::vec::Vec;
use fata_libos::net::Octets;

/// A part of a frame.
#[derive(Clone, Copy)]
pub(crate) struct Data<'a> {
    frame: &'a dyn Octets,
    at: usize,
    len: usize,
}

impl<'a> Data<'a> {
    /// `len` octets from `at` on.
    pub(crate) fn new(frame: &'a dyn Octets, at: usize, len: usize) -> Self {
        Self { frame, at, len }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first octets, and the rest.
    pub(crate) fn split_at(self, octets: usize) -> (Self, Self) {
        let octets = octets.min(self.len);
        (Self { len: octets, ..self }, Self { at: self.at + octets, len: self.len - octets, ..self })
    }

    /// Copies all of it; `into` is as long.
    pub(crate) fn read(&self, into: &mut [u8]) {
        if !self.is_empty() {
            self.frame.read(self.at, into);
        }
    }

    /// Copies all of it to that place of a buffer, and so far behind what it holds as it has to.
    pub(crate) fn put(self, to: &mut Vec<u8>, at: usize) {
        if self.is_empty() {
            return;
        }
        if at > to.len() {
            // Beyond a hole.
            to.resize(at, 0);
        }
        let (over, behind) = self.split_at(to.len().saturating_sub(at));
        over.read(&mut to[at..at + over.len()]);
        behind.append_to(to);
    }

    /// Copies all of it behind what `to` holds.
    fn append_to(&self, to: &mut Vec<u8>) {
        if !self.is_empty() {
            self.frame.append(self.at, self.len, to);
        }
    }
}
