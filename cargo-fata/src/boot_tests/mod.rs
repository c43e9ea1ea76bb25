//! The boot tests: each a function that is given a Xen host, in a file by topic with its table.

mod host;
mod linux;

use std::time::Duration;

use anyhow::Result;

use crate::xen_host::Host;

/// One boot test.
#[derive(Clone, Copy)]
pub struct BootTest {
    /// `boot::topic::what`.
    pub name: &'static str,
    /// It fails if it takes longer.
    pub limit: Duration,
    /// Only run with `--long`.
    pub long: bool,
    /// The test.
    pub run: fn(&mut Host) -> Result<()>,
}

impl BootTest {
    /// A test that every change runs.
    pub const fn new(name: &'static str, limit_s: u64, run: fn(&mut Host) -> Result<()>) -> Self {
        Self { name, limit: Duration::from_secs(limit_s), long: false, run }
    }

    /// The same test, only with `--long`.
    pub const fn long(mut self) -> Self {
        self.long = true;
        self
    }
}

/// All of them, in the order in which they run.
pub fn all() -> Vec<BootTest> {
    [host::TESTS, linux::TESTS].into_iter().flatten().copied().collect()
}
