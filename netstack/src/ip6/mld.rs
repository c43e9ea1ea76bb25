//! Multicast listener discovery, version 2 (RFC 3810): switches and routers are told which groups this host listens to.
//!
//! Pure logic: the caller knows the groups, sends what is due and brings the time and random numbers. Hosts of this kind want
//! all sources of a group, so that one message with all groups is every answer. Groups that are left time out at those who
//! were told. Queriers of version 1 alone, which RFC 3810 would have us answer in kind, hear version 2.

use super::headers::ICMPV6;
use super::times::{NEVER, awaited, millis, part, part_of};
use core::net::Ipv6Addr;
use fata_libos::time::{Duration, Instant};

/// The type of queries.
pub(crate) const QUERY: u8 = 130;
const REPORT: u8 = 143;
/// Whom reports go to: all routers that know version 2. With a hop limit of 1, from the link-local address, or from none while
/// that is tentative (RFC 3590).
pub(crate) const REPORTS_TO: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);

/// Before the ICMPv6 message of a report: a hop-by-hop header with a router alert (RFC 2711), which its protocol number,
/// 0, names. Octets.
pub(crate) const REPORT_AT: usize = 8;
const ALERT: [u8; REPORT_AT] = [ICMPV6, 0, 5, 2, 0, 0, 1, 0];
/// A report's header, and one group in it, octets.
const HEADER: usize = 8;
const RECORD: usize = 20;
/// Groups in one report, so that it fits into the least packet of a link: 1280 octets.
pub(crate) const MAX_GROUPS: usize = (1280 - super::headers::HEADER - REPORT_AT - HEADER) / RECORD;

/// How often others are told of new groups.
const ROBUSTNESS: u8 = 2;
/// The longest time between two such reports.
const REPEAT: Duration = Duration::from_secs(1);
/// The bounds of the delay of an answer: a querier that asks for none gets no more than a few answers in a second.
const LEAST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// A querier asks who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// The group that is meant; `None`: all.
    pub(crate) group: Option<Ipv6Addr>,
    /// The longest delay of an answer.
    pub(crate) delay: Duration,
}

impl Query {
    /// Reads a whole ICMPv6 message from `source`. The caller has checked the checksum, that the hop limit is 1, and that there
    /// was a router alert (RFC 3810, 6.2).
    pub(crate) fn parse(message: &[u8], source: Ipv6Addr) -> Option<Self> {
        let (header, rest) = message.split_first_chunk::<24>()?;
        let group = Ipv6Addr::from(*header.last_chunk::<16>()?);
        let code = u16::from_be_bytes([header[4], header[5]]);
        let millis = match rest {
            // Version 1, where the code is a number.
            [] => u64::from(code),
            &[_, _, a, b, ref sources @ ..] => {
                if sources.len() / 16 < usize::from(u16::from_be_bytes([a, b])) {
                    return None;
                }
                delay_of(code)
            }
            _ => return None,
        };
        let is_sound = header[0] == QUERY
            && source.is_unicast_link_local()
            && (group.is_unspecified() || group.is_multicast());
        let group = (!group.is_unspecified()).then_some(group);
        is_sound.then_some(Self { group, delay: Duration::from_millis(millis) })
    }
}

/// A floating-point number of milliseconds (RFC 3810, 5.1.3).
fn delay_of(code: u16) -> u64 {
    let code = u64::from(code);
    if code < 0x8000 { code } else { (code & 0xfff | 0x1000) << ((code >> 12 & 7) + 3) }
}

/// What a report says of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// MODE_IS_EXCLUDE of no source: they are listened to.
    Listens = 2,
    /// CHANGE_TO_EXCLUDE_MODE of no source: they are listened to from now on.
    Joins = 4,
}

/// Octets of a report about so many groups, from behind the fixed header on.
pub(crate) fn report_len(groups: usize) -> usize {
    REPORT_AT + HEADER + groups.min(MAX_GROUPS) * RECORD
}

/// Writes a report of [`report_len`] octets; the ICMPv6 message begins at [`REPORT_AT`], its checksum is zero. Of more than
/// [`MAX_GROUPS`] groups the first are in it.
pub(crate) fn write_report(payload: &mut [u8], record: Record, groups: &mut dyn Iterator<Item = Ipv6Addr>) {
    payload.fill(0);
    let Some((front, records)) = payload.split_first_chunk_mut::<{ REPORT_AT + HEADER }>() else { return };
    let mut count = 0;
    for (place, group) in records.chunks_exact_mut(RECORD).take(MAX_GROUPS).zip(groups) {
        place[0] = record as u8;
        place[4..].copy_from_slice(&group.octets());
        count += 1;
    }
    front[..REPORT_AT].copy_from_slice(&ALERT);
    front[REPORT_AT] = REPORT;
    front[REPORT_AT + 7] = count;
}

/// When reports are due.
pub(crate) struct Listener {
    /// Reports about new groups that are still to be sent, and when the next is.
    left: u8,
    join: Instant,
    answer: Instant,
}

impl Listener {
    pub(crate) fn new() -> Self {
        Self { left: 0, join: NEVER, answer: NEVER }
    }

    /// There is a new group: a report is due at once, and again soon, as the first may be lost.
    pub(crate) fn joined(&mut self, now: Instant) {
        (self.left, self.join) = (ROBUSTNESS, now);
    }

    /// A query came, about one of our groups or all of them. All that are not answered yet get one answer.
    pub(crate) fn queried(&mut self, now: Instant, query: &Query, random: u32) {
        let most = millis(query.delay).clamp(millis(LEAST_DELAY), millis(LONGEST_DELAY));
        if self.answer > now + Duration::from_millis(most) {
            self.answer = now + Duration::from_millis(part_of(random, most));
        }
    }

    /// The report that is due about all groups; to be asked until there is none.
    pub(crate) fn poll(&mut self, now: Instant, random: u32) -> Option<Record> {
        if self.join <= now {
            self.left = self.left.saturating_sub(1);
            self.join = if self.left == 0 { NEVER } else { now + part(random, REPEAT).max(LEAST_DELAY) };
            return Some(Record::Joins);
        }
        if self.answer <= now {
            self.answer = NEVER;
            return Some(Record::Listens);
        }
        None
    }

    /// When [`poll`](Self::poll) has something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        awaited(self.join.min(self.answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip6::chain::Payload;
    use crate::ip6::headers::{self, Packet};
    use crate::ip6::message::tests::{ROUTER_ADDRESS, Random};
    use crate::ip6::message::{ALL_NODES, solicited_node};

    const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 7);
    const GENERAL: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn query(code: u16, group: Ipv6Addr, behind: &[u8]) -> Vec<u8> {
        let [a, b] = code.to_be_bytes();
        [&[QUERY, 0, 0, 0, a, b, 0, 0], &group.octets()[..], behind].concat()
    }

    fn read(message: &[u8]) -> Option<Query> {
        Query::parse(message, ROUTER_ADDRESS)
    }

    #[test]
    fn queries_of_both_versions() {
        let of = |group, millis| Some(Query { group, delay: Duration::from_millis(millis) });
        assert_eq!(read(&query(10_000, GENERAL, &[])), of(None, 10_000));
        assert_eq!(read(&query(0xffff, GROUP, &[])), of(Some(GROUP), 65_535), "version 1 has plain numbers");
        assert_eq!(read(&query(1000, GENERAL, &[2, 125, 0, 0])), of(None, 1000));
        assert_eq!(read(&query(0x7fff, GENERAL, &[2, 125, 0, 0])), of(None, 32_767));
        assert_eq!(read(&query(0x8000, GENERAL, &[2, 125, 0, 0])), of(None, 32_768));
        assert_eq!(read(&query(0xffff, GENERAL, &[2, 125, 0, 0])), of(None, 8_387_584));
        let sources = [&[0, 0, 0, 1][..], &[0; 16]].concat();
        assert_eq!(read(&query(5, GROUP, &sources)), of(Some(GROUP), 5));
        assert_eq!(read(&query(5, GROUP, &sources[..19])), None, "a source is missing");
        for len in (0..28).filter(|len| *len != 24) {
            assert_eq!(read(&query(5, GROUP, &[0; 4])[..len]), None, "{len}");
        }
        assert_eq!(read(&query(5, ROUTER_ADDRESS, &[])), None, "that is no group");
        assert_eq!(Query::parse(&query(5, GROUP, &[]), GROUP), None, "routers ask from the link");
        let mut report = query(5, GROUP, &[]);
        report[0] = REPORT;
        assert_eq!(read(&report), None);
    }

    #[test]
    fn a_report_is_a_packet_with_a_router_alert() {
        let groups = [GROUP, solicited_node(ROUTER_ADDRESS)];
        let mut packet = vec![0xff; headers::HEADER + report_len(2)];
        headers::write(&mut packet, ROUTER_ADDRESS, REPORTS_TO, 0, 1, false);
        write_report(&mut packet[headers::HEADER..], Record::Joins, &mut groups.into_iter());
        let parsed = Packet::parse(&packet, packet.len()).expect("it is sound");
        let Payload::Whole(carried) = parsed.payload else { panic!("it is whole") };
        assert!(parsed.alert && carried.protocol == ICMPV6 && carried.at == headers::HEADER + REPORT_AT);
        let message = &packet[carried.at..];
        assert_eq!(message[..8], [143, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!((&message[8..12], &message[28..32]), (&[4, 0, 0, 0][..], &[4, 0, 0, 0][..]));
        assert_eq!((&message[12..28], &message[32..]), (&groups[0].octets()[..], &groups[1].octets()[..]));
    }

    #[test]
    fn a_report_fits_into_the_least_packet() {
        let mut payload = vec![0; report_len(100)];
        assert!(headers::HEADER + payload.len() <= 1280);
        write_report(&mut payload, Record::Listens, &mut [GROUP; 100].into_iter());
        assert_eq!((payload[15], payload[16]), (MAX_GROUPS as u8, 2));
        write_report(&mut [0; 15], Record::Listens, &mut [ALL_NODES].into_iter());
    }

    #[test]
    fn new_groups_are_told_of_twice() {
        let mut listener = Listener::new();
        assert_eq!((listener.poll(at(1), 0), listener.deadline()), (None, None));
        listener.joined(at(1));
        assert_eq!(listener.deadline(), Some(at(1)));
        assert_eq!(listener.poll(at(1), u32::MAX), Some(Record::Joins));
        assert_eq!(listener.poll(at(1), 0), None);
        assert_eq!(listener.deadline(), Some(at(1001)), "within a second");
        assert_eq!(listener.poll(at(1001), 0), Some(Record::Joins));
        assert_eq!((listener.poll(at(9000), 0), listener.deadline()), (None, None));
    }

    #[test]
    fn queries_get_one_answer_in_time() {
        let mut listener = Listener::new();
        let ask = |millis| Query { group: None, delay: Duration::from_millis(millis) };
        listener.queried(at(0), &ask(10_000), 1 << 31);
        assert_eq!(listener.deadline(), Some(at(5000)));
        listener.queried(at(0), &ask(10_000), u32::MAX);
        assert_eq!(listener.deadline(), Some(at(5000)), "an answer to the first is one to the second");
        listener.queried(at(10), &ask(1000), u32::MAX);
        assert_eq!(listener.deadline(), Some(at(1010)), "this one is in more of a hurry");
        assert_eq!(listener.poll(at(1009), 0), None);
        assert_eq!((listener.poll(at(1010), 0), listener.poll(at(1010), 0)), (Some(Record::Listens), None));
        listener.queried(at(0), &ask(8_387_584), u32::MAX);
        assert_eq!(listener.deadline(), Some(at(10_000)), "no more than ten seconds");
    }

    #[test]
    fn a_flood_of_queries_gets_few_answers() {
        let (mut listener, mut random, mut answers) = (Listener::new(), Random(3), 0);
        for millis in 0..10_000 {
            listener.queried(at(millis), &Query { group: None, delay: Duration::ZERO }, random.next() as u32);
            answers += usize::from(listener.poll(at(millis), 0).is_some());
        }
        assert!((100..300).contains(&answers), "{answers} in ten seconds, in which there were 10000 queries");
    }

    #[test]
    fn random_octets_are_read_in_bounds() {
        let (mut random, mut queries) = (Random(4), 0);
        for _ in 0..10_000 {
            let mut message = vec![0; random.below(80)];
            random.fill(&mut message);
            for (at, value) in [(0, QUERY), (8, 0xff), (26, 0)] {
                if let Some(octet) = message.get_mut(at) {
                    *octet = value;
                }
            }
            queries += usize::from(read(&message).is_some());
        }
        assert!(queries > 0);
    }
}
