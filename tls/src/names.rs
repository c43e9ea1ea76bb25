//! Which certificate a client is shown (RFC 6066 section 3).

use crate::pem::ConfigError;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use spin::Mutex;

/// What rustls without std tells of a client's hello to nobody but its resolver.
#[derive(Debug)]
pub(crate) struct Told {
    /// The name that it asks for.
    pub(crate) name: Option<String>,
    /// Whether it has the extension `supported_groups` (RFC 8446 section 4.2.7).
    pub(crate) has_groups: bool,
}

/// What was told of the hello that rustls has just looked at. There is one thread, and who lets rustls look takes it at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(Arc<Mutex<Option<Told>>>);

impl Seen {
    pub(crate) fn take(&self) -> Option<Told> {
        self.0.lock().take()
    }
}

/// Certificates by the names that they are for.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    keys: Vec<Arc<CertifiedKey>>,
    /// In lower case; a wildcard's `*` is left out, so that `.example.org` stands for all names with one label before it.
    by_name: BTreeMap<String, Vec<usize>>,
    pub(crate) seen: Seen,
    #[cfg(feature = "issue")]
    pub(crate) challenges: Option<crate::AcmeChallenges>,
}

impl Certificates {
    /// Adds one. Where several are for a name, the first is shown whose key the client can check. The very first is shown to who
    /// asks for another name or none.
    pub(crate) fn add(&mut self, key: CertifiedKey) -> Result<(), ConfigError> {
        let names = {
            let broken = |_| ConfigError::BadCertificate(1);
            let end_entity = key.end_entity_cert().map_err(broken)?;
            let parsed =
                webpki::EndEntityCert::try_from(end_entity).map_err(|_| ConfigError::BadCertificate(1))?;
            parsed.valid_dns_names().map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>()
        };
        for name in names {
            let name = name.strip_prefix('*').map(ToString::to_string).unwrap_or(name);
            self.by_name.entry(name).or_default().push(self.keys.len());
        }
        self.keys.push(Arc::new(key));
        Ok(())
    }

    /// The one that was added last.
    pub(crate) fn last(&mut self) -> Option<&mut CertifiedKey> {
        self.keys.last_mut().and_then(Arc::get_mut)
    }

    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            let parent = name.find('.').and_then(|dot| name.get(dot..));
            self.by_name.get(&name).or_else(|| self.by_name.get(parent?))
        });
        let named = named.map_or(&[0][..], Vec::as_slice);
        let mut keys = named.iter().filter_map(|n| self.keys.get(*n));
        let fitting = keys.clone().find(|key| key.key.choose_scheme(schemes).is_some());
        fitting.or_else(|| keys.next()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(ToString::to_string);
        *self.seen.0.lock() = Some(Told { name, has_groups: hello.named_groups().is_some() });
        #[cfg(feature = "issue")]
        if let Some(answer) = self.challenges.as_ref().and_then(|challenges| challenges.answer(&hello)) {
            return answer;
        }
        self.find(hello.server_name(), hello.signature_schemes())
    }
}
