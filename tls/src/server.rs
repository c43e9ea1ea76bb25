//! The server's side: its configuration, and what makes streams of accepted ones.

use crate::bound::Bound;
use crate::cache::ServerCache;
#[cfg(feature = "client-certificates")]
use crate::clients::ClientCertificates;
use crate::clients::{Clients, Engines};
use crate::engine::ServerEngine;
use crate::names::{Certificates, Seen};
use crate::ocsp::{OcspError, OcspResponse};
use crate::pem::{self, ConfigError};
use crate::session::{Common, Handshaking};
use crate::{Limits, Stats, TlsStream, Versions, provider};
use alloc::rc::Rc;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use embedded_io_async::{Read, Write};
use fata_libos::entropy;
use rustls::crypto::CryptoProvider;
use rustls::server::{ProducesTickets, UnbufferedServerConnection};

/// What a server shows and asks for. Early data is off, and there is no renegotiation. Its own order of cipher suites counts, but for
/// clients whose first has ChaCha20-Poly1305: then theirs does.
#[derive(Debug)]
pub struct ServerConfig {
    provider: Arc<CryptoProvider>,
    certificates: Certificates,
    protocols: Vec<Vec<u8>>,
    clients: Clients,
    tickets: Option<Arc<dyn ProducesTickets>>,
    sessions: usize,
    versions: Versions,
}

impl ServerConfig {
    /// Shows the certificate of a PEM text, those that signed it behind it, with the key of another.
    pub fn from_pem(chain_pem: &str, key_pem: &str) -> Result<Self, ConfigError> {
        Self::with_provider(Arc::new(provider::signing()), chain_pem, key_pem)
    }

    /// As [`from_pem`](Self::from_pem), with other primitives.
    pub fn with_provider(
        provider: Arc<CryptoProvider>,
        chain_pem: &str,
        key_pem: &str,
    ) -> Result<Self, ConfigError> {
        let config = Self {
            provider,
            certificates: Certificates::default(),
            protocols: Vec::new(),
            clients: Clients::default(),
            tickets: None,
            sessions: 0,
            versions: Versions::All,
        };
        config.certificate(chain_pem, key_pem)
    }

    /// Adds a certificate, for clients that ask for one of its names. Wildcards stand for one label. A client that asks for none
    /// that there is, or for no name, is shown the first.
    pub fn certificate(mut self, chain_pem: &str, key_pem: &str) -> Result<Self, ConfigError> {
        self.certificates.add(pem::certified(&self.provider, chain_pem, key_pem)?)?;
        Ok(self)
    }

    /// An OCSP response that goes with the certificate added last, to clients that ask for one (RFC 6066 section 8).
    /// [Replace](TlsAcceptor::replace) the configuration before its time [is over](OcspResponse::until).
    pub fn ocsp(mut self, response: &OcspResponse) -> Result<Self, OcspError> {
        let key = self.certificates.last().ok_or(OcspError::OtherCertificate)?;
        key.ocsp = Some(response.for_chain(&key.cert)?.to_vec());
        Ok(self)
    }

    /// The application protocols that are spoken, the dearest first (ALPN). A client that offers others alone is refused; one
    /// that offers none is not.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    /// Answers the `tls-alpn-01` challenges of an authority (RFC 8737), with those certificates that are there when it asks. The
    /// application protocols have to be named too ([`alpn`](Self::alpn)): a server with that of the challenge alone would refuse
    /// all others.
    #[cfg(feature = "issue")]
    pub fn acme_challenges(mut self, challenges: crate::AcmeChallenges) -> Self {
        self.certificates.challenges = Some(challenges);
        self
    }

    /// Clients' certificates, which the roots of a PEM text or intermediates that they send have signed. They are checked in each
    /// handshake: where a session is resumed, that of its client is checked again.
    #[cfg(feature = "client-certificates")]
    pub fn client_certificates(
        mut self,
        which: ClientCertificates,
        roots_pem: &str,
    ) -> Result<Self, ConfigError> {
        self.clients.ask(which, roots_pem)?;
        Ok(self)
    }

    /// Revocation lists for clients' certificates, which are refused then if no list of their issuer is there, or its time is
    /// over (`nextUpdate`, RFC 5280 section 5.1.2.5): [replace](TlsAcceptor::replace) the configuration in time.
    #[cfg(feature = "client-certificates")]
    pub fn revocation_lists(mut self, pem: &str) -> Result<Self, ConfigError> {
        self.clients.revoke(pem)?;
        Ok(self)
    }

    /// Makes session tickets, with which clients resume. None are made without it. Acceptors may share one, and so may
    /// configurations that take each other's place: a ticket opens only where the same roots and revocation lists are held against
    /// clients' certificates. A client whose certificate, or its issuer's revocation list, has expired since is refused all the same.
    pub fn tickets(mut self, tickets: Arc<dyn ProducesTickets>) -> Self {
        self.tickets = Some(tickets);
        self
    }

    /// Keeps so many sessions in memory, for clients that resume without tickets. None are kept without it.
    pub fn session_cache(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// The versions that are offered.
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    fn build(self) -> Result<Ready, ConfigError> {
        check_protocols(&self.protocols)?;
        let protocols = self.protocols()?;
        let verifier = self.clients.verifier(&self.provider)?;
        let digest = self.clients.digest();
        let engines = self.clients.engines(verifier.clone());
        let builder = rustls::ServerConfig::builder_with_details(self.provider, self.clients.clock())
            .with_protocol_versions(self.versions.list())
            .map_err(|e| ConfigError::Refused(e.to_string()))?;
        let seen = self.certificates.seen.clone();
        let mut config =
            builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(self.certificates));
        config.alpn_protocols = protocols;
        if let Some(tickets) = self.tickets {
            config.ticketer = Arc::new(Bound { tickets, digest });
        }
        if self.sessions > 0 {
            config.session_storage = Arc::new(ServerCache::new(self.sessions));
        }
        let clients_order = Arc::new(config.clone());
        config.ignore_client_order = true;
        Ok(Ready { config: Arc::new(config), clients_order, seen, engines })
    }

    /// With that of the challenges behind those that are named.
    fn protocols(&self) -> Result<Vec<Vec<u8>>, ConfigError> {
        let protocols = self.protocols.clone();
        #[cfg(feature = "issue")]
        if self.certificates.challenges.is_some() {
            if protocols.is_empty() {
                return Err(ConfigError::Refused("challenges without application protocols (ALPN)".into()));
            }
            return Ok([protocols, alloc::vec![crate::challenge::PROTOCOL.into()]].concat());
        }
        Ok(protocols)
    }
}

pub(crate) fn check_protocols(protocols: &[Vec<u8>]) -> Result<(), ConfigError> {
    match protocols.iter().all(|p| (1..=255).contains(&p.len())) {
        true => Ok(()),
        false => Err(ConfigError::BadProtocolName),
    }
}

/// A configuration in use.
struct Ready {
    config: Arc<rustls::ServerConfig>,
    /// The same for those whose order of suites counts.
    clients_order: Arc<rustls::ServerConfig>,
    seen: Seen,
    engines: Engines,
}

/// Makes TLS streams of accepted ones. Cloning gives another handle of the same one.
#[derive(Clone)]
pub struct TlsAcceptor(Rc<Shared>);

struct Shared {
    ready: RefCell<Ready>,
    common: Rc<Common>,
}

impl TlsAcceptor {
    /// With default limits and counters of its own.
    pub fn new(config: ServerConfig) -> Result<Self, ConfigError> {
        Self::with(config, Limits::default(), Rc::default())
    }

    /// With its limits, counting in `stats`, of which others may hold a clone.
    pub fn with(config: ServerConfig, limits: Limits, stats: Rc<Stats>) -> Result<Self, ConfigError> {
        // Without random octets no handshake would be done: it is said now.
        entropy::try_fill(&mut [0; 1]).map_err(ConfigError::NoEntropy)?;
        let ready = RefCell::new(config.build()?);
        Ok(Self(Rc::new(Shared { ready, common: Rc::new(Common::new(limits, stats)) })))
    }

    /// From now on connections begin with this configuration; those that there are keep theirs. Where it cannot be used, the
    /// one before stays.
    pub fn replace(&self, config: ServerConfig) -> Result<(), ConfigError> {
        let ready = config.build()?;
        self.0.ready.replace(ready);
        Ok(())
    }

    /// A TLS stream over `stream`. The handshake runs when it is first used. There is none while as many handshakes are in
    /// progress as [may be](Limits::handshakes), or memory is short.
    pub fn accept<S: Read + Write>(&self, stream: S) -> Result<TlsStream<S>, crate::Error> {
        let handshaking = Handshaking::begin(&self.0.common)?;
        let ready = self.0.ready.borrow();
        let connection = UnbufferedServerConnection::new(ready.config.clone())
            .inspect_err(|_| self.stats().turned_away.add(1))?;
        let clients_order = Some(ready.clients_order.clone());
        let engine = ServerEngine { connection, seen: ready.seen.clone(), clients_order };
        Ok(TlsStream::new(ready.engines.engine(engine), handshaking, stream))
    }

    /// A listener over another one: any `async` closure that gives a stream and its peer's address, such as
    /// `async move || listener.accept().await`.
    pub fn listen<F>(&self, accept: F) -> TlsListener<F> {
        TlsListener { acceptor: self.clone(), accept }
    }

    /// What it counts.
    pub fn stats(&self) -> &Stats {
        self.0.common.stats()
    }
}

/// A listener whose streams are TLS streams: see [`TlsAcceptor::listen`]. It waits for no handshake.
pub struct TlsListener<F> {
    acceptor: TlsAcceptor,
    accept: F,
}

impl<F, S, E> TlsListener<F>
where
    F: AsyncFn() -> Result<(S, SocketAddr), E>,
    S: Read + Write,
{
    /// Waits for the next connection.
    pub async fn accept(&self) -> Result<(TlsStream<S>, SocketAddr), E> {
        loop {
            let (stream, peer) = (self.accept)().await?;
            // Without memory for it, above all: the client sees its stream end, and the next one may be luckier.
            if let Ok(stream) = self.acceptor.accept(stream) {
                return Ok((stream, peer));
            }
        }
    }
}
