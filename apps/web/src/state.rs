//! What the appliance knows of itself.

use alloc::rc::Rc;
use alloc::string::String;
use core::cell::OnceCell;
use core::fmt::Write;
use core::net::{IpAddr, SocketAddr};
use fata::http::{HttpDate, Stats};
use fata::memory::MemoryStats;
use fata::net::{Capture, Stack};
use fata::time::{Duration, Instant, SystemTime};

/// The appliance's own state, which its handlers share.
pub struct State {
    /// What the server counts.
    pub stats: Rc<Stats>,
    network: OnceCell<Stack>,
    capture: OnceCell<Capture>,
    /// How much of their addresses is shown.
    pub peers: Peers,
    started: Instant,
    started_at: SystemTime,
    /// What HTTPS counts.
    #[cfg(feature = "tls")]
    pub tls: crate::https::Counts,
}

/// How much of its peers' addresses the appliance shows to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peers {
    /// Not who they are: the first three octets of an IPv4 address, the first three groups of an IPv6 one, no port.
    Hidden,
    /// All.
    Shown,
}

impl Peers {
    /// Writes as much of an address as is shown. The standard library's own way to write one is three kilobytes of an image.
    pub fn write(self, end: SocketAddr, text: &mut String) {
        let _ = match (self, end.ip()) {
            (Self::Shown, IpAddr::V4(ip)) => write!(text, "{ip}:{}", end.port()),
            (Self::Hidden, IpAddr::V4(ip)) => {
                let [a, b, c, _] = ip.octets();
                write!(text, "{a}.{b}.{c}.x")
            }
            (_, IpAddr::V6(ip)) => {
                let groups = ip.segments();
                let groups = if self == Self::Shown { &groups[..] } else { &groups[..3] };
                for (n, group) in groups.iter().enumerate() {
                    let _ = write!(text, "{}{group:x}", if n == 0 { "[" } else { ":" });
                }
                let port = if self == Self::Shown { end.port() } else { 0 };
                write!(text, "]:{port}")
            }
        };
    }
}

impl State {
    /// The state of an appliance that starts now.
    pub fn new(stats: Rc<Stats>, peers: Peers) -> Self {
        let (started, started_at) = (Instant::now(), SystemTime::now());
        Self {
            stats,
            network: OnceCell::new(),
            capture: OnceCell::new(),
            peers,
            started,
            started_at,
            #[cfg(feature = "tls")]
            tls: crate::https::Counts::default(),
        }
    }

    /// Tells the stack that the server listens on, whose figures are shown from then on. The first counts.
    pub fn set_network(&self, stack: Stack) {
        let _ = self.network.set(stack);
    }

    /// The stack, once it is there.
    pub fn network(&self) -> Option<&Stack> {
        self.network.get()
    }

    /// Tells the capture that whoever asks may have. The first counts.
    pub fn set_capture(&self, capture: Capture) {
        let _ = self.capture.set(capture);
    }

    /// The capture, where there is one.
    pub fn capture(&self) -> Option<&Capture> {
        self.capture.get()
    }

    /// The time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The time of day at the start.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// Memory of the guest.
    pub fn memory(&self) -> MemoryStats {
        fata::memory::stats()
    }

    /// What `Last-Modified` says: what the builder said, but nothing later than the start; else the start. The content cannot
    /// have changed since then, and an image that was built twice is the same.
    pub fn last_modified(&self, built: Option<u64>) -> HttpDate {
        let start = self.started_at.since_unix().as_secs();
        HttpDate::from_unix_seconds(built.map_or(start, |built| built.min(start)))
    }
}
