//! An HTTP/1.1 server for appliances (RFC 9110, RFC 9112), over any [`embedded_io_async`] stream.
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
//! Everything but [`Server::serve_connection`]'s few lines of input and output is compiled once, whatever the streams are:
//! a connection's logic (`connection`) asks for octets through `io`, and `drive` moves them.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod body;
mod chunked;
mod conditional;
mod connection;
mod date;
mod drive;
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
mod range;
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

pub use body::BodyError;
pub use conditional::{Precondition, Validators};
pub use date::HttpDate;
pub use limits::Limits;
pub use method::Method;
pub use request::Request;
pub use response::{Body, IntoResponse, Response};
pub use router::Router;
pub use server::{Accept, Server};
pub use stats::Stats;
pub use status::Status;
pub use stream::{Aborted, BodyWriter};
pub use target::percent_decode;
