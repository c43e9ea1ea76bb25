//! What a machine says of bursts over a long way.

use super::*;

const ROUND_TRIP: Duration = Duration::from_millis(50);
pub(super) const SEGMENT: u32 = 1448;

/// A machine that has read bursts of so many segments, one each round trip.
pub(super) struct Reader {
    net: Net,
    pub(super) now: Instant,
    /// How long the peer's data takes there and its acknowledgement back.
    pub(super) way: Duration,
    /// Numbers acknowledged since the last burst, and when.
    pub(super) told: Vec<(Instant, Seq)>,
}

impl Reader {
    fn after_bursts(segments: u32) -> Self {
        let mut reader = Self::over(ROUND_TRIP);
        for n in 0..8 {
            reader.burst(segments.min(20 << n), 0);
            reader.rest();
        }
        reader
    }

    /// One that has read nothing.
    pub(super) fn over(way: Duration) -> Self {
        let net = Net::connected(way / 2);
        let now = net.now;
        Self { net, now, way, told: Vec::new() }
    }

    pub(super) fn end(&mut self) -> &mut Machine {
        self.net.end(1)
    }

    /// A burst comes at once behind `gap` octets, and what came in order is read.
    pub(super) fn burst(&mut self, segments: u32, gap: u32) {
        let (now, way) = (self.now, self.way);
        self.told.clear();
        let end = self.net.end(1);
        let mut seq = end.rcv.next + gap;
        let passed = way.as_millis() as u32;
        let clock = synchronize::clock(end.clocks.offset, now).wrapping_sub(passed);
        for _ in 0..segments {
            let echo = Timestamp { value: end.clocks.recent, echo: clock };
            let header = Header { seq, ..next_segment(end, echo) };
            assert_eq!(end.receive(now, &header, false, &[7; SEGMENT as usize]), Verdict::Taken);
            seq += SEGMENT;
            if end.is_to_acknowledge() {
                self.told.extend(end.transmit(now, 0).map(|sent| (now, sent.header.ack)));
            }
        }
        self.net.end(1).discard(now);
        self.send();
    }

    fn send(&mut self) {
        let now = self.now;
        while let Some(sent) = self.end().transmit(now, 0) {
            self.told.push((now, sent.header.ack));
        }
    }

    /// Timers fire until the round trip is over.
    fn rest(&mut self) {
        self.rest_for(self.way);
    }

    /// Timers fire until then.
    pub(super) fn rest_for(&mut self, time: Duration) {
        let over = self.now + time;
        while let Some(at) = self.end().deadline().filter(|at| *at < over) {
            self.now = at;
            self.send();
        }
        self.now = over;
    }
}

#[test]
fn a_long_burst_is_acknowledged_in_parts_and_to_its_end() {
    let mut reader = Reader::after_bursts(400);
    let began = reader.now;
    let first = reader.end().rcv.next;
    reader.burst(400, 0);
    let (at_once, _) = (reader.told.last().unwrap().1 - first, reader.rest());
    assert!((40_000..80_000).contains(&at_once), "{at_once}");
    let end = reader.end().rcv.next;
    let &(last_at, last) = reader.told.last().unwrap();
    assert_eq!(last, end);
    let took = last_at.duration_since(began);
    assert!(took > ROUND_TRIP / 8 && took < ROUND_TRIP / 2, "{took:?}");
    for pair in reader.told.windows(2) {
        assert!(pair[1].1.after(pair[0].1), "told twice: {:?}", reader.told);
    }
}

#[test]
fn what_is_lost_is_told_at_once_with_all_that_came() {
    let mut reader = Reader::after_bursts(400);
    reader.burst(300, 0);
    let next = reader.end().rcv.next;
    assert_ne!(reader.told.last().unwrap().1, next);
    reader.burst(1, 2 * SEGMENT);
    let next = reader.end().rcv.next;
    assert_eq!(reader.told.last().unwrap().1, next);
}

/// What follows a hole that was filled, and told at once, waits for nothing, and nothing is told twice.
#[test]
fn after_a_hole_the_pace_is_as_before() {
    let mut reader = Reader::after_bursts(400);
    let first = reader.end().rcv.next;
    reader.burst(300, SEGMENT);
    let now = reader.now;
    let end = reader.end();
    let clocks = Timestamp { value: end.clocks.recent, echo: 0 };
    let header = Header { seq: first, ..next_segment(end, clocks) };
    end.receive(now, &header, false, &[7; SEGMENT as usize]);
    reader.told.clear();
    reader.send();
    assert_eq!(reader.told.last().unwrap().1, first + 301 * SEGMENT);
    for n in 0..20 {
        reader.now += MS;
        let last = reader.end().rcv.next;
        reader.burst(4, 0);
        assert_eq!(reader.told.last().map(|told| told.1), Some(last + 4 * SEGMENT), "{n}: {:?}", reader.told);
    }
}

#[test]
fn the_window_counts_from_what_is_told() {
    let mut reader = Reader::after_bursts(400);
    let before = reader.end().rcv.edge;
    reader.burst(400, 0);
    let now = reader.now;
    let end = reader.end();
    let (edge, scale) = (end.rcv.edge, end.rcv.scale);
    assert!(!edge.before(before));
    let header = end.header(now, end.snd.next, Flags::ACK, false);
    assert!(header.ack.before(end.rcv.next));
    let offered = header.ack + (u32::from(header.window) << scale);
    let off = end.rcv.edge - offered;
    assert!(off < 1 << scale || header.window == u16::MAX, "{off}");
}

#[test]
fn the_end_of_the_data_is_told_at_once() {
    let mut reader = Reader::after_bursts(400);
    reader.burst(300, 0);
    let now = reader.now;
    let end = reader.end();
    let clocks = Timestamp { value: end.clocks.recent, echo: 0 };
    let header = Header { flags: Flags::ACK | Flags::FIN, ..next_segment(end, clocks) };
    end.receive(now, &header, false, &[]);
    let told = end.transmit(now, 0).unwrap().header.ack;
    assert_eq!(told, end.rcv.next);
}
