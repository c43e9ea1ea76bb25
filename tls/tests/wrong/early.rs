//! Early data (RFC 8446 section 4.2.10) of a client that believes it may send some: another implementation's, with tickets of ours. Servers
//! here allow none, pass over what comes, and go on. What octets alone can show of it is in `table.rs`.

use super::common::*;
use super::counting::kept_each_time;
use super::serves;
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, SystemTime, timeout};
use fata_tls::provider::Tickets;
use fata_tls::{Alert, Error, TlsAcceptor};
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
    UnbufferedClientConnection, WebPkiServerVerifier,
};
use rustls::crypto::{ActiveKeyExchange, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, RootCertStore, SignatureScheme};
use std::sync::{Arc, Mutex};

/// Tickets of servers, which are said to allow early data.
#[derive(Debug, Default)]
struct Believing(Mutex<Vec<Tls13ClientSessionValue>>);

impl ClientSessionStore for Believing {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, mut ticket: Tls13ClientSessionValue) {
        assert_eq!(ticket.max_early_data_size(), 0, "no ticket of ours allows early data");
        ticket._private_set_max_early_data_size(1 << 20);
        *self.0.lock().unwrap() = vec![ticket];
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap().pop()
    }
}

#[derive(Debug)]
struct Clock;

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(SystemTime::recent().since_unix()))
    }
}

/// A group that our server does not have, so that it wants another hello.
#[derive(Debug)]
struct Unknown;

impl SupportedKxGroup for Unknown {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, rustls::Error> {
        struct Share(Box<dyn ActiveKeyExchange>);
        impl ActiveKeyExchange for Share {
            fn complete(self: Box<Self>, _: &[u8]) -> Result<rustls::crypto::SharedSecret, rustls::Error> {
                Err(rustls::Error::EncryptError)
            }
            fn pub_key(&self) -> &[u8] {
                self.0.pub_key()
            }
            fn group(&self) -> NamedGroup {
                NamedGroup::X448
            }
        }
        Ok(Box::new(Share(rustls::crypto::ring::kx_group::X25519.start()?)))
    }
    fn name(&self) -> NamedGroup {
        NamedGroup::X448
    }
}

/// Whether the client's first share is of a group that the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Known,
    Unknown,
}

/// It shows no certificate.
#[derive(Debug)]
struct Nobody;

impl ResolvesClientCert for Nobody {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }
    fn has_certs(&self) -> bool {
        false
    }
}

/// What a client's connections share: rustls takes a ticket only where the same checks the server, and shows certificates.
struct Shared {
    tickets: Arc<Believing>,
    checks: Arc<WebPkiServerVerifier>,
    shows: Arc<Nobody>,
}

impl Shared {
    fn new() -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ROOT.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let checks = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        Self { tickets: Arc::default(), checks, shows: Arc::new(Nobody) }
    }
}

fn client(shared: &Shared, share: Share) -> Arc<ClientConfig> {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.kx_groups = match share {
        Share::Known => vec![rustls::crypto::ring::kx_group::X25519],
        Share::Unknown => vec![&Unknown, rustls::crypto::ring::kx_group::X25519],
    };
    let builder = ClientConfig::builder_with_details(Arc::new(provider), Arc::new(Clock));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let builder = builder.with_webpki_verifier(shared.checks.clone());
    let mut config = builder.with_client_cert_resolver(shared.shows.clone());
    config.resumption = Resumption::store(shared.tickets.clone());
    config.enable_early_data = true;
    Arc::new(config)
}

/// A client's side of a connection.
struct Client {
    connection: UnbufferedClientConnection,
    came: Vec<u8>,
    /// What it sends.
    sends: Vec<u8>,
    /// What it still has to say as early data, a record each.
    early: Vec<Vec<u8>>,
    /// And when the handshake is done.
    late: Vec<u8>,
    heard: Vec<u8>,
}

impl Client {
    fn new(config: Arc<ClientConfig>, early: Vec<Vec<u8>>) -> Self {
        let name = ServerName::try_from("server.test").unwrap();
        let connection = UnbufferedClientConnection::new(config, name).unwrap();
        let (came, sends, heard) = Default::default();
        Self { connection, came, sends, early, late: b"late".to_vec(), heard }
    }

    /// Goes on as far as it can.
    fn work(&mut self) -> Result<(), rustls::Error> {
        loop {
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(&mut self.came);
            let (mut room, mut is_done) = (vec![0; 20_000], false);
            match state? {
                ConnectionState::EncodeTlsData(mut data) => {
                    let n = data.encode(&mut room).unwrap();
                    self.sends.extend(&room[..n]);
                }
                ConnectionState::TransmitTlsData(mut sent) => {
                    if let Some(mut early) = sent.may_encrypt_early_data() {
                        for text in self.early.drain(..) {
                            let n = early.encrypt(&text, &mut room).unwrap();
                            self.sends.extend(&room[..n]);
                        }
                    }
                    sent.done();
                }
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        self.heard.extend(record.payload);
                    }
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    is_done = self.late.is_empty();
                    if !is_done {
                        let n = traffic.encrypt(&self.late, &mut room).unwrap();
                        self.sends.extend(&room[..n]);
                        self.late.clear();
                    }
                }
                _ => is_done = true,
            }
            self.came.drain(..discard);
            if is_done {
                return Ok(());
            }
        }
    }
}

/// What came of a connection: the server's, how it was shaken, and what went wrong at the client's.
struct Ended {
    read: Result<Vec<u8>, Error>,
    kind: Option<HandshakeKind>,
    refused: Option<rustls::Error>,
}

/// A connection of the client with the server, which answers what it hears.
async fn meet(server: &TlsAcceptor, mut client: Client) -> Ended {
    let (a, mut b) = duplex(200_000);
    let mut stream = server.accept(a).unwrap();
    let (mut read, mut refused, mut buf) = (Ok(Vec::new()), None, vec![0; 50_000]);
    // The hello, a second one, the client's Finished.
    for _ in 0..4 {
        refused = refused.or_else(|| client.work().err());
        b.write_all(&core::mem::take(&mut client.sends)).await.unwrap();
        let moment = Duration::from_millis(10);
        match timeout(moment, stream.read(&mut buf)).await {
            Ok(Ok(n)) => {
                read = Ok(buf[..n].to_vec());
                stream.write_all(b"heard").await.unwrap();
            }
            Ok(Err(error)) => read = Err(error),
            Err(_) => {}
        }
        if let Ok(Ok(n)) = timeout(moment, b.read(&mut buf)).await {
            client.came.extend(&buf[..n]);
        }
    }
    refused = refused.or_else(|| client.work().err());
    assert!(
        client.early.is_empty() || refused.is_some(),
        "early data was not sent: {:?}, {read:?}",
        client.connection.handshake_kind()
    );
    if refused.is_none() {
        assert_eq!(client.heard, b"heard");
    }
    Ended { read, kind: client.connection.handshake_kind(), refused }
}

/// Texts of early data; records have 17 octets more.
fn texts(number: usize, len: usize) -> Vec<Vec<u8>> {
    vec![vec![b'e'; len]; number]
}

#[test]
fn early_data_is_passed_over_up_to_a_limit() {
    run(async {
        let acceptor = || {
            let config = server_config().tickets(Arc::new(Tickets::default()));
            TlsAcceptor::new(config).unwrap()
        };
        // The tickets of one do not open at the other.
        let (server, another) = (acceptor(), acceptor());
        let resumed = Some(HandshakeKind::Resumed);
        let full = Some(HandshakeKind::Full);
        let again = Some(HandshakeKind::FullWithHelloRetryRequest);
        // RFC 8446 section 5.2; section 4 where there are no keys yet.
        let (sealed, plain) = (Alert::BAD_RECORD_MAC, Alert::UNEXPECTED_MESSAGE);
        let most = 16_384 - 17;
        for (name, whose, share, early, wanted) in [
            ("a request", &server, Share::Known, texts(1, 500), Ok(resumed)),
            ("many records", &server, Share::Known, texts(60, 200), Ok(resumed)),
            ("as much as is passed over", &server, Share::Known, texts(1, most), Ok(resumed)),
            ("more than that", &server, Share::Known, texts(2, most / 2 + 1), Err(sealed)),
            ("a ticket of another server", &another, Share::Known, texts(60, 200), Ok(full)),
            (
                "more than that with a ticket of another server",
                &another,
                Share::Known,
                texts(2, most / 2 + 1),
                Err(sealed),
            ),
            ("another hello is wanted", &server, Share::Unknown, texts(60, 200), Ok(resumed)),
            ("another hello of another server", &another, Share::Unknown, texts(60, 200), Ok(again)),
            ("more before another hello", &server, Share::Unknown, texts(2, most / 2 + 1), Err(plain)),
        ] {
            let row = async || {
                let shared = Shared::new();
                let first = meet(whose, Client::new(client(&shared, Share::Known), Vec::new())).await;
                assert_eq!((first.read, first.kind), (Ok(b"late".to_vec()), full), "{name}");
                assert!(!shared.tickets.0.lock().unwrap().is_empty(), "{name}: no ticket came");
                meet(&server, Client::new(client(&shared, share), early.clone())).await
            };
            let ended = row().await;
            match wanted {
                Ok(kind) => {
                    assert_eq!(ended.refused, None, "{name}: {:?}", ended.read);
                    assert_eq!((ended.read, ended.kind), (Ok(b"late".to_vec()), kind), "{name}");
                }
                Err(alert) => {
                    assert!(matches!(ended.read, Err(Error::Protocol(_))), "{name}: {:?}", ended.read);
                    let alert = rustls::Error::AlertReceived(alert.0.into());
                    assert_eq!(ended.refused, Some(alert), "{name}: {:?}", ended.read);
                }
            }
            serves(&server, &connector()).await;
            let (kept, most) = kept_each_time(row).await;
            assert_eq!(kept, 0, "{name}: octets that were not given back of {most}");
        }
    });
}
