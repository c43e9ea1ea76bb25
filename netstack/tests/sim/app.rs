//! What uses an endpoint: sends octets that tell their place, checks those that come.

use super::{Endpoint, Random};
use fata_libos::time::{Duration, Instant};

/// After so many octets a stream begins again: a prime, so that no segment or buffer is a multiple of it.
const PERIOD: u64 = 65_521;

/// The octets of a stream, a period and then some; `stream` tells the two directions of a connection apart.
fn octets(stream: u8) -> Vec<u8> {
    let mut random = Random::new(u64::from(stream));
    let period: Vec<u8> = (0..PERIOD).map(|_| random.next() as u8).collect();
    period.repeat(2)
}

/// How an application writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As much as there is room for, whenever there is.
    Bulk,
    /// So many octets at most at a time, each side with a pause of up to that long afterwards.
    Pieces { most: u64, pause: Duration },
}

/// See the module.
#[derive(Debug)]
pub struct App {
    out: Vec<u8>,
    into: Vec<u8>,
    total: u64,
    /// Octets that the endpoint has taken.
    pub written: u64,
    /// Octets that came.
    pub got: u64,
    /// When all of the peer's were there.
    pub complete_at: Option<Instant>,
    expected: u64,
    pace: Pace,
    random: Random,
    next_write: Instant,
    next_read: Instant,
    closed: bool,
    /// Whether what comes is what was sent: not where somebody forges.
    pub checks: bool,
    /// Closes only after the peer has.
    pub closes_last: bool,
    buf: Vec<u8>,
}

impl App {
    /// Sends `total` octets as stream `out` and expects so many of the other; closes thereafter.
    pub fn new(out: u8, total: u64, expected: u64, pace: Pace, seed: u64) -> Self {
        Self {
            out: octets(out),
            into: octets(out ^ 1),
            total,
            written: 0,
            got: 0,
            complete_at: None,
            expected,
            pace,
            random: Random::new(seed),
            next_write: Instant::default(),
            next_read: Instant::default(),
            closed: false,
            checks: true,
            closes_last: false,
            buf: vec![0; PERIOD as usize],
        }
    }

    /// Reads nothing until then.
    pub fn stall_until(&mut self, until: Instant) {
        self.next_read = self.next_read.max(until);
    }

    /// Whether all was written and read.
    pub fn is_done(&self) -> bool {
        self.written == self.total && self.got == self.expected
    }

    /// Uses the endpoint; `Err` says which octet was wrong.
    pub fn run<E: Endpoint + ?Sized>(&mut self, now: Instant, end: &mut E) -> Result<(), String> {
        if now >= self.next_read {
            self.read(now, end)?;
        }
        if now >= self.next_write {
            self.write(now, end);
        }
        let may_close = !self.closes_last || end.is_at_end();
        if self.written == self.total && !self.closed && may_close && end.is_open() {
            self.closed = true;
            end.close();
        }
        Ok(())
    }

    /// When it wants to go on by itself.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        [self.next_read, self.next_write].into_iter().filter(|at| *at > now).min()
    }

    fn piece(&mut self) -> u64 {
        match self.pace {
            Pace::Bulk => u64::MAX,
            Pace::Pieces { most, .. } => 1 + self.random.below(most),
        }
    }

    fn pause(&mut self, now: Instant) -> Instant {
        match self.pace {
            Pace::Bulk => now,
            Pace::Pieces { pause, .. } => {
                now + Duration::from_nanos(self.random.below(pause.as_nanos() as u64) + 1000)
            }
        }
    }

    fn read<E: Endpoint + ?Sized>(&mut self, now: Instant, end: &mut E) -> Result<(), String> {
        let (mut most, before) = (self.piece(), self.got);
        while most > 0 {
            let len = most.min(self.buf.len() as u64) as usize;
            let n = end.read(now, &mut self.buf[..len]);
            if n == 0 {
                break;
            }
            let start = (self.got % PERIOD) as usize;
            if self.checks && self.buf[..n] != self.into[start..start + n] {
                let wrong = (0..n).find(|i| self.buf[*i] != self.into[start + i]).unwrap_or(0);
                return Err(format!("octet {} is not what was sent", self.got + wrong as u64));
            }
            self.got += n as u64;
            most -= n as u64;
        }
        if self.checks && self.got > self.expected {
            return Err(format!("{} octets, expected {}", self.got, self.expected));
        }
        if self.got == self.expected && self.complete_at.is_none() {
            self.complete_at = Some(now);
        }
        // Where there was nothing, something has to come first.
        self.next_read = if self.got > before { self.pause(now) } else { now };
        Ok(())
    }

    fn write<E: Endpoint + ?Sized>(&mut self, now: Instant, end: &mut E) {
        let (mut most, before) = (self.piece().min(self.total - self.written), self.written);
        while most > 0 {
            let len = most.min(PERIOD) as usize;
            let start = (self.written % PERIOD) as usize;
            let n = end.write(&self.out[start..start + len]);
            self.written += n as u64;
            most -= n as u64;
            if n < len {
                break;
            }
        }
        self.next_write = if self.written > before { self.pause(now) } else { now };
    }
}
