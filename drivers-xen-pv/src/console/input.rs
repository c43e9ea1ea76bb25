//! Input: octets become lines. Nothing is taken from the ring unless somebody reads, so the daemon keeps what nobody wants.

use crate::abi::console::{IN_SIZE, XenconsInterface};
use crate::byte_ring::{Consumer, IndexFault, Layout};
use crate::shared::SharedMemory;
use crate::text;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem::offset_of;
use fata_libos::console::MAX_LINE;

/// Where input comes from in the page.
pub(crate) const IN_RING: Layout = Layout {
    data: offset_of!(XenconsInterface, r#in),
    size: IN_SIZE as u32,
    producer: offset_of!(XenconsInterface, in_prod),
    consumer: offset_of!(XenconsInterface, in_cons),
};

pub(super) struct Input {
    ring: Consumer,
    line: Vec<u8>,
    /// Octets of this line that were too many.
    dropped: usize,
    /// A line feed now belongs to the line's end before it.
    after_return: bool,
}

impl Input {
    pub(super) fn attach(page: SharedMemory) -> Self {
        let ring = Consumer::attach(page, IN_RING);
        Self { ring, line: Vec::new(), dropped: 0, after_return: false }
    }

    /// The next line, if its end has come, and how many octets were taken for it. Ends with a carriage return (what a raw
    /// terminal sends), a line feed, or both.
    pub(super) fn next_line(&mut self) -> Result<(Option<String>, usize), IndexFault> {
        let mut octet = [0];
        let mut taken = 0;
        while self.ring.pull(&mut octet)? == 1 {
            taken += 1;
            let after_return = core::mem::replace(&mut self.after_return, octet == *b"\r");
            match octet[0] {
                b'\n' if after_return => {}
                b'\r' | b'\n' => return Ok((Some(self.take_line()), taken)),
                byte if self.line.len() < MAX_LINE => self.line.push(byte),
                _ => self.dropped += 1,
            }
        }
        Ok((None, taken))
    }

    fn take_line(&mut self) -> String {
        let dropped = core::mem::take(&mut self.dropped);
        if dropped > 0 {
            log::warn!("a line was too long: {dropped} octets dropped");
        }
        text::lossy(core::mem::take(&mut self.line))
    }
}
