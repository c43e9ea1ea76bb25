//! An HTTP server for appliances (RFC 9110, RFC 9112), over any [`embedded_io_async`] stream.
//!
//! ```no_run
//! # async fn example<L: fata_http::Accept>(listener: L) -> Result<(), L::Error> {
//! use fata_http::{Request, Response, Router, Server};
//!
//! async fn greet(request: Request<'_>) -> Response {
//!     Response::text(format!("hello, {}\n", request.param("name").unwrap_or_default()))
//! }
//!
//! let router = Router::new().get("/", async |_: Request<'_>| Response::html("<h1>hello</h1>")).get("/hello/{name}", greet);
//! Server::new(router).serve(listener).await
//! # }
//! ```
//!
//! A [`Router`] finds the handler, a handler takes a [`Request`] and gives a [`Response`], a [`Server`] runs connections
//! within its [`Limits`] and counts in its [`Stats`]. What HTTP asks for beside that happens by itself: HEAD, `OPTIONS`,
//! 405 with `Allow`, `Date`, keep-alive, pipelining, `Expect: 100-continue`, and, for responses that carry a validator
//! ([`Response::etag`], [`Response::last_modified`]), conditional requests and ranges.
//!
//! With the feature `h2` a server speaks HTTP/2 (RFC 9113) as well, with the same handlers: `Server::serve_by_alpn`,
//! `Server::with_http2`, `Server::serve_connection_h2`. What is different there: requests of a connection are answered at the same time, each by a
//! future of the connection's task; a handler whose client resets its stream is dropped where it waits; and
//! [`Response::close`] lets the connection end when all that is under way is answered. What a connection can take is bounded:
//! without requests 6 KiB more than one of HTTP/1.1, with them at most 60 KiB of buffers, 150 KiB for its 100 streams, 128 KiB
//! of request heads, 256 KiB of content that handlers have not read (in buffers that may be twice as large), and what the
//! handlers keep; less while memory is short, and fewer streams in a small guest. Streams that there is no memory for are
//! refused ([`Stats::http2_refused`], [`Stats::refused_memory`]).
//!
//! Everything but [`Server::serve_connection`]'s few lines of input and output is compiled once, whatever the streams are:
//! a connection's logic (`connection`) asks for octets through `io`, and `drive` moves them.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod body;
mod chunked;
#[cfg(feature = "client")]
pub mod client;
mod conditional;
mod connection;
mod date;
mod drive;
mod early;
mod field;
mod framing;
#[cfg(feature = "h2")]
mod h2;
mod head;
mod io;
mod limits;
mod memory;
mod method;
mod octets;
mod peer;
mod range;
mod redirect;
mod registry;
mod request;
mod response;
mod router;
mod send;
mod server;
mod spare;
mod stats;
mod status;
mod stream;
mod target;

pub use body::{BodyError, RequestContent};
pub use conditional::{Precondition, Validators};
pub use date::HttpDate;
pub use early::Early;
pub use limits::Limits;
pub use method::Method;
pub use peer::Peer;
pub use request::{Request, Version, Wanted};
pub use response::{Body, IntoResponse, Response};
pub use router::Router;
pub use server::{Accept, Server};
pub use stats::Stats;
pub use status::Status;
pub use stream::{Aborted, BodyWriter};
pub use target::percent_decode;
