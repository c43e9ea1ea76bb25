//! Runs a script against one machine: what comes is injected, what goes is compared, in order and in time.

mod segment;
mod text;

use crate::sim::Endpoint;
use fata_libos::time::{Duration, Instant};
use segment::{Opt, Segment};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use text::{Event, OptText, SegmentText, Value, What, When};

/// What a script can do besides what any endpoint can.
pub trait Subject: Endpoint {
    /// A setting from before the connection.
    fn set(&mut self, name: &str, value: &str) -> Result<(), String>;
    /// Begins, as the one who connects or who is connected to.
    fn open(&mut self, now: Instant, connects: bool);
    /// A command that the runner does not know.
    fn command(&mut self, now: Instant, words: &[&str]) -> Result<(), String>;
    /// What `assert NAME` looks at.
    fn figure(&mut self, name: &str) -> Option<String>;
}

/// How late or early a packet may be where a script says an exact time.
const TOLERANCE: Duration = Duration::from_millis(5);
/// How long `*` waits.
const PATIENCE: Duration = Duration::from_secs(200);
/// The initial sequence number of the script's side: numbers wrap soon in every script.
const PEER: u32 = 0xffff_f000;

struct Run<'a> {
    subject: &'a mut dyn Subject,
    now: Instant,
    last: Instant,
    tolerance: Duration,
    sent: VecDeque<(Instant, Vec<u8>)>,
    /// What is sent waits for `count`.
    collects: bool,
    /// Nothing is sent before the next segment is taken.
    together: bool,
    iss: Option<u32>,
    /// Octets read so far.
    read: u32,
    /// Octets written so far.
    written: u32,
    names: HashMap<String, u32>,
}

type Step<T = ()> = Result<T, String>;

/// Runs the script; `Err` says the line, what was expected, and what came.
pub fn run(path: &Path, subject: &mut dyn Subject) -> Result<(), String> {
    let start = Instant::default() + Duration::from_secs(1);
    let mut run = Run {
        subject,
        now: start,
        last: start,
        tolerance: TOLERANCE,
        sent: VecDeque::new(),
        collects: false,
        together: false,
        iss: None,
        read: 0,
        written: 0,
        names: HashMap::new(),
    };
    for event in text::read(path)? {
        run.event(&event, start).map_err(|wrong| {
            let time = run.now.duration_since(start);
            format!(
                "{} at {time:?}: {wrong}\n    {}\n    {}",
                event.place,
                event.text,
                run.subject.describe()
            )
        })?;
    }
    run.transmit()?;
    run.quiet().map_err(|wrong| format!("{} at its end: {wrong}", path.display()))
}

/// The octet at a place of a stream, relative to the initial sequence number.
fn octet(at: u32) -> u8 {
    (at ^ (at >> 8) ^ (at >> 16)) as u8
}

fn octets(at: u32, len: u32) -> Vec<u8> {
    (at..at + len).map(octet).collect()
}

impl Run<'_> {
    fn event(&mut self, event: &Event, start: Instant) -> Step {
        let zero = Duration::ZERO;
        let (from, to, exact) = match event.when {
            When::At(at) => (start + at, start + at, true),
            When::After(after) => (self.last + after, self.last + after, true),
            When::Between(from, to) => (self.last + from, self.last + to, false),
            When::Any => (self.now, self.now + PATIENCE, false),
        };
        match &event.what {
            What::Expect(segment) => {
                let slack = if exact { self.tolerance } else { zero };
                let earliest = Instant::from_nanos(from.as_nanos().saturating_sub(slack.as_nanos() as u64));
                let at = self.expect(segment, earliest, to + slack)?;
                self.last = if exact { from } else { at };
            }
            What::Inject(segment) | What::Together(segment) => {
                self.advance(to)?;
                self.last = self.now;
                self.quiet()?;
                self.together = matches!(event.what, What::Together(_));
                self.inject(segment)?;
            }
            What::Repeat(count, segment) => {
                self.advance(to)?;
                self.last = self.now;
                (0..*count).try_for_each(|_| self.inject(segment))?;
            }
            What::Command(words) => {
                self.advance(to)?;
                self.last = self.now;
                self.together = false;
                self.command(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
                self.transmit()?;
            }
        }
        Ok(())
    }

    fn inject(&mut self, segment: &SegmentText) -> Step {
        let packet = self.build(segment)?;
        self.subject.receive(self.now, &packet);
        self.transmit()
    }

    /// Nothing may have been sent that no line expects.
    fn quiet(&mut self) -> Step {
        let Some((at, packet)) = self.sent.front().filter(|_| !self.collects) else { return Ok(()) };
        let (at, packet) = (*at, packet.clone());
        let ago = self.now.duration_since(at);
        Err(format!("unexpected, {ago:?} before:\n    > {}", self.show(&packet)))
    }

    fn show(&self, packet: &[u8]) -> String {
        self.relative(packet).map_or_else(|wrong| wrong, |segment| segment.to_string())
    }

    fn transmit(&mut self) -> Step {
        let mut count = 0;
        if self.together {
            return Ok(());
        }
        while let Some(packet) = self.subject.transmit(self.now) {
            let segment = Segment::read(&packet).ok_or("sends what is no segment")?;
            if segment.has('S') && self.iss.is_none() {
                self.iss = Some(segment.seq);
            }
            self.sent.push_back((self.now, packet));
            count += 1;
            if count > 10_000 {
                return Err("sends without end".into());
            }
        }
        Ok(())
    }

    /// Lets time pass until `to`, or until something is sent where `stops` says so.
    fn pass(&mut self, to: Instant, stops: bool) -> Step {
        let mut in_vain = 0;
        self.transmit()?;
        while (self.sent.is_empty() || !stops) && self.now < to {
            let deadline = self.subject.deadline(self.now);
            in_vain = if deadline.is_some_and(|at| at <= self.now) { in_vain + 1 } else { 0 };
            if in_vain > 4 {
                return Err(format!("wants to be called at {deadline:?} and does nothing"));
            }
            let next = deadline.map(|at| at.max(self.now + Duration::from_nanos(1)));
            self.now = next.map_or(to, |at| at.min(to));
            self.transmit()?;
        }
        Ok(())
    }

    fn advance(&mut self, to: Instant) -> Step {
        if to < self.now {
            return Err("this time has passed already".into());
        }
        self.pass(to, false)
    }

    fn expect(&mut self, wanted: &SegmentText, earliest: Instant, latest: Instant) -> Step<Instant> {
        self.pass(latest.max(self.now), true)?;
        let Some((at, packet)) = self.sent.pop_front() else {
            return Err("expected, but nothing came".into());
        };
        let got = self.relative(&packet)?;
        if at < earliest || at > latest {
            let (early, late) =
                (earliest.duration_since(at.min(earliest)), at.duration_since(latest.min(at)));
            return Err(format!(
                "expected {early:?} later or {late:?} earlier; got at that time\n    > {got}"
            ));
        }
        self.compare(wanted, &got).map_err(|wrong| format!("{wrong}; got\n    > {got}"))?;
        Ok(at)
    }

    /// The segment with numbers relative to the initial ones.
    fn relative(&self, packet: &[u8]) -> Step<Segment> {
        let mut segment = Segment::read(packet).ok_or("sends what is no segment")?;
        segment.seq = segment.seq.wrapping_sub(self.iss.unwrap_or(0));
        if segment.has('.') {
            segment.ack = segment.ack.wrapping_sub(PEER);
        }
        for option in &mut segment.options {
            if let Opt::Sack(blocks) = option {
                blocks.iter_mut().for_each(|(from, to)| {
                    *from = from.wrapping_sub(PEER);
                    *to = to.wrapping_sub(PEER);
                });
            }
        }
        Ok(segment)
    }

    fn compare(&mut self, wanted: &SegmentText, got: &Segment) -> Step {
        let same = |name: &str, wanted: u32, got: u32| {
            if wanted == got { Ok(()) } else { Err(format!("{name} expected {wanted}, got {got}")) }
        };
        let counting = if wanted.any_push { !8 } else { !0 };
        if wanted.flags != got.flags & counting {
            return Err("other flags expected".into());
        }
        same("sequence number", wanted.seq, got.seq)?;
        same("length", wanted.len, got.payload.len() as u32)?;
        if let Some(ack) = wanted.ack {
            same("acknowledgement", ack, got.ack)?;
        }
        if let Some(window) = wanted.window {
            same("window", window.into(), got.window.into())?;
        }
        if let Some(ecn) = wanted.ecn {
            same("ECN field", ecn.into(), got.ecn.into())?;
        }
        if !got.payload.is_empty() {
            if got.seq + wanted.len > self.written + 1 {
                return Err("octets that were not written".into());
            }
            if got.payload != octets(got.seq, wanted.len) {
                return Err("wrong octets".into());
            }
        }
        wanted.options.as_ref().map_or(Ok(()), |options| self.compare_options(options, &got.options))
    }

    fn compare_options(&mut self, wanted: &[OptText], got: &[Opt]) -> Step {
        if wanted.len() != got.len() {
            return Err(format!("{} options expected, got {}", wanted.len(), got.len()));
        }
        for option in wanted {
            let fits = got.iter().any(|got| match (option, got) {
                (OptText::Mss(value), Opt::Mss(mss)) => self.fits(value, (*mss).into()),
                (OptText::Scale(value), Opt::Scale(shift)) => self.fits(value, (*shift).into()),
                (OptText::SackPermitted, Opt::SackPermitted) => true,
                (OptText::Sack(blocks), Opt::Sack(got)) => blocks == got,
                (OptText::Timestamp(value, echo), Opt::Timestamp(val, ecr)) => {
                    self.fits(value, *val) && self.fits(echo, *ecr)
                }
                (OptText::Raw(octets), Opt::Raw(got)) => octets == got,
                _ => false,
            });
            if !fits {
                return Err(format!("no option {option:?}"));
            }
        }
        Ok(())
    }

    /// Whether a number is the one; a name that has none yet gets it.
    fn fits(&mut self, value: &Value, got: u32) -> bool {
        match value {
            Value::Any => true,
            Value::Number(number) => *number == got,
            Value::Name(name) => *self.names.entry(name.clone()).or_insert(got) == got,
        }
    }

    fn value(&self, value: &Value) -> Step<u32> {
        match value {
            Value::Any => Err("a number to be sent must be one".into()),
            Value::Number(number) => Ok(*number),
            Value::Name(name) => self.names.get(name).copied().ok_or(format!("{name} has no value yet")),
        }
    }

    /// The packet to inject.
    fn build(&self, segment: &SegmentText) -> Step<Vec<u8>> {
        let iss = self.iss.unwrap_or(0);
        let mut options = vec![];
        for option in segment.options.iter().flatten() {
            options.push(match option {
                OptText::Mss(mss) => Opt::Mss(self.value(mss)? as u16),
                OptText::Scale(shift) => Opt::Scale(self.value(shift)? as u8),
                OptText::SackPermitted => Opt::SackPermitted,
                OptText::Sack(blocks) => Opt::Sack(
                    blocks.iter().map(|(a, b)| (a.wrapping_add(iss), b.wrapping_add(iss))).collect(),
                ),
                OptText::Timestamp(value, echo) => Opt::Timestamp(self.value(value)?, self.value(echo)?),
                OptText::Raw(octets) => Opt::Raw(octets.clone()),
            });
        }
        let segment = Segment {
            ecn: segment.ecn.unwrap_or(0),
            flags: segment.flags,
            seq: segment.seq.wrapping_add(PEER),
            ack: segment.ack.map_or(0, |ack| ack.wrapping_add(iss)),
            window: segment.window.unwrap_or(u16::MAX),
            options,
            payload: octets(segment.seq, segment.len),
        };
        Ok(segment.write(1))
    }

    fn command(&mut self, words: &[&str]) -> Step {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text} is no number"));
        match words {
            ["set", name, value] => self.subject.set(name, value),
            ["tolerance", time] => {
                self.tolerance = text::duration(time)?;
                Ok(())
            }
            ["connect"] => {
                self.subject.open(self.now, true);
                Ok(())
            }
            ["listen"] => {
                self.subject.open(self.now, false);
                Ok(())
            }
            ["write", len] => self.write(number(len)?),
            ["read", len] => self.read(number(len)?),
            ["end"] if self.subject.is_at_end() => Ok(()),
            ["end"] => Err("the stream has not ended".into()),
            ["cut"] if self.subject.is_cut() => Ok(()),
            ["cut"] => Err("the connection is not cut".into()),
            ["close"] => {
                self.subject.close();
                Ok(())
            }
            ["quiet"] => self.quiet(),
            ["collect"] => {
                self.collects = true;
                Ok(())
            }
            ["count", least, most] => {
                let count = self.sent.len();
                self.sent.clear();
                self.collects = false;
                let fits = (number(least)?..=number(most)?).contains(&(count as u32));
                if fits { Ok(()) } else { Err(format!("{count} packets were sent")) }
            }
            ["icmp", mtu, seq] => {
                let seq = number(seq)?.wrapping_add(self.iss.unwrap_or(0));
                self.subject.command(self.now, &["icmp", mtu, &seq.to_string()])
            }
            ["assert", name, operator, value] => self.assert(name, operator, value),
            _ => self.subject.command(self.now, words),
        }
    }

    fn write(&mut self, len: u32) -> Step {
        let octets = octets(self.written + 1, len);
        let n = self.subject.write(&octets) as u32;
        self.written += n;
        if n == len { Ok(()) } else { Err(format!("took {n}")) }
    }

    fn read(&mut self, len: u32) -> Step {
        let mut buf = vec![0; len as usize];
        let mut n = 0;
        while n < buf.len() {
            match self.subject.read(self.now, &mut buf[n..]) {
                0 => break,
                more => n += more,
            }
        }
        let right = buf[..n] == octets(self.read + 1, n as u32);
        self.read += n as u32;
        match (n == buf.len(), right) {
            (true, true) => Ok(()),
            (true, false) => Err("wrong octets".into()),
            (false, _) => Err(format!("gave {n}")),
        }
    }

    fn assert(&mut self, name: &str, operator: &str, wanted: &str) -> Step {
        let got = self.subject.figure(name).ok_or_else(|| format!("nothing is called {name}"))?;
        let numbers = (got.parse::<f64>(), wanted.parse::<f64>());
        let holds = match (operator, numbers) {
            ("==", (Ok(got), Ok(wanted))) => got == wanted,
            ("!=", (Ok(got), Ok(wanted))) => got != wanted,
            ("<", (Ok(got), Ok(wanted))) => got < wanted,
            ("<=", (Ok(got), Ok(wanted))) => got <= wanted,
            (">", (Ok(got), Ok(wanted))) => got > wanted,
            (">=", (Ok(got), Ok(wanted))) => got >= wanted,
            ("==", _) => got == wanted,
            ("!=", _) => got != wanted,
            _ => return Err(format!("{operator} does not compare {got} and {wanted}")),
        };
        if holds { Ok(()) } else { Err(format!("{name} is {got}")) }
    }
}
