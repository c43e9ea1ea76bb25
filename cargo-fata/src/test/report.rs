//! A line a test, and the count at the end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::interrupt;
use crate::ui::{Colour, paint};

/// What has passed and failed so far.
#[derive(Default)]
pub struct Report {
    passed: usize,
    failed: Vec<String>,
}

impl Report {
    /// Runs one test and reports it; whether it passed.
    pub fn run(&mut self, name: &str, test: impl FnOnce() -> Result<()>) -> bool {
        let started = Instant::now();
        let outcome = test();
        match &outcome {
            Ok(()) => self.passed(name, Some(started.elapsed())),
            Err(error) => self.failed(name, Some(started.elapsed()), &format!("{error:#}")),
        }
        outcome.is_ok()
    }

    /// A test has passed.
    pub fn passed(&mut self, name: &str, time: Option<Duration>) {
        self.passed += 1;
        println!("{}   {name}{}", paint(Colour::Green, "ok"), in_parentheses(time));
    }

    /// A test has failed.
    pub fn failed(&mut self, name: &str, time: Option<Duration>, reason: &str) {
        self.failed.push(name.to_owned());
        println!("{} {name}{}: {reason}", paint(Colour::Red, "FAIL"), in_parentheses(time));
    }

    /// Prints the closing line, which other programs read; nothing run is a failure too.
    pub fn finish(self) -> Result<ExitCode> {
        interrupt::check()?;
        for name in &self.failed {
            println!("{} {name}", paint(Colour::Red, "failed:"));
        }
        if self.passed == 0 && self.failed.is_empty() {
            println!("no test has run: the filter matches none");
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        let good = self.failed.is_empty() && self.passed > 0;
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn in_parentheses(time: Option<Duration>) -> String {
    time.map(|time| format!(" ({:.1} s)", time.as_secs_f64())).unwrap_or_default()
}
