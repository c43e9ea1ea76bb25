//! One direction of a line.

use super::{CE, ECN, Random};
use fata_libos::time::{Duration, Instant};
use std::collections::BTreeMap;

/// How packets get lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// So many of a million, each for itself.
    Random(u32),
    /// Gilbert's: so many of a million begin a burst, in which all are lost; so many of a million end it, and [`BURST`] does.
    Bursts { begin: u32, end: u32 },
}

/// The longest burst: not to be the death of a connection that tries again once a minute.
const BURST: Duration = Duration::from_secs(10);

/// What a line does to packets. Chances are of a million.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Bits a second.
    pub rate: u64,
    /// The time of flight.
    pub delay: Duration,
    /// Octets that wait for the line; what comes beyond is dropped.
    pub queue: usize,
    /// What is lost.
    pub loss: Loss,
    /// These take `late` longer, so that others overtake them.
    pub reorder: u32,
    /// See `reorder`.
    pub late: Duration,
    /// These arrive twice.
    pub double: u32,
    /// The largest IP packet; larger ones vanish.
    pub mtu: usize,
    /// With so many octets waiting, packets that may be are marked instead of dropped later (RFC 3168).
    pub mark: Option<usize>,
}

impl Default for Line {
    /// 100 Mbit/s without delay or fault.
    fn default() -> Self {
        Self {
            rate: 100_000_000,
            delay: Duration::ZERO,
            queue: 128 << 10,
            loss: Loss::Random(0),
            reorder: 0,
            late: Duration::ZERO,
            double: 0,
            mtu: 1500,
            mark: None,
        }
    }
}

impl Line {
    /// A line made of a number: anything between a good one and a very bad one, for packets of any size.
    pub fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut one = |choices: &[u64]| choices[random.below(choices.len() as u64) as usize];
        let rate = one(&[64_000, 1_000_000, 10_000_000, 1_000_000_000]);
        let loss = match one(&[0, 0, 1, 1, 2]) {
            0 => Loss::Random(0),
            1 => Loss::Random(one(&[100, 1000, 10_000, 50_000, 200_000]) as u32),
            _ => Loss::Bursts { begin: 10_000, end: one(&[100_000, 300_000]) as u32 },
        };
        Self {
            rate,
            loss,
            delay: Duration::from_micros(one(&[0, 100, 1000, 10_000, 100_000, 500_000])),
            queue: one(&[3000, 10_000, 100_000, 1_000_000]) as usize,
            reorder: one(&[0, 0, 10_000, 100_000, 500_000]) as u32,
            late: Duration::from_micros(one(&[100, 5000, 50_000, 2_000_000])),
            double: one(&[0, 0, 10_000, 300_000]) as u32,
            mtu: 9000,
            mark: (one(&[0, 1]) == 1).then_some(2000),
        }
    }
}

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Given to the line.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Dropped for want of room in the queue.
    pub full: u64,
    /// Larger than the MTU.
    pub large: u64,
    /// Marked.
    pub marked: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    line: Line,
    random: Random,
    /// The end of the burst, if there is one.
    burst: Option<Instant>,
    /// Nothing gets through until then.
    cut: Instant,
    /// Whether the sender is told of packets that are too large.
    pub says_mtu: bool,
    busy: Instant,
    travelling: BTreeMap<(Instant, u64), Vec<u8>>,
    /// So far.
    pub counts: Counts,
}

impl Link {
    /// An idle one, with its own row of chances.
    pub fn new(line: Line, seed: u64) -> Self {
        Self {
            line,
            random: Random::new(seed),
            burst: None,
            cut: Instant::default(),
            says_mtu: false,
            busy: Instant::default(),
            travelling: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// Another line from now on; what travels does so still.
    pub fn set_line(&mut self, line: Line) {
        self.line = line;
    }

    /// The line as it is.
    pub fn line(&self) -> Line {
        self.line
    }

    /// Loses all that is given to it until then.
    pub fn cut_until(&mut self, until: Instant) {
        self.cut = self.cut.max(until);
    }

    /// A packet that comes out at once, whatever the line is like.
    pub fn inject(&mut self, now: Instant, packet: Vec<u8>) {
        self.counts.sent += 1;
        self.travelling.insert((now, self.counts.sent * 2), packet);
    }

    /// Takes a packet; gives it back if it is too large.
    pub fn send(&mut self, now: Instant, packet: Vec<u8>) -> Option<Vec<u8>> {
        self.counts.sent += 1;
        if packet.len() > self.line.mtu {
            self.counts.large += 1;
            return Some(packet);
        }
        self.carry(now, packet);
        None
    }

    fn carry(&mut self, now: Instant, mut packet: Vec<u8>) {
        let waiting = self.waiting(now);
        if waiting + packet.len() > self.line.queue {
            self.counts.full += 1;
            return;
        }
        if self.line.mark.is_some_and(|mark| waiting > mark) && packet[ECN] & CE != 0 {
            packet[ECN] |= CE;
            self.counts.marked += 1;
        }
        self.busy = self.busy.max(now) + self.time_of(packet.len());
        if self.loses(now) || now < self.cut {
            self.counts.lost += 1;
            return;
        }
        let mut at = self.busy + self.line.delay;
        if self.random.chance(self.line.reorder) {
            at += self.line.late;
        }
        if self.random.chance(self.line.double) {
            self.travelling.insert((at, self.counts.sent * 2), packet.clone());
        }
        self.travelling.insert((at, self.counts.sent * 2 + 1), packet);
    }

    fn loses(&mut self, now: Instant) -> bool {
        match self.line.loss {
            Loss::Random(chance) => self.random.chance(chance),
            Loss::Bursts { begin, end } => {
                self.burst = self.burst.filter(|end| now < *end);
                if self.random.chance(if self.burst.is_some() { end } else { begin }) {
                    self.burst = if self.burst.is_some() { None } else { Some(now + BURST) };
                }
                self.burst.is_some()
            }
        }
    }

    fn time_of(&self, octets: usize) -> Duration {
        Duration::from_nanos(octets as u64 * 8 * 1_000_000_000 / self.line.rate)
    }

    /// Octets that wait for the line.
    fn waiting(&self, now: Instant) -> usize {
        let time = self.busy.duration_since(now.min(self.busy)).as_nanos();
        (time * u128::from(self.line.rate) / 8_000_000_000) as usize
    }

    /// When the next packet arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.travelling.first_key_value().map(|((at, _), _)| *at)
    }

    /// A packet that has arrived.
    pub fn arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        let first = self.travelling.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
