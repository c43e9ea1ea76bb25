//! Two endpoints of TCP on a line in virtual time: no clock, no threads, the same in every run.
//!
//! An [`Endpoint`] takes and gives IP packets; a [`Link`] for each direction has a rate, a delay and a queue, and loses,
//! doubles, delays and marks packets as its [`Line`] says; a [`Network`] moves time from one event to the next. The
//! applications on both ends send octets that tell their place , and check each one that arrives.
// Each test uses its part.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

mod app;
mod link;
mod network;
mod random;

pub use app::{App, Pace};
pub use link::{Line, Link, Loss};
pub use network::{Network, Stop};
pub use random::Random;

use fata_libos::time::Instant;
use std::net::Ipv4Addr;

/// The addresses and ports of the two ends.
pub const HOSTS: [(Ipv4Addr, u16); 2] =
    [(Ipv4Addr::new(10, 0, 0, 1), 1000), (Ipv4Addr::new(10, 0, 0, 2), 2000)];
/// Where the ECN field is in an IPv4 header: the low two bits of the second octet (RFC 3168, 5).
pub const ECN: usize = 1;
/// Congestion experienced.
pub const CE: u8 = 3;

/// One end of one connection.
pub trait Endpoint {
    /// Takes an IP packet.
    fn receive(&mut self, now: Instant, packet: &[u8]);
    /// Takes what its device has kept for company until now.
    fn settle(&mut self, now: Instant) {
        let _ = now;
    }
    /// The next IP packet to send, timers that are due included; called until there is none.
    fn transmit(&mut self, now: Instant) -> Option<Vec<u8>>;
    /// When to call [`transmit`](Self::transmit) without a reason from outside.
    fn deadline(&mut self, now: Instant) -> Option<Instant>;
    /// Takes octets to send; how many.
    fn write(&mut self, octets: &[u8]) -> usize;
    /// Gives octets received; how many.
    fn read(&mut self, now: Instant, buf: &mut [u8]) -> usize;
    /// A router had no room for a packet of this end: what its next link takes, octets.
    fn too_big(&mut self, now: Instant, packet: &[u8], mtu: usize) {
        let _ = (now, packet, mtu);
    }
    /// The handshake has begun from both sides.
    fn is_open(&mut self) -> bool {
        true
    }
    /// Sends the end after all that was written.
    fn close(&mut self);
    /// The peer's end has come, and all before it was read.
    fn is_at_end(&mut self) -> bool;
    /// Nothing more will ever be sent or read, but for TIME-WAIT.
    fn is_over(&mut self) -> bool;
    /// The connection was cut: reset, or given up.
    fn is_cut(&mut self) -> bool;
    /// What to say of it where something went wrong.
    fn describe(&mut self) -> String;
}
