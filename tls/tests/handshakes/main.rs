//! Handshakes of this provider with rustls' one over *ring*: each suite, group, signature scheme and version, either as server.
//!
//! The keys in `keys/` are of these tests alone; each has a certificate that it signed itself, until 2126.

mod ends;

use ends::{Agreed, talk};
use fata_libos::testing::run;
use fata_tls::provider::{Tickets, provider};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, CipherSuite, ClientConfig, Error, HandshakeKind, NamedGroup, RootCertStore,
    ServerConfig, SignatureScheme, SupportedCipherSuite, SupportedProtocolVersion,
};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
const KEYS: [&str; 4] = ["p256", "p384", "ed25519", "rsa"];

/// 2027-01-01T00:00:00Z.
#[derive(Debug)]
struct NewYear;

impl TimeProvider for NewYear {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_798_761_600)))
    }
}

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handshakes/keys").join(name)).unwrap()
}

fn key(name: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(&file(&format!("{name}-key.pem"))).unwrap()
}

fn certificate(name: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&file(&format!("{name}.pem"))).unwrap()
}

fn roots(name: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(name)).unwrap();
    Arc::new(roots)
}

/// Which of two providers has which part.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ours {
    Client,
    Server,
}

impl Ours {
    fn providers(self) -> (CryptoProvider, CryptoProvider) {
        match self {
            Ours::Client => (provider(), ring::default_provider()),
            Ours::Server => (ring::default_provider(), provider()),
        }
    }
}

/// Both ends, each with the certificate of `name`, which the other asks for.
fn configs(
    providers: (CryptoProvider, CryptoProvider),
    version: &'static SupportedProtocolVersion,
    name: &str,
) -> (ClientConfig, ServerConfig) {
    let (client, server) = (Arc::new(providers.0), Arc::new(providers.1));
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(name), server.clone()).build().unwrap();
    let client = ClientConfig::builder_with_details(client, Arc::new(NewYear))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots(name))
        .with_client_auth_cert(vec![certificate(name)], key(name))
        .unwrap();
    let server = ServerConfig::builder_with_details(server, Arc::new(NewYear))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate(name)], key(name))
        .unwrap();
    (client, server)
}

/// Text of two records, in whose second a part of a block is.
fn text() -> Vec<u8> {
    (0..20_003u32).map(|n| n as u8).collect()
}

fn is_of(suite: &SupportedCipherSuite, version: &SupportedProtocolVersion) -> bool {
    suite.version().version == version.version
}

/// If a server with this key can have the suite.
fn suits(suite: &SupportedCipherSuite, key: &str) -> bool {
    match suite {
        SupportedCipherSuite::Tls13(_) => true,
        SupportedCipherSuite::Tls12(suite) => {
            (key == "rsa") == suite.sign.contains(&SignatureScheme::RSA_PKCS1_SHA256)
        }
    }
}

fn every_suite_and_group(ours: Ours, name: &str) -> usize {
    let mut count = 0;
    for version in VERSIONS {
        for suite in
            provider().cipher_suites.iter().filter(|suite| is_of(suite, version) && suits(suite, name))
        {
            for group in provider().kx_groups {
                let (mut client, server) = ours.providers();
                client.cipher_suites.retain(|s| s.suite() == suite.suite());
                client.kx_groups.retain(|g| g.name() == group.name());
                let (client, server) = configs((client, server), version, name);
                let agreed = talk(&Arc::new(client), &Arc::new(server), &text());
                let expected = Agreed {
                    version: version.version,
                    suite: suite.suite(),
                    group: Some(group.name()),
                    kind: HandshakeKind::Full,
                };
                assert_eq!(agreed, Ok(expected), "{ours:?} ours, {name}, {suite:?}, {group:?}");
                count += 1;
            }
        }
    }
    count
}

#[test]
fn suites_and_groups_with_p256() {
    // Three suites of TLS 1.3 and three of 1.2 that its certificate fits, three groups.
    run(async {
        assert_eq!([Ours::Client, Ours::Server].map(|ours| every_suite_and_group(ours, "p256")), [18, 18])
    });
}

#[test]
fn suites_and_groups_with_rsa() {
    run(async {
        assert_eq!([Ours::Client, Ours::Server].map(|ours| every_suite_and_group(ours, "rsa")), [18, 18])
    });
}

/// `provider`, which verifies signatures of one scheme in handshakes: the other end must sign with that.
fn with_scheme(mut provider: CryptoProvider, scheme: SignatureScheme) -> CryptoProvider {
    let all = provider.signature_verification_algorithms;
    let one: Vec<_> = all.mapping.iter().copied().filter(|(s, _)| *s == scheme).collect();
    assert_eq!(one.len(), 1, "{scheme:?}");
    provider.signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: all.all, mapping: one.leak() };
    provider
}

#[test]
fn signature_schemes() {
    use SignatureScheme as S;
    let pss = [S::RSA_PSS_SHA256, S::RSA_PSS_SHA384, S::RSA_PSS_SHA512].map(|scheme| ("rsa", scheme, true));
    let pkcs1 =
        [S::RSA_PKCS1_SHA256, S::RSA_PKCS1_SHA384, S::RSA_PKCS1_SHA512].map(|scheme| ("rsa", scheme, false));
    let curves = [
        ("p256", S::ECDSA_NISTP256_SHA256, true),
        ("p384", S::ECDSA_NISTP384_SHA384, true),
        ("ed25519", S::ED25519, true),
    ];
    run(async {
        for (name, scheme, in_tls13) in pss.into_iter().chain(pkcs1).chain(curves) {
            for version in VERSIONS.into_iter().filter(|version| in_tls13 || version.version == TLS12.version)
            {
                for ours in [Ours::Client, Ours::Server] {
                    let (client, server) = ours.providers();
                    let (client, server) = configs((with_scheme(client, scheme), server), version, name);
                    let agreed = talk(&Arc::new(client), &Arc::new(server), b"text");
                    assert!(agreed.is_ok(), "{ours:?} ours, {scheme:?}, {version:?}: {agreed:?}");
                }
            }
        }
    });
}

#[test]
fn a_server_takes_its_own_first_suite_and_the_clients_first_group() {
    run(async {
        for (version, suite) in [
            (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
            (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ] {
            let (client, mut server) = configs(Ours::Server.providers(), version, "p256");
            server.ignore_client_order = true;
            let agreed = talk(&Arc::new(client), &Arc::new(server), b"text").unwrap();
            assert_eq!((agreed.suite, agreed.group), (suite, Some(NamedGroup::X25519)));
        }
    });
}

#[test]
fn a_group_that_the_client_did_not_guess_takes_another_round() {
    run(async {
        let (client, mut server) = Ours::Server.providers();
        server.kx_groups.retain(|group: &&dyn SupportedKxGroup| group.name() == NamedGroup::secp384r1);
        let (client, server) = configs((client, server), &TLS13, "p256");
        let agreed = talk(&Arc::new(client), &Arc::new(server), b"text").unwrap();
        assert_eq!(agreed.kind, HandshakeKind::FullWithHelloRetryRequest);
        assert_eq!(agreed.group, Some(NamedGroup::secp384r1));
    });
}

#[test]
fn a_signature_by_another_key_is_refused() {
    run(async {
        // Their algorithms are the same, so that it is the signature that is wrong.
        for ours in [Ours::Client, Ours::Server] {
            let (client, mut server) = configs(ours.providers(), &TLS13, "p256");
            let wrong = provider().key_provider.load_private_key(key("p256-other")).unwrap();
            let wrong = CertifiedKey::new(vec![certificate("p256")], wrong);
            server.cert_resolver = Arc::new(SingleCertAndKey::from(wrong));
            let refused = talk(&Arc::new(client), &Arc::new(server), b"text").unwrap_err();
            assert_eq!(refused, Error::InvalidCertificate(CertificateError::BadSignature));
        }
    });
}

/// Sessions of one server.
#[derive(Debug, Default)]
struct Sessions {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12.lock().unwrap() = Some(value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().unwrap().clone()
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        *self.tls12.lock().unwrap() = None;
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tls13.lock().unwrap().push(value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().unwrap().pop()
    }
}

#[test]
fn tickets_resume_sessions_until_their_keys_are_gone() {
    run(async {
        for version in VERSIONS {
            let (mut client, mut server) = configs(Ours::Server.providers(), version, "p256");
            client.resumption = Resumption::store(Arc::new(Sessions::default()));
            server.ticketer = Arc::new(Tickets::new(Duration::from_secs(600)));
            let (client, server) = (Arc::new(client), Arc::new(server));
            let mut kinds = Vec::new();
            for wait in [0, 0, 1100, 1300] {
                fata_libos::time::sleep(Duration::from_secs(wait)).await;
                kinds.push(talk(&client, &server, b"text").unwrap().kind);
            }
            use HandshakeKind::{Full, Resumed};
            assert_eq!(kinds, [Full, Resumed, Resumed, Full], "{version:?}");
        }
    });
}

#[test]
fn keys_in_every_form_sign_for_their_certificates() {
    let fits = |form: &str, name: &str| {
        CertifiedKey::from_der(vec![certificate(name)], key_in(form), &provider()).map(|_| ())
    };
    for (form, name) in [
        ("p256-key.pem", "p256"),
        ("p256-key-sec1.pem", "p256"),
        ("p384-key.pem", "p384"),
        ("p384-key-sec1.pem", "p384"),
        ("ed25519-key.pem", "ed25519"),
        ("rsa-key.pem", "rsa"),
        ("rsa-key-pkcs1.pem", "rsa"),
    ] {
        for other in KEYS {
            assert_eq!(fits(form, other).is_ok(), other == name, "{form} with the certificate of {other}");
        }
    }
}

fn key_in(form: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(&file(form)).unwrap()
}

#[test]
fn keys_that_are_of_no_use_are_refused_with_a_reason() {
    let why = |key| provider().key_provider.load_private_key(key).unwrap_err().to_string();
    assert!(why(key_in("rsa-1024-key.pem")).contains("fewer than 2048 bits"));
    assert!(why(key_in("p521-key.pem")).contains("no curve that is known"));
    let PrivateKeyDer::Pkcs8(whole) = key_in("p256-key.pem") else { panic!("not PKCS#8") };
    for len in 0..whole.secret_pkcs8_der().len() {
        let cut = whole.secret_pkcs8_der()[..len].to_vec();
        assert!(!why(PrivateKeyDer::Pkcs8(cut.into())).is_empty());
    }
}
