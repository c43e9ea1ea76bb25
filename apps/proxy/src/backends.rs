//! Servers as they run: what is thought of them, what is counted, and what went wrong last.

use crate::config;
use crate::health::{Change, Health, Rules, Seen};
use crate::kept::Kept;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use fata::fetch::{ConnectError, Connector};
use fata::log::{info, warn};
use fata::net;
use fata::time::Instant;
use fata_http::client::{self, Connection};

/// A connection to a server.
pub type Wire = Connection<
    <Connector as fata_http::client::Connector>::Reader,
    <Connector as fata_http::client::Connector>::Writer,
>;

/// Whether a connection has served requests before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// It has: its server may be closing it.
    Before,
    /// It has not.
    Never,
}

/// Counts of a server.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests sent to it.
    pub requests: Cell<u64>,
    /// Responses by class, from 1xx to 5xx.
    pub responses: [Cell<u64>; 5],
    /// Connections made.
    pub connections: Cell<u64>,
    /// Requests on a connection that had served others.
    pub reused: Cell<u64>,
    /// Connections that were not to be had.
    pub unreachable: Cell<u64>,
    /// Responses that did not come, or did not end.
    pub failed: Cell<u64>,
    /// Those of them that did not come in time.
    pub timed_out: Cell<u64>,
    /// Checks that went wrong.
    pub bad_checks: Cell<u64>,
    /// From a request to the head of its response, all together, microseconds.
    pub waited_us: Cell<u64>,
}

/// One more.
pub fn count(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}

/// What went wrong with a server.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// It takes no connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// Not in time.
    #[error("no connection in time")]
    ConnectTime,
    /// What it says is no response, or not a whole one.
    #[error("{0}")]
    Http(#[from] client::Error),
    /// It goes on with a protocol that it was not asked for.
    #[error("it changed to a protocol that nobody asked for")]
    Protocol,
    /// It is silent.
    #[error("no answer in time")]
    Silent,
    /// It takes no more of a request.
    #[error("it took no more of a request in time")]
    Stalled,
    /// A check's answer has another status than those that are good.
    #[error("a check was answered {0}")]
    CheckStatus(u16),
    /// A check was not answered.
    #[error("a check was not answered in time")]
    CheckTime,
}

impl Fault {
    /// Whether it is this guest that has no connection left, or no memory for one: the server is not to blame.
    pub fn is_own(&self) -> bool {
        use net::Error::{AddrInUse, AddrNotAvailable, OutOfMemory};
        matches!(self, Self::Connect(ConnectError::Network(OutOfMemory | AddrNotAvailable | AddrInUse)))
            || *self == Self::Http(client::Error::NoMemory)
    }
}

/// A server.
pub struct Backend {
    /// What is said of it.
    pub config: config::Server,
    pub(crate) health: RefCell<Health>,
    pub(crate) under_way: Cell<usize>,
    pub(crate) tunnels: Cell<usize>,
    pub(crate) kept: RefCell<Kept<Wire>>,
    fault: RefCell<Option<(Fault, Instant)>>,
    /// What is counted.
    pub counts: Counts,
}

impl Backend {
    /// As configured.
    pub fn new(config: config::Server, rules: Rules) -> Self {
        Self {
            config,
            health: RefCell::new(Health::new(rules)),
            under_way: Cell::new(0),
            tunnels: Cell::new(0),
            kept: RefCell::default(),
            fault: RefCell::default(),
            counts: Counts::default(),
        }
    }

    /// What it is called: its address.
    pub fn name(&self) -> String {
        self.config.origin.authority()
    }

    /// Whether it may have requests.
    pub fn is_up(&self) -> bool {
        self.health.borrow().is_up(Instant::now())
    }

    /// Since when it is down, if it is.
    pub fn down_since(&self) -> Option<Instant> {
        self.health.borrow().down_since()
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Connections with another protocol.
    pub fn tunnels(&self) -> usize {
        self.tunnels.get()
    }

    /// Connections that wait for a request.
    pub fn kept(&self) -> usize {
        self.kept.borrow().len()
    }

    /// What went wrong last, and when.
    pub fn last_fault(&self) -> Option<(Fault, Instant)> {
        self.fault.borrow().clone()
    }

    /// Something went wrong.
    pub fn failed(&self, fault: Fault) {
        *self.fault.borrow_mut() = Some((fault, Instant::now()));
    }

    /// Takes note of what has become of something.
    pub(crate) fn note(&self, seen: Seen) {
        match self.health.borrow_mut().note(seen, Instant::now()) {
            Some(Change::Up) => info!("backend {} is up", self.name()),
            Some(Change::Down) => {
                match self.last_fault() {
                    Some((fault, _)) => warn!("backend {} is down: {fault}", self.name()),
                    None => warn!("backend {} is down", self.name()),
                }
                self.kept.borrow_mut().clear();
            }
            None => {}
        }
    }
}
