//! Certificates from an authority, by ACME (RFC 8555): for names and addresses that a server shows to be its own by `http-01` or
//! `tls-alpn-01` (RFC 8737), and anew before they end.
//!
//! [`Acquisition`] is the protocol: it says what to send, and is told what came, by a clock that it is given; it never waits
//! and knows no network. [`obtain`] runs it over a [`Transport`], which an appliance brings along, with the challenges shown by a
//! [`Responder`] in its servers. [`Keeper`] does that for ever, with what has to outlive a restart as a [`State`] in a [`Storage`].
//!
//! ```no_run
//! # async fn example<T, S>(transport: T, storage: S) -> Result<(), Box<dyn core::error::Error>>
//! # where T: fata_acme::Transport, S: fata_acme::Storage {
//! use fata_acme::{Issued, Keeper, Names, Responder, Settings, Terms, Url, Way};
//! use fata_http::{Router, Server};
//! use fata_libos::time::SystemTime;
//! use fata_tls::{ConfigError, ServerConfig, TlsAcceptor, issue};
//!
//! let names = ["appliance.example.org"];
//! let responder = Responder::default();
//! let config = |issued: &Issued| {
//!     let config = ServerConfig::from_pem(&issued.chain_pem, &issued.key_pem)?;
//!     Ok::<_, ConfigError>(config.alpn(&["http/1.1"]).acme_challenges(responder.certificates()))
//! };
//! // One of its own, until the authority's is there.
//! let own = issue::self_signed(&names, SystemTime::now(), issue::MAX_DATE)?;
//! let acceptor = TlsAcceptor::new(config(&own)?)?;
//! // For the listener on port 80, where authorities look with `http-01`.
//! let http = Server::new(responder.route(Router::new()));
//! let keeper = Keeper {
//!     authority: Url::new("https://acme-v02.api.letsencrypt.org/directory")?,
//!     settings: Settings::default().contacts(&["admin@example.org"])?.terms(Terms::Agreed),
//!     names: Names::parse(&names)?,
//!     ways: vec![Way::TlsAlpn, Way::Http],
//!     responder: responder.clone(),
//!     transport,
//!     storage,
//! };
//! // Beside the servers, in a task of its own.
//! let end = keeper.run(|issued| config(issued).and_then(|config| acceptor.replace(config)));
//! if let Err(error) = end.await {
//!     println!("no more certificates: {error}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What an authority answers is bounded before it is read: 64 KiB an answer, of which a hundred URLs of 2 KiB are kept at most.
//! Requests that fail are sent again, later each time; `Retry-After` is heeded.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod account;
mod challenge;
mod drive;
mod error;
mod exchange;
#[cfg(feature = "fetch")]
mod fetch;
mod jws;
mod keeper;
mod order;
mod renewal;
mod responder;
mod state;
mod status;
#[cfg(test)]
mod table;
mod transport;
mod wire;

pub use account::{Account, Existence, Settings, Terms};
pub use challenge::{Challenge, Way};
pub use drive::obtain;
pub use error::{Error, Problem};
pub use exchange::Now;
pub use fata_tls::issue::{Issued, Names};
#[cfg(feature = "fetch")]
pub use fetch::policy;
pub use jws::ExternalAccount;
pub use keeper::{Failure, Keeper, Keeping, Storage};
pub use order::{Acquisition, Action};
pub use responder::Responder;
pub use state::{Certificate, State};
pub use status::{Failed, Status};
pub use transport::{MAX_BODY, Method, Request, Response, Transport};
pub use wire::Url;
