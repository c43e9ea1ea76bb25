//! What a client does by itself, and how long it waits.

use super::Limits;
use fata_libos::time::Duration;

/// Bounds on what fetching may take. The defaults suit a program that asks a few servers it does not own.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Bounds on responses.
    pub response: Limits,
    /// Redirections that are followed; with 0 the first is given back as it is. 10.
    pub redirects: usize,
    /// Whether a redirection may lead from `https` to `http`. It may not.
    pub allow_downgrade: bool,
    /// Connections at once, in use or idle; 32. Idle ones give way.
    pub connections: usize,
    /// The same to one origin; 6.
    pub connections_per_origin: usize,
    /// Requests that wait where as many connections as may be are in use; 64. They wait for no longer than `connect_time`.
    pub waiting: usize,
    /// How long a connection waits for the next request; 30 s.
    pub idle_time: Duration,
    /// From a name to a connection that is ready, TLS included; 15 s.
    pub connect_time: Duration,
    /// From the end of a request to the end of the response's head; 30 s.
    pub head_time: Duration,
    /// Between octets of content, either way; 30 s.
    pub pause_time: Duration,
    /// How long a server is waited for that is asked whether it wants the content; 1 s.
    pub continue_time: Duration,
    /// From the beginning to the content's last octet, redirections included; no bound.
    pub total_time: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            response: Limits::default(),
            redirects: 10,
            allow_downgrade: false,
            connections: 32,
            connections_per_origin: 6,
            waiting: 64,
            idle_time: Duration::from_secs(30),
            connect_time: Duration::from_secs(15),
            head_time: Duration::from_secs(30),
            pause_time: Duration::from_secs(30),
            continue_time: Duration::from_secs(1),
            total_time: None,
        }
    }
}
