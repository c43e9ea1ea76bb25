//! The client's side: its configuration, and what makes connections.

use crate::cache::ClientCache;
use crate::clock::{self, CheckedClock};
use crate::engine::ClientEngine;
use crate::pem::{self, ConfigError};
use crate::server::check_protocols;
use crate::session::{Common, Handshaking};
use crate::{Error, Limits, Stats, TlsStream, Versions};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use embedded_io_async::{Read, Write};
use fata_libos::entropy;
use rustls::RootCertStore;
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateRevocationListDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Servers of which sessions are kept, unless said otherwise.
const SESSIONS: usize = 16;

/// Whom a client trusts and what it shows.
#[derive(Debug)]
pub struct ClientConfig {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    certificate: Option<CertifiedKey>,
    protocols: Vec<Vec<u8>>,
    sessions: usize,
    versions: Versions,
}

impl ClientConfig {
    fn new(provider: Arc<CryptoProvider>, roots: RootCertStore) -> Self {
        Self {
            provider,
            roots,
            revoked: Vec::new(),
            certificate: None,
            protocols: Vec::new(),
            sessions: SESSIONS,
            versions: Versions::All,
        }
    }

    /// Trusts servers whose certificates the roots of a PEM text, or intermediates that a server sends, have signed.
    pub fn from_roots_pem(roots_pem: &str) -> Result<Self, ConfigError> {
        Self::with_provider(Arc::new(crate::provider::provider()), roots_pem)
    }

    /// Trusts servers that browsers trust: Mozilla's roots, as the crate `webpki-roots` has them.
    #[cfg(feature = "webpki-roots")]
    pub fn from_webpki_roots() -> Self {
        let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
        Self::new(Arc::new(crate::provider::provider()), roots)
    }

    /// As [`from_roots_pem`](Self::from_roots_pem), with other primitives.
    pub fn with_provider(provider: Arc<CryptoProvider>, roots_pem: &str) -> Result<Self, ConfigError> {
        Ok(Self::new(provider, pem::roots(roots_pem)?))
    }

    /// Trusts the roots of a PEM text too.
    pub fn roots(mut self, roots_pem: &str) -> Result<Self, ConfigError> {
        self.roots.roots.extend(pem::roots(roots_pem)?.roots);
        Ok(self)
    }

    /// Revocation lists for servers' certificates, which are refused then if no list of their issuer is there, or its time is
    /// over (`nextUpdate`, RFC 5280 section 5.1.2.5).
    pub fn revocation_lists(mut self, pem: &str) -> Result<Self, ConfigError> {
        self.revoked = pem::revocation_lists(pem)?;
        Ok(self)
    }

    /// The certificate for servers that ask for one.
    pub fn certificate(mut self, chain_pem: &str, key_pem: &str) -> Result<Self, ConfigError> {
        self.certificate = Some(pem::certified(&self.provider, chain_pem, key_pem)?);
        Ok(self)
    }

    /// The application protocols that are spoken, the dearest first (ALPN).
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Keeps sessions of so many servers to resume them; 16 unless said otherwise. With 0 none are resumed.
    pub fn session_cache(mut self, servers: usize) -> Self {
        self.sessions = servers;
        self
    }

    /// The versions that are offered.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    fn build(self) -> Result<rustls::ClientConfig, ConfigError> {
        check_protocols(&self.protocols)?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots), self.provider.clone())
                .with_crls(self.revoked)
                .enforce_revocation_expiration()
                .build()
                .map_err(|_| ConfigError::BadRevocationList)?;
        let builder = rustls::ClientConfig::builder_with_details(self.provider, Arc::new(CheckedClock))
            .with_protocol_versions(self.versions.list())
            .map_err(|e| ConfigError::Refused(e.to_string()))?
            .with_webpki_verifier(verifier);
        let mut config = match self.certificate {
            Some(key) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.protocols;
        config.resumption = match self.sessions {
            0 => Resumption::disabled(),
            n => Resumption::store(Arc::new(ClientCache::new(n))),
        };
        Ok(config)
    }
}

/// Makes TLS connections. Cloning gives another handle of the same one, which resumes the same sessions.
#[derive(Clone)]
pub struct TlsConnector {
    config: Arc<rustls::ClientConfig>,
    common: Rc<Common>,
}

impl TlsConnector {
    /// With default limits and counters of its own.
    pub fn new(config: ClientConfig) -> Result<Self, ConfigError> {
        Self::with(config, Limits::default(), Rc::default())
    }

    /// With its limits, counting in `stats`, of which others may hold a clone.
    pub fn with(config: ClientConfig, limits: Limits, stats: Rc<Stats>) -> Result<Self, ConfigError> {
        entropy::try_fill(&mut [0; 1]).map_err(ConfigError::NoEntropy)?;
        Ok(Self { config: Arc::new(config.build()?), common: Rc::new(Common::new(limits, stats)) })
    }

    /// Connects over `stream` to the server of this name, or of this IP address as text: its certificate must be for that.
    /// Where the clock is not set, nothing is sent.
    pub async fn connect<S: Read + Write>(&self, name: &str, stream: S) -> Result<TlsStream<S>, Error> {
        let mut stream = self.stream(name, stream)?;
        stream.handshake().await?;
        Ok(stream)
    }

    /// As [`connect`](Self::connect), but the handshake runs when the stream is first used.
    pub fn stream<S: Read + Write>(&self, name: &str, stream: S) -> Result<TlsStream<S>, Error> {
        clock::check()?;
        let name = ServerName::try_from(name).map_err(|_| Error::InvalidName)?.to_owned();
        let handshaking = Handshaking::begin(&self.common)?;
        let connection = UnbufferedClientConnection::new(self.config.clone(), name)?;
        Ok(TlsStream::new(Box::new(ClientEngine(connection)), handshaking, stream))
    }

    /// What it counts.
    pub fn stats(&self) -> &Stats {
        self.common.stats()
    }
}
