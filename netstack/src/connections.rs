//! What is known of each TCP connection: a row of a table of connections.

use core::net::SocketAddr;
use core::time::Duration;

/// A TCP connection at one moment. What is not known of one, or means nothing in its state, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its end here.
    pub local: SocketAddr,
    /// Its other end.
    pub remote: SocketAddr,
    /// Its state, as RFC 9293 calls it: `ESTABLISHED`.
    pub state: &'static str,
    /// Octets written and not acknowledged yet.
    pub send_queue: usize,
    /// Octets received and not read yet.
    pub receive_queue: usize,
    /// Data segments sent again.
    pub retransmits: u64,
    /// The smoothed round-trip time.
    pub srtt: Option<Duration>,
    /// The congestion window, octets.
    pub cwnd: Option<usize>,
    /// Since when the peer has not been heard.
    pub idle: Option<Duration>,
}

impl ConnectionInfo {
    /// One of which no more is known than that it is there.
    pub(crate) fn new(local: SocketAddr, remote: SocketAddr, state: &'static str) -> Self {
        Self {
            local,
            remote,
            state,
            send_queue: 0,
            receive_queue: 0,
            retransmits: 0,
            srtt: None,
            cwnd: None,
            idle: None,
        }
    }
}
