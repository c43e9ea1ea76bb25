//! The server: what all its connections share, and the loop that accepts them.

use crate::connection;
use crate::date::DateCache;
use crate::drive::drive;
use crate::head::Takes;
use crate::io::Io;
#[cfg(feature = "h2")]
use crate::io::Spoken;
use crate::memory;
use crate::memory::Waiting;
use crate::registry::{Registry, Slot};
use crate::spare::Spare;
use crate::{Limits, Peer, Router, Stats};
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{Read, Write};
use fata_libos::net::Abort;
use fata_libos::time::timeout;
use fata_libos::{shutdown, spawn_detached};

/// Where connections come from. Any `async` closure that gives a stream and its peer is one, which may be an address:
/// `server.serve(async move || listener.accept().await)`.
#[allow(async_fn_in_trait, reason = "one thread: no future here needs to be Send")]
pub trait Accept {
    /// A connection. Its `flush` need not wait for the peer to have received anything.
    type Stream: Read + Write + Abort + 'static;
    /// Why there are no more.
    type Error;

    /// Waits for the next connection.
    async fn accept(&self) -> Result<(Self::Stream, Peer), Self::Error>;
}

impl<F, S, P, E> Accept for F
where
    F: AsyncFn() -> Result<(S, P), E>,
    S: Read + Write + Abort + 'static,
    P: Into<Peer>,
{
    type Stream = S;
    type Error = E;

    async fn accept(&self) -> Result<(S, Peer), E> {
        let (stream, peer) = self().await?;
        Ok((stream, peer.into()))
    }
}

/// A server. Cloning gives another handle of the same one.
#[derive(Clone)]
pub struct Server(Rc<Shared>);

/// What the connections of a server share.
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) stats: Rc<Stats>,
    pub(crate) registry: Registry,
    pub(crate) date: DateCache,
    pub(crate) spare: Spare,
    /// Handlers that have been called and wait.
    pub(crate) waiting: Waiting,
    pub(crate) fields: Cell<&'static str>,
    pub(crate) takes: Cell<Takes>,
    pub(crate) watches_clients: Cell<bool>,
    #[cfg(feature = "h2")]
    pub(crate) has_prior_knowledge: Cell<bool>,
}

impl Shared {
    /// Whether a connection takes no request after this one.
    pub(crate) fn is_last(&self, slot: &Slot, served: u32) -> bool {
        let max = self.limits.requests_per_connection;
        slot.is_closing() || (max > 0 && served >= max)
    }
}

impl Server {
    /// A server with default limits and counters of its own.
    pub fn new(router: Router) -> Self {
        Self::with(router, Limits::default(), Rc::default())
    }

    /// A server with its limits, counting in `stats`, of which a handler may hold a clone.
    pub fn with(router: Router, limits: Limits, stats: Rc<Stats>) -> Self {
        let (registry, date, spare) = (Registry::default(), DateCache::new(), Spare::default());
        Self(Rc::new(Shared {
            router,
            limits,
            stats,
            registry,
            date,
            spare,
            waiting: Waiting::default(),
            fields: Cell::new(""),
            takes: Cell::new(Takes::Own),
            watches_clients: Cell::new(false),
            #[cfg(feature = "h2")]
            has_prior_knowledge: Cell::new(false),
        }))
    }

    /// From now on puts these header lines, each ending in CRLF, into every response, whoever makes it: also into those that refuse
    /// what no handler sees.
    pub fn with_fields(self, lines: &'static str) -> Self {
        debug_assert!(lines.is_empty() || lines.ends_with("\r\n"), "header lines end in CRLF");
        self.0.fields.set(lines);
        self
    }

    /// From now on gives handlers requests of any method but `CONNECT`, those that have no name here as [`Method::Other`](crate::Method::Other),
    /// and with paths whose escapes stand for something that is not UTF-8: for who passes them on.
    pub fn with_any_method(self) -> Self {
        self.0.takes.set(Takes::Any);
        self
    }

    /// From now on looks whether a client of HTTP/1.1 is still there while it is owed an answer, and drops what makes the answer where it is not: for
    /// handlers that cost somebody else. Who has ended its own side of the connection is taken for gone, though it might still listen; content that
    /// has come and was not read hides that. (A stream of HTTP/2 that its client resets, or whose connection ends, is dropped in any case.)
    pub fn with_client_watch(self) -> Self {
        self.0.watches_clients.set(true);
        self
    }

    /// From now on takes HTTP/2 from clients that begin with its preface, HTTP/1.1 from all others: over TCP, where such
    /// clients know beforehand (RFC 9113 section 3.3). Over TLS it is agreed upon: [`serve_by_alpn`](Self::serve_by_alpn).
    #[cfg(feature = "h2")]
    pub fn with_http2(self) -> Self {
        self.0.has_prior_knowledge.set(true);
        self
    }

    /// What it counts.
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Accepts connections and serves each in a task of its own, until the guest is asked to leave: then drops `listener`,
    /// so that one that owns its socket refuses clients from then on, answers what is under way, closes all connections
    /// within [`Limits::drain_time`], and returns.
    ///
    /// An error is one of `listener`; connections go on, and it may be called again.
    pub async fn serve<A: Accept>(&self, listener: A) -> Result<(), A::Error> {
        self.serve_hearing(listener, |_, _| {}).await
    }

    /// As [`serve`](Self::serve), for streams over TLS: `protocol` gives what one's ends have agreed upon by ALPN (RFC 7301), once its first
    /// octets were read. HTTP/2 alone is taken where that is `h2`, HTTP/1.1 alone where it is anything else, or nothing (RFC 9113 section
    /// 3.2).
    #[cfg(feature = "h2")]
    pub async fn serve_by_alpn<A, P>(&self, listener: A, protocol: P) -> Result<(), A::Error>
    where
        A: Accept,
        P: Fn(&A::Stream) -> Option<&[u8]> + Copy + 'static,
    {
        let hear = move |stream: &A::Stream, io: &Io| match io.spoken.get() {
            Spoken::Http1 | Spoken::Http2 => {}
            _ if io.has_no_input() => io.spoken.set(Spoken::AsAgreed),
            _ if protocol(stream) == Some(&b"h2"[..]) => io.spoken.set(Spoken::Http2),
            _ => io.spoken.set(Spoken::Http1),
        };
        self.serve_hearing(listener, hear).await
    }

    /// `hear` looks at each stream, when it has come and when something of it was read.
    async fn serve_hearing<A, H>(&self, listener: A, hear: H) -> Result<(), A::Error>
    where
        A: Accept,
        H: Fn(&A::Stream, &Io) + Copy + 'static,
    {
        let max = self.0.limits.connections.min(memory::connections()).max(1);
        loop {
            let accepted = until_shutdown(async {
                let accepted = listener.accept().await?;
                self.wait_for_a_slot(max).await;
                Ok(accepted)
            });
            let Some(accepted) = accepted.await else { break };
            let (stream, peer) = accepted?;
            if !memory::has_piece(memory::CONNECTION) {
                self.0.stats.refused.add(1);
                continue;
            }
            // Entered here, not when the task first runs: the limit counts connections that wait to begin.
            let entry = Entry::new(self.0.clone());
            spawn_detached(async move { entry.run(stream, peer, hear).await });
        }
        drop(listener);
        self.drain().await;
        Ok(())
    }

    /// Serves one connection until it ends: for streams that [`serve`](Self::serve) cannot make. Counts as a connection, but
    /// does not wait for a free one. Dropping it ends the connection.
    pub async fn serve_connection<S: Read + Write + Abort>(&self, stream: S, peer: impl Into<Peer>) {
        Entry::new(self.0.clone()).run(stream, peer.into(), |_, _| {}).await;
    }

    /// As [`serve_connection`](Self::serve_connection), with HTTP/2 alone: for streams whose TLS has agreed on `h2` by ALPN.
    #[cfg(feature = "h2")]
    pub async fn serve_connection_h2<S: Read + Write + Abort>(&self, stream: S, peer: impl Into<Peer>) {
        let hear = |_: &S, io: &Io| io.spoken.set(Spoken::Http2);
        Entry::new(self.0.clone()).run(stream, peer.into(), hear).await;
    }

    /// Lets no connection take another request, waits at most [`Limits::drain_time`] for those under way, and ends what is
    /// left.
    pub async fn drain(&self) {
        let registry = &self.0.registry;
        registry.drain();
        if timeout(self.0.limits.drain_time, self.wait_until_at_most(0)).await.is_err() {
            registry.abort();
        }
    }

    /// Where all of `max` are taken, one that is idle gives way.
    async fn wait_for_a_slot(&self, max: usize) {
        if self.0.registry.len() >= max {
            if self.0.registry.evict_one() {
                self.0.stats.evicted.add(1);
            }
            self.wait_until_at_most(max - 1).await;
        }
    }

    async fn wait_until_at_most(&self, max: usize) {
        let registry = &self.0.registry;
        poll_fn(|cx| {
            if registry.len() <= max {
                return Poll::Ready(());
            }
            registry.left.register(cx);
            Poll::Pending
        })
        .await;
    }
}

/// `None` if the guest is asked to leave before `future` is done.
async fn until_shutdown<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut leave = pin!(shutdown::requested());
    poll_fn(|cx| {
        if leave.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// A connection's place among those that are open.
struct Entry {
    server: Rc<Shared>,
    slot: Rc<Slot>,
}

impl Entry {
    fn new(server: Rc<Shared>) -> Self {
        let slot = server.registry.enter();
        server.stats.connections.add(1);
        server.stats.open.set(server.registry.len());
        Self { server, slot }
    }

    async fn run<S: Read + Write + Abort>(&self, stream: S, peer: Peer, hear: impl Fn(&S, &Io)) {
        let server = &*self.server;
        let io = Io::new(self.slot.clone(), server.stats.clone(), &server.limits, server.spare.take_input());
        hear(&stream, &io);
        let logic = pin!(connection::serve(server, &io, &peer));
        let mut open = Open { stream, io: &io };
        drive(&mut open.stream, &io, logic, hear).await;
    }
}

/// A stream in use. However its use ends, what is not whole does not look so.
struct Open<'a, S: Abort> {
    stream: S,
    io: &'a Io,
}

impl<S: Abort> Drop for Open<'_, S> {
    fn drop(&mut self) {
        if self.io.is_open_ended.get() {
            self.stream.abort();
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.server.registry.leave(&self.slot);
        self.server.stats.open.set(self.server.registry.len());
    }
}
