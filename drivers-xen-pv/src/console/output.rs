//! Output: the ring, and the backlog behind it.

use crate::abi::console::{OUT_SIZE, XenconsInterface};
use crate::byte_ring::{IndexFault, Layout, Producer};
use crate::shared::SharedMemory;
use alloc::vec::Vec;
use core::fmt::Write;
use core::mem::offset_of;

/// Where output goes in the page.
pub(crate) const OUT_RING: Layout = Layout {
    data: offset_of!(XenconsInterface, out),
    size: OUT_SIZE as u32,
    producer: offset_of!(XenconsInterface, out_prod),
    consumer: offset_of!(XenconsInterface, out_cons),
};

/// Octets that wait for room in the ring at most.
pub(super) const MAX_BACKLOG: usize = 64 * 1024;
/// Octets that are put into the backlog at once.
const PIECE: usize = 1024;

pub(super) struct Output {
    ring: Producer,
    backlog: Vec<u8>,
    /// Octets lost before what is in the backlog, and not told of yet.
    dropped: usize,
    /// The last octet in the ring.
    last: u8,
}

impl Output {
    pub(super) fn attach(page: SharedMemory) -> Self {
        Self { ring: Producer::attach(page, OUT_RING), backlog: Vec::new(), dropped: 0, last: b'\n' }
    }

    /// Writes text, each line's end as carriage return and line feed; says how much went into the ring.
    pub(super) fn write(&mut self, text: &[u8]) -> Result<usize, IndexFault> {
        let mut sent = self.flush()?;
        for line in text.split_inclusive(|b| *b == b'\n') {
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    sent += self.write_raw(line.strip_suffix(b"\r").unwrap_or(line))?;
                    sent += self.write_raw(b"\r\n")?;
                }
                None => sent += self.write_raw(line)?,
            }
        }
        Ok(sent)
    }

    fn write_raw(&mut self, bytes: &[u8]) -> Result<usize, IndexFault> {
        let sent = if self.backlog.is_empty() && self.dropped == 0 { self.push(bytes)? } else { 0 };
        bytes[sent..].chunks(PIECE).for_each(|piece| self.keep(piece));
        Ok(sent)
    }

    /// Moves what fits from the backlog into the ring.
    pub(super) fn flush(&mut self) -> Result<usize, IndexFault> {
        let mut sent = self.tell_dropped()?;
        while self.dropped == 0 && !self.backlog.is_empty() {
            let count = self.ring.push(&self.backlog)?;
            if count == 0 {
                break;
            }
            self.last = self.backlog[count - 1];
            self.backlog.drain(..count);
            sent += count;
        }
        Ok(sent)
    }

    /// Gives memory back after a burst. Not part of [`flush`](Self::flush), which also runs when the heap may be what broke.
    pub(super) fn shrink(&mut self) {
        if self.backlog.is_empty() {
            self.backlog = Vec::new();
        }
    }

    /// Backlog, then `bytes`, as far as the ring has room; takes from `bytes` what went in. Leaves the heap alone. Says how much is
    /// left to be put in or to be taken by the daemon.
    pub(super) fn push_all_that_fits(&mut self, bytes: &mut &[u8]) -> Result<usize, IndexFault> {
        self.flush()?;
        while let Some(first) = bytes.first()
            && self.backlog.is_empty()
            && self.dropped == 0
        {
            let end_of_line = *first == b'\n' && self.last != b'\r';
            let line = bytes.split(|b| *b == b'\n').next().unwrap_or(bytes).len().max(1);
            let text = if end_of_line { &b"\r"[..] } else { &bytes[..line] };
            let count = self.push(text)?;
            if count == 0 {
                break;
            }
            if !end_of_line {
                *bytes = &bytes[count..];
            }
        }
        Ok(self.ring.pending()? as usize + self.backlog.len() + self.dropped + bytes.len())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<usize, IndexFault> {
        let count = self.ring.push(bytes)?;
        if let Some(last) = bytes[..count].last() {
            self.last = *last;
        }
        Ok(count)
    }

    fn keep(&mut self, piece: &[u8]) {
        let excess = (self.backlog.len() + piece.len()).saturating_sub(MAX_BACKLOG);
        if excess > 0 {
            self.drop_oldest(excess);
        }
        if self.backlog.try_reserve(piece.len()).is_err() {
            self.drop_oldest(piece.len());
        }
        if self.backlog.capacity() - self.backlog.len() >= piece.len() {
            self.backlog.extend_from_slice(piece);
        } else {
            self.dropped += piece.len();
        }
    }

    /// Drops whole lines, `count` octets of them or more.
    fn drop_oldest(&mut self, count: usize) {
        let line_end = self.backlog.iter().skip(count.saturating_sub(1)).position(|b| *b == b'\n');
        let end = line_end.map_or(self.backlog.len(), |at| count.saturating_sub(1) + at + 1);
        self.backlog.drain(..end);
        self.dropped += end;
    }

    /// Says how much was dropped, in a line of its own, where it would have been.
    fn tell_dropped(&mut self) -> Result<usize, IndexFault> {
        if self.dropped == 0 {
            return Ok(0);
        }
        let mut line = Line::default();
        let start = if self.last == b'\n' { "" } else { "\r\n" };
        let _ = write!(line, "{start}[console: {} octets dropped]\r\n", self.dropped);
        if self.ring.pending()? as usize + line.len > OUT_SIZE {
            return Ok(0);
        }
        self.dropped = 0;
        self.push(&line.bytes[..line.len])
    }
}

/// A line made without the heap.
struct Line {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 64], len: 0 }
    }
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let to = self.bytes.get_mut(self.len..self.len + s.len()).ok_or(core::fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}
