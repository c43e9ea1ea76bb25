//! Answers, in the words of the version that a client speaks.

use crate::number::{push_double, push_int};
use crate::server::hub::may_grow;
use alloc::vec::Vec;

/// Answers that are small enough to need no look at the guest's memory, octets.
const CHECKED: usize = 64 << 10;

/// Answers that wait to be sent.
pub struct Out {
    /// What is to be sent.
    pub octets: Vec<u8>,
    /// The protocol's version, 2 or 3.
    pub version: u8,
    /// The most that may wait, octets.
    limit: usize,
    is_over: bool,
}

impl Out {
    /// No answers, in version 2; more than `limit` octets of them are too many.
    pub fn new(limit: usize) -> Self {
        Self { octets: Vec::new(), version: 2, limit, is_over: false }
    }

    /// Whether there was more than the limit: what was gathered is not whole.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Octets as they are.
    #[inline(never)]
    pub fn raw(&mut self, octets: &[u8]) {
        let len = self.octets.len() + octets.len();
        let is_growing = len > self.octets.capacity() && len > CHECKED;
        if len > self.limit || is_growing && !may_grow(&mut self.octets, octets.len()) {
            self.is_over = true;
            self.octets = Vec::new();
        }
        if !self.is_over {
            self.octets.extend_from_slice(octets);
        }
    }

    #[inline(never)]
    fn header(&mut self, marker: u8, number: i64) {
        self.raw(&[marker]);
        push_int(&mut self.octets, number);
        self.raw(b"\r\n");
    }

    /// `+text`.
    #[inline(never)]
    pub fn simple(&mut self, text: &str) {
        self.raw(b"+");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    /// `+OK`.
    #[inline(never)]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// An error: its code and words. What would end the line is left out.
    #[inline(never)]
    pub fn error(&mut self, text: &[u8]) {
        self.raw(b"-");
        for octet in text {
            self.raw(&[if matches!(octet, b'\r' | b'\n') { b' ' } else { *octet }]);
        }
        self.raw(b"\r\n");
    }

    /// A number.
    pub fn int(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A number of things.
    pub fn count(&mut self, number: usize) {
        self.int(number as i64);
    }

    /// Yes or no as 1 or 0.
    #[inline(never)]
    pub fn flag(&mut self, is_so: bool) {
        self.raw(if is_so { b":1\r\n" } else { b":0\r\n" });
    }

    /// Octets.
    #[inline(never)]
    pub fn bulk(&mut self, octets: &[u8]) {
        self.header(b'$', octets.len() as i64);
        self.raw(octets);
        self.raw(b"\r\n");
    }

    /// Text with its format, which version 2 does not say.
    #[inline(never)]
    pub fn verbatim(&mut self, text: &[u8]) {
        if self.version < 3 {
            return self.bulk(text);
        }
        self.header(b'=', text.len() as i64 + 4);
        self.raw(b"txt:");
        self.raw(text);
        self.raw(b"\r\n");
    }

    /// A number as octets.
    #[inline(never)]
    pub fn bulk_int(&mut self, number: i64) {
        let mut text = Vec::with_capacity(20);
        push_int(&mut text, number);
        self.bulk(&text);
    }

    /// Nothing.
    #[inline(never)]
    pub fn null(&mut self) {
        self.raw(if self.version < 3 { b"$-1\r\n" } else { b"_\r\n" });
    }

    /// Nothing where an array may be.
    #[inline(never)]
    pub fn null_array(&mut self) {
        self.raw(if self.version < 3 { b"*-1\r\n" } else { b"_\r\n" });
    }

    /// So many answers follow.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// So many pairs follow.
    #[inline(never)]
    pub fn map(&mut self, pairs: usize) {
        if self.version < 3 { self.array(pairs * 2) } else { self.header(b'%', pairs as i64) }
    }

    /// So many answers follow, in no order.
    #[inline(never)]
    pub fn set(&mut self, len: usize) {
        self.header(if self.version < 3 { b'*' } else { b'~' }, len as i64);
    }

    /// So many parts of a message follow that answers nothing.
    #[inline(never)]
    pub fn push(&mut self, len: usize) {
        self.header(if self.version < 3 { b'*' } else { b'>' }, len as i64);
    }

    /// A number with a point.
    #[inline(never)]
    pub fn double(&mut self, number: f64) {
        let mut text = Vec::with_capacity(24);
        push_double(&mut text, number);
        if self.version < 3 {
            return self.bulk(&text);
        }
        self.raw(b",");
        self.raw(&text);
        self.raw(b"\r\n");
    }

    /// Yes or no.
    pub fn boolean(&mut self, is_so: bool) {
        match (self.version, is_so) {
            (..3, _) => self.flag(is_so),
            (_, true) => self.raw(b"#t\r\n"),
            (_, false) => self.raw(b"#f\r\n"),
        }
    }

    /// Takes back what was gathered behind `len`.
    pub fn truncate(&mut self, len: usize) {
        self.octets.truncate(len);
    }
}
