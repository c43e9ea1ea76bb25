//! Clients' certificates: against what they are held, in each handshake.
//!
//! A session that is resumed brings its client's certificate with it, which rustls does not look at again (RFC 8446 section 4.6.1 leaves that
//! to the server), and has new tickets made: as long as one of them opens, nobody would see that the certificate's time is over. So here it
//! is checked again, as if it had just been shown, before anything of an application passes in either direction.

use crate::bound::DIGEST;
use crate::clock::{AnyClock, CheckedClock};
use crate::engine::{Engine, Failure, ServerEngine, Step, Work};
use crate::names::Told;
use crate::pem::{self, ConfigError};
use crate::provider::{self, named};
use crate::{Alert, Version};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use rustls::{CommonState, HandshakeKind, RootCertStore};
use sha2::{Digest, Sha256};

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are asked; who has none is served too, and is seen by its empty
    /// [`peer_certificates`](crate::TlsStream::peer_certificates).
    Asked,
    /// Who has none is refused.
    Required,
}

type Verifier = Arc<dyn ClientCertVerifier>;
type MakeEngine = fn(ServerEngine, Verifier) -> Box<dyn Engine>;

/// What a configuration says of clients' certificates.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    asked: Option<Asked>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// Whose certificates are asked for. What checks them is reached through here alone, so that it is not in images that ask
/// for none.
#[derive(Debug)]
struct Asked {
    which: ClientCertificates,
    roots: RootCertStore,
    verifier: fn(&Clients, &Self, &CryptoProvider) -> Result<Verifier, ConfigError>,
    engine: MakeEngine,
}

impl Clients {
    pub(crate) fn ask(&mut self, which: ClientCertificates, roots_pem: &str) -> Result<(), ConfigError> {
        let roots = pem::roots(roots_pem)?;
        self.asked = Some(Asked { which, roots, verifier: Clients::web_pki, engine: Rechecking::begin });
        Ok(())
    }

    pub(crate) fn revoke(&mut self, pem: &str) -> Result<(), ConfigError> {
        self.revoked = pem::revocation_lists(pem)?;
        Ok(())
    }

    pub(crate) fn verifier(&self, provider: &CryptoProvider) -> Result<Verifier, ConfigError> {
        match &self.asked {
            Some(asked) => (asked.verifier)(self, asked, provider),
            None => Ok(WebPkiClientVerifier::no_client_auth()),
        }
    }

    fn web_pki(&self, asked: &Asked, provider: &CryptoProvider) -> Result<Verifier, ConfigError> {
        let provider = Arc::new(provider::checking(provider.clone()));
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(asked.roots.clone()), provider)
            .with_crls(self.revoked.iter().cloned())
            .enforce_revocation_expiration();
        let builder = match asked.which {
            ClientCertificates::Required => builder,
            ClientCertificates::Asked => builder.allow_unauthenticated(),
        };
        builder.build().map_err(|_| ConfigError::BadRevocationList)
    }

    /// The clock by which sessions, and certificates, are valid.
    pub(crate) fn clock(&self) -> Arc<dyn TimeProvider> {
        if self.asked.is_some() { Arc::new(CheckedClock) } else { Arc::new(AnyClock) }
    }

    /// Of all that certificates are held against.
    pub(crate) fn digest(&self) -> [u8; DIGEST] {
        let Some(asked) = &self.asked else { return [0; DIGEST] };
        let mut digest = Sha256::new();
        let mut add = |octets: &[u8]| {
            digest.update((octets.len() as u64).to_be_bytes());
            digest.update(octets);
        };
        add(&[match asked.which {
            ClientCertificates::Asked => 1,
            ClientCertificates::Required => 2,
        }]);
        for root in &asked.roots.roots {
            add(&root.subject);
            add(&root.subject_public_key_info);
            add(root.name_constraints.as_deref().unwrap_or_default());
        }
        // None is shorter than this.
        add(&[]);
        self.revoked.iter().for_each(|list| add(list));
        digest.finalize().into()
    }

    /// What makes connections that are held to this, by `verifier`.
    pub(crate) fn engines(&self, verifier: Verifier) -> Engines {
        Engines(self.asked.as_ref().map(|asked| (asked.engine, verifier)))
    }
}

/// Makes the connections of a server.
pub(crate) struct Engines(Option<(MakeEngine, Verifier)>);

impl Engines {
    pub(crate) fn engine(&self, engine: ServerEngine) -> Box<dyn Engine> {
        match &self.0 {
            Some((rechecking, verifier)) => rechecking(engine, verifier.clone()),
            None => Box::new(engine),
        }
    }
}

/// A server's connection whose client's certificate is checked when a session is resumed too.
struct Rechecking {
    engine: ServerEngine,
    /// None when it was asked, and when nothing is resumed any more.
    verifier: Option<Verifier>,
}

/// Octets that are no record: a header with a type that there is not.
const NO_RECORD: usize = 5;

impl Rechecking {
    fn begin(engine: ServerEngine, verifier: Verifier) -> Box<dyn Engine> {
        Box::new(Self { engine, verifier: Some(verifier) })
    }

    /// Has rustls, which alone has the keys, seal an alert: it is shown what is no record, and what it says of that goes by another name.
    fn refuse(&mut self, error: rustls::Error, shown: usize, out: &mut Vec<u8>) -> Failure {
        // Of a message in parts it looks behind those that it has seen.
        let (mut nothing, len) = (Vec::new(), shown + NO_RECORD);
        if nothing.try_reserve_exact(len).is_err() {
            return Failure::NoMemory;
        }
        nothing.resize(len, u8::MAX);
        named(alert(&error, self.engine.state()), || {
            let mut work = Work { plain: &[], out, deliver: &mut |_| {} };
            while let (_, Ok(Step::Again | Step::Encoded)) = self.engine.step(&mut nothing, &mut work) {}
        });
        Failure::Tls(error)
    }
}

impl Engine for Rechecking {
    fn step(&mut self, incoming: &mut [u8], work: &mut Work<'_>) -> (usize, Result<Step, Failure>) {
        let shown = incoming.len();
        let (discard, step) = self.engine.step(incoming, work);
        // It was told of a session to resume, has put out all that it says to that, and waits for the client to finish: there are keys to
        // seal an alert with, and neither side has let anything of an application pass.
        let waits = !matches!(step, Ok(Step::Again | Step::Encoded) | Err(_));
        let state = self.engine.state();
        if waits
            && state.handshake_kind() == Some(HandshakeKind::Resumed)
            && let Some(verifier) = self.verifier.take()
            && let Err(error) = check(&*verifier, state.peer_certificates())
        {
            return (discard, Err(self.refuse(error, shown, work.out)));
        }
        // Lists that were replaced are not to live as long as connections of before. Not earlier: a hello that was asked for again may resume.
        if waits && !self.engine.state().is_handshaking() {
            self.verifier = None;
        }
        (discard, step)
    }

    fn close(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) {
        self.engine.close(incoming, out);
    }

    fn first(&mut self, record: &[u8]) {
        self.engine.first(record);
    }

    fn state(&self) -> &CommonState {
        self.engine.state()
    }

    fn told(&mut self) -> Option<Told> {
        self.engine.told()
    }

    fn is_asked(&self) -> bool {
        true
    }
}

/// Holds certificates against what they were held against when they were shown, by the time of now.
fn check(
    verifier: &dyn ClientCertVerifier,
    chain: Option<&[CertificateDer<'_>]>,
) -> Result<(), rustls::Error> {
    match chain {
        Some([own, intermediates @ ..]) => {
            let now = CheckedClock.current_time().ok_or(rustls::Error::FailedToGetCurrentTime)?;
            verifier.verify_client_cert(own, intermediates, now).map(|_| ())
        }
        _ if verifier.client_auth_mandatory() => Err(rustls::Error::NoCertificatesPresented),
        _ => Ok(()),
    }
}

/// As for a certificate that was just shown.
fn alert(error: &rustls::Error, state: &CommonState) -> Alert {
    let is_tls12 = || state.protocol_version().and_then(Version::new) == Some(Version::Tls12);
    match error {
        rustls::Error::InvalidCertificate(problem) => {
            Alert(rustls::AlertDescription::from(problem.clone()).into())
        }
        // RFC 5246 section 7.4.6: what TLS 1.3 says instead is not known there.
        rustls::Error::NoCertificatesPresented if is_tls12() => Alert::HANDSHAKE_FAILURE,
        rustls::Error::NoCertificatesPresented => Alert::CERTIFICATE_REQUIRED,
        _ => Alert::INTERNAL_ERROR,
    }
}
