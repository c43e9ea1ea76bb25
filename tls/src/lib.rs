//! TLS 1.3 and 1.2 for appliances (RFC 8446, RFC 5246), over any [`embedded_io_async`] stream: rustls without std.
#![cfg_attr(target_os = "xen", no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod alert;
mod cache;
mod client;
mod clock;
mod engine;
mod error;
mod limits;
mod names;
mod pem;
pub mod provider;
mod record;
mod server;
mod session;
mod split;
mod stats;
mod stream;
mod transfer;
mod version;

pub use alert::Alert;
pub use client::{ClientConfig, TlsConnector};
pub use error::{CertificateProblem, Error, Violation};
pub use limits::Limits;
pub use pem::ConfigError;
pub use server::{ClientCertificates, ServerConfig, TlsAcceptor, TlsListener};
pub use split::{TlsReader, TlsWriter};
pub use stats::Stats;
pub use stream::TlsStream;
pub use version::{Version, Versions};
