//! Putting fragments of both versions of IP together (RFC 791, 815; RFC 8200, 4.5; RFC 1858 and 5722 on those that overlap).
//!
//! Bounded in packets, memory and time. A fragment that overlaps another ends its packet: nobody honest sends one.

use super::HEADER6;
use crate::memory::{Memory, Share, Use};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::IpAddr;
use fata_libos::time::{Duration, Instant};

/// Packets being put together.
const PACKETS: usize = 64;
/// Fragments of one packet; 65535 octets in fragments of 576 are 120.
const PIECES: usize = 192;
/// What a packet costs beside its data and the list of its pieces, octets.
const COST: usize = 256;
/// How long a packet may take (RFC 1122, 3.3.2 says 60 to 120 s; that much would be an invitation).
const LIFETIME: Duration = Duration::from_secs(30);

/// Which packet a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PacketId {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ident: u32,
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub(crate) id: PacketId,
    /// Where its data belongs, octets.
    pub(crate) offset: usize,
    /// Whether more follow.
    pub(crate) more: bool,
    pub(crate) data: &'a [u8],
}

struct Packet {
    id: PacketId,
    /// When it is given up.
    due: Instant,
    share: Share,
    /// With room for a header of either version in front.
    data: Vec<u8>,
    /// Start and end of what is there, in order, never touching each other.
    pieces: Vec<(usize, usize)>,
    total: Option<usize>,
}

/// What became of a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Kept.
    Waiting,
    /// Dropped, and perhaps its packet with it.
    Dropped,
    /// The last that was missing: what the packet carries, behind room for an IPv6 header ([`HEADER6`]).
    Complete(Vec<u8>),
}

/// Packets being put together.
pub(crate) struct Reassembly {
    /// Oldest first; few enough to be looked through.
    packets: Vec<Packet>,
    memory: Rc<Memory>,
}

impl Reassembly {
    pub(crate) fn new(memory: &Rc<Memory>) -> Self {
        Self { packets: Vec::new(), memory: memory.clone() }
    }

    pub(crate) fn add(&mut self, now: Instant, fragment: Fragment<'_>) -> Outcome {
        let Fragment { id, offset, more, data } = fragment;
        let end = offset + data.len();
        let sane =
            !data.is_empty() && end <= super::MAX_PACKET - super::HEADER && (!more || data.len() % 8 == 0);
        if !sane {
            return Outcome::Dropped;
        }
        self.expire(now);
        let Some(mut at) = self.place_of(&id).or_else(|| self.begin(now, id)) else {
            return Outcome::Dropped;
        };
        // Older packets give way to one that goes on, not younger ones.
        while !self.packets[at].make_room(HEADER6 + end) {
            self.drop_oldest();
            let Some(place) = at.checked_sub(1) else { return Outcome::Dropped };
            at = place;
        }
        let packet = &mut self.packets[at];
        if !packet.place(offset, more, data) {
            drop(self.packets.remove(at));
            return Outcome::Dropped;
        }
        if !packet.is_complete() {
            return Outcome::Waiting;
        }
        Outcome::Complete(self.packets.remove(at).data)
    }

    fn place_of(&self, id: &PacketId) -> Option<usize> {
        self.packets.iter().position(|packet| packet.id == *id)
    }

    /// Makes an entry, for which the oldest goes if need be, and returns its place.
    fn begin(&mut self, now: Instant, id: PacketId) -> Option<usize> {
        if self.packets.len() >= PACKETS {
            self.drop_oldest();
        }
        let take = |r: &Self| r.memory.take(Use::Fragments, COST);
        let share = take(self).or_else(|| {
            self.drop_oldest();
            take(self)
        })?;
        self.packets.try_reserve(1).ok()?;
        self.packets.push(Packet::new(id, now + LIFETIME, share));
        Some(self.packets.len() - 1)
    }

    fn expire(&mut self, now: Instant) {
        self.packets.retain(|packet| packet.due > now);
    }

    fn drop_oldest(&mut self) {
        if !self.packets.is_empty() {
            drop(self.packets.remove(0));
        }
    }
}

impl Packet {
    fn new(id: PacketId, due: Instant, share: Share) -> Self {
        Self { id, due, share, data: Vec::new(), pieces: Vec::new(), total: None }
    }

    /// Makes room for `len` octets and one piece more; false if there is no memory for them.
    fn make_room(&mut self, len: usize) -> bool {
        let pieces = self.pieces.len() + 1;
        grow(&mut self.share, &mut self.data, len) && grow(&mut self.share, &mut self.pieces, pieces)
    }

    /// Puts a fragment in its place; false if it contradicts what is there.
    fn place(&mut self, offset: usize, more: bool, data: &[u8]) -> bool {
        let end = offset + data.len();
        if !more {
            if self.total.is_some() || self.pieces.last().is_some_and(|p| p.1 > end) {
                return false;
            }
            self.total = Some(end);
        } else if self.total.is_some_and(|total| end > total) {
            return false;
        }
        let at = self.pieces.partition_point(|p| p.1 <= offset);
        if self.pieces.get(at).is_some_and(|p| p.0 < end) || self.pieces.len() >= PIECES {
            return false;
        }
        if self.data.len() < HEADER6 + end {
            self.data.resize(HEADER6 + end, 0);
        }
        self.data[HEADER6 + offset..HEADER6 + end].copy_from_slice(data);
        let joins_left = at > 0 && self.pieces[at - 1].1 == offset;
        let joins_right = self.pieces.get(at).is_some_and(|p| p.0 == end);
        match (joins_left, joins_right) {
            (true, true) => self.pieces[at - 1].1 = self.pieces.remove(at).1,
            (true, false) => self.pieces[at - 1].1 = end,
            (false, true) => self.pieces[at].0 = offset,
            (false, false) => self.pieces.insert(at, (offset, end)),
        }
        true
    }

    fn is_complete(&self) -> bool {
        self.total.is_some_and(|total| self.pieces == [(0, total)])
    }
}

/// Gives a list room for `len` entries, by doubling, and pays for it.
fn grow<T>(share: &mut Share, list: &mut Vec<T>, len: usize) -> bool {
    let old = list.capacity();
    if len <= old {
        return true;
    }
    let new = len.max(2 * old);
    share.grow((new - old) * size_of::<T>()) && list.try_reserve_exact(new - list.len()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reassembly(octets: usize) -> Reassembly {
        Reassembly::new(&Memory::of(octets * 16))
    }

    fn used(r: &Reassembly) -> usize {
        r.memory.used(Use::Fragments)
    }

    fn id(ident: u32) -> PacketId {
        let host = IpAddr::from([10, 0, 0, 1]);
        PacketId { source: host, destination: host, protocol: 1, ident }
    }

    fn add(r: &mut Reassembly, ident: u32, offset: usize, more: bool, data: &[u8]) -> Outcome {
        r.add(Instant::default(), Fragment { id: id(ident), offset, more, data })
    }

    #[test]
    fn any_order_gives_the_packet() {
        let whole: Vec<u8> = (0..100).collect();
        let cuts = [(0, 24), (24, 48), (48, 96), (96, 100)];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            let mut r = reassembly(1 << 20);
            for (n, cut) in order.iter().map(|i| cuts[*i]).enumerate() {
                let got = add(&mut r, 7, cut.0, cut.1 != 100, &whole[cut.0..cut.1]);
                let complete = [&[0; HEADER6][..], &whole].concat();
                let want = if n == 3 { Outcome::Complete(complete) } else { Outcome::Waiting };
                assert_eq!(got, want);
            }
            assert_eq!(used(&r), 0);
        }
    }

    #[test]
    fn what_overlaps_ends_the_packet() {
        let mut r = reassembly(1 << 20);
        assert_eq!(add(&mut r, 1, 0, true, &[1; 16]), Outcome::Waiting);
        assert_eq!(add(&mut r, 1, 8, true, &[2; 16]), Outcome::Dropped);
        assert_eq!(add(&mut r, 1, 16, false, &[3; 8]), Outcome::Waiting, "a packet of its own now");
        assert_eq!(add(&mut r, 2, 8, false, &[3; 8]), Outcome::Waiting);
        assert_eq!(add(&mut r, 2, 16, true, &[3; 8]), Outcome::Dropped, "beyond the end");
        assert_eq!(add(&mut r, 3, 65_528, true, &[3; 8]), Outcome::Dropped, "longer than a packet");
        assert_eq!(add(&mut r, 3, 0, true, &[3; 9]), Outcome::Dropped, "not a multiple of eight");
        assert_eq!(add(&mut r, 3, 0, true, &[]), Outcome::Dropped);
    }

    #[test]
    fn a_flood_of_halves_is_bounded_and_old_ones_go() {
        let mut r = reassembly(1 << 20);
        for ident in 0..10_000 {
            add(&mut r, ident, 40_000, true, &[0; 8]);
            assert!(r.packets.len() <= PACKETS && used(&r) <= 1 << 20);
        }
        let later = Instant::default() + LIFETIME;
        let fragment = Fragment { id: id(1), offset: 0, more: true, data: &[0; 8] };
        assert_eq!(r.add(later, fragment), Outcome::Waiting);
        assert_eq!(r.packets.len(), 1);
        assert!(used(&r) < 1000);
        r.drop_oldest();
        assert_eq!(used(&r), 0);
    }

    #[test]
    fn little_memory_serves_small_packets_and_refuses_large_ones() {
        let mut r = reassembly(10_000);
        assert_eq!(add(&mut r, 1, 0, true, &[1; 4000]), Outcome::Waiting);
        assert_eq!(add(&mut r, 2, 0, true, &[1; 4000]), Outcome::Waiting);
        assert_eq!(add(&mut r, 3, 0, true, &[1; 4000]), Outcome::Waiting, "in place of the first");
        assert!(
            matches!(add(&mut r, 2, 4000, false, &[1; 8]), Outcome::Dropped),
            "would need twice the room"
        );
        assert_eq!(add(&mut r, 4, 20_000, true, &[1; 8]), Outcome::Dropped, "can never be whole");
        for ident in 5..500 {
            assert_eq!(add(&mut r, ident, 0, true, &[1; 8]), Outcome::Waiting);
            assert!(matches!(add(&mut r, ident, 8, false, &[1; 8]), Outcome::Complete(_)));
            assert_eq!(add(&mut r, ident + 1000, 0, true, &[1; 1480]), Outcome::Waiting);
            assert!(used(&r) <= 10_000);
        }
        assert!(r.memory.used(Use::Fragments) > 5000);
    }

    #[test]
    fn a_packet_that_begins_anew_has_its_own_time() {
        let mut r = reassembly(1 << 20);
        let at = |seconds| Instant::default() + Duration::from_secs(seconds);
        let mut add = |seconds, ident, offset, more| {
            r.add(at(seconds), Fragment { id: id(ident), offset, more, data: &[0; 8] })
        };
        assert_eq!(add(0, 1, 0, true), Outcome::Waiting);
        assert!(matches!(add(0, 1, 8, false), Outcome::Complete(_)));
        // The same number again, as after 65536 packets: the end of the first one's time is not the end of this.
        assert_eq!(add(20, 1, 0, true), Outcome::Waiting);
        assert_eq!(add(35, 2, 0, true), Outcome::Waiting);
        assert!(matches!(add(40, 1, 8, false), Outcome::Complete(_)));
        // Nor does a packet that was contradicted take its successor with it when there are too many.
        assert_eq!(add(41, 3, 0, true), Outcome::Waiting);
        assert_eq!(add(41, 3, 0, true), Outcome::Dropped);
        for ident in 100..100 + PACKETS as u32 - 2 {
            assert_eq!(add(42, ident, 0, true), Outcome::Waiting);
        }
        assert_eq!(add(43, 3, 0, true), Outcome::Waiting);
        assert_eq!(add(44, 200, 0, true), Outcome::Waiting, "the oldest, number 2, gives way");
        assert!(matches!(add(45, 3, 8, false), Outcome::Complete(_)));
        assert_eq!(add(45, 2, 8, false), Outcome::Waiting, "its beginning is gone");
    }

    #[test]
    fn many_tiny_pieces_are_refused() {
        let mut r = reassembly(1 << 20);
        let last = (0..400).map(|i| add(&mut r, 1, i * 16, true, &[0; 8])).filter(|o| *o == Outcome::Dropped);
        assert!(last.count() > 0);
    }
}
