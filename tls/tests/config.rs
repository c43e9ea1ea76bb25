//! What is configured: certificates, names, protocols, resumption, replacement.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use std::sync::Arc;

use fata_tls::{
    Alert, CertificateProblem, ClientConfig, ConfigError, Error, ServerConfig, TlsAcceptor, TlsConnector,
    Versions,
};

#[cfg(feature = "rsa")]
const RSA_WORKS: bool = true;
#[cfg(not(feature = "rsa"))]
const RSA_WORKS: bool = false;

fn config(chain: &str, key: &str) -> ServerConfig {
    ServerConfig::from_pem(chain, key).unwrap()
}

#[test]
fn the_certificate_is_that_of_the_name() {
    run(async {
        let config =
            server_config().certificate(WILD, WILD_KEY).unwrap().certificate(ED25519, ED25519_KEY).unwrap();
        let server = TlsAcceptor::new(config).unwrap();
        for (name, is_there) in [
            ("server.test", true),
            ("LOCALHOST", true),
            ("ed25519.test", true),
            ("wild.test", true),
            ("any.wild.test", true),
            ("Any.Wild.Test", true),
            ("one.more.wild.test", false),
            (".wild.test", false),
            ("other.test", false),
        ] {
            let (a, b) = duplex(10_000);
            let Ok(mut client) = connector().stream(name, b) else {
                assert!(!is_there);
                continue;
            };
            let mut stream = server.accept(a).unwrap();
            let (_, shaken) = shake(&mut stream, &mut client).await;
            assert_eq!(stream.server_name(), Some(name.to_lowercase().as_str()));
            match shaken {
                Ok(()) => assert!(is_there, "{name}"),
                Err(e) => {
                    assert!(!is_there, "{name}: {e}");
                    let names = CertificateProblem::WrongName("DnsName(\"server.test\")".into());
                    assert!(
                        matches!(e, Error::Certificate(CertificateProblem::WrongName(_))),
                        "{e:?} {names:?}"
                    );
                }
            }
        }
        // An address has no name to ask for: the first certificate is for it.
        let (stream, _client) = connected(&server, &connector(), "127.0.0.1").await;
        assert_eq!(stream.server_name(), None);
        assert_eq!(connector().stream("not a name", duplex(1).0).unwrap_err(), Error::InvalidName);
    });
}

/// A server that wants another group than the client's first asks it to begin again (RFC 8446 section 4.1.4).
#[test]
fn a_hello_that_came_twice_leaves_its_name_to_nobody() {
    run(async {
        let mut provider = fata_tls::provider::provider();
        provider.kx_groups = vec![fata_tls::provider::SECP256R1];
        let config = ServerConfig::with_provider(Arc::new(provider), SERVER, SERVER_KEY).unwrap();
        let server = TlsAcceptor::new(config).unwrap();
        for name in ["server.test", "localhost", "server.test"] {
            let (stream, _client) = connected(&server, &connector(), name).await;
            assert_eq!(stream.server_name(), Some(name));
        }
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    run(async {
        let said = async |chain, key, name, root| {
            let server = TlsAcceptor::new(config(chain, key)).unwrap();
            let client = TlsConnector::new(ClientConfig::from_roots_pem(root).unwrap()).unwrap();
            let (of_server, of_client) = refused(outcome(&server, &client, name).await);
            assert_eq!(
                (server.stats().handshakes_given_up(), client.stats().handshakes_with_bad_certificates()),
                (1, 1)
            );
            (of_client.to_string(), of_server)
        };
        let (text, alert) = said(EXPIRED, EXPIRED_KEY, "expired.test", ROOT).await;
        assert_eq!(
            text,
            "the peer's certificate expired at 2025-06-01T00:00:00Z; now is 2026-01-01T00:00:00Z"
        );
        assert_eq!(alert, Error::AlertReceived(Alert::CERTIFICATE_EXPIRED));
        let (text, alert) = said(FUTURE, FUTURE_KEY, "future.test", ROOT).await;
        assert_eq!(
            text,
            "the peer's certificate is valid from 2040-01-01T00:00:00Z on; now is 2026-01-01T00:00:00Z"
        );
        assert_eq!(alert, Error::AlertReceived(Alert::CERTIFICATE_EXPIRED));
        let (text, alert) = said(SERVER, SERVER_KEY, "server.test", OTHER_ROOT).await;
        assert_eq!(text, "the peer's certificate is signed by none that is trusted");
        assert_eq!(alert, Error::AlertReceived(Alert::UNKNOWN_CA));
        let (text, alert) = said(CLIENT, CLIENT_KEY, "client.test", ROOT).await;
        assert_eq!(text, "the peer's certificate is for another purpose");
        assert_eq!(alert, Error::AlertReceived(Alert(43)));
        let (text, alert) = said(SERVER, SERVER_KEY, "elsewhere.test", ROOT).await;
        assert_eq!(text, "the peer's certificate is for server.test, localhost, 127.0.0.1");
        assert_eq!(alert, Error::AlertReceived(Alert::BAD_CERTIFICATE));
    });
}

#[test]
fn no_protocol_in_common_is_an_alert() {
    run(async {
        let server = TlsAcceptor::new(server_config().alpn(&["h2"])).unwrap();
        let client = TlsConnector::new(client_config().alpn(&["http/1.1"])).unwrap();
        let (of_server, of_client) = refused(outcome(&server, &client, "server.test").await);
        assert!(matches!(of_server, Error::Protocol(_)), "{of_server}");
        assert_eq!(of_client, Error::AlertReceived(Alert::NO_APPLICATION_PROTOCOL));
        assert_eq!((server.stats().handshakes_refused(), server.stats().alerts_sent()), (1, 1));
        // Who offers none is served.
        let (stream, _client) = connected(&server, &connector(), "server.test").await;
        assert_eq!(stream.alpn_protocol(), None);
        let bad = TlsAcceptor::new(server_config().alpn(&[""])).err();
        assert_eq!(bad, Some(ConfigError::BadProtocolName));
    });
}

#[test]
fn no_version_in_common_is_an_alert() {
    run(async {
        for (of_server, of_client) in [(Versions::Tls12, Versions::Tls13), (Versions::Tls13, Versions::Tls12)]
        {
            let server = TlsAcceptor::new(server_config().versions(of_server)).unwrap();
            let client = TlsConnector::new(client_config().versions(of_client)).unwrap();
            let (_, error) = refused(outcome(&server, &client, "server.test").await);
            assert_eq!(error, Error::AlertReceived(Alert::PROTOCOL_VERSION));
        }
    });
}

#[test]
fn sessions_are_resumed_where_they_are_kept() {
    run(async {
        for versions in [Versions::Tls13, Versions::Tls12] {
            let config = || server_config().versions(versions);
            let keeping = TlsAcceptor::new(config().session_cache(8)).unwrap();
            assert!(resumes(&keeping, &connector()).await, "{versions:?}");
            assert_eq!((keeping.stats().handshakes(), keeping.stats().handshakes_resumed()), (2, 1));
            let forgetting = TlsAcceptor::new(config()).unwrap();
            assert!(!resumes(&forgetting, &connector()).await, "{versions:?}");
            let client = TlsConnector::new(client_config().session_cache(0)).unwrap();
            assert!(!resumes(&keeping, &client).await, "{versions:?}");
            // The second time too its order of suites counts, or its session would not be resumed.
            let mut provider = fata_tls::provider::provider();
            provider.cipher_suites.reverse();
            let client = fata_tls::ClientConfig::with_provider(Arc::new(provider), ROOT).unwrap();
            assert!(resumes(&keeping, &TlsConnector::new(client).unwrap()).await, "{versions:?}");
        }
    });
}

#[test]
fn another_configuration_takes_the_place_of_the_first() {
    run(async {
        let (server, client) = (acceptor(), connector());
        let (mut a, mut b) = connected(&server, &client, "server.test").await;
        server.replace(config(WILD, WILD_KEY)).unwrap();
        a.write_all(b"still here").await.unwrap();
        let mut buf = [0; 10];
        b.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"still here");
        connected(&server, &client, "a.wild.test").await;
        let (_, error) = refused(outcome(&server, &client, "server.test").await);
        assert!(matches!(error, Error::Certificate(CertificateProblem::WrongName(_))), "{error}");
        // What cannot be used does not.
        assert!(server.replace(server_config().alpn(&[""])).is_err());
        connected(&server, &client, "a.wild.test").await;
        assert_eq!(server.stats().handshakes(), 3);
    });
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    let said =
        |chain: &str, key: &str| ServerConfig::from_pem(chain, key).map(|_| ()).unwrap_err().to_string();
    let cases = [
        (String::new(), SERVER_KEY.into(), "no certificate in the PEM text, which has no section"),
        (SERVER_KEY.into(), SERVER_KEY.into(), "no certificate in the PEM text, which has PRIVATE KEY"),
        (SERVER.into(), SERVER.into(), "no private key in the PEM text, which has CERTIFICATE"),
        (
            SERVER.into(),
            format!("{SERVER_KEY}{WILD_KEY}"),
            "2 private keys in the PEM text, where one belongs",
        ),
        (
            SERVER.into(),
            SERVER_KEY_ENCRYPTED.into(),
            "the private key is encrypted; `openssl pkey` writes it without a password",
        ),
        (SERVER.into(), WILD_KEY.into(), "the private key does not belong to the first certificate"),
        (
            format!("{ROOT}{SERVER}"),
            SERVER_KEY.into(),
            "the private key does not belong to the first certificate",
        ),
        (
            SERVER.replace("-----END CERTIFICATE-----", ""),
            SERVER_KEY.into(),
            "section 1 of the PEM text is broken: its END line is missing",
        ),
        (
            format!("{SERVER}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            SERVER_KEY.into(),
            "certificate 2 of the PEM text cannot be read",
        ),
    ];
    for (chain, key, wanted) in cases {
        assert_eq!(said(&chain, &key), wanted);
    }
    let empty = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(said(SERVER, empty).starts_with("the private key cannot be used: "), "{}", said(SERVER, empty));
    assert!(ClientConfig::from_roots_pem("").is_err());
    // A chain and its key may stand in one text, and keys in any form.
    for key in [SERVER_KEY_SEC1.to_string(), format!("{SERVER}{SERVER_KEY}")] {
        assert!(ServerConfig::from_pem(SERVER, &key).is_ok());
    }
    for key in [RSA_KEY, RSA_KEY_PKCS1] {
        assert_eq!(ServerConfig::from_pem(RSA, key).is_ok(), RSA_WORKS);
    }
}

#[cfg(feature = "webpki-roots")]
#[test]
fn the_roots_of_browsers_have_not_signed_ours() {
    run(async {
        let client = TlsConnector::new(ClientConfig::from_webpki_roots()).unwrap();
        let (_, error) = refused(outcome(&acceptor(), &client, "server.test").await);
        assert_eq!(error, Error::Certificate(CertificateProblem::UnknownIssuer));
    });
}
