//! The client: its connections, and how one is had.

use super::failure::{FetchError, Waiting};
use super::fetch::Request;
use super::pool::{Bounds, Full, Pool, Ticket};
use super::{Connection, Error, Origin, Policy, RequestWriter, ResponseReader, Stats};
use alloc::rc::{Rc, Weak};
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, Instant, sleep_until, timeout};

/// What makes connections.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs to be Send")]
pub trait Connector: 'static {
    /// The half of a connection that reads. A read that was dropped may have taken nothing.
    type Reader: Read + 'static;
    /// The half that writes.
    type Writer: Write + 'static;
    /// Why there is none.
    type Error;

    /// Connects; over TLS, where the scheme asks for that.
    async fn connect(&self, origin: &Origin) -> Result<(Self::Reader, Self::Writer), Self::Error>;

    /// Whether there is something to be read of a connection that should be silent, its end for one; `None` where that
    /// cannot be told without waiting.
    fn has_input(&self, reader: &mut Self::Reader) -> Option<bool>;
}

type Wire<C> = Connection<<C as Connector>::Reader, <C as Connector>::Writer>;

/// Fetches over HTTP, and keeps connections for the next time. Cloning gives another handle of the same one.
pub struct Client<C: Connector>(Rc<Shared<C>>);

/// What its requests share.
pub(super) struct Shared<C: Connector> {
    connector: C,
    pub(super) policy: Policy,
    pub(super) stats: Rc<Stats>,
    pool: RefCell<Pool<Wire<C>>>,
    /// A task closes connections that nobody uses.
    is_swept: Cell<bool>,
}

impl<C: Connector> Client<C> {
    /// With the default policy.
    pub fn new(connector: C) -> Self {
        Self::with(connector, Policy::default())
    }

    /// With a policy of one's own.
    pub fn with(connector: C, policy: Policy) -> Self {
        let bounds = Bounds {
            all: policy.connections.max(1),
            per_origin: policy.connections_per_origin.max(1),
            waiting: policy.waiting,
            idle_time: policy.idle_time,
        };
        let pool = RefCell::new(Pool::new(bounds));
        Self(Rc::new(Shared { connector, policy, stats: Rc::default(), pool, is_swept: Cell::new(false) }))
    }

    /// A GET of a URL.
    pub fn get(&self, url: &str) -> Request<C> {
        self.request("GET", url)
    }

    /// A HEAD of a URL.
    pub fn head(&self, url: &str) -> Request<C> {
        self.request("HEAD", url)
    }

    /// A POST to a URL.
    pub fn post(&self, url: &str) -> Request<C> {
        self.request("POST", url)
    }

    /// A request of any method. What is wrong with it is told when it is sent.
    pub fn request(&self, method: &str, url: &str) -> Request<C> {
        Request::new(self.0.clone(), method, url)
    }

    /// What it counts.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Connections that wait for a request, and those in use.
    pub fn connections(&self) -> (usize, usize) {
        let pool = self.0.pool.borrow();
        (pool.idle(), pool.in_use())
    }
}

impl<C: Connector> Clone for Client<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Which connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// One that has not been used.
    Fresh,
    /// One that surely lives.
    Alive,
    /// Any: if it turns out to be dead, the request can be sent again.
    Any,
}

impl<C: Connector> Shared<C> {
    /// A connection to there.
    pub(super) async fn connection(
        self: &Rc<Self>,
        origin: &Origin,
        wanted: Wanted,
        clock: &Clock,
    ) -> Result<Lease<C>, FetchError<C::Error>> {
        let turn = Turn { shared: self, origin, ticket: None };
        let turn = clock.within(self.policy.connect_time, Waiting::Connection, turn).await?;
        if let Err(Full) = turn {
            self.stats.turned_away.add(1);
            return Err(FetchError::TooManyConnections);
        }
        let mut lease =
            Lease { shared: self.clone(), origin: origin.clone(), held: Held::Nothing, is_reused: false };
        let kept = if wanted == Wanted::Fresh { None } else { self.kept(origin, wanted) };
        if let Some(connection) = kept {
            self.stats.reused.add(1);
            (lease.held, lease.is_reused) = (Held::Both(connection), true);
            return Ok(lease);
        }
        self.pool.borrow_mut().make_room(origin);
        let connecting = self.connector.connect(origin);
        let connected = clock.within(self.policy.connect_time, Waiting::Connection, connecting).await?;
        let (reader, writer) = connected.map_err(FetchError::Connect)?;
        self.stats.opened.add(1);
        let connection = Connection::with(reader, writer, self.policy.response.clone(), self.stats.clone());
        lease.held = Held::Both(connection);
        Ok(lease)
    }

    fn kept(&self, origin: &Origin, wanted: Wanted) -> Option<Wire<C>> {
        loop {
            let mut connection = self.pool.borrow_mut().take(origin, Instant::now())?;
            match self.connector.has_input(connection.reader().stream_mut()) {
                Some(false) => return Some(connection),
                None if wanted == Wanted::Any => return Some(connection),
                _ => {}
            }
        }
    }

    fn keep(self: &Rc<Self>, origin: Origin, connection: Wire<C>) {
        self.pool.borrow_mut().put(origin, connection, Instant::now());
        if !self.is_swept.replace(true) {
            fata_libos::spawn_detached(sweep(Rc::downgrade(self)));
        }
    }
}

/// Closes connections that nobody uses, until there is none.
async fn sweep<C: Connector>(shared: Weak<Shared<C>>) {
    loop {
        let next = match shared.upgrade() {
            None => return,
            Some(shared) => {
                let next = shared.pool.borrow_mut().sweep(Instant::now());
                shared.is_swept.set(next.is_some());
                next
            }
        };
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}

/// Waits until one more connection may be in use, which it is then.
struct Turn<'a, C: Connector> {
    shared: &'a Shared<C>,
    origin: &'a Origin,
    ticket: Option<Ticket>,
}

impl<C: Connector> Future for Turn<'_, C> {
    type Output = Result<(), Full>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, origin, ticket } = &mut *self;
        let had = ticket.is_some();
        let entered = shared.pool.borrow_mut().enter(origin, ticket, cx.waker());
        if entered.is_pending() && !had {
            shared.stats.waited.add(1);
        }
        entered
    }
}

impl<C: Connector> Drop for Turn<'_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.pool.borrow_mut().leave(ticket);
        }
    }
}

/// What there is of a connection.
enum Held<C: Connector> {
    Both(Wire<C>),
    /// The other half is with a request's content.
    Reader(ResponseReader<C::Reader>),
    Nothing,
}

/// A connection in use. Dropping it gives it back, if another request may follow.
pub(super) struct Lease<C: Connector> {
    shared: Rc<Shared<C>>,
    origin: Origin,
    held: Held<C>,
    pub(super) is_reused: bool,
}

impl<C: Connector> Lease<C> {
    /// The connection, while both its halves are here.
    pub(super) fn connection(&mut self) -> Result<&mut Wire<C>, Error> {
        match &mut self.held {
            Held::Both(connection) => Ok(connection),
            _ => Err(Error::OutOfTurn),
        }
    }

    /// The half that reads.
    pub(super) fn reader(&mut self) -> Result<&mut ResponseReader<C::Reader>, Error> {
        match &mut self.held {
            Held::Both(connection) => Ok(connection.reader()),
            Held::Reader(reader) => Ok(reader),
            Held::Nothing => Err(Error::OutOfTurn),
        }
    }

    /// Takes the half that writes. A connection without it serves no other request.
    pub(super) fn take_writer(&mut self) -> Result<RequestWriter<C::Writer>, Error> {
        match core::mem::replace(&mut self.held, Held::Nothing) {
            Held::Both(connection) => {
                let (reader, writer) = connection.into_halves();
                self.held = Held::Reader(reader);
                Ok(writer)
            }
            other => {
                self.held = other;
                Err(Error::OutOfTurn)
            }
        }
    }

    /// Gives it back.
    pub(super) fn put_writer(&mut self, writer: RequestWriter<C::Writer>) {
        self.held = match core::mem::replace(&mut self.held, Held::Nothing) {
            Held::Reader(reader) => Held::Both(Connection::of_halves(reader, writer)),
            other => other,
        };
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        match core::mem::replace(&mut self.held, Held::Nothing) {
            Held::Both(connection) if connection.is_reusable() => {
                self.shared.keep(self.origin.clone(), connection);
            }
            _ => self.shared.pool.borrow_mut().close(&self.origin),
        }
    }
}

/// The time that a fetch has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    deadline: Option<Instant>,
}

impl Clock {
    pub(super) fn start(total: Option<Duration>) -> Self {
        Self { deadline: total.map(|time| Instant::now() + time) }
    }

    /// The lesser of `time` and what is left of all, and which it is.
    pub(super) fn left(&self, time: Duration, what: Waiting) -> (Duration, Waiting) {
        let left = self.deadline.map(|deadline| deadline.duration_since(Instant::now()));
        match left {
            Some(left) if left < time => (left, Waiting::All),
            _ => (time, what),
        }
    }

    /// Waits for `future`, but not longer than that.
    pub(super) async fn within<F: Future, E>(
        &self,
        time: Duration,
        what: Waiting,
        future: F,
    ) -> Result<F::Output, FetchError<E>> {
        let (time, what) = self.left(time, what);
        timeout(time, future).await.map_err(|_| FetchError::TimedOut(what))
    }

    /// Waits for `future`, but not longer than all may take.
    pub(super) async fn total<F: Future, E>(&self, future: F) -> Result<F::Output, FetchError<E>> {
        match self.deadline {
            None => Ok(future.await),
            Some(deadline) => {
                let left = deadline.duration_since(Instant::now());
                timeout(left, future).await.map_err(|_| FetchError::TimedOut(Waiting::All))
            }
        }
    }
}
