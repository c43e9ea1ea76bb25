//! The boot tests: each a function that is given a host, in a file by topic with its table. Those that name nothing of Xen's
//! are also run without it.

mod bare_qemu;
mod blkback;
mod block;
mod chromium;
mod dns;
mod examples;
mod faults;
mod fetch;
mod figures;
mod floods;
mod gdbsx;
mod guest;
mod host;
mod http;
mod hypercalls;
mod idle;
mod iperf;
mod ipv6;
mod kv;
mod kv_clients;
mod kv_damage;
mod kv_destroys;
mod kv_disks;
mod kv_load;
mod lifecycle;
mod linux;
mod machine;
mod manifest;
mod net;
mod netfront;
mod new;
mod parameters;
mod proxy;
mod qemu;
mod run;
mod tls_held;
mod tshark;
pub mod virtio;
mod web;
mod web_acme;
mod web_disk;
pub mod web_tls;
mod web_wrong;

pub use bare_qemu::free_port;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;

use crate::qemu_guest::Board;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{GuestSpec, Kind};

/// Ports of guests that one of this machine leads to.
pub const FORWARDED: [u16; 2] = [kv_clients::PORT, web_tls::PORT];

/// What of the guests' network leads to this machine.
pub const BACKWARDS: [SocketAddrV4; 4] = proxy::SERVERS;

/// What the machine in QEMU has where a test does not say, MiB: room for a guest of 2 GiB.
pub const HOST_MEMORY_MB: u32 = 4500;

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
    /// How it stands to each kind of guest.
    pv: Wanted,
    pvh: Wanted,
    why_pv_only: Option<&'static str>,
    why_not_qemu: Option<&'static str>,
    why_not_process: Option<&'static str>,
    microvm: Wanted,
    q35: Wanted,
    process: Wanted,
    /// The kind of the guests it makes.
    pub kind: Kind,
    /// It has machines of its own, and leaves the host alone.
    is_apart: bool,
    /// Without Xen it is run when nothing else is.
    pub is_alone: bool,
    /// The test.
    pub run: fn(&mut Host) -> Result<()>,
}

/// Whether a test is also run with guests of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
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
        Self {
            name,
            limit: Duration::from_secs(limit_s),
            long: false,
            host_memory_mb: HOST_MEMORY_MB,
            pv: Wanted::Always,
            pvh: Wanted::Long,
            why_pv_only: None,
            why_not_qemu: None,
            why_not_process: None,
            microvm: Wanted::Never,
            q35: Wanted::Never,
            process: Wanted::Never,
            kind: Kind::Pv,
            is_apart: false,
            is_alone: false,
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

    /// The same test, as a PV guest with `--long` too: it is about what stands above all drivers, which emulated Xen shows
    /// no better than QEMU alone, but in twice the time.
    pub const fn on_xen_long(mut self) -> Self {
        self.pv = Wanted::Long;
        self
    }

    /// The same test, which makes no use of the host that it is given.
    pub const fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    /// The same test, without Xen when nothing else runs: it measures there what others would spend too, or takes most of
    /// the machine's memory.
    pub const fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Whether it needs a Xen host.
    pub fn needs_xen(&self) -> bool {
        matches!(self.kind, Kind::Pv | Kind::Pvh) && !self.is_apart
    }

    /// The same test, with PVH guests too whenever it is run.
    pub const fn both(mut self) -> Self {
        self.pvh = Wanted::Always;
        self
    }

    /// The same test, never with PVH guests; `test --list` says why.
    pub const fn pv_only(mut self, why: &'static str) -> Self {
        (self.pvh, self.why_pv_only) = (Wanted::Never, Some(why));
        self
    }

    /// The same test, without Xen too: on QEMU's microvm, with `--long` on q35.
    pub const fn on_qemu(mut self) -> Self {
        (self.microvm, self.q35) = (Wanted::Always, Wanted::Long);
        self
    }

    /// The same test, without Xen too, on both boards.
    pub const fn on_both_boards(mut self) -> Self {
        (self.microvm, self.q35) = (Wanted::Always, Wanted::Always);
        self
    }

    /// The same test, without Xen too with `--long`.
    pub const fn on_qemu_long(mut self) -> Self {
        (self.microvm, self.q35) = (Wanted::Long, Wanted::Long);
        self
    }

    /// The same test, of the appliance as a process too.
    pub const fn as_process(mut self) -> Self {
        self.process = Wanted::Always;
        self
    }

    /// The same with `--long`.
    pub const fn as_process_long(mut self) -> Self {
        self.process = Wanted::Long;
        self
    }

    /// The same test, never on QEMU alone; `test --list` says why.
    pub const fn not_on_qemu(mut self, why: &'static str) -> Self {
        self.why_not_qemu = Some(why);
        self
    }

    /// The same test, never of a process; `test --list` says why.
    pub const fn not_as_process(mut self, why: &'static str) -> Self {
        self.why_not_process = Some(why);
        self
    }

    /// The same test, never without Xen; `test --list` says why.
    pub const fn on_xen_only(self, why: &'static str) -> Self {
        self.not_on_qemu(why).not_as_process(why)
    }

    /// The same test on both boards, not with guests of Xen.
    pub const fn without_xen(mut self) -> Self {
        (self.pv, self.pvh) = (Wanted::Never, Wanted::Never);
        self.on_both_boards()
    }

    /// The test, as one of each kind of guest.
    fn of_each_kind(self) -> impl Iterator<Item = Self> {
        let kinds = [
            (Kind::Pv, self.pv),
            (Kind::Pvh, self.pvh),
            (Kind::Machine(Board::Microvm), self.microvm),
            (Kind::Machine(Board::Q35), self.q35),
            (Kind::Process, self.process),
        ];
        let wanted = kinds.into_iter().filter(|(_, wanted)| *wanted != Wanted::Never);
        wanted.map(move |(kind, wanted)| Self { kind, long: self.long || wanted == Wanted::Long, ..self })
    }

    fn topic(&self) -> &'static str {
        self.name.strip_prefix("boot::").unwrap_or(self.name)
    }

    /// Its line in the list of tests, with the reasons why it is not run with other kinds of guests.
    pub fn listed(&self) -> String {
        let reasons = match (self.why_not_qemu, self.why_not_process) {
            (Some(qemu), Some(process)) if qemu == process => [Some(("without Xen", qemu)), None],
            (qemu, process) => [qemu.map(|why| ("on QEMU", why)), process.map(|why| ("as a process", why))],
        };
        let reasons = std::iter::once(self.why_pv_only.map(|why| ("as PVH", why))).chain(reasons);
        let said: Vec<String> = reasons
            .flatten()
            .filter(|_| self.kind == Kind::Pv)
            .map(|(place, why)| format!("not {place}: {why}"))
            .collect();
        let said = if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) };
        self.full_name() + &said
    }

    /// Its name in reports: of a test with PVH guests `boot::topic::what::pvh`, without Xen `qemu::topic::what::BOARD` or
    /// `process::topic::what`.
    pub fn full_name(&self) -> String {
        match self.kind {
            Kind::Pv => self.name.to_owned(),
            Kind::Pvh => format!("{}::pvh", self.name),
            Kind::Machine(board) => format!("qemu::{}::{board}", self.topic()),
            Kind::Process => format!("process::{}", self.topic()),
        }
    }
}

/// Those of the network.
const OF_NETWORK: [&[BootTest]; 10] = [
    net::TESTS,
    netfront::TESTS,
    hypercalls::TESTS,
    dns::TESTS,
    http::TESTS,
    web::TESTS,
    floods::TESTS,
    iperf::TESTS,
    ipv6::TESTS,
    idle::TESTS,
];

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
        block::TESTS,
        blkback::TESTS,
        kv::TESTS,
        kv_clients::TESTS,
        kv_disks::TESTS,
        web_disk::TESTS,
        web_acme::TESTS,
        web_tls::TESTS,
        tls_held::TESTS,
        web_wrong::TESTS,
        proxy::TESTS,
        fetch::TESTS,
    ];
    let last = [linux::TESTS, qemu::TESTS, run::TESTS, new::TESTS];
    topics
        .into_iter()
        .chain(OF_NETWORK)
        .chain(last)
        .flatten()
        .copied()
        .flat_map(BootTest::of_each_kind)
        .collect()
}

/// A path of this machine for what a test keeps for a while: tests run on two hosts at once.
pub fn temporary(name: &str) -> PathBuf {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("fata-{}-{number}-{name}", std::process::id()))
}

/// The image of the test guests (`tests/guests`), set to one of its cases.
fn probe(case: &str) -> Result<GuestSpec> {
    Ok(GuestSpec::new(&format!("probe-{case}"), image("probe")?).extra(&format!("case={case}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of the network run without Xen too, or say why not.
    #[test]
    fn a_test_of_the_network_is_run_without_xen_or_says_why_not() {
        for test in OF_NETWORK.into_iter().flatten() {
            let on_qemu = test.microvm != Wanted::Never || test.q35 != Wanted::Never;
            assert!(on_qemu != test.why_not_qemu.is_some(), "{} on QEMU", test.name);
            let as_process = test.process != Wanted::Never;
            assert!(as_process != test.why_not_process.is_some(), "{} as a process", test.name);
        }
    }

    #[test]
    fn reasons_are_listed() {
        const TEST: BootTest = BootTest::new("boot::x::y", 1, |_| Ok(()));
        assert_eq!(TEST.listed(), "boot::x::y");
        assert_eq!(TEST.on_xen_only("a b").listed(), "boot::x::y (not without Xen: a b)");
        let many = TEST.pv_only("p").not_on_qemu("q").not_as_process("r");
        assert_eq!(many.listed(), "boot::x::y (not as PVH: p; not on QEMU: q; not as a process: r)");
        let on_qemu = BootTest { kind: Kind::Machine(Board::Q35), ..TEST.on_qemu().not_as_process("r") };
        assert_eq!(on_qemu.listed(), "qemu::x::y::q35");
    }
}
