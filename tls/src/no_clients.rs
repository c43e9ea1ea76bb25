//! The names of `clients.rs` where no certificates of clients are asked for.

use crate::bound::DIGEST;
use crate::clock::AnyClock;
use crate::engine::{Engine, ServerEngine};
use crate::pem::ConfigError;
use alloc::boxed::Box;
use alloc::sync::Arc;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;

/// They are not asked.
#[derive(Debug, Default)]
pub(crate) struct Clients(());

impl Clients {
    pub(crate) fn verifier(&self, _: &CryptoProvider) -> Result<Arc<dyn ClientCertVerifier>, ConfigError> {
        Ok(WebPkiClientVerifier::no_client_auth())
    }

    pub(crate) fn clock(&self) -> Arc<dyn TimeProvider> {
        Arc::new(AnyClock)
    }

    pub(crate) fn digest(&self) -> [u8; DIGEST] {
        [0; DIGEST]
    }

    pub(crate) fn engines(&self, _: Arc<dyn ClientCertVerifier>) -> Engines {
        Engines
    }
}

/// Makes the connections of a server.
pub(crate) struct Engines;

impl Engines {
    pub(crate) fn engine(&self, engine: ServerEngine) -> Box<dyn Engine> {
        Box::new(engine)
    }
}
