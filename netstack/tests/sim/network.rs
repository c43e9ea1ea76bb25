//! Two endpoints, their applications, the links between them, and the time.

use super::{App, Endpoint, Link};
use fata_libos::time::{Duration, Instant};

/// Packets that an endpoint may want to send at one moment: more is one that never stops.
const AT_ONCE: u32 = 20_000;
/// Times in a row that an endpoint may want to be called at once and then send nothing.
const IN_VAIN: u32 = 4;

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Both applications have all, and both endpoints are over.
    Over,
    /// Both endpoints are over, and something is missing.
    Short,
    /// Nobody waits for anything any more.
    Stuck,
    /// What was asked for is reached.
    Reached,
    /// The time is up.
    Late,
    /// An endpoint was cut.
    Cut(usize),
}

/// See the module.
pub struct Network<E: Endpoint + ?Sized> {
    /// The time.
    pub now: Instant,
    /// Number 0 began the connection.
    pub ends: [Box<E>; 2],
    /// Theirs.
    pub apps: [App; 2],
    /// Number 0 carries what end 0 sends.
    pub links: [Link; 2],
    /// Packets that a test wants to see: who sent them, when.
    pub seen: Option<Vec<(Instant, usize, Vec<u8>)>>,
    in_vain: [u32; 2],
}

impl<E: Endpoint + ?Sized> Network<E> {
    /// All at the beginning of time.
    pub fn new(ends: [Box<E>; 2], apps: [App; 2], links: [Link; 2]) -> Self {
        Self { now: Instant::default(), ends, apps, links, seen: None, in_vain: [0; 2] }
    }

    /// Runs until both are over, `reached` says so, or the time is up; `Err` says what went wrong.
    pub fn run(
        &mut self,
        most: Duration,
        mut reached: impl FnMut(&mut Self) -> bool,
    ) -> Result<Stop, String> {
        let end = Instant::default() + most;
        loop {
            self.step()?;
            if reached(self) {
                return Ok(Stop::Reached);
            }
            if let Some(cut) = (0..2).find(|n| self.ends[*n].is_cut()) {
                return Ok(Stop::Cut(cut));
            }
            if self.ends.iter_mut().all(|end| end.is_over()) {
                let done = self.apps.iter().all(App::is_done);
                // What has come may still be read.
                if done || self.ends.iter_mut().all(|end| end.is_at_end()) {
                    return Ok(if done { Stop::Over } else { Stop::Short });
                }
            }
            let Some(next) = self.next() else { return Ok(Stop::Stuck) };
            if next > end {
                return Ok(Stop::Late);
            }
            self.now = next;
        }
    }

    /// Goes on for so long, whatever has ended.
    pub fn linger(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        loop {
            self.step()?;
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.now = next,
                None => return Ok(()),
            }
        }
    }

    /// All that happens now.
    fn step(&mut self) -> Result<(), String> {
        for n in 0..2 {
            while let Some(packet) = self.links[1 - n].arrived(self.now) {
                self.ends[n].receive(self.now, &packet);
            }
            self.ends[n].settle(self.now);
            if let Err(wrong) = self.apps[n].run(self.now, self.ends[n].as_mut()) {
                return Err(self.told(&wrong));
            }
            self.transmit(n)?;
        }
        Ok(())
    }

    fn transmit(&mut self, n: usize) -> Result<(), String> {
        let mut count = 0;
        while let Some(packet) = self.ends[n].transmit(self.now) {
            count += 1;
            if count > AT_ONCE {
                return Err(self.told(&format!("end {n} sends without end")));
            }
            if let Some(seen) = &mut self.seen {
                seen.push((self.now, n, packet.clone()));
            }
            if let Some(packet) = self.links[n].send(self.now, packet)
                && self.links[n].says_mtu
            {
                self.ends[n].too_big(self.now, &packet, self.links[n].line().mtu);
            }
        }
        Ok(())
    }

    /// The next moment at which something happens.
    fn next(&mut self) -> Option<Instant> {
        let mut all = vec![];
        for n in 0..2 {
            all.extend(self.links[n].next_arrival());
            all.extend(self.apps[n].deadline(self.now));
            let deadline = self.ends[n].deadline(self.now);
            let is_late = deadline.is_some_and(|at| at <= self.now);
            self.in_vain[n] = if is_late { self.in_vain[n] + 1 } else { 0 };
            if self.in_vain[n] > IN_VAIN {
                panic!(
                    "{}",
                    self.told(&format!("end {n} wants to be called at {deadline:?} and does nothing"))
                );
            }
            all.extend(deadline.map(|at| at.max(self.now + Duration::from_nanos(1))));
        }
        all.into_iter().min()
    }

    /// What went wrong, with the state of all.
    pub fn told(&mut self, wrong: &str) -> String {
        let mut text = format!("at {:?}: {wrong}\n", self.now);
        for n in 0..2 {
            let app = &self.apps[n];
            text += &format!(
                "  end {n}: written {}, got {}, {}\n  line {n}: {:?}\n",
                app.written,
                app.got,
                self.ends[n].describe(),
                self.links[n].counts
            );
        }
        text
    }
}
