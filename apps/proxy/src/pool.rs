//! Pools of servers as they run: which of them a request gets, who waits for one, and connections to them.

use crate::backends::{Backend, Fault, Wire, count};
use crate::balance::{self, Choice, Load};
use crate::buffer;
use crate::config;
use crate::health::{Checks, Rules, Seen};
use crate::kept::For;
use crate::proxy_protocol::{self, Ends};
use crate::queue::{Left, Queue, Ticket, Wanted};
use crate::shares::{self, Client, Kind, Shares};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use embedded_io_async::{Error as _, Write};
use fata::fetch::Connector;
use fata::time::{Duration, Instant, sleep_until, timeout};
use fata_http::client::{Connection, Connector as _, Error};

/// Connections that wait for a request, of each server at most.
const KEPT: usize = 64;
/// What one is thought to take, octets.
const PER_KEPT: usize = 16 << 10;
/// Those that their servers have closed are found within so long.
const SWEEP: Duration = Duration::from_secs(5);
/// A server that is not checked gets nothing for so long after it was found down.
const PAUSE: Duration = Duration::from_secs(10);
/// Connections or answers in vain until one that is not checked is down.
const FALL: u32 = 3;

/// Servers that do the same.
pub struct Pool {
    /// What is said of it.
    pub config: config::Pool,
    /// Its servers.
    pub servers: Vec<Backend>,
    connector: Connector,
    /// For a connection, and for a place at a server.
    pub(crate) connect_time: Duration,
    turn: Cell<usize>,
    queue: RefCell<Queue>,
    shares: RefCell<Shares>,
    is_swept: Cell<bool>,
    /// Requests that found no place in the queue or for a tunnel, or waited in vain.
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
        let servers = config.servers.iter().map(|server| Backend::new(server.clone(), rules)).collect();
        Self {
            config,
            servers,
            connector,
            connect_time,
            turn: Cell::new(0),
            queue: RefCell::default(),
            shares: RefCell::default(),
            is_swept: Cell::new(false),
            turned_away: Cell::new(0),
        }
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.queue.borrow().len()
    }

    /// Takes note of what has become of something at one of its servers.
    pub fn note(&self, number: usize, seen: Seen) {
        let Some(server) = self.servers.get(number) else { return };
        // One that answers some and not others is better than none.
        let is_another_up = || self.servers.iter().enumerate().any(|(n, other)| n != number && other.is_up());
        if seen != Seen::NoAnswer || is_another_up() {
            server.note(seen);
            self.serve_queue();
        }
    }

    /// How many clients have something of it now.
    pub fn clients(&self) -> usize {
        self.shares.borrow().clients()
    }

    /// How much of that one client may have.
    fn share(&self, kind: Kind) -> usize {
        let of_all = |each: usize| each.saturating_mul(self.servers.len());
        let all = match kind {
            Kind::Place => of_all(self.config.connections),
            Kind::Waiting => self.config.queue,
            Kind::Tunnel => of_all(self.config.tunnels),
        };
        shares::part(all, self.config.client_share)
    }

    /// One more of that for a client, if it may have it.
    fn grant(&self, client: Option<Client>, kind: Kind) -> bool {
        client.is_none_or(|client| self.shares.borrow_mut().take(client, kind, self.share(kind)))
    }

    /// A client gives one of that back.
    fn ungrant(&self, client: Option<Client>, kind: Kind) {
        if let Some(client) = client {
            self.shares.borrow_mut().give_back(client, kind);
        }
    }

    /// Chooses a server, and takes a place there.
    fn take(&self, wanted: Wanted) -> Choice {
        let now = Instant::now();
        let load = |server: &Backend| Load {
            under_way: server.under_way.get(),
            limit: self.config.connections,
            weight: server.config.weight,
            is_up: server.health.borrow().is_up(now),
        };
        let choice = balance::choose(self.servers.iter().map(load), self.turn.get(), wanted.tried);
        if let Choice::Server(number) = choice {
            if !self.grant(wanted.client, Kind::Place) {
                return Choice::Held;
            }
            self.turn.set(number + 1);
            let server = &self.servers[number];
            server.under_way.set(server.under_way.get() + 1);
            server.health.borrow_mut().begin_trial(now);
        }
        choice
    }

    /// A client's place at a server is free.
    fn give_back(&self, number: usize, client: Option<Client>) {
        self.ungrant(client, Kind::Place);
        let under_way = &self.servers[number].under_way;
        under_way.set(under_way.get() - 1);
        self.serve_queue();
    }

    fn serve_queue(&self) {
        let mut queue = self.queue.borrow_mut();
        if !queue.is_empty() {
            queue.serve(|wanted| {
                let choice = self.take(wanted);
                if matches!(choice, Choice::Server(_) | Choice::Down) {
                    self.ungrant(wanted.client, Kind::Waiting);
                }
                choice
            });
        }
    }

    /// A server for a request; waits while all have as many as they may, or its client has, behind those that have come before.
    pub async fn server(self: &Rc<Self>, wanted: Wanted) -> Result<Turn, NoServer> {
        // Time alone may have let a server be tried again.
        self.serve_queue();
        let number = match self.take(wanted) {
            Choice::Server(number) => number,
            Choice::Down => return Err(NoServer::Down),
            Choice::Full | Choice::Held => self.wait(wanted).await?,
        };
        Ok(Turn { pool: self.clone(), number, client: wanted.client, began: Instant::now() })
    }

    async fn wait(&self, wanted: Wanted) -> Result<usize, NoServer> {
        let Some(waits) = self.enter(wanted) else {
            count(&self.turned_away);
            return Err(NoServer::Full);
        };
        let ticket = waits.ticket;
        let given = poll_fn(|cx| self.queue.borrow_mut().poll(ticket, cx));
        let given = timeout(self.connect_time, given).await;
        drop(waits);
        match given {
            Ok(number) => number.ok_or(NoServer::Down),
            Err(_) => {
                count(&self.turned_away);
                Err(NoServer::Waited)
            }
        }
    }
}

impl Pool {
    fn enter(&self, wanted: Wanted) -> Option<Waits<'_>> {
        if !self.grant(wanted.client, Kind::Waiting) {
            return None;
        }
        let ticket = self.queue.borrow_mut().enter(wanted, self.config.queue);
        if ticket.is_err() {
            self.ungrant(wanted.client, Kind::Waiting);
        }
        Some(Waits { pool: self, ticket: ticket.ok()?, client: wanted.client })
    }
}

/// A request that waits. However that ends, what it has been given is not lost.
struct Waits<'a> {
    pool: &'a Pool,
    ticket: Ticket,
    client: Option<Client>,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let left = self.pool.queue.borrow_mut().leave(self.ticket);
        match left {
            Some(Left::Waiting) => self.pool.ungrant(self.client, Kind::Waiting),
            Some(Left::Given(number)) => self.pool.give_back(number, self.client),
            None => {}
        }
    }
}

/// A request's place at a server, until it is dropped.
pub struct Turn {
    pool: Rc<Pool>,
    /// Which one.
    pub number: usize,
    client: Option<Client>,
    /// Since when.
    began: Instant,
}

impl Turn {
    /// The server.
    pub fn server(&self) -> &Backend {
        &self.pool.servers[self.number]
    }

    /// The server has answered.
    pub fn answered(&self) {
        self.pool.note(self.number, Seen::Answered(self.began));
    }

    /// The server has not answered.
    pub fn unanswered(&self) {
        self.pool.note(self.number, Seen::NoAnswer);
    }

    /// A connection that was used before.
    pub fn kept(&self, wanted: For) -> Option<Wire> {
        let server = self.server();
        let is_silent = |wire: &mut Wire| is_silent(&self.pool.connector, wire);
        let wire = server.kept.borrow_mut().take(wanted, Instant::now(), is_silent)?;
        count(&server.counts.reused);
        Some(wire)
    }

    /// A new connection. `ends` are those of the client.
    pub async fn connect(&self, ends: Ends) -> Result<Wire, Fault> {
        let server = self.server();
        let connecting = async {
            let (reader, mut writer) = self.pool.connector.connect(&server.config.origin).await?;
            if let Some(version) = self.pool.config.send_proxy {
                let header = proxy_protocol::header(version, Some(ends));
                writer.write_all(&header).await.map_err(|error| Error::Io(error.kind()))?;
            }
            Ok(Connection::new(reader, writer))
        };
        let wire = timeout(self.pool.connect_time, connecting).await.unwrap_or(Err(Fault::ConnectTime));
        match &wire {
            Ok(_) => count(&server.counts.connections),
            Err(fault) => {
                server.failed(fault.clone());
                count(&server.counts.unreachable);
                if !fault.is_own() {
                    self.pool.note(self.number, Seen::NoConnection);
                }
            }
        }
        wire
    }

    /// Whether its connection may go on with another protocol, as far as can be told now.
    pub fn may_tunnel(&self) -> bool {
        let held = |client| self.pool.shares.borrow().of(client, Kind::Tunnel);
        let is_in_share = self.client.is_none_or(|client| held(client) < self.pool.share(Kind::Tunnel));
        is_in_share && self.server().tunnels.get() < self.pool.config.tunnels
    }

    /// A place for a connection with another protocol, which is none of those of requests: dropping this gives that back.
    pub fn into_tunnel(self) -> Option<Tunnel> {
        if !self.may_tunnel() || !self.pool.grant(self.client, Kind::Tunnel) {
            self.turn_away();
            return None;
        }
        let tunnels = &self.server().tunnels;
        tunnels.set(tunnels.get() + 1);
        Some(Tunnel { pool: self.pool.clone(), number: self.number, client: self.client })
    }

    /// A request found no place for a tunnel.
    pub fn turn_away(&self) {
        count(&self.pool.turned_away);
    }

    /// Keeps a connection for the next request, if it can have one, for as long as the server says.
    pub fn keep(&self, wire: Wire, said: Option<Duration>) {
        let server = self.server();
        // What each begins with says whose it is: another client's request is none of it.
        let may_serve_others = wire.is_reusable() && self.pool.config.send_proxy.is_none();
        if may_serve_others && server.down_since().is_none() && buffer::is_free(PER_KEPT) {
            let most = KEPT.min(self.pool.config.connections);
            server.kept.borrow_mut().put(wire, most, said, Instant::now());
            if !self.pool.is_swept.replace(true) {
                fata::spawn(sweep(Rc::downgrade(&self.pool))).detach();
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pool.give_back(self.number, self.client);
    }
}

/// The place of a connection with another protocol, until it is dropped.
pub struct Tunnel {
    pool: Rc<Pool>,
    number: usize,
    client: Option<Client>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let tunnels = &self.pool.servers[self.number].tunnels;
        tunnels.set(tunnels.get() - 1);
        self.pool.ungrant(self.client, Kind::Tunnel);
    }
}

fn is_silent(connector: &Connector, wire: &mut Wire) -> bool {
    connector.has_input(wire.reader().stream_mut()) == Some(false)
}

/// Closes connections of a pool whose time is over, and those that their servers have closed, as long as any are kept.
async fn sweep(pool: Weak<Pool>) {
    loop {
        let next = match pool.upgrade() {
            None => return,
            Some(pool) => {
                let now = Instant::now();
                let sweep = |server: &Backend| {
                    server.kept.borrow_mut().sweep(now, |wire| is_silent(&pool.connector, wire))
                };
                let next = pool.servers.iter().filter_map(sweep).min();
                pool.is_swept.set(next.is_some());
                next.map(|next| next.min(now + SWEEP))
            }
        };
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}
