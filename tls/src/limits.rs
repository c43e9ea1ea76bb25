//! What a peer can hold.

use fata_libos::time::Duration;

/// Limits of an acceptor's or a connector's connections. Change a field of [`Limits::default`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Time for the handshake, from the moment when somebody first waits for it. 10 s.
    pub handshake_time: Duration,
    /// Octets that the peer may send before the handshake is done: room for a chain of large certificates. 32 KiB, of which a
    /// record takes 256 at least.
    pub handshake_octets: usize,
    /// Handshakes that may be in progress at once, with those that failed whose client is waited for. 4096; where memory is short,
    /// fewer: each leaves a sixteenth of the guest's free.
    pub handshakes: usize,
    /// Time for what is sent last: an alert, and `close_notify`; and as much for a peer to end in that may have heard the alert. 2 s.
    pub close_time: Duration,
    /// Octets of plaintext in a record that is sent, at most. 16 KiB.
    pub record_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_time: Duration::from_secs(10),
            handshake_octets: 32 * 1024,
            handshakes: 4096,
            close_time: Duration::from_secs(2),
            record_size: 16 * 1024,
        }
    }
}
