//! Neighbours on the link: who has which hardware address (RFC 826, ageing as in RFC 1122, 2.3.2; RFC 4861, 7, whose states
//! they are told in the comments).
//!
//! Pure logic: the caller sends what [`Neighbours`] asks for. Bounded: an unknown neighbour holds [`WAITING_PACKETS`]
//! packets; at most [`LOOKING`] neighbours are looked for at once; what others make us learn never pushes out a neighbour
//! that we talk to.

use crate::memory::{Memory, Share, Use, zeroed};
use crate::version::{MAPPED, in_use, of6};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use fata_libos::net::{MacAddress, TransmitMeta};
use fata_libos::time::{Duration, Instant};

/// Neighbours remembered.
const ENTRIES: usize = 1024;
/// Neighbours looked for at once, of each version of IP.
const LOOKING: usize = 128;
/// Packets that wait for one neighbour.
const WAITING_PACKETS: usize = 4;
/// What an entry and a packet that waits cost, beside its octets.
const ENTRY_COST: usize = 160;
const FRAME_COST: usize = 96;
/// How long an address is believed without asking again.
const FRESH: Duration = Duration::from_secs(60);
/// Between two requests.
const RETRY: Duration = Duration::from_secs(1);
/// Requests before a neighbour is given up.
const TRIES: u8 = 3;
/// How long an old address of IPv6 is used before it is asked for (RFC 4861, 7.3.3): it may have come with what is answered. And
/// so many tries it has meanwhile.
const DELAY: Duration = Duration::from_secs(5);
const DELAYED: u8 = u8::MAX;

/// A frame that waits for its destination address or the device.
pub(crate) struct Waiting {
    pub(crate) frame: Vec<u8>,
    pub(crate) meta: TransmitMeta,
    _share: Share,
}

impl Waiting {
    /// An empty frame of `len` octets, if there is memory for it.
    pub(crate) fn new(memory: &Rc<Memory>, len: usize, meta: TransmitMeta) -> Option<Self> {
        let _share = memory.take(Use::Frames, len + FRAME_COST)?;
        Some(Self { frame: zeroed(len)?, meta, _share })
    }
}

struct Entry {
    share: Share,
    mac: Option<MacAddress>,
    /// Requests sent since the last answer.
    tries: u8,
    /// When the address goes stale, or the next request is due.
    due: Instant,
    /// Whether we have sent to it.
    used: bool,
    packets: Vec<Waiting>,
}

/// What is known of a next hop.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Send; and where `ask` is set, a request too, because the address is old.
    Known { mac: MacAddress, ask: bool },
    /// Not yet: hand the packet to [`Neighbours::wait`]; where `ask` is set, send a request.
    Unknown { ask: bool },
}

/// What is said with the hardware address of a neighbour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct News {
    /// It is worth an entry where there is none.
    pub(crate) create: bool,
    /// It answers a question of ours: what else is said may be old, and is used only until it was asked.
    pub(crate) answers: bool,
    /// It takes the place of another.
    pub(crate) replace: bool,
}

/// What is due now.
#[derive(Default)]
pub(crate) struct Due {
    /// Neighbours to ask for, and where they were.
    pub(crate) ask: Vec<(IpAddr, Option<MacAddress>)>,
    /// Neighbours given up.
    pub(crate) lost: Vec<IpAddr>,
    /// Packets dropped with them.
    pub(crate) dropped: usize,
}

/// The table of one interface.
pub(crate) struct Neighbours {
    memory: Rc<Memory>,
    table: Table,
    /// Neighbours looked for, of IPv4 and of IPv6: a flood of the one's addresses is not to keep the other's from being found.
    looking: [usize; 2],
    tick: Option<Instant>,
}

/// Entries by address, in order. A tree would be 7 kB of code, for a table that is bounded.
#[derive(Default)]
struct Table(Vec<(u128, Box<Entry>)>);

/// An address as a number: one of IPv4 as the address of IPv6 that stands for it.
fn key(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => MAPPED << 32 | u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[inline(never)]
/// Which place of two a version of IP has.
fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

fn address(key: u128) -> IpAddr {
    if !in_use() || key >> 32 == MAPPED {
        IpAddr::V4(Ipv4Addr::from_bits(key as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(key))
    }
}

impl Table {
    fn find(&self, address: IpAddr) -> Result<usize, usize> {
        let key = key(address);
        self.0.binary_search_by_key(&key, |(address, _)| *address)
    }

    fn get_mut(&mut self, address: IpAddr) -> Option<&mut Entry> {
        let at = self.find(address).ok()?;
        self.0.get_mut(at).map(|(_, entry)| &mut **entry)
    }

    /// Adds an entry for an address that has none.
    fn insert(&mut self, address: IpAddr, entry: Entry) {
        if let Err(at) = self.find(address) {
            self.0.insert(at, (key(address), Box::new(entry)));
        }
    }

    fn remove(&mut self, address: IpAddr) -> Option<Box<Entry>> {
        let at = self.find(address).ok()?;
        Some(self.0.remove(at).1)
    }
}

impl Entry {
    fn new(share: Share, due: Instant) -> Self {
        Self { share, mac: None, tries: 0, due, used: false, packets: Vec::new() }
    }
}

impl Neighbours {
    pub(crate) fn new(memory: &Rc<Memory>) -> Self {
        Self { memory: memory.clone(), table: Table::default(), looking: [0; 2], tick: None }
    }

    /// Looks a next hop up, for use.
    pub(crate) fn lookup(&mut self, now: Instant, hop: IpAddr) -> Answer {
        if let Some(entry) = self.table.get_mut(hop) {
            entry.used = true;
            let Some(mac) = entry.mac else { return Answer::Unknown { ask: false } };
            let is_old = entry.tries == 0 && entry.due <= now;
            let ask = is_old && of6(hop).is_none();
            if is_old {
                let (tries, wait) = if ask { (1, RETRY) } else { (DELAYED, DELAY) };
                entry.tries = tries;
                entry.due = now + wait;
                let tick = self.tick.get_or_insert(entry.due);
                *tick = (*tick).min(entry.due);
            }
            return Answer::Known { mac, ask };
        }
        if self.looking[family(hop)] >= LOOKING {
            return Answer::Unknown { ask: false };
        }
        let Some(share) = self.make_room(true) else { return Answer::Unknown { ask: false } };
        self.looking[family(hop)] += 1;
        self.tick.get_or_insert(now + RETRY);
        self.table.insert(hop, Entry { tries: 1, used: true, ..Entry::new(share, now + RETRY) });
        Answer::Unknown { ask: true }
    }

    /// A frame of `len` octets that is kept until its next hop answers; `None` if there is no room.
    pub(crate) fn wait(&mut self, hop: IpAddr, len: usize, meta: TransmitMeta) -> Option<&mut [u8]> {
        let entry = self.table.get_mut(hop)?;
        if entry.mac.is_some() || entry.packets.len() >= WAITING_PACKETS {
            return None;
        }
        entry.packets.push(Waiting::new(&self.memory, len, meta)?);
        entry.packets.last_mut().map(|waiting| &mut waiting.frame[..])
    }

    /// Where a neighbour is, if that is known.
    pub(crate) fn mac_of(&self, address: IpAddr) -> Option<MacAddress> {
        let at = self.table.find(address).ok()?;
        self.table.0.get(at)?.1.mac
    }

    /// Notes that `address` is at `mac`, and returns what waited for that. An address that nobody asked for is noted
    /// only where the news say so.
    pub(crate) fn learn(
        &mut self,
        now: Instant,
        address: IpAddr,
        mac: MacAddress,
        news: News,
    ) -> Vec<Waiting> {
        // REACHABLE, or STALE.
        let due = if news.answers { now + FRESH } else { now };
        if self.table.find(address).is_err() {
            if news.create
                && let Some(share) = self.make_room(false)
            {
                self.table.insert(address, Entry { mac: Some(mac), ..Entry::new(share, due) });
            }
            return Vec::new();
        }
        let Some(entry) = self.table.get_mut(address) else { return Vec::new() };
        match entry.mac {
            None => self.looking[family(address)] -= 1,
            Some(old) if old == mac && !news.answers => return Vec::new(),
            Some(old) if old != mac && !news.replace => {
                entry.due = entry.due.min(now);
                return Vec::new();
            }
            Some(_) => {}
        }
        entry.mac = Some(mac);
        entry.tries = 0;
        entry.due = due;
        core::mem::take(&mut entry.packets)
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.tick
    }

    /// Asks again, and gives up.
    pub(crate) fn poll(&mut self, now: Instant) -> Due {
        let mut due = Due::default();
        if self.tick.is_none_or(|t| t > now) {
            return due;
        }
        self.tick = None;
        for (address, entry) in &mut self.table.0 {
            if entry.tries == 0 {
                continue;
            }
            if entry.due <= now {
                if in_use() && entry.tries == DELAYED {
                    entry.tries = 0;
                }
                if entry.tries >= TRIES {
                    due.lost.push(self::address(*address));
                    continue;
                }
                entry.tries += 1;
                entry.due = now + RETRY;
                due.ask.push((self::address(*address), entry.mac));
            }
            self.tick = Some(self.tick.map_or(entry.due, |t| t.min(entry.due)));
        }
        for address in &due.lost {
            if let Some(entry) = self.table.remove(*address) {
                due.dropped += entry.packets.len();
                self.looking[family(*address)] -= usize::from(entry.mac.is_none());
            }
        }
        due
    }

    /// Forgets those of IPv4: the interface has another address of it.
    pub(crate) fn clear_v4(&mut self) {
        self.table.0.retain(|(key, _)| !address(*key).is_ipv4());
        self.looking[0] = 0;
    }

    /// Forgets everything: the link was down.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(&self.memory);
    }

    /// Makes room for one entry. What nobody used goes first; a neighbour in use goes only for another one.
    fn make_room(&mut self, for_use: bool) -> Option<Share> {
        if self.table.0.len() < ENTRIES
            && self.table.0.try_reserve(1).is_ok()
            && let Some(share) = self.memory.take(Use::Neighbours, ENTRY_COST)
        {
            return Some(share);
        }
        if !self.memory.is_free(0) {
            // Short of memory as the guest is, strangers do not get what those we know have.
            return None;
        }
        let known = self.table.0.iter().filter(|(_, e)| e.mac.is_some() && (for_use || !e.used));
        let oldest = known.min_by_key(|(_, e)| (e.used, e.due)).map(|(a, _)| *a);
        self.table.remove(address(oldest?)).map(|entry| entry.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 9]);

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn host(n: u32) -> IpAddr {
        core::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()
    }

    /// What an answer to a question of ours says, or a question to us.
    fn news(create: bool) -> News {
        News { create, answers: true, replace: true }
    }

    #[test]
    fn asks_three_times_then_gives_up() {
        let mut n = Neighbours::new(&Memory::of(64 << 20));
        assert_eq!(n.lookup(at(1), host(1)), Answer::Unknown { ask: true });
        assert_eq!(n.lookup(at(1), host(1)), Answer::Unknown { ask: false });
        let frames: Vec<bool> =
            (0..6).map(|_| n.wait(host(1), 9, TransmitMeta::default()).is_some()).collect();
        assert_eq!(frames.iter().filter(|f| **f).count(), WAITING_PACKETS);
        assert_eq!(n.poll(at(2)).ask, [(host(1), None)]);
        assert_eq!(n.poll(at(3)).ask, [(host(1), None)]);
        let due = n.poll(at(4));
        assert_eq!((due.ask.len(), due.lost, due.dropped), (0, vec![host(1)], WAITING_PACKETS));
        assert_eq!(n.deadline(), None);
    }

    #[test]
    fn an_old_address_is_used_while_it_is_asked_for_again() {
        let mut n = Neighbours::new(&Memory::of(64 << 20));
        n.lookup(at(1), host(1));
        assert!(n.wait(host(1), 1, TransmitMeta::default()).is_some());
        assert_eq!(n.learn(at(1), host(1), MAC, news(false)).len(), 1);
        assert_eq!(n.lookup(at(2), host(1)), Answer::Known { mac: MAC, ask: false });
        assert_eq!(n.lookup(at(62), host(1)), Answer::Known { mac: MAC, ask: true });
        assert_eq!(n.lookup(at(62), host(1)), Answer::Known { mac: MAC, ask: false });
        n.learn(at(62), host(1), MAC, news(false));
        assert!(n.poll(at(65)).lost.is_empty());
    }

    #[test]
    fn a_neighbour_of_ipv6_is_asked_for_where_it_was_some_time_after_it_is_used() {
        let mut n = Neighbours::new(&Memory::of(64 << 20));
        let host = "fe80::1".parse().unwrap();
        n.learn(at(1), host, MAC, News { create: true, answers: false, replace: true });
        assert_eq!(n.deadline(), None, "nobody uses it");
        assert_eq!(n.lookup(at(9), host), Answer::Known { mac: MAC, ask: false });
        assert_eq!((n.deadline(), n.poll(at(13)).ask), (Some(at(14)), vec![]));
        for second in [14, 15, 16] {
            assert_eq!(n.poll(at(second)).ask, [(host, Some(MAC))]);
            assert_eq!(n.lookup(at(second), host), Answer::Known { mac: MAC, ask: false });
        }
        assert_eq!(n.poll(at(17)).lost, [host]);
    }

    #[test]
    fn what_is_only_said_is_believed_less_than_what_answers() {
        let mut n = Neighbours::new(&Memory::of(64 << 20));
        let (host, other) = ("fe80::1".parse().unwrap(), MacAddress([2, 0, 0, 0, 0, 8]));
        let hint = News { create: false, answers: false, replace: false };
        n.learn(at(1), host, MAC, hint);
        assert_eq!(n.lookup(at(1), host), Answer::Unknown { ask: true }, "nobody asked for it");
        n.learn(at(1), host, MAC, News { answers: true, ..hint });
        n.learn(at(2), host, other, hint);
        assert_eq!(n.lookup(at(2), host), Answer::Known { mac: MAC, ask: false });
        assert!(n.poll(at(2)).ask.is_empty());
        assert_eq!(n.deadline(), Some(at(7)), "but it is asked for again");
        n.learn(at(3), host, other, News { replace: true, ..hint });
        assert_eq!(n.lookup(at(3), host), Answer::Known { mac: other, ask: false });
        n.learn(at(4), host, other, News { answers: true, ..hint });
        assert!(n.poll(at(60)).ask.is_empty());
    }

    #[test]
    fn a_flood_does_not_push_out_who_we_talk_to() {
        let mut n = Neighbours::new(&Memory::of(64 << 20));
        n.lookup(at(1), host(0));
        n.learn(at(1), host(0), MAC, news(false));
        for i in 1..5000 {
            n.learn(at(2), host(i), MAC, news(true));
        }
        assert!(n.table.0.len() <= ENTRIES);
        assert!(matches!(n.lookup(at(3), host(0)), Answer::Known { .. }));
        for i in 10_000..20_000 {
            n.lookup(at(3), host(i));
        }
        assert_eq!(n.looking, [LOOKING, 0]);
        assert!(matches!(n.lookup(at(3), host(0)), Answer::Known { .. }));
    }

    #[test]
    fn little_memory_makes_a_small_table() {
        let mut n = Neighbours::new(&Memory::of(32 * ENTRY_COST * 10));
        n.lookup(at(1), host(0));
        n.learn(at(1), host(0), MAC, news(false));
        for i in 1..100 {
            n.learn(at(2), host(i), MAC, news(true));
        }
        assert_eq!(n.table.0.len(), 10);
        assert!(matches!(n.lookup(at(3), host(0)), Answer::Known { .. }));
        assert_eq!(n.lookup(at(3), host(200)), Answer::Unknown { ask: true });
        let kept = (0..4).filter(|_| n.wait(host(200), 1000, TransmitMeta::default()).is_some()).count();
        assert_eq!(kept, 2, "frames of a kilobyte in {} octets", n.memory.limit(Use::Frames));
        n.clear();
        assert_eq!((n.memory.used(Use::Neighbours), n.memory.used(Use::Frames)), (0, 0));
    }

    #[test]
    fn nothing_is_learned_unasked() {
        let mut n = Neighbours::new(&Memory::of(64 << 20));
        n.learn(at(1), host(1), MAC, news(false));
        assert_eq!(n.lookup(at(1), host(1)), Answer::Unknown { ask: true });
    }
}
