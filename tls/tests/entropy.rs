//! A machine without random octets: errors, never a panic.

mod common;

use common::*;
use fata_libos::entropy::EntropyError;
use fata_libos::testing::{VirtualPlatform, run_on};
use fata_tls::provider::{Tickets, provider};
use fata_tls::{ConfigError, Error, TlsAcceptor, TlsConnector, Versions};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ProducesTickets;
use std::sync::Arc;

#[test]
fn a_server_and_a_client_are_not_made_without_random_octets() {
    let platform = VirtualPlatform::new();
    platform.seed.set(None);
    run_on(platform, async {
        let missing = Some(ConfigError::NoEntropy(EntropyError::Missing));
        assert_eq!(TlsAcceptor::new(server_config()).err(), missing);
        assert_eq!(TlsConnector::new(client_config()).err(), missing);
        platform.seed.set(Some(1));
        assert!(TlsAcceptor::new(server_config()).is_ok());
    });
}

/// A guest that was copied, and whose sources fail then.
#[test]
fn a_copy_that_has_none_refuses_handshakes_and_lives() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        let platform = VirtualPlatform::new();
        run_on(platform, async {
            let config = server_config().versions(versions).tickets(Arc::new(Tickets::default()));
            let (server, client) = (TlsAcceptor::new(config).unwrap(), connector());
            connected(&server, &client, "server.test").await;
            let (a, b) = duplex(10_000);
            let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
            // The client has its octets still.
            let mut hello = Box::pin(b.handshake());
            let first =
                fata_libos::time::timeout(fata_libos::time::Duration::from_secs(1), hello.as_mut()).await;
            assert!(first.is_err());
            platform.generation.set(platform.generation.get() + 1);
            platform.seed.set(None);
            let (of_server, of_client) = both(a.handshake(), hello).await;
            assert!(matches!(of_server, Err(Error::Protocol(_))), "{versions:?}: {of_server:?}");
            assert!(of_client.is_err(), "{versions:?}");
            platform.seed.set(Some(9));
            connected(&server, &client, "server.test").await;
        });
    }
}

#[test]
fn nothing_of_the_provider_panics_without_random_octets() {
    let platform = VirtualPlatform::new();
    platform.seed.set(None);
    run_on(platform, async {
        let provider = provider();
        for group in &provider.kx_groups {
            assert!(group.start().is_err(), "{:?}", group.name());
        }
        for key in [SERVER_KEY, RSA_KEY] {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            let Ok(key) = provider.key_provider.load_private_key(key) else { continue };
            let schemes: Vec<_> = provider
                .signature_verification_algorithms
                .mapping
                .iter()
                .map(|(scheme, _)| *scheme)
                .collect();
            assert!(key.choose_scheme(&schemes).unwrap().sign(b"text").is_err());
        }
        let tickets = Tickets::default();
        assert_eq!(tickets.encrypt(b"a session"), None);
        assert_eq!(tickets.decrypt(&[1; 100]), None);
        platform.seed.set(Some(1));
        assert!(tickets.encrypt(b"a session").is_some());
    });
}
