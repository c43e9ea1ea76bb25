//! What a client may cost.

use fata_libos::time::Duration;

/// Bounds on what one client, and all together, can take. The defaults suit a public server.
///
/// Sizes are octets. A transfer (a body received, a response sent) may keep us waiting for its grace time plus one second
/// for every [`min_rate`](Self::min_rate) octets that have moved, so that a client that dribbles is gone in bounded time, and
/// a large download over a slow line is not cut off.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Request line and header section together (at most 60 KiB); more is answered 414 or 431.
    pub head_size: usize,
    /// Header fields (at most 64); more are answered 431.
    pub header_count: usize,
    /// A request's content; more is answered 413.
    pub body_size: u64,
    /// Without a request on an open connection; then it is closed.
    pub idle_time: Duration,
    /// From a request's first octet to the end of its head; then 408.
    pub head_time: Duration,
    /// Grace time of a request's body; then 408.
    pub body_time: Duration,
    /// Grace time of a response; then the connection is given up.
    pub write_time: Duration,
    /// Octets a second that a transfer must keep up after its grace time.
    pub min_rate: u32,
    /// Open connections; in a small guest fewer, one for each 12 KiB of its memory. When all are taken, the one idle for longest gives way to a new one; when none is idle, new ones
    /// wait to be accepted.
    pub connections: usize,
    /// Requests on one connection, after which it is closed in order; 0: as many as come.
    pub requests_per_connection: u32,
    /// After an answer to a request that was not read to its end, the wait for the client to see it.
    pub linger_time: Duration,
    /// From a request to shut down to the end of the last response.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_size: 8 * 1024,
            header_count: 64,
            body_size: 1024 * 1024,
            idle_time: Duration::from_secs(60),
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            write_time: Duration::from_secs(20),
            min_rate: 1024,
            connections: 1024,
            requests_per_connection: 0,
            linger_time: Duration::from_secs(2),
            drain_time: Duration::from_secs(5),
        }
    }
}

/// The most header fields there can be.
pub(crate) const MAX_HEADERS: usize = 64;

impl Limits {
    /// Within what the parser's tables can hold.
    pub(crate) fn head_size(&self) -> usize {
        self.head_size.clamp(64, 60 * 1024)
    }
}
