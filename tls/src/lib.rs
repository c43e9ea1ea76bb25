//! TLS 1.3 and 1.2 for appliances (RFC 8446, RFC 5246), over any [`embedded_io_async`] stream: rustls without std.
//!
//! ```no_run
//! # use core::net::SocketAddr;
//! # use embedded_io_async::{Read, Write};
//! # async fn example<S: Read + Write + 'static, E>(
//! #     accept: impl AsyncFn() -> Result<(S, SocketAddr), E>, stream: S, chain: &str, key: &str, roots: &str,
//! # ) -> Result<(), Box<dyn core::error::Error>> where E: core::error::Error + 'static {
//! use fata_tls::{ClientConfig, ServerConfig, TlsAcceptor, TlsConnector};
//!
//! // A server. `accept` is what gives streams, such as `async || listener.accept().await`.
//! let config = ServerConfig::from_pem(chain, key)?.alpn(&["http/1.1"]);
//! let listener = TlsAcceptor::new(config)?.listen(accept);
//! let (mut stream_of_a_client, peer) = listener.accept().await?;
//! let mut request = [0; 512];
//! let n = stream_of_a_client.read(&mut request).await?;
//!
//! // A client.
//! let connector = TlsConnector::new(ClientConfig::from_roots_pem(roots)?)?;
//! let mut stream = connector.connect("example.org", stream).await?;
//! stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`TlsAcceptor`] makes a [`TlsStream`] of each stream that a server has accepted, a [`TlsConnector`] of one that a client
//! has opened; both hold them to their [`Limits`] and count in their [`Stats`]. A server's handshake runs when its stream is
//! first used, in the task that uses it, so that no listener waits for it; an acceptor's configuration can be
//! [replaced](TlsAcceptor::replace) while connections live. Certificates and keys are PEM text; what is wrong with it a
//! [`ConfigError`] says.
//!
//! Early data and renegotiation are off. An idle connection holds 3.5 kB of heap; memory for a record is there only while it
//! comes or goes (`tests/memory.rs`). What depends on `rustls` is in `engine` and [`provider`]; `session` is a connection without
//! its stream, `transfer` moves octets, `record` has one record at a time.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod alert;
mod bound;
mod cache;
#[cfg(feature = "issue")]
mod challenge;
mod client;
#[cfg_attr(not(feature = "client-certificates"), path = "no_clients.rs")]
mod clients;
mod clock;
mod der;
mod engine;
mod error;
#[cfg(feature = "issue")]
pub mod issue;
mod limits;
mod memory;
mod names;
mod ocsp;
mod pem;
mod preference;
pub mod provider;
mod record;
mod section;
mod server;
mod session;
mod split;
mod stats;
mod stream;
mod transfer;
mod version;

pub use alert::Alert;
#[cfg(feature = "issue")]
pub use challenge::AcmeChallenges;
pub use client::{ClientConfig, TlsConnector};
#[cfg(feature = "client-certificates")]
pub use clients::ClientCertificates;
pub use error::{CertificateProblem, Error, Violation};
pub use limits::Limits;
pub use ocsp::{OcspError, OcspResponse};
pub use pem::ConfigError;
pub use server::{ServerConfig, TlsAcceptor, TlsListener};
pub use split::{TlsReader, TlsWriter};
pub use stats::Stats;
pub use stream::TlsStream;
pub use version::{Version, Versions};
