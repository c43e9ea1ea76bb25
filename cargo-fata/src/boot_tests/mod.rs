//! The boot tests: each a function that is given a Xen host, in a file by topic with its table.

mod bare_qemu;
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
mod parameters;
mod run;
mod web;

use std::time::Duration;

use anyhow::Result;

use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{GuestSpec, Kind, Place};
use crate::xen_host::guest_spec::Machine;

/// Room for a guest of 2 GiB.
const HOST_MEMORY_MB: u32 = 4500;

/// What has no Xen, and virtio devices instead.
const MACHINES: &[Place] = &[Place::Machine(Machine::Q35), Place::Machine(Machine::Microvm)];
/// Where the stack is the same, on other devices.
const TAPS: &[Place] = &[Place::Machine(Machine::Q35), Place::Machine(Machine::Microvm), Place::Process];
/// Where a guest is told to leave.
const PROCESS: &[Place] = &[Place::Process];

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
    /// Where it is run too, as often as with PVH guests.
    elsewhere: &'static [Place],
    /// What the guests that it makes run on.
    pub place: Place,
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
        let place = Place::Xen(Kind::Pv);
        Self {
            name,
            limit,
            long: false,
            host_memory_mb: HOST_MEMORY_MB,
            pvh: Pvh::Long,
            elsewhere: &[],
            place,
            run,
        }
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

    /// The same test, also in these places without Xen.
    pub const fn also(mut self, places: &'static [Place]) -> Self {
        self.elsewhere = places;
        self
    }

    /// The test, and what it is in each of its other places.
    fn in_each_place(self) -> impl Iterator<Item = Self> {
        let long = self.long || self.pvh == Pvh::Long;
        let pvh = (self.pvh != Pvh::Never).then_some(Place::Xen(Kind::Pvh));
        let others = pvh.into_iter().chain(self.elsewhere.iter().copied());
        std::iter::once(self).chain(others.map(move |place| Self { place, long, ..self }))
    }

    /// Its name in reports: of a test with PVH guests, `boot::topic::what::pvh`.
    pub fn full_name(&self) -> String {
        self.place.name().map_or_else(|| self.name.to_owned(), |place| format!("{}::{place}", self.name))
    }

    /// Whether it needs the Xen host.
    pub fn needs_xen(&self) -> bool {
        matches!(self.place, Place::Xen(_))
    }
}

/// All of them, in the order in which they run.
pub fn all() -> Vec<BootTest> {
    let topics = [
        host::TESTS,
        guest::TESTS,
        faults::TESTS,
        manifest::TESTS,
        parameters::TESTS,
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
    topics.into_iter().flatten().copied().flat_map(BootTest::in_each_place).collect()
}

/// The image of the test guests (`tests/guests`), set to one of its cases.
fn probe(case: &str) -> Result<GuestSpec> {
    Ok(GuestSpec::new(&format!("probe-{case}"), image("probe")?).extra(&format!("case={case}")))
}
