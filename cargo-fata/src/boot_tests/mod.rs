//! The boot tests: each a function that is given a Xen host, in a file by topic with its table.

mod block;
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
use crate::xen_host::guest::{GuestSpec, Kind};

/// Room for a guest of 2 GiB.
const HOST_MEMORY_MB: u32 = 4500;

/// One boot test.
#[derive(Clone, Copy)]
pub struct BootTest {
    /// `boot::topic::what`.
    pub name: &'static str,
    /// It fails if it takes longer.
    pub limit: Duration,
    /// Only run with `--long`.
    pub long: bool,
    /// Memory of the machine in QEMU that it needs.
    pub host_memory_mb: u32,
    /// How it stands to PVH.
    pvh: Pvh,
    /// The type of the guests it makes.
    pub kind: Kind,
    /// The test.
    pub run: fn(&mut Host) -> Result<()>,
}

/// Whether a test is also run with guests of the other type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pvh {
    /// Whenever the test itself is run.
    Always,
    /// With `--long`.
    Long,
    /// Never, for a reason that stands with the test.
    Never,
}

impl BootTest {
    /// A test that every change runs with PV guests; with `--long`, also with PVH guests.
    pub const fn new(name: &'static str, limit_s: u64, run: fn(&mut Host) -> Result<()>) -> Self {
        let limit = Duration::from_secs(limit_s);
        Self { name, limit, long: false, host_memory_mb: HOST_MEMORY_MB, pvh: Pvh::Long, kind: Kind::Pv, run }
    }

    /// The same test, only with `--long`.
    pub const fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// The same test, on a machine with so much memory.
    pub const fn host_memory(mut self, mb: u32) -> Self {
        self.host_memory_mb = mb;
        self
    }

    /// The same test, with PVH guests too whenever it is run.
    pub const fn both(mut self) -> Self {
        self.pvh = Pvh::Always;
        self
    }

    /// The same test, never with PVH guests; why is for the reader of the table.
    pub const fn pv_only(mut self, _why: &'static str) -> Self {
        self.pvh = Pvh::Never;
        self
    }

    /// The test, and what it is as a test of PVH guests.
    fn of_each_type(self) -> impl Iterator<Item = Self> {
        let long = self.long || self.pvh == Pvh::Long;
        let pvh = (self.pvh != Pvh::Never).then_some(Self { kind: Kind::Pvh, long, ..self });
        std::iter::once(self).chain(pvh)
    }

    /// Its name in reports: of a test with PVH guests, `boot::topic::what::pvh`.
    pub fn full_name(&self) -> String {
        match self.kind {
            Kind::Pv => self.name.to_owned(),
            Kind::Pvh => format!("{}::pvh", self.name),
        }
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
        block::TESTS,
        net::TESTS,
        dns::TESTS,
        http::TESTS,
        web::TESTS,
        linux::TESTS,
        run::TESTS,
        new::TESTS,
    ];
    topics.into_iter().flatten().copied().flat_map(BootTest::of_each_type).collect()
}

/// The image of the test guests (`tests/guests`), set to one of its cases.
fn probe(case: &str) -> Result<GuestSpec> {
    Ok(GuestSpec::new(&format!("probe-{case}"), image("probe")?).extra(&format!("case={case}")))
}
