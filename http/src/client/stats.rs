//! What a client counts.

use crate::Status;
use crate::stats::Counter;

/// Counts of all connections that share it, since it was made.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) requests: Counter,
    pub(crate) by_class: [Counter; 5],
    pub(crate) sent: Counter,
    pub(crate) received: Counter,
    pub(crate) malformed: Counter,
    pub(crate) too_large: Counter,
    pub(crate) refused: Counter,
    pub(crate) opened: Counter,
    pub(crate) reused: Counter,
    pub(crate) retried: Counter,
    pub(crate) redirects: Counter,
    pub(crate) timeouts: Counter,
    pub(crate) waited: Counter,
    pub(crate) turned_away: Counter,
}

impl Stats {
    /// Requests whose head was sent.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Responses of a status class, 1 for 1xx to 5 for 5xx.
    pub fn responses(&self, class: u8) -> u64 {
        self.by_class.get(usize::from(class).wrapping_sub(1)).map_or(0, Counter::get)
    }

    /// Octets sent.
    pub fn octets_sent(&self) -> u64 {
        self.sent.get()
    }

    /// Octets received.
    pub fn octets_received(&self) -> u64 {
        self.received.get()
    }

    /// Responses that were not HTTP, or ambiguous.
    pub fn malformed(&self) -> u64 {
        self.malformed.get()
    }

    /// Responses given up since something in them was more than its limit.
    pub fn too_large(&self) -> u64 {
        self.too_large.get()
    }

    /// Responses given up because memory was short.
    pub fn refused_memory(&self) -> u64 {
        self.refused.get()
    }

    /// Connections made.
    pub fn connections(&self) -> u64 {
        self.opened.get()
    }

    /// Requests that began on a connection which had served others.
    pub fn reused(&self) -> u64 {
        self.reused.get()
    }

    /// Requests sent again, since the connection that was kept for them had ended.
    pub fn retried(&self) -> u64 {
        self.retried.get()
    }

    /// Redirections followed.
    pub fn redirects(&self) -> u64 {
        self.redirects.get()
    }

    /// What took too long.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.get()
    }

    /// Requests that waited for one of the connections in use to end.
    pub fn waited(&self) -> u64 {
        self.waited.get()
    }

    /// Requests given up since as many as may were waiting already.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.get()
    }

    pub(crate) fn count(&self, status: Status) {
        if let Some(counter) = self.by_class.get(usize::from(status.code() / 100).wrapping_sub(1)) {
            counter.add(1);
        }
    }
}
