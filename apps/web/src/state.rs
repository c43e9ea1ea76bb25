//! What the appliance knows of itself.

use alloc::rc::Rc;
use core::cell::OnceCell;
use fata::http::{HttpDate, Stats};
use fata::memory::MemoryStats;
use fata::net::Stack;
use fata::time::{Duration, Instant, SystemTime};

/// The appliance's own state, which its handlers share.
pub struct State {
    /// What the server counts.
    pub stats: Rc<Stats>,
    network: OnceCell<Stack>,
    started: Instant,
    started_at: SystemTime,
}

impl State {
    /// The state of an appliance that starts now.
    pub fn new(stats: Rc<Stats>) -> Self {
        Self { stats, network: OnceCell::new(), started: Instant::now(), started_at: SystemTime::now() }
    }

    /// Tells the stack that the server listens on, whose figures are shown from then on. The first counts.
    pub fn set_network(&self, stack: Stack) {
        let _ = self.network.set(stack);
    }

    /// The stack, once it is there.
    pub fn network(&self) -> Option<&Stack> {
        self.network.get()
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
