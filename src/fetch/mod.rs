//! Fetches over HTTP and HTTPS.
//!
//! ```no_run
//! # async fn example(network: &fata::net::Network, roots: &str) -> fata::Result<()> {
//! use fata::fetch::{Client, Connector};
//!
//! let client = Client::new(Connector::new(network).roots_pem(roots)?);
//! let response = client.get("https://example.org/").send().await?;
//! let status = response.status().code();
//! let page = response.text(64 * 1024).await?;
//! # let _ = (status, page);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps connections for the next request, follows redirections, and holds servers to its [`Policy`]. A name's
//! addresses of IPv4 and IPv6 are looked up at once and tried in turns, 250 ms apart, until one answers (RFC 8305): what does
//! not lead anywhere costs that long, not half a minute. `https` needs the feature `tls`, and roots to trust.

mod connector;
mod eyeballs;

pub use connector::{ConnectError, Connector};
pub use fata_http::Status;
pub use fata_http::client::{Limits, Origin, Policy, ResponseHead, Scheme, Stats, Url, UrlError, Waiting};

/// Fetches over the appliance's network.
pub type Client = fata_http::client::Client<Connector>;
/// A request that is put together.
pub type Request = fata_http::client::Request<Connector>;
/// What comes of it.
pub type Response = fata_http::client::Response<Connector>;
/// Why nothing does.
pub type Error = fata_http::client::FetchError<ConnectError>;
/// Where a request's content goes that is made while it is sent.
pub type ContentWriter<'a> = fata_http::client::ContentWriter<'a, Connector>;
