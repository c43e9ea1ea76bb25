//! Counters.

use crate::Error;
use core::cell::Cell;

/// A counter that its owner reads.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    fn get(&self) -> u64 {
        self.0.get()
    }
}

/// What the connections of an acceptor or a connector count, all since it was made. Shared: give one to
/// [`TlsAcceptor::with`](crate::TlsAcceptor::with) and keep a clone.
#[derive(Debug, Default)]
pub struct Stats {
    pub(crate) started: Counter,
    pub(crate) turned_away: Counter,
    pub(crate) short_of_memory: Counter,
    pub(crate) full: Counter,
    pub(crate) resumed: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) refused: Counter,
    pub(crate) gave_up: Counter,
    pub(crate) cut: Counter,
    pub(crate) certificates: Counter,
    pub(crate) violations: Counter,
    pub(crate) truncated: Counter,
    pub(crate) alerts_sent: Counter,
    pub(crate) alerts_received: Counter,
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

impl Stats {
    /// Connections begun.
    pub fn connections(&self) -> u64 {
        self.started.get()
    }

    /// Connections that were not begun, as too many handshakes were in progress or memory was short.
    pub fn turned_away(&self) -> u64 {
        self.turned_away.get()
    }

    /// Connections that ended, in their handshake or later, for want of memory.
    pub fn short_of_memory(&self) -> u64 {
        self.short_of_memory.get()
    }

    /// Handshakes done, resumed ones too.
    pub fn handshakes(&self) -> u64 {
        self.full.get().wrapping_add(self.resumed.get())
    }

    /// Handshakes that resumed an earlier session.
    pub fn handshakes_resumed(&self) -> u64 {
        self.resumed.get()
    }

    /// Handshakes that took too long.
    pub fn handshakes_timed_out(&self) -> u64 {
        self.timed_out.get()
    }

    /// Handshakes that failed because the peer broke the protocol, or has nothing in common with us.
    pub fn handshakes_refused(&self) -> u64 {
        self.refused.get()
    }

    /// Handshakes that failed because of the peer's certificate, or because the clock is wrong.
    pub fn handshakes_with_bad_certificates(&self) -> u64 {
        self.certificates.get()
    }

    /// Handshakes that the peer ended with an alert.
    pub fn handshakes_given_up(&self) -> u64 {
        self.gave_up.get()
    }

    /// Handshakes in which the stream below ended or failed.
    pub fn handshakes_cut(&self) -> u64 {
        self.cut.get()
    }

    /// All handshakes that failed.
    pub fn handshakes_failed(&self) -> u64 {
        [&self.timed_out, &self.refused, &self.certificates, &self.gave_up, &self.cut]
            .map(Counter::get)
            .iter()
            .sum()
    }

    /// Connections that ended after the handshake because the peer broke the protocol.
    pub fn violations(&self) -> u64 {
        self.violations.get()
    }

    /// Connections whose end the peer did not announce.
    pub fn truncated(&self) -> u64 {
        self.truncated.get()
    }

    /// Alerts sent, `close_notify` left out.
    pub fn alerts_sent(&self) -> u64 {
        self.alerts_sent.get()
    }

    /// Alerts that ended connections, `close_notify` left out.
    pub fn alerts_received(&self) -> u64 {
        self.alerts_received.get()
    }

    /// Octets of applications received.
    pub fn octets_received(&self) -> u64 {
        self.received.get()
    }

    /// Octets of applications sent.
    pub fn octets_sent(&self) -> u64 {
        self.sent.get()
    }

    /// Counts a connection's end.
    pub(crate) fn count(&self, error: &Error, is_handshaking: bool) {
        if matches!(error, Error::AlertReceived(_)) {
            self.alerts_received.add(1);
        }
        if matches!(error, Error::NoMemory) {
            self.short_of_memory.add(1);
        }
        let counter = match error {
            Error::AlertReceived(_) if is_handshaking => &self.gave_up,
            Error::Io(_) | Error::Truncated if is_handshaking => &self.cut,
            Error::HandshakeTimeout(_) => &self.timed_out,
            Error::Certificate(_) | Error::Clock(_) if is_handshaking => &self.certificates,
            _ if is_handshaking => &self.refused,
            Error::Truncated => &self.truncated,
            Error::Protocol(_) | Error::TooMuch(_) => &self.violations,
            _ => return,
        };
        counter.add(1);
    }
}
