//! What routers say that ends some time: prefixes on the link, routers, name servers. Bounded tables of few entries.

use super::message::{Preference, mask};
use super::times::{NEVER, end};
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use fata_libos::time::Instant;

/// One thing that was said: of a prefix, or of a host, which is a prefix of 128 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    /// Zero behind the prefix.
    pub(super) address: Ipv6Addr,
    pub(super) len: u8,
    pub(super) until: Instant,
    /// Of a router.
    pub(super) preference: Preference,
    /// A router that did not answer when last asked.
    pub(super) is_lost: bool,
}

impl Learned {
    pub(super) fn contains(&self, address: Ipv6Addr) -> bool {
        is_in(address, self.address, self.len)
    }
}

/// Whether `address` is in a prefix.
#[inline(never)]
pub(super) fn is_in(address: Ipv6Addr, prefix: Ipv6Addr, len: u8) -> bool {
    (address.to_bits() ^ prefix.to_bits()) & mask(len) == 0
}

/// What became of what was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was known, and perhaps lasts longer now; or it is not, and ends at once.
    Same,
    /// There is one more, or one less.
    Changed,
    /// There is no room.
    Refused,
}

/// A table. Who came first stays: a flood of others does not push him out.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Learned>,
    most: usize,
}

impl Table {
    pub(super) const fn new(most: usize) -> Self {
        Self { entries: Vec::new(), most }
    }

    pub(super) fn iter(&self) -> core::slice::Iter<'_, Learned> {
        self.entries.iter()
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Takes what was said of a prefix, or a host, and how many seconds it lasts.
    #[inline(never)]
    pub(super) fn said(
        &mut self,
        now: Instant,
        (address, len): (Ipv6Addr, u8),
        seconds: u32,
        preference: Preference,
    ) -> Noted {
        let until = end(now, seconds);
        self.note(now, Learned { address, len, until, preference, is_lost: false })
    }

    /// Takes what was said; what ends at once is forgotten.
    pub(super) fn note(&mut self, now: Instant, said: Learned) -> Noted {
        let known = self.entries.iter().position(|e| (e.address, e.len) == (said.address, said.len));
        match known {
            Some(at) if said.until <= now => {
                self.move_to_end(at);
                self.entries.pop();
                Noted::Changed
            }
            Some(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    *entry = said;
                }
                Noted::Same
            }
            None if said.until <= now => Noted::Same,
            None if self.entries.len() >= self.most => Noted::Refused,
            None => {
                self.entries.push(said);
                Noted::Changed
            }
        }
    }

    /// Forgets what has ended, and says whether there was any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.until > now);
        self.entries.len() < before
    }

    /// When something ends.
    #[inline(never)]
    pub(super) fn deadline(&self) -> Instant {
        self.entries.iter().map(|entry| entry.until).min().unwrap_or(NEVER)
    }

    /// The router to use: one that answers, of these one that wants to be used, of these the first.
    pub(super) fn best(&self) -> Option<Ipv6Addr> {
        let rank = |entry: &Learned| (!entry.is_lost, entry.preference);
        let mut best = self.entries.first()?;
        for entry in &self.entries {
            if rank(entry) > rank(best) {
                best = entry;
            }
        }
        Some(best.address)
    }

    /// A router does not answer. It goes behind the others, so that where none answers all have their turn (RFC 4861, 6.3.6).
    pub(super) fn lost(&mut self, address: Ipv6Addr) {
        if let Some(at) = self.entries.iter().position(|entry| entry.address == address) {
            self.move_to_end(at);
            if let Some(entry) = self.entries.last_mut() {
                entry.is_lost = true;
            }
        }
    }

    /// Puts an entry behind the others.
    #[inline(never)]
    fn move_to_end(&mut self, at: usize) {
        for next in at + 1..self.entries.len() {
            self.entries.swap(next - 1, next);
        }
    }

    /// A router answers.
    pub(super) fn found(&mut self, address: Ipv6Addr) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.address == address) {
            entry.is_lost = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Learned {
        fn prefix(address: Ipv6Addr, len: u8, until: Instant) -> Self {
            Self { address, len, until, preference: Preference::Medium, is_lost: false }
        }

        fn host(address: Ipv6Addr, until: Instant) -> Self {
            Self::prefix(address, 128, until)
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn host(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, n)
    }

    #[test]
    fn entries_come_last_and_go() {
        let mut table = Table::new(2);
        assert_eq!((table.deadline(), table.best()), (NEVER, None));
        assert_eq!(table.note(at(1), Learned::host(host(1), at(5))), Noted::Changed);
        assert_eq!(table.note(at(1), Learned::host(host(2), at(7))), Noted::Changed);
        assert_eq!(table.note(at(1), Learned::host(host(3), at(9))), Noted::Refused);
        assert_eq!(table.note(at(1), Learned::host(host(3), at(1))), Noted::Same, "not there, and gone");
        assert_eq!(table.deadline(), at(5));
        assert_eq!(table.note(at(2), Learned::host(host(1), at(9))), Noted::Same);
        assert_eq!(table.deadline(), at(7));
        assert!(!table.expire(at(6)) && table.expire(at(7)));
        assert_eq!(table.note(at(8), Learned::host(host(1), at(8))), Noted::Changed);
        assert_eq!(table.iter().count(), 0);
    }

    #[test]
    fn prefixes_of_one_address_differ_by_length() {
        let (mut table, net) = (Table::new(4), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0));
        assert_eq!(table.note(at(1), Learned::prefix(net, 64, NEVER)), Noted::Changed);
        assert_eq!(table.note(at(1), Learned::prefix(net, 48, NEVER)), Noted::Changed);
        let near = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 9);
        assert_eq!(table.iter().map(|p| p.contains(near)).collect::<Vec<_>>(), [false, true]);
        assert!(is_in(near, host(1), 0) && !is_in(near, host(1), 1) && !is_in(host(2), host(1), 128));
    }

    #[test]
    fn routers_that_do_not_answer_have_their_turns() {
        let mut table = Table::new(8);
        for (n, preference) in [(1, Preference::Low), (2, Preference::Medium), (3, Preference::Medium)] {
            table.note(at(1), Learned { preference, ..Learned::host(host(n), at(9)) });
        }
        assert_eq!(table.best(), Some(host(2)));
        table.lost(host(2));
        assert_eq!(table.best(), Some(host(3)));
        table.lost(host(3));
        assert_eq!(table.best(), Some(host(1)), "one that answers comes before one that is preferred");
        table.lost(host(1));
        assert_eq!(table.best(), Some(host(2)));
        table.lost(host(2));
        assert_eq!(table.best(), Some(host(3)));
        table.found(host(1));
        table.lost(host(9));
        assert_eq!(table.best(), Some(host(1)));
    }
}
