//! Counters.

use core::cell::Cell;

/// A counter that handlers read.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }
    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What a server counts, all since it started. Shared: give one to [`Server::with`](crate::Server::stats) and keep a clone
/// for the handler that shows it.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) by_class: [Counter; 5],
    pub(crate) open: Cell<usize>,
    pub(crate) connections: Counter,
    pub(crate) evicted: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) gone: Counter,
    pub(crate) malformed: Counter,
    pub(crate) refused: Counter,
    #[cfg(feature = "h2")]
    pub(crate) http2: Http2,
}

/// What is counted of HTTP/2 alone.
#[cfg(feature = "h2")]
#[derive(Debug, Default)]
pub(crate) struct Http2 {
    pub(crate) connections: Counter,
    pub(crate) streams: Counter,
    pub(crate) refused: Counter,
    pub(crate) resets: Counter,
    pub(crate) errors: Counter,
    pub(crate) calmed: Counter,
}

/// HTTP/2.
#[cfg(feature = "h2")]
impl Stats {
    /// Connections that have spoken HTTP/2.
    pub fn http2_connections(&self) -> u64 {
        self.http2.connections.get()
    }

    /// Streams that clients have opened.
    pub fn http2_streams(&self) -> u64 {
        self.http2.streams.get()
    }

    /// Streams refused since there were too many, memory was short, or the server was leaving.
    pub fn http2_refused(&self) -> u64 {
        self.http2.refused.get()
    }

    /// Streams that clients have reset before the answer was complete.
    pub fn http2_resets(&self) -> u64 {
        self.http2.resets.get()
    }

    /// Connections ended because a client broke the rules.
    pub fn http2_errors(&self) -> u64 {
        self.http2.errors.get()
    }

    /// Connections ended because a client asked for more than it should: streams that it resets, frames that bring nothing,
    /// header fields without end.
    pub fn http2_calmed(&self) -> u64 {
        self.http2.calmed.get()
    }
}

impl Stats {
    /// Responses of a status class, 1 for 1xx to 5 for 5xx.
    pub fn responses(&self, class: u8) -> u64 {
        self.by_class.get(usize::from(class).wrapping_sub(1)).map_or(0, Counter::get)
    }

    /// All responses but interim ones.
    pub fn requests(&self) -> u64 {
        self.by_class[1..].iter().map(Counter::get).sum()
    }

    /// Connections open now.
    pub fn connections_open(&self) -> usize {
        self.open.get()
    }

    /// Connections accepted.
    pub fn connections_total(&self) -> u64 {
        self.connections.get()
    }

    /// Idle connections closed to make room for new ones.
    pub fn connections_evicted(&self) -> u64 {
        self.evicted.get()
    }

    /// Octets received.
    pub fn octets_received(&self) -> u64 {
        self.received.get()
    }

    /// Octets sent.
    pub fn octets_sent(&self) -> u64 {
        self.sent.get()
    }

    /// Requests and responses given up because the client took too long.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.get()
    }

    /// Clients that went away while they were owed an answer, where that is [looked for](crate::Server::with_client_watch).
    pub fn gone(&self) -> u64 {
        self.gone.get()
    }

    /// Requests that were not HTTP, or tried to be two things at once.
    pub fn malformed(&self) -> u64 {
        self.malformed.get()
    }

    /// Connections closed, requests answered 503, and streams of HTTP/2 refused because memory was short.
    pub fn refused_memory(&self) -> u64 {
        self.refused.get()
    }

    pub(crate) fn count(&self, status: crate::Status) {
        self.by_class[usize::from(status.code() / 100 - 1)].add(1);
    }
}
