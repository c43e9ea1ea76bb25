//! TCP/IP over network devices.
//!
//! A [`Stack`] has interfaces, each over a [`NetDevice`](fata_libos::net::NetDevice) and driven by a task of its own.
//! Sockets are made from the stack: [`TcpListener::bind`], [`TcpStream::connect`], [`UdpSocket::bind`]. Streams implement
//! `embedded_io_async`'s `Read` and `Write`.
//!
//! Inside, from below: `version` (what all know of the two versions of IP), `link` (Ethernet, neighbours), `ip` (addresses, fragments), `ip6` (all that IPv6 has beside those, for
//! interfaces that have it), `icmp`, `udp`, `tcp`; `interface` is the loop
//! over them, which knows TCP as a `transport` that is there once a socket of it was. Wire formats are smoltcp's. What a remote
//! can make grow is bounded and counted ([`Stats`]); what it sends never panics.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod capture;
mod checksum;
mod config;
mod connections;
mod data;
mod dhcp;
mod dns;
mod error;
mod hash;
mod icmp;
mod interface;
mod ip;
mod ip6;
mod link;
mod memory;
mod param;
mod port;
mod stack;
mod stats;
pub(crate) mod tcp;
#[cfg(not(target_os = "xen"))]
pub mod testing;
mod timers;
mod traffic;
mod transport;
mod udp;
mod version;
mod work;

pub use capture::{Capture, CaptureError, Snapshot};
pub use config::{Config, Ipv4Config, Ipv6Config};
pub use connections::ConnectionInfo;
pub use dns::Resolver;
pub use error::Error;
pub use param::{ConfigError, PARAMS};
pub use stack::{Addressing, Interface, Stack};
pub use stats::{Figure, Kind, Stats};
pub use tcp::{Buffers, OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use traffic::{Direction, Packets};
pub use udp::{SendManyError, UdpSocket};
