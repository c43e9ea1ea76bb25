//! What has been sent and not been acknowledged: one entry for each send, in order, with what the peer's selective
//! acknowledgements say of it (RFC 6675, 2).

use super::{Account, Seq};
use alloc::collections::VecDeque;
use fata_libos::time::Instant;

/// The peer has it, out of order.
pub(super) const SACKED: u8 = 1;
/// Taken for lost.
pub(super) const LOST: u8 = 2;
/// Sent again since it was taken for lost.
pub(super) const AGAIN: u8 = 4;
/// Larger than what is known to get through (RFC 4821).
pub(super) const PROBE: u8 = 8;

/// Entries that every connection may have: they are in what it costs by itself.
const ALWAYS: usize = 8;

/// One send, perhaps of many segments.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) seq: Seq,
    pub(super) end: Seq,
    /// When it was last sent.
    pub(super) at: Instant,
    pub(super) flags: u8,
    /// How often it was sent again.
    pub(super) repeats: u8,
}

impl Sent {
    pub(super) fn len(&self) -> u32 {
        self.end - self.seq
    }

    pub(super) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it is to be sent again.
    pub(super) fn waits(&self) -> bool {
        self.flags & (LOST | AGAIN | SACKED) == LOST
    }

    /// Octets of it that are on the way, as far as is known.
    fn in_flight(&self) -> u32 {
        match self.flags & (LOST | AGAIN | SACKED) {
            0 => self.len(),
            flags if flags & SACKED == 0 && flags & AGAIN != 0 => self.len(),
            _ => 0,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    sent: VecDeque<Sent>,
    /// Octets of each kind, kept up with every change.
    sacked: u32,
    in_flight: u32,
    waiting: u32,
    /// Nothing before this is to be sent again.
    first_waiting: Seq,
    /// Nothing from here on was sent again.
    again_end: Seq,
    /// Octets that the connection's account has given.
    charged: u32,
}

#[cfg(test)]
std::thread_local! {
    /// Entries that were looked at one by one.
    pub(super) static LOOKS: core::cell::Cell<usize> = const { core::cell::Cell::new(0) };
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// Octets that the peer has out of order.
    pub(super) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Octets on the way: neither held by the peer nor lost, or sent again ("pipe" of RFC 6675).
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Octets to be sent again.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    #[cfg(test)]
    pub(super) fn entries(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter()
    }

    pub(super) fn get(&self, n: usize) -> Option<&Sent> {
        #[cfg(test)]
        LOOKS.set(LOOKS.get() + 1);
        self.sent.get(n)
    }

    pub(super) fn front(&self) -> Option<&Sent> {
        self.sent.front()
    }

    pub(super) fn back(&self) -> Option<&Sent> {
        self.sent.back()
    }

    /// Whether there is room for one more, or memory for it.
    pub(super) fn make_room(&mut self, account: &mut Account) -> bool {
        if self.sent.len() < self.sent.capacity() {
            return true;
        }
        let capacity = (2 * self.sent.capacity()).max(ALWAYS / 2);
        let charge = capacity.saturating_sub(ALWAYS) * size_of::<Sent>();
        let more = charge.saturating_sub(self.charged as usize);
        if !account.grow(more) {
            return false;
        }
        if self.sent.try_reserve_exact(capacity - self.sent.len()).is_err() {
            account.shrink(more);
            return false;
        }
        self.charged += more as u32;
        true
    }

    /// Gives the memory back of a queue that holds nothing.
    pub(super) fn settle(&mut self, account: &mut Account) {
        if self.sent.is_empty() && self.sent.capacity() > ALWAYS {
            self.release(account);
        }
    }

    /// Forgets all, and gives its memory back.
    pub(super) fn release(&mut self, account: &mut Account) {
        account.shrink(self.charged as usize);
        *self = Self::default();
    }

    /// Adds what was sent now, behind all others.
    pub(super) fn push(&mut self, sent: Sent) {
        if self.sent.is_empty() {
            (self.first_waiting, self.again_end) = (sent.seq, sent.seq);
        }
        self.add(&sent);
        self.sent.push_back(sent);
    }

    fn add(&mut self, sent: &Sent) {
        self.in_flight += sent.in_flight();
        self.sacked += if sent.is(SACKED) { sent.len() } else { 0 };
        if sent.waits() {
            let first = if self.waiting == 0 { sent.seq } else { self.first_waiting.earlier(sent.seq) };
            (self.first_waiting, self.waiting) = (first, self.waiting + sent.len());
        }
        if sent.is(AGAIN) {
            self.again_end = self.again_end.later(sent.end);
        }
    }

    /// Whether something at this number or after it was sent again.
    pub(super) fn is_again_from(&self, seq: Seq) -> bool {
        self.again_end.after(seq)
    }

    fn subtract(&mut self, sent: &Sent) {
        self.in_flight -= sent.in_flight();
        self.sacked -= if sent.is(SACKED) { sent.len() } else { 0 };
        self.waiting -= if sent.waits() { sent.len() } else { 0 };
    }

    /// Changes an entry.
    pub(super) fn update(&mut self, n: usize, change: impl FnOnce(&mut Sent)) {
        let Some(mut sent) = self.take(n) else { return };
        change(&mut sent);
        self.put(n, sent);
    }

    /// An entry that is no longer counted, until it is put back. In an image once, not with each change.
    #[inline(never)]
    fn take(&mut self, n: usize) -> Option<Sent> {
        let sent = self.sent.get(n).copied()?;
        self.subtract(&sent);
        Some(sent)
    }

    #[inline(never)]
    fn put(&mut self, n: usize, sent: Sent) {
        self.add(&sent);
        self.sent[n] = sent;
    }

    /// Changes all entries.
    pub(super) fn update_all(&mut self, mut change: impl FnMut(&mut Sent)) {
        for n in 0..self.sent.len() {
            self.update(n, &mut change);
        }
    }

    /// Takes out what comes before `una`: calls `f` with each entry or the part of it.
    pub(super) fn acknowledge(&mut self, una: Seq, mut f: impl FnMut(&Sent)) {
        while let Some(first) = self.sent.front().copied() {
            if !una.after(first.seq) {
                break;
            }
            self.subtract(&first);
            if una.before(first.end) {
                f(&Sent { end: una, ..first });
                let rest = Sent { seq: una, ..first };
                self.add(&rest);
                self.sent[0] = rest;
                break;
            }
            f(&first);
            self.sent.pop_front();
        }
        self.first_waiting = self.first_waiting.later(una);
        self.again_end = self.again_end.later(una);
    }

    /// The first entry that ends after `seq`.
    pub(super) fn find(&self, seq: Seq) -> usize {
        self.sent.partition_point(|sent| !sent.end.after(seq))
    }

    /// Cuts an entry in two at `at`; nothing happens where that is not inside, or there are too many entries already, or there
    /// is no memory for one more.
    pub(super) fn split(&mut self, n: usize, at: Seq, most: usize, account: &mut Account) {
        let Some(sent) = self.sent.get(n).copied() else { return };
        if !at.after(sent.seq) || !at.before(sent.end) || self.sent.len() >= most {
            return;
        }
        if !self.make_room(account) {
            return;
        }
        self.sent[n].end = at;
        self.sent.insert(n + 1, Sent { seq: at, ..sent });
    }

    /// Makes one entry of the `n`th, which is to be sent again, and those behind it that are to be too, up to `most` octets:
    /// what went in small segments goes again in full ones (RFC 9293, 3.8.1).
    pub(super) fn join(&mut self, n: usize, most: u32) {
        let Some(mut whole) = self.sent.get(n).copied().filter(Sent::waits) else { return };
        let mut next = n + 1;
        while let Some(sent) = self.sent.get(next) {
            if !sent.waits() || sent.flags != whole.flags || sent.end - whole.seq > most {
                break;
            }
            (whole.end, whole.repeats) = (sent.end, whole.repeats.max(sent.repeats));
            next += 1;
        }
        // What waits stays the same.
        self.sent[n] = whole;
        self.sent.drain(n + 1..next);
    }

    /// Marks what lies in `from..to` as held by the peer: calls `f` with each entry that was not yet.
    pub(super) fn sack(
        &mut self,
        (from, to): (Seq, Seq),
        most: usize,
        account: &mut Account,
        mut f: impl FnMut(&Sent),
    ) {
        let mut n = self.find(from);
        while let Some(sent) = self.sent.get(n).copied() {
            if !sent.seq.before(to) {
                break;
            }
            if !sent.is(SACKED) {
                if from.after(sent.seq) {
                    self.split(n, from, most, account);
                    n += 1;
                    if self.sent.get(n).is_none_or(|next| next.seq != from) {
                        // Not cut: the part does not count.
                        continue;
                    }
                }
                self.split(n, to, most, account);
                if self.sent[n].end.after(to) {
                    break;
                }
                f(&self.sent[n].clone());
                self.update(n, |sent| sent.flags = (sent.flags | SACKED) & !(LOST | AGAIN));
                self.merge(n);
                if n > 0 && self.merge(n - 1) {
                    continue;
                }
            }
            n += 1;
        }
    }

    /// Makes one entry of two that the peer has, so that nobody who looks for what it has not looks at each; true if they are.
    fn merge(&mut self, n: usize) -> bool {
        let (Some(first), Some(second)) = (self.sent.get(n).copied(), self.sent.get(n + 1).copied()) else {
            return false;
        };
        let fit = first.is(SACKED) && first.flags == second.flags;
        if fit {
            let (at, repeats) = (first.at.max(second.at), first.repeats.max(second.repeats));
            self.sent[n] = Sent { end: second.end, at, repeats, ..first };
            self.sent.remove(n + 1);
        }
        fit
    }

    /// The first entry that is to be sent again.
    pub(super) fn next_waiting(&mut self) -> Option<usize> {
        if self.waiting == 0 {
            return None;
        }
        let mut n = self.find(self.first_waiting);
        while !self.get(n)?.waits() {
            n += 1;
        }
        self.first_waiting = self.sent.get(n)?.seq;
        Some(n)
    }

    /// What it holds, octets.
    #[cfg(not(target_os = "xen"))]
    pub(super) fn memory(&self) -> usize {
        self.sent.capacity() * size_of::<Sent>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Memory, Use};
    use alloc::vec::Vec;
    use fata_libos::memory::MemoryStats;

    fn of(bounds: &[u32]) -> Queue {
        let mut queue = Queue::default();
        for pair in bounds.windows(2) {
            let (seq, end) = (Seq(pair[0]), Seq(pair[1]));
            queue.push(Sent { seq, end, at: Instant::default(), flags: 0, repeats: 0 });
        }
        queue
    }

    fn list(queue: &Queue) -> Vec<(u32, u32, u8)> {
        queue.entries().map(|s| (s.seq.0, s.end.0, s.flags)).collect()
    }

    /// Sums of the entries are what is kept.
    fn check(queue: &Queue) {
        let sum = |f: &dyn Fn(&Sent) -> u32| queue.entries().map(f).sum::<u32>();
        assert_eq!(queue.in_flight(), sum(&Sent::in_flight));
        assert_eq!(queue.sacked(), sum(&|s| if s.is(SACKED) { s.len() } else { 0 }));
        assert_eq!(queue.waiting(), sum(&|s| if s.waits() { s.len() } else { 0 }));
    }

    #[test]
    fn acknowledging_takes_from_the_front() {
        let mut queue = of(&[0, 10, 20, 30]);
        let mut seen = Vec::new();
        queue.acknowledge(Seq(15), |sent| seen.push((sent.seq.0, sent.end.0)));
        assert_eq!(seen, [(0, 10), (10, 15)]);
        assert_eq!(list(&queue), [(15, 20, 0), (20, 30, 0)]);
        check(&queue);
        queue.acknowledge(Seq(30), |_| {});
        assert!(queue.is_empty());
        check(&queue);
    }

    #[test]
    fn blocks_cut_entries() {
        let mut queue = of(&[0, 10, 20, 30]);
        let mut octets = 0;
        queue.sack((Seq(5), Seq(25)), 100, &mut Account::default(), |sent| octets += sent.len());
        assert_eq!(octets, 20);
        assert_eq!(list(&queue), [(0, 5, 0), (5, 25, SACKED), (25, 30, 0)]);
        check(&queue);
        queue.sack((Seq(5), Seq(25)), 100, &mut Account::default(), |_| panic!("once only"));
        assert_eq!((queue.sacked(), queue.in_flight()), (20, 10));
        queue.update(0, |sent| sent.flags = LOST);
        assert_eq!((queue.in_flight(), queue.waiting(), queue.next_waiting()), (5, 5, Some(0)));
        queue.update(0, |sent| sent.flags |= AGAIN);
        assert_eq!((queue.in_flight(), queue.waiting(), queue.next_waiting()), (10, 0, None));
        check(&queue);
    }

    #[test]
    fn small_ones_that_are_lost_become_one() {
        let mut queue = of(&[0, 1, 2, 3, 10, 20, 1000, 1001]);
        queue.sack((Seq(3), Seq(10)), 100, &mut Account::default(), |_| {});
        for n in [0, 1, 2, 4, 5, 6] {
            queue.update(n, |sent| (sent.flags, sent.repeats) = (LOST, n as u8));
        }
        queue.update(6, |sent| sent.flags |= AGAIN);
        queue.join(0, 1000);
        check(&queue);
        let rest = [(3, 10, SACKED), (10, 20, LOST), (20, 1000, LOST), (1000, 1001, LOST | AGAIN)];
        assert_eq!(list(&queue), [&[(0, 3, LOST)], &rest[..]].concat());
        assert_eq!(queue.get(0).unwrap().repeats, 2);
        // Too long together; sent again already; held by the peer; none.
        for (n, most) in [(2, 989), (3, 10_000), (1, 10_000), (5, 10_000)] {
            let before = list(&queue);
            queue.join(n, most);
            assert_eq!(list(&queue), before, "{n}");
        }
        check(&queue);
        queue.join(2, 990);
        assert_eq!(list(&queue)[2], (10, 1000, LOST));
        check(&queue);
    }

    #[test]
    fn what_it_holds_is_charged_and_given_back() {
        let memory = Memory::with(32 << 10, MemoryStats::default, || true);
        let account = || Account(memory.take(Use::Connections, 0));
        let mut queue = Queue::default();
        let mut one = account();
        let mut add = |queue: &mut Queue, n: u32| {
            let room = queue.make_room(&mut one);
            if room {
                queue.push(Sent {
                    seq: Seq(n),
                    end: Seq(n + 1),
                    at: Instant::default(),
                    flags: 0,
                    repeats: 0,
                });
            }
            room
        };
        assert!((0..8).all(|n| add(&mut queue, n)));
        assert_eq!(memory.used(Use::Connections), 0);
        assert!(add(&mut queue, 8));
        assert_eq!(memory.used(Use::Connections), 8 * size_of::<Sent>());
        let more = (9..100_000).take_while(|n| add(&mut queue, *n)).count();
        assert!(more > 500 && memory.used(Use::Connections) <= 32 << 10, "{more}");
        assert!(queue.memory() <= memory.used(Use::Connections) + ALWAYS * size_of::<Sent>());
        queue.acknowledge(Seq(100_000), |_| {});
        queue.settle(&mut one);
        assert_eq!((memory.used(Use::Connections), queue.memory()), (0, 0));
    }

    #[test]
    fn what_waits_is_found_without_looking_at_all() {
        let mut queue = of(&(0..4001).collect::<Vec<_>>());
        queue.update_all(|sent| sent.flags |= LOST);
        LOOKS.set(0);
        for n in 0..2000 {
            assert_eq!(queue.next_waiting(), Some(n));
            queue.update(n, |sent| sent.flags |= AGAIN);
        }
        // Lost again, in front of all others.
        queue.update(7, |sent| sent.flags = LOST);
        assert_eq!(queue.next_waiting(), Some(7));
        queue.update(7, |sent| sent.flags |= AGAIN);
        queue.acknowledge(Seq(1000), |_| {});
        assert_eq!(queue.next_waiting(), Some(1000));
        assert!(LOOKS.get() < 3 * 4000, "{}", LOOKS.get());
        assert!(queue.is_again_from(Seq(1999)) && !queue.is_again_from(Seq(2000)));
        check(&queue);
    }

    #[test]
    fn a_peer_cannot_cut_for_ever() {
        let mut queue = of(&[0, 1000]);
        for n in 0..400 {
            queue.sack((Seq(2 * n + 1), Seq(2 * n + 2)), 16, &mut Account::default(), |_| {});
        }
        assert!(queue.len() <= 16);
        check(&queue);
        queue.sack((Seq(0), Seq(1000)), 16, &mut Account::default(), |_| {});
        assert_eq!(queue.sacked(), 1000);
    }
}
