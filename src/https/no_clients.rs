//! The names of `clients.rs` in an image that asks for no certificates of clients.

use core::convert::Infallible;
use fata_tls::{ConfigError, ServerConfig};

/// There are none.
pub(super) struct Clients(Infallible);

impl Clients {
    /// Nobody calls it.
    pub(super) fn ask(&self, _: ServerConfig) -> Result<ServerConfig, ConfigError> {
        match self.0 {}
    }
}
