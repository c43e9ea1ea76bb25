//! A line a test, and at the end what took longest, how long all took, and the count.

use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::interrupt;
use crate::ui::{Colour, paint};

/// Of so many the closing lines say how long they took.
const SLOWEST: usize = 10;

/// What has passed and failed so far; several threads may report.
pub struct Report {
    started: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    passed: usize,
    failed: Vec<String>,
    times: Vec<(String, Duration)>,
}

impl Report {
    /// An empty one; its clock runs from here on.
    pub fn new() -> Self {
        Self { started: Instant::now(), seen: Mutex::default() }
    }

    /// Runs one test and reports it; whether it passed.
    pub fn run(&self, name: &str, test: impl FnOnce() -> Result<()>) -> bool {
        let (outcome, took) = interrupt::timed(test);
        match &outcome {
            Ok(()) => self.passed(name, Some(took)),
            Err(error) => self.failed(name, Some(took), &format!("{error:#}")),
        }
        outcome.is_ok()
    }

    /// A test has passed.
    pub fn passed(&self, name: &str, time: Option<Duration>) {
        self.took(name, time).passed += 1;
        println!("{}   {name}{}", paint(Colour::Green, "ok"), in_parentheses(time));
    }

    /// A test has failed.
    pub fn failed(&self, name: &str, time: Option<Duration>, reason: &str) {
        self.took(name, time).failed.push(name.to_owned());
        println!("{} {name}{}: {reason}", paint(Colour::Red, "FAIL"), in_parentheses(time));
    }

    /// What is no test, or many in one program, has taken so long; said where it matters.
    pub fn spent(&self, what: &str, time: Duration) {
        drop(self.took(what, Some(time)));
        if time >= Duration::from_secs(1) {
            println!("     {what}{}", in_parentheses(Some(time)));
        }
    }

    fn took(&self, name: &str, time: Option<Duration>) -> MutexGuard<'_, Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.times.extend(time.map(|time| (name.to_owned(), time)));
        seen
    }

    /// Prints the closing lines, the last of which other programs read; nothing run is a failure too.
    pub fn finish(self) -> Result<ExitCode> {
        interrupt::check()?;
        let Seen { passed, failed, times } = self.seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        println!("{}", closing(times, self.started.elapsed(), SystemTime::now()));
        for name in &failed {
            println!("{} {name}", paint(Colour::Red, "failed:"));
        }
        if passed == 0 && failed.is_empty() {
            println!("no test has run: the filter matches none");
        }
        println!("{passed} passed, {} failed", failed.len());
        let good = failed.is_empty() && passed > 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What took longest, and all of it by the clock.
fn closing(mut times: Vec<(String, Duration)>, total: Duration, now: SystemTime) -> String {
    times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let slowest = times.iter().take(SLOWEST).filter(|(_, time)| *time >= Duration::from_secs(1));
    let lines = slowest.map(|(name, time)| format!("{:>7.1} s  {name}\n", time.as_secs_f64()));
    let lines = lines.collect::<String>();
    let heading = if lines.is_empty() { "" } else { "the slowest:\n" };
    let (total, now) = (total.as_secs(), now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    let clock = format!("{:02}:{:02}:{:02} UTC", now / 3600 % 24, now / 60 % 60, now % 60);
    format!("{heading}{lines}all of it took {} min {:02} s, until {clock}", total / 60, total % 60)
}

fn in_parentheses(time: Option<Duration>) -> String {
    time.map(|time| format!(" ({:.1} s)", time.as_secs_f64())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_come_first_and_quick_ones_not_at_all() {
        let seconds = [2, 30, 0].map(Duration::from_secs);
        let times = ["a", "b", "c"].map(str::to_owned).into_iter().zip(seconds).collect();
        let now = UNIX_EPOCH + Duration::from_secs(86_400 + 3_723);
        let said = closing(times, Duration::from_secs(123), now);
        assert_eq!(
            said,
            "the slowest:\n   30.0 s  b\n    2.0 s  a\nall of it took 2 min 03 s, until 01:02:03 UTC"
        );
    }
}
