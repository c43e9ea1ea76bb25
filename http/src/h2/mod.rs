//! HTTP/2 (RFC 9113): the same router, handlers, requests and responses, many at once on one connection.
//!
//! A connection is one future beside that of HTTP/1.1, between the same [`Io`] and [driver](crate::drive): [`serve`]. It reads
//! frames ([`frame`], [`connection`]), decodes header fields ([`hpack`]) into requests ([`request`]), and polls a future for each
//! stream ([`exchange`]) that was woken ([`waking`]), in turns: each puts one frame of content at most, then the next may. What the
//! streams share is the [`wire`]; what the client may cost us beyond what it gets is counted by [`calm`].
//!
//! Not here: server push, priorities (RFC 9218 and what was before it: read and overlooked), the upgrade from HTTP/1.1, CONNECT,
//! which is answered 501.
//!
//! The driver writes or reads, never both: between two batches of output there is a look for input, but a client that sends more
//! than the network holds, and takes nothing before it could send it all, waits for us as we for it, until `Limits::write_time`.
//!
//! # Memory
//! A connection without requests holds 1 KiB more than one of HTTP/1.1 does, and the client's HPACK table, at most 4 KiB and an
//! eighth of that for its index. With requests, at most: an output buffer of 20 KiB, an input buffer of 8 KiB, a block of header
//! fields ([`MAX_BLOCK`]), heads of [`MAX_HEADS`], content that handlers have not read ([`wire::CONNECTION_WINDOW`], 256 KiB, in
//! buffers that may be twice as large; less as memory gets short), and for each of [`STREAMS`] streams 1.5 KiB, and what its
//! handler keeps. `tests/h2_memory.rs` measures it. A small guest allows fewer streams, and while memory is short no guest takes
//! more ([`memory::Waiting`](crate::memory::Waiting)): `tests/h2_small.rs`.

mod calm;
mod connection;
mod ended;
mod error;
mod exchange;
mod frame;
mod hpack;
mod request;
mod stream;
mod waking;
mod window;
mod wire;

pub(crate) use exchange::Sender;
pub(crate) use frame::Flags;
pub(crate) use stream::Incoming;

use crate::Peer;
use crate::connection::linger;
use crate::io::{Io, Phase};
use crate::server::Shared as Server;
use connection::{Connection, End};
use core::future::poll_fn;
use fata_libos::time::Duration;
use wire::Wire;

/// Streams that a client may have open at once, where the guest is not a small one.
pub(crate) const STREAMS: usize = 100;
/// What the heads of a connection's requests may take together, octets; streams above that are refused.
pub(crate) const MAX_HEADS: usize = 128 * 1024;
/// The least that a block of header fields may be before it is decoded, octets; twice the limit of a head if that is more.
pub(crate) const MAX_BLOCK: usize = 16 * 1024;

/// Longer than any connection lives: its own timer counts, not the driver's.
const NEVER: Duration = Duration::from_secs(1 << 30);

/// Serves streams until the connection is to be closed.
pub(crate) async fn serve(server: &Server, io: &Io, peer: &Peer) {
    io.stats.http2.connections.add(1);
    io.begin_reading(Phase::wait(NEVER));
    server.registry.set_idle(&io.slot);
    let end = {
        let wire = Wire::new(server, io);
        let mut connection = Connection::new(&wire, peer);
        poll_fn(|cx| connection.poll(cx)).await
    };
    if end != End::Gone {
        io.flush().await;
    }
    if end == End::Linger {
        linger(server, io).await;
    }
    io.shrink(&server.spare);
}

/// Whether what a client begins with is how one of HTTP/2 does; `None` while that cannot be told.
pub(crate) fn is_preface(input: &[u8]) -> Option<bool> {
    let (seen, preface) = (input.len().min(frame::PREFACE.len()), frame::PREFACE);
    let is_prefix = input.get(..seen) == preface.get(..seen);
    (!is_prefix || seen == preface.len()).then_some(is_prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Octets of the future that a function gives.
    fn future_size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// The same of four arguments.
    fn exchange_size<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn sizes_are_as_the_docs_say() {
        let connection = future_size(serve);
        let exchange = exchange_size(exchange::serve);
        let stream = size_of::<stream::Stream>();
        eprintln!("connection {connection}, exchange {exchange}, stream {stream}");
        assert!(connection <= 1536 && exchange + stream <= 1424, "{connection} {exchange} {stream}");
    }
}
