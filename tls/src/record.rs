//! One record at a time, as it comes in (RFC 8446 section 5.1).
//!
//! The header is read first and says how much to make room for, so that there is memory for a record only while it is on
//! its way, and nothing is read that belongs to the next one.

use crate::session::Phase;
use crate::{Error, memory};
use alloc::vec::Vec;

const HEADER: usize = 5;
/// More octets may not follow the header than a fragment and what TLS 1.2 allows for its protection; rustls refuses so many.
const TOO_LONG: usize = HEADER + 16 * 1024 + 2048;
/// Memory is taken for so much of a record when its header has come, and for the rest when so much is there, octets.
const FIRST: usize = 2048;

/// A record that comes in.
#[derive(Default)]
pub(crate) struct Incoming {
    header: [u8; HEADER],
    /// Octets of the header that are there.
    have: usize,
    /// The whole record, once the header is there; its length is that for which there is room.
    record: Vec<u8>,
    filled: usize,
}

impl Incoming {
    /// Where the next octets go: never empty, and never beyond the record's end.
    pub(crate) fn room(&mut self, phase: Phase) -> Result<&mut [u8], Error> {
        if self.have < HEADER {
            return Ok(self.header.get_mut(self.have..).unwrap_or_default());
        }
        if self.filled == self.record.len() {
            let room = if self.filled < FIRST { self.whole().min(FIRST) } else { self.whole() };
            let more = room.saturating_sub(self.filled);
            if !memory::is_free(phase, more) {
                return Err(Error::NoMemory);
            }
            self.record.try_reserve_exact(more).map_err(|_| Error::NoMemory)?;
            self.record.resize(room, 0);
        }
        Ok(self.record.get_mut(self.filled..).unwrap_or_default())
    }

    /// `n` octets came.
    pub(crate) fn received(&mut self, n: usize) -> Result<(), Error> {
        if self.have < HEADER {
            self.have = (self.have + n).min(HEADER);
            if self.have < HEADER {
                return Ok(());
            }
            self.record.try_reserve_exact(self.whole().min(FIRST)).map_err(|_| Error::NoMemory)?;
            self.record.extend_from_slice(&self.header);
            self.filled = HEADER;
        } else {
            self.filled = (self.filled + n).min(self.record.len());
        }
        Ok(())
    }

    /// Octets of the record by its header.
    fn whole(&self) -> usize {
        let [_, _, _, high, low] = self.header;
        HEADER + usize::from(u16::from_be_bytes([high, low]))
    }

    /// Whether rustls can be shown it: all of it is there, or its header is one that rustls refuses. It takes some versions
    /// that no TLS has.
    pub(crate) fn is_ready(&self) -> bool {
        let [kind, version, ..] = self.header;
        let is_plausible =
            (20..=24).contains(&kind) && matches!(version, 2 | 3 | 0xfe) && self.whole() < TOO_LONG;
        self.have == HEADER && (self.filled == self.whole() || !is_plausible)
    }

    /// Takes the record; the next one begins.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut record = core::mem::take(&mut self.record);
        record.truncate(self.filled);
        (self.have, self.filled) = (0, 0);
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::testing::run;

    /// Feeds `octets` in pieces of `n` and gives the records.
    fn records(mut octets: &[u8], n: usize) -> Vec<Vec<u8>> {
        let (mut incoming, mut all) = (Incoming::default(), Vec::new());
        while !octets.is_empty() {
            let room = incoming.room(Phase::Open).unwrap();
            let now = room.len().min(n).min(octets.len());
            assert!(now > 0);
            room[..now].copy_from_slice(&octets[..now]);
            octets = &octets[now..];
            incoming.received(now).unwrap();
            if incoming.is_ready() {
                all.push(incoming.take());
            }
        }
        assert_eq!(incoming.have, 0);
        all
    }

    #[test]
    fn records_come_whole_however_they_are_cut() {
        let record = |len: usize| {
            let mut r = vec![23, 3, 3, (len >> 8) as u8, len as u8];
            r.extend((0..len).map(|n| n as u8));
            r
        };
        let sent = [0, 1, 2043, 2044, 16_384 + 256, 5, 16_384 + 2047].map(record);
        run(async {
            for n in [1, 2, 5, 6, 1460, 100_000] {
                assert_eq!(records(&sent.concat(), n), sent, "{n}");
            }
        });
    }

    #[test]
    fn what_is_no_record_is_shown_with_its_header_alone() {
        for header in [*b"GET /", [22, 4, 0, 0, 9], [128, 3, 1, 0, 9], [23, 3, 3, 0x48, 0], [25, 3, 3, 0, 1]]
        {
            assert_eq!(records(&header, 5), [header]);
        }
    }

    #[test]
    fn memory_is_taken_as_a_record_comes() {
        run(async {
            let mut incoming = Incoming::default();
            incoming.room(Phase::Open).unwrap().copy_from_slice(&[23, 3, 3, 0x40, 0]);
            incoming.received(HEADER).unwrap();
            assert_eq!(incoming.room(Phase::Open).unwrap().len(), 2048 - HEADER);
            incoming.received(2048 - HEADER).unwrap();
            assert_eq!(incoming.room(Phase::Open).unwrap().len(), 16_384 + HEADER - 2048);
        });
    }
}
