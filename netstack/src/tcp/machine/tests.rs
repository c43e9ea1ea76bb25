//! Two machines over a link in virtual time.

mod spread;
mod told;

use super::*;
use std::collections::BTreeMap;
use std::vec::Vec;

const MS: Duration = Duration::from_millis(1);

struct Net {
    now: Instant,
    delay: Duration,
    ends: [Option<Machine>; 2],
    travelling: BTreeMap<(Instant, u64), (usize, Header, Vec<u8>)>,
    count: u64,
    lose: fn(u64) -> bool,
    large: usize,
    seen: Vec<(Instant, usize, Header, usize)>,
}

/// What comes next from the other end, with nothing new acknowledged.
fn next_segment(end: &Machine, timestamp: Timestamp) -> Header {
    let options = Options { timestamp: Some(timestamp), ..Options::default() };
    Header { seq: end.rcv.next, ack: end.snd.next, flags: Flags::ACK, window: 1000, options }
}

fn config(iss: u32) -> Config {
    Config {
        iss: Seq(iss),
        receive: 1 << 20,
        shift: None,
        send: 1 << 20,
        mtu: 1500,
        timestamp_offset: iss,
        ecn: false,
    }
}

impl Net {
    fn new(delay: Duration) -> Self {
        let now = Instant::default() + Duration::from_secs(10);
        let client = Machine::connect(config(u32::MAX - 5000), now);
        Self {
            now,
            delay,
            ends: [Some(client), None],
            travelling: BTreeMap::new(),
            count: 0,
            lose: |_| false,
            large: 0,
            seen: Vec::new(),
        }
    }

    fn connected(delay: Duration) -> Self {
        let mut net = Self::new(delay);
        net.run(|net| {
            net.ends.iter().all(|end| end.as_ref().is_some_and(|end| end.state() == State::Established))
        });
        net
    }

    fn send_all(&mut self) {
        for from in 0..2 {
            let Some(machine) = &mut self.ends[from] else { continue };
            let mut rounds = 0;
            while let Some(transmit) = machine.transmit(self.now, self.large) {
                rounds += 1;
                assert!(rounds < 10_000, "sends for ever");
                let mut data = vec![0; transmit.len];
                machine.copy(&transmit, &mut data);
                self.seen.push((self.now, from, transmit.header, transmit.len));
                let size =
                    if transmit.segment_size == 0 { transmit.len.max(1) } else { transmit.segment_size };
                let mut seq = transmit.header.seq;
                let pieces: Vec<&[u8]> =
                    if data.is_empty() { vec![&[]] } else { data.chunks(size).collect() };
                let last = pieces.len() - 1;
                for (n, piece) in pieces.into_iter().enumerate() {
                    let mut header = Header { seq, ..transmit.header };
                    if n < last {
                        header.flags.0 &= !(Flags::FIN | Flags::PSH).0;
                    }
                    seq += piece.len() as u32;
                    self.count += 1;
                    if !(self.lose)(self.count) {
                        self.travelling
                            .insert((self.now + self.delay, self.count), (1 - from, header, piece.to_vec()));
                    }
                }
            }
        }
    }

    fn step(&mut self) -> bool {
        self.send_all();
        let packet = self.travelling.first_key_value().map(|(key, _)| key.0);
        let timers = self.ends.iter().flatten().filter_map(Machine::deadline);
        let Some(next) = timers.chain(packet).min() else { return false };
        self.now = self.now.max(next);
        while let Some(entry) = self.travelling.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (to, header, data) = entry.remove();
            match &mut self.ends[to] {
                Some(machine) => {
                    machine.receive(self.now, &header, false, &data);
                }
                None if header.flags.has(Flags::SYN) => {
                    let config = config(7);
                    let answer = synchronize::answer(&config, &header, self.now);
                    let machine =
                        Machine::accept(config, &header, synchronize::Answered::Once(self.now), self.now);
                    self.ends[to] = Some(machine);
                    self.count += 1;
                    self.travelling.insert((self.now + self.delay, self.count), (1 - to, answer, Vec::new()));
                }
                None => {}
            }
        }
        true
    }

    fn run(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..2_000_000 {
            if done(self) {
                return;
            }
            if !self.step() {
                break;
            }
        }
        assert!(done(self), "stuck at {:?}: {:#?}", self.now, self.ends);
    }

    fn end(&mut self, n: usize) -> &mut Machine {
        self.ends[n].as_mut().unwrap()
    }

    /// Sends so much from one end to the other, which reads at once: the time it took.
    fn bulk(&mut self, from: usize, octets: usize) -> Duration {
        let start = self.now;
        let (mut written, mut read) = (0usize, 0usize);
        let mut buf = vec![0; 65536];
        for _ in 0..2_000_000 {
            while written < octets {
                let n = (octets - written).min(buf.len());
                for (i, b) in buf[..n].iter_mut().enumerate() {
                    *b = ((written + i) * 31 % 251) as u8;
                }
                let n = self.end(from).write(&buf[..n]);
                written += n;
                if n == 0 {
                    break;
                }
            }
            loop {
                let now = self.now;
                let n = self.end(1 - from).read(now, &mut buf);
                for (i, b) in buf[..n].iter().enumerate() {
                    assert_eq!(*b, ((read + i) * 31 % 251) as u8, "octet {}", read + i);
                }
                read += n;
                if n == 0 {
                    break;
                }
            }
            if read == octets {
                return self.now.duration_since(start);
            }
            assert!(self.step(), "{read} of {octets}: {:#?}", self.ends);
        }
        panic!("{read} of {octets}: {:#?}", self.ends);
    }
}

#[test]
fn a_conversation_and_its_end() {
    let mut net = Net::connected(5 * MS);
    assert_eq!(net.now.duration_since(Instant::default() + Duration::from_secs(10)), 15 * MS);
    assert_eq!(net.bulk(0, 100), 5 * MS);
    assert_eq!(net.bulk(1, 3000), 5 * MS);
    net.end(0).close();
    net.run(|net| net.ends[1].as_ref().unwrap().state() == State::CloseWait);
    net.end(1).close();
    net.run(|net| net.ends[0].as_ref().unwrap().state() == State::TimeWait);
    net.run(|net| net.ends[1].as_ref().unwrap().state() == State::Closed);
    assert!(net.end(0).memory() < 256 && net.end(1).memory() == 0);
}

#[test]
fn a_lot_goes_fast() {
    for large in [0, 65536] {
        for from in 0..2 {
            let mut net = Net::connected(10 * MS);
            net.large = large;
            let took = net.bulk(from, 10 << 20);
            assert!(took < 1200 * MS, "{took:?}");
            assert_eq!(net.end(from).info().retransmits, 0);
            // Marks of what was sent do not fall behind, or after 2 GiB they would seem to lie ahead.
            let snd = &net.end(from).snd;
            assert!(!snd.small.before(snd.una) && !snd.full.before(snd.una));
        }
    }
}

/// A peer in slow start sends twice as much in each round trip, and is never to wait for the window.
#[test]
fn the_window_is_ahead_of_slow_start() {
    let mut net = Net::connected(25 * MS);
    let (mut flight, mut buf) = (14_480, vec![0; 1 << 20]);
    for round in 0..6 {
        net.now += 50 * MS;
        let now = net.now;
        for _ in 0..flight / 1448 {
            let end = net.end(1);
            let clocks =
                Timestamp { value: end.clocks.recent, echo: synchronize::clock(end.clocks.offset, now) - 50 };
            let header = next_segment(end, clocks);
            assert_eq!(end.receive(now, &header, false, &[7; 1448]), Verdict::Taken, "round {round}");
            assert_eq!(end.read(now, &mut buf), 1448);
            while end.transmit(now, 0).is_some() {}
        }
        flight = (2 * flight).min(1 << 19);
        let rcv = &net.end(1).rcv;
        let may = (rcv.edge - rcv.next) as usize;
        assert!(may >= flight, "round {round}: {may} for {flight}");
    }
}

/// What comes out of a hole that took some round trips to fill is not taken for what comes in one.
#[test]
fn a_hole_that_is_filled_late_does_not_open_the_window() {
    let mut net = Net::connected(25 * MS);
    let (mut now, mut buf) = (net.now, vec![0; 1 << 20]);
    let end = net.end(1);
    let mut seq = end.rcv.next;
    for round in 0..30 {
        now += 50 * MS;
        let clocks =
            Timestamp { value: end.clocks.recent, echo: synchronize::clock(end.clocks.offset, now) - 50 };
        let mut take = |seq: Seq| {
            let header = Header { seq, ..next_segment(end, clocks) };
            end.receive(now, &header, false, &[7; 1448]);
            end.read(now, &mut buf);
            while end.transmit(now, 0).is_some() {}
        };
        if round == 24 {
            take(seq - 40 * 1448);
        }
        for n in 0..10 {
            if (round, n) != (20, 0) {
                take(seq);
            }
            seq += 1448;
        }
        assert!(end.rcv.limit < 70_000, "{} in round {round}", end.rcv.limit);
    }
    assert_eq!((end.rcv.next, end.rcv.unread), (seq, 0));
}

/// A buffer that was large and holds next to nothing is small again, although it is never empty.
#[test]
fn buffers_shrink_before_they_are_empty() {
    let mut net = Net::connected(MS);
    let (now, mut buf) = (net.now, vec![0; 60_000]);
    let end = net.end(1);
    let mut clocks = Timestamp { value: end.clocks.recent, echo: 0 };
    for n in 0..40 {
        let header = next_segment(end, clocks);
        assert_eq!(end.receive(now, &header, false, &[n; 1448]), Verdict::Taken);
    }
    assert_eq!(end.rcv.ring.capacity(), 64 << 10);
    assert_eq!(end.read(now, &mut buf[..40 * 1448 - 1000]), 40 * 1448 - 1000);
    assert_eq!(end.rcv.ring.capacity(), 2048);
    assert_eq!(end.read(now, &mut buf), 1000);
    assert_eq!((&buf[..1000], end.rcv.ring.capacity()), (&[39; 1000][..], 0));
    // The same of what is sent: all but one octet is acknowledged.
    let end = net.end(0);
    clocks.value = end.clocks.recent;
    assert_eq!(end.write(&[7; 28_000]), 28_000);
    let all = end.snd.end;
    while end.snd.queued > 1 {
        while end.transmit(now, 0).is_some() {}
        let header = Header { ack: end.snd.next.earlier(all - 1), ..next_segment(end, clocks) };
        assert_eq!(end.receive(now, &header, false, &[]), Verdict::Taken);
    }
    assert_eq!(end.snd.outgoing.ring.capacity(), 2048);
}

/// A peer that fills the window again and again, whose data is read between: what was offered before there was no memory is
/// refused as far as it has to be, nothing of what was offered since; and when memory is back, the window grows again.
#[test]
fn no_more_is_offered_than_there_is_memory_for() {
    use crate::memory::{Memory, Use};
    let mut net = Net::connected(MS);
    let (mut now, memory) = (net.now, Memory::of(8 << 20));
    let others = memory.take(Use::Connections, 5 << 20);
    let end = net.end(1);
    end.charge(Account(memory.take(Use::Connections, 0)));
    let mut buf = vec![7; 1 << 20];
    // The window before and after, and what was refused.
    let mut round = || {
        now += 10 * MS;
        let (mut seq, edge, refused) = (end.rcv.next, end.rcv.edge, end.counts.no_memory);
        let window = edge - seq;
        while seq.before(edge) {
            let len = (edge - seq).min(1448);
            let timestamp = Some(Timestamp { value: end.clocks.recent, echo: 0 });
            let options = Options { timestamp, ..Options::default() };
            let header = Header { seq, ack: end.snd.next, flags: Flags::ACK, window: 1000, options };
            end.receive(now, &header, false, &buf[..len as usize]);
            assert!(!end.rcv.edge.before(edge));
            seq += len;
        }
        while end.transmit(now, 0).is_some() {}
        end.read(now, &mut buf);
        while end.transmit(now, 0).is_some() {}
        (window, end.rcv.edge - end.rcv.next, end.counts.no_memory - refused)
    };
    for n in 0..15 {
        let (window, after, refused) = round();
        assert_eq!((window, after), (65_535 - 4096 * n, 65_535 - 4096 * (n + 1)));
        assert!(refused > 0, "{window}");
    }
    assert!((0..100).all(|_| matches!(round(), (4095..=4096, 4095..=4096, 0))));
    drop(others);
    let grown = [(); 20].map(|()| round());
    assert!(grown.iter().all(|(.., refused)| *refused == 0), "{grown:?}");
    assert!(grown[19].1 > 500_000, "{grown:?}");
}

/// A peer that has nothing acknowledged meanwhile echoes one timestamp with all that it sends: only the first tells the time.
#[test]
fn an_echo_is_counted_once() {
    let mut net = Net::connected(25 * MS);
    let now = net.now;
    let end = net.end(1);
    let clock = synchronize::clock(end.clocks.offset, now);
    for (after, echo, measured) in [
        (50, 0, 50),
        (80, 0, 50),
        (900, 0, 50),
        (950, 900, 50),
        (960, 900, 50),
        (1082, 950, 60),
        (1083, 950, 60),
    ] {
        let clocks = Timestamp { value: end.clocks.recent, echo: clock + echo };
        let header = next_segment(end, clocks);
        assert_eq!(end.receive(now + after * MS, &header, false, &[7; 100]), Verdict::Taken);
        assert_eq!(end.rcv.rtt.as_millis(), measured, "after {after} ms");
    }
}

/// The data of a large receive is no larger segment: every second one of 1448 octets is acknowledged at once.
#[test]
fn a_large_receive_does_not_delay_later_acknowledgements() {
    let mut net = Net::connected(MS);
    let now = net.now;
    let end = net.end(1);
    let clocks = end.clocks.recent;
    let mut acknowledged = |len: usize| {
        let header = next_segment(end, Timestamp { value: clocks, echo: 0 });
        assert_eq!(end.receive(now, &header, false, &vec![7; len]), Verdict::Taken);
        end.read(now, &mut vec![0; len]);
        core::iter::from_fn(|| end.transmit(now, 0)).count()
    };
    assert!((0..20).all(|_| acknowledged(20 * 1448) == 1));
    let alone: Vec<usize> = (0..6).map(|_| acknowledged(1448)).collect();
    assert_eq!(alone, [0, 1, 0, 1, 0, 1]);
}

/// Every octet that is written goes out by itself and none is acknowledged: what is held against acknowledgements is bounded,
/// and goes on when they come.
#[test]
fn what_is_on_the_way_is_bounded_in_entries() {
    let mut net = Net::connected(MS);
    let now = net.now;
    net.end(0).set_nodelay(true);
    let end = net.end(0);
    let mut sent = 0;
    for _ in 0..10_000 {
        assert_eq!(end.write(&[7]), 1);
        sent += core::iter::from_fn(|| end.transmit(now, 0)).map(|transmit| transmit.len).sum::<usize>();
    }
    assert_eq!((end.snd.queue.len(), sent), (owner::MOST_SEGMENTS, owner::MOST_SEGMENTS));
    let header = Header {
        seq: end.rcv.next,
        ack: end.snd.una + 100,
        flags: Flags::ACK,
        window: 8000,
        options: Options {
            timestamp: Some(Timestamp { value: end.clocks.recent, echo: 0 }),
            ..Options::default()
        },
    };
    assert_eq!(end.receive(now, &header, false, &[]), Verdict::Taken);
    let more: usize = core::iter::from_fn(|| end.transmit(now, 0)).map(|transmit| transmit.len).sum();
    assert_eq!(more, 10_000 - sent);
}

/// One segment of many is lost, and each acknowledgement tells of one more that is not: none makes the machine look at all.
#[test]
fn an_acknowledgement_does_not_look_at_all_that_was_sent() {
    let mut net = Net::connected(MS);
    let now = net.now;
    let end = net.end(0);
    end.set_nodelay(true);
    for _ in 0..4000 {
        assert_eq!(end.write(&[7]), 1);
        while end.transmit(now, 0).is_some() {}
    }
    let una = end.snd.una;
    queue::LOOKS.set(0);
    for n in 1..4000 {
        let now = now + if n <= 10 { 3 * MS } else { 6 * MS };
        let mut sack = Sacks::default();
        sack.push((una + 1, una + 1 + n));
        let timestamp = Some(Timestamp { value: end.clocks.recent, echo: 0 });
        let options = Options { timestamp, sack, ..Options::default() };
        let header = Header { seq: end.rcv.next, ack: una, flags: Flags::ACK, window: 8000, options };
        assert_eq!(end.receive(now, &header, false, &[]), Verdict::Taken);
        // After the tenth the reordering window is over.
        let now = if n == 10 { now + 2 * MS } else { now };
        while end.transmit(now, 0).is_some() {}
    }
    assert_eq!((end.counts.repeats, end.snd.queue.len()), (1, 2));
    assert!(queue::LOOKS.get() < 20 * 4000, "{} looks", queue::LOOKS.get());
}

/// What is known of a handshake says how the connection begins: its window, its timeout and whether that was measured.
#[test]
fn a_handshake_of_which_nothing_is_known_was_not_repeated() {
    use synchronize::Answered;
    let (sent, now) = (Instant::default() + 1000 * MS, Instant::default() + 1400 * MS);
    for (answered, window, timeout, is_measured) in [
        (Answered::Once(sent), 14_600, 1200 * MS, true),
        (Answered::Repeatedly, 1460, 3000 * MS, false),
        (Answered::Unknown, 14_600, 1000 * MS, false),
    ] {
        let options = Options { mss: Some(1460), ..Options::default() };
        let syn = Header { seq: Seq(5), ack: Seq(0), window: 8000, flags: Flags::SYN, options };
        let mut machine = Machine::accept(config(7), &syn, answered, now);
        let options = Options::default();
        let header = Header { seq: Seq(6), ack: Seq(8), window: 8000, flags: Flags::ACK, options };
        assert_eq!(machine.receive(now, &header, false, &[]), Verdict::Taken);
        assert_eq!((machine.state(), machine.deadline()), (State::Established, None));
        let info = machine.info();
        assert_eq!((info.congestion_window, info.timeout), (window, timeout), "{answered:?}");
        assert_eq!(info.smoothed_rtt.is_some(), is_measured, "{answered:?}");
    }
}

#[test]
fn losses_are_mended() {
    for large in [0, 65536] {
        for lose in
            [|n| n % 100 == 50, |n| n % 20 == 7, |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56 < 5]
        {
            let mut net = Net::connected(10 * MS);
            (net.lose, net.large) = (lose, large);
            let took = net.bulk(0, 2 << 20);
            assert!(!net.end(0).info().reordering);
            assert!(took < Duration::from_secs(20), "{took:?}");
        }
    }
}

#[test]
fn a_machine_is_small() {
    // An idle connection is to cost 4 KiB at most, with its owner's task.
    println!("{} octets", size_of::<Machine>());
    assert!(size_of::<Machine>() <= 1024);
}

impl Machine {
    /// How long the peer's data takes, the most that is received and not read, and the shift of the windows offered: for tests of
    /// those who make machines.
    pub(crate) fn receives(&self) -> (Duration, usize, u8) {
        (self.rcv.rtt, self.rcv.most, self.rcv.scale)
    }
}
