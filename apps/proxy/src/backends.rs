//! Pools of servers as they run: their connections, who waits for one, and what is counted.

use crate::balance::{self, Choice, Load, Tried};
use crate::config;
use crate::health::{Change, Checks, Health, Rules, Seen};
use crate::proxy_protocol::{self, Ends};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;
use embedded_io_async::Write;
use fata::fetch::Connector;
use fata::log::{info, warn};
use fata::task::WakerSet;
use fata::time::{Duration, Instant, timeout};
use fata_http::client::{Connection, Connector as _};

/// A connection to a server.
pub type Wire = Connection<
    <Connector as fata_http::client::Connector>::Reader,
    <Connector as fata_http::client::Connector>::Writer,
>;

/// Connections that wait for a request, of each server at most.
const KEPT: usize = 16;
/// For so long: servers close theirs after a while, nginx after 75 s.
const KEPT_FOR: Duration = Duration::from_secs(30);
/// A server that is not checked gets nothing for so long after it was found down.
const PAUSE: Duration = Duration::from_secs(10);
/// Connections in vain until one that is not checked is down.
const FALL: u32 = 3;

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

/// A server.
pub struct Backend {
    /// What is said of it.
    pub config: config::Server,
    health: RefCell<Health>,
    under_way: Cell<usize>,
    kept: RefCell<Vec<(Wire, Instant)>>,
    /// What is counted.
    pub counts: Counts,
}

impl Backend {
    /// Whether it may have requests.
    pub fn is_up(&self) -> bool {
        self.health.borrow().is_up(Instant::now())
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.under_way.get()
    }

    /// Takes note of what has become of something.
    pub fn note(&self, seen: Seen) {
        let change = self.health.borrow_mut().note(seen, Instant::now());
        let name = self.config.origin.authority();
        match change {
            Some(Change::Up) => info!("backend {name} is up"),
            Some(Change::Down) => {
                warn!("backend {name} is down");
                self.kept.borrow_mut().clear();
            }
            None => {}
        }
    }
}

/// Servers that do the same.
pub struct Pool {
    /// What is said of it.
    pub config: config::Pool,
    /// Its servers.
    pub servers: Vec<Backend>,
    connector: Connector,
    connect_time: Duration,
    turn: Cell<usize>,
    waiting: Cell<usize>,
    freed: WakerSet,
    /// Requests that found no place in the queue, or waited in vain.
    pub turned_away: Cell<u64>,
}

/// Why a request gets no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoServer {
    /// None is up.
    Down,
    /// All have as many requests as they may, and so has the queue.
    Full,
    /// It waited for one for too long.
    Waited,
}

impl Pool {
    /// As configured.
    pub fn new(config: config::Pool, connector: Connector, connect_time: Duration) -> Self {
        let rules = match &config.check {
            Some(check) => Rules { rise: check.rise, fall: check.fall, pause: PAUSE, checks: Checks::Active },
            None => Rules { rise: 1, fall: FALL, pause: PAUSE, checks: Checks::Passive },
        };
        let server = |config: &config::Server| Backend {
            config: config.clone(),
            health: RefCell::new(Health::new(rules)),
            under_way: Cell::new(0),
            kept: RefCell::default(),
            counts: Counts::default(),
        };
        let servers = config.servers.iter().map(server).collect();
        Self {
            config,
            servers,
            connector,
            connect_time,
            turn: Cell::new(0),
            waiting: Cell::new(0),
            freed: WakerSet::new(),
            turned_away: Cell::new(0),
        }
    }

    fn choose(&self, tried: Tried) -> Choice {
        let now = Instant::now();
        let load = |server: &Backend| Load {
            under_way: server.under_way.get(),
            limit: self.config.connections,
            weight: server.config.weight,
            is_up: server.health.borrow().is_up(now),
        };
        balance::choose(self.servers.iter().map(load), self.turn.get(), tried)
    }

    /// A server for a request that has been to those; waits while all have as many as they may.
    pub async fn server(self: &Rc<Self>, tried: Tried) -> Result<Turn, NoServer> {
        let mut choice = self.choose(tried);
        if choice == Choice::Full {
            if self.waiting.get() >= self.config.queue {
                count(&self.turned_away);
                return Err(NoServer::Full);
            }
            let _waits = Waits::new(&self.waiting);
            let freed = poll_fn(|cx| match self.choose(tried) {
                Choice::Full => {
                    self.freed.register(cx);
                    Poll::Pending
                }
                choice => Poll::Ready(choice),
            });
            choice = timeout(self.connect_time, freed).await.map_err(|_| {
                count(&self.turned_away);
                NoServer::Waited
            })?;
        }
        let Choice::Server(number) = choice else { return Err(NoServer::Down) };
        self.turn.set(number + 1);
        let server = &self.servers[number];
        server.under_way.set(server.under_way.get() + 1);
        server.health.borrow_mut().begin_trial(Instant::now());
        Ok(Turn { pool: self.clone(), number })
    }
}

struct Waits<'a>(&'a Cell<usize>);

impl<'a> Waits<'a> {
    fn new(waiting: &'a Cell<usize>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A request's place at a server, until it is dropped.
pub struct Turn {
    pool: Rc<Pool>,
    /// Which one.
    pub number: usize,
}

/// Which connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Any.
    Any,
    /// One that has not been used.
    Fresh,
}

impl Turn {
    /// The server.
    pub fn server(&self) -> &Backend {
        &self.pool.servers[self.number]
    }

    /// A connection, and whether it was used before; `None` if there is none to be had. `ends` are those of the client.
    pub async fn connect(&self, wanted: Wanted, ends: Ends) -> Option<(Wire, bool)> {
        let server = self.server();
        // What is kept is another client's, where each says whose it is.
        let may_reuse = wanted == Wanted::Any && self.pool.config.send_proxy.is_none();
        if let Some(wire) = may_reuse.then(|| self.kept()).flatten() {
            count(&server.counts.reused);
            return Some((wire, true));
        }
        let connecting = async {
            let (reader, mut writer) = self.pool.connector.connect(&server.config.origin).await.ok()?;
            if let Some(version) = self.pool.config.send_proxy {
                let header = proxy_protocol::header(version, Some(ends));
                writer.write_all(&header).await.ok()?;
            }
            Some(Connection::new(reader, writer))
        };
        let wire = timeout(self.pool.connect_time, connecting).await.ok().flatten();
        match &wire {
            Some(_) => count(&server.counts.connections),
            None => count(&server.counts.unreachable),
        }
        server.note(if wire.is_some() { Seen::Connected } else { Seen::NoConnection });
        wire.map(|wire| (wire, false))
    }

    fn kept(&self) -> Option<Wire> {
        let now = Instant::now();
        loop {
            let (mut wire, until) = self.server().kept.borrow_mut().pop()?;
            let is_silent = self.pool.connector.has_input(wire.reader().stream_mut()) == Some(false);
            if now < until && is_silent {
                return Some(wire);
            }
        }
    }

    /// Keeps a connection for the next request, if it can have one.
    pub fn keep(&self, wire: Wire) {
        if !wire.is_reusable() || self.pool.config.send_proxy.is_some() {
            return;
        }
        let now = Instant::now();
        let mut kept = self.server().kept.borrow_mut();
        kept.retain(|(_, until)| now < *until);
        if kept.len() < KEPT {
            kept.push((wire, now + KEPT_FOR));
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let server = self.server();
        server.under_way.set(server.under_way.get() - 1);
        self.pool.freed.wake_all();
    }
}
