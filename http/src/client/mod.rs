//! An HTTP/1.1 client's side of a connection (RFC 9110, RFC 9112), over any [`embedded_io_async`] stream that comes in two
//! halves: a request goes out, its response comes back, both with content that is streamed.
//!
//! ```no_run
//! # use embedded_io_async::{Read, Write};
//! # async fn example<R: Read, W: Write>(reader: R, writer: W) -> Result<(), Box<dyn core::error::Error>> {
//! use fata_http::client::{Connection, Content, RequestHead};
//!
//! let mut connection = Connection::new(reader, writer);
//! let mut request = RequestHead::new("POST", "/notes")?;
//! request.field("Host", "example.org")?.content(Content::Length(5));
//! connection.send(&request).await?;
//! // The two halves can be used at the same time: a server may answer before it has all of the request.
//! let (to_server, from_server) = connection.halves();
//! to_server.write(b"hello").await?;
//! to_server.finish().await?;
//! let response = from_server.head().await?;
//! let mut piece = [0; 4096];
//! while from_server.read(&mut piece).await? > 0 {}
//! println!("{}, another request may follow: {}", response.status().code(), connection.is_reusable());
//! # Ok(())
//! # }
//! ```
//!
//! What a server sends is held to [`Limits`] and counted in [`Stats`]. Responses whose end two readers could see in different
//! places are errors. A [`Connection`] has no timeouts: who waits drops what takes too long; a connection whose operation was
//! dropped half-way is not [reusable](Connection::is_reusable).
//!
//! A [`Client`] fetches what a [`Url`] names with connections that a [`Connector`] makes: it keeps them for the next request,
//! follows redirections, and holds all to its [`Policy`].

mod agent;
mod answer;
mod connection;
mod error;
mod failure;
mod fetch;
mod limits;
mod policy;
mod pool;
mod receive;
mod redirect;
mod request;
mod response;
mod send;
mod stats;
mod upload;
mod url;

pub use agent::{Client, Connector};
pub use answer::Response;
pub use connection::{Connection, Upgraded, WithReceived};
pub use error::{Error, InvalidRequest, Malformed};
pub use failure::{FetchError, Waiting};
pub use fetch::Request;
pub use limits::Limits;
pub use policy::Policy;
pub use receive::ResponseReader;
pub use request::{Content, RequestHead};
pub use response::ResponseHead;
pub use send::RequestWriter;
pub use stats::Stats;
pub use upload::ContentWriter;
pub use url::{Origin, Scheme, Url, UrlError};
