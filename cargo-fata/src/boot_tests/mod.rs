//! The boot tests: each a function that is given a Xen host, in a file by topic with its table.

mod dns;
mod examples;
mod faults;
mod guest;
mod host;
mod http;
mod lifecycle;
mod linux;
mod manifest;
mod net;
mod new;
mod run;
mod web;

use std::time::Duration;

use anyhow::Result;

use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;

/// One boot test.
#[derive(Clone, Copy)]
pub struct BootTest {
    /// `boot::topic::what`.
    pub name: &'static str,
    /// It fails if it takes longer.
    pub limit: Duration,
    /// Only run with `--long`.
    pub long: bool,
    /// The memory that its Xen host needs, MB.
    pub host_mb: u32,
    /// The test.
    pub run: fn(&mut Host) -> Result<()>,
}

impl BootTest {
    /// A test that every change runs.
    pub const fn new(name: &'static str, limit_s: u64, run: fn(&mut Host) -> Result<()>) -> Self {
        Self { name, limit: Duration::from_secs(limit_s), long: false, host_mb: 4500, run }
    }

    /// The same test, on a larger host.
    pub const fn on_host_of(mut self, memory_mb: u32) -> Self {
        self.host_mb = memory_mb;
        self
    }

    /// The same test, only with `--long`.
    pub const fn long(mut self) -> Self {
        self.long = true;
        self
    }
}

/// All of them, in the order in which they run.
pub fn all() -> Vec<BootTest> {
    let topics = [
        host::TESTS,
        guest::TESTS,
        faults::TESTS,
        manifest::TESTS,
        lifecycle::TESTS,
        examples::TESTS,
        net::TESTS,
        dns::TESTS,
        http::TESTS,
        web::TESTS,
        linux::TESTS,
        run::TESTS,
        new::TESTS,
    ];
    topics.into_iter().flatten().copied().collect()
}

/// The image of the test guests (`tests/guests`), set to one of its cases.
fn probe(case: &str) -> Result<GuestSpec> {
    Ok(GuestSpec::new(&format!("probe-{case}"), image("probe")?).extra(&format!("case={case}")))
}
