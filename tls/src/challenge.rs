//! Certificates that are shown to an authority alone: `tls-alpn-01` (RFC 8737).

use crate::pem::{self, ConfigError};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::net::IpAddr;
use rustls::server::ClientHello;
use rustls::sign::CertifiedKey;
use spin::Mutex;

/// The application protocol with which an authority asks.
pub(crate) const PROTOCOL: &str = "acme-tls/1";

/// The certificates that answer the challenges of now, each for a name: a server shows one to who offers `acme-tls/1` and nothing
/// else, and says nothing over that connection. Who offers that protocol without there being a challenge is refused.
///
/// Cloning gives another handle of the same ones. A server has them by
/// [`ServerConfig::acme_challenges`](crate::ServerConfig::acme_challenges); who makes the certificates is
/// [`issue::acme_certificate`](crate::issue::acme_certificate).
#[derive(Clone, Debug, Default)]
pub struct AcmeChallenges(Arc<Mutex<BTreeMap<String, Arc<CertifiedKey>>>>);

impl AcmeChallenges {
    /// From now on this certificate is shown to who asks for the name, or the address. Nobody looks whether its key is this one.
    pub fn present(&self, name: &str, chain_pem: &str, key_pem: &str) -> Result<(), ConfigError> {
        let key = pem::unchecked(&crate::provider::signing(), chain_pem, key_pem)?;
        self.0.lock().insert(asked_for(name), Arc::new(key));
        Ok(())
    }

    /// No certificate is shown for the name any more.
    pub fn withdraw(&self, name: &str) {
        self.0.lock().remove(&asked_for(name));
    }

    /// Whether the client is an authority that asks, and what it is shown.
    pub(crate) fn answer(&self, hello: &ClientHello<'_>) -> Option<Option<Arc<CertifiedKey>>> {
        let mut protocols = hello.alpn()?;
        let is_asked = protocols.next() == Some(PROTOCOL.as_bytes()) && protocols.next().is_none();
        is_asked.then(|| self.0.lock().get(&hello.server_name()?.to_ascii_lowercase()).cloned())
    }
}

/// What an authority asks for: an address has no SNI, and its name in reverse DNS stands for it (RFC 8738 section 6).
fn asked_for(name: &str) -> String {
    match name.parse() {
        Err(_) => name.to_ascii_lowercase(),
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let nibbles =
                address.octets().into_iter().rev().map(|octet| format!("{:x}.{:x}.", octet & 15, octet >> 4));
            nibbles.collect::<String>() + "ip6.arpa"
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_addresses() {
        for (name, asked) in [
            ("A.test", "a.test"),
            ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
            // RFC 3596 section 2.5.
            (
                "4321:0:1:2:3:4:567:89ab",
                "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa",
            ),
        ] {
            assert_eq!(super::asked_for(name), asked);
        }
    }
}
