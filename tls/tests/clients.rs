//! Clients' certificates: when they are shown, and when a session is resumed in which they were shown.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::time::{Duration, sleep, timeout};
use fata_tls::provider::Tickets;
use fata_tls::{
    Alert, CertificateProblem, ClientCertificates, ClientConfig, Error, ServerConfig, TlsAcceptor,
    TlsConnector, Versions,
};
use rustls::server::ProducesTickets;
use std::sync::{Arc, Mutex};

fn config(chain: &str, key: &str) -> ServerConfig {
    ServerConfig::from_pem(chain, key).unwrap()
}

#[test]
fn clients_certificates_are_checked() {
    use ClientCertificates::{Asked, Required};
    run(async {
        for versions in [Versions::Tls13, Versions::Tls12] {
            let server = |which, crl| {
                let config = server_config().versions(versions).client_certificates(which, ROOT).unwrap();
                let config = if crl { config.revocation_lists(REVOKED_LIST).unwrap() } else { config };
                TlsAcceptor::new(config).unwrap()
            };
            let with =
                |chain, key| TlsConnector::new(client_config().certificate(chain, key).unwrap()).unwrap();
            for crl in [false, true] {
                let server = server(Required, crl);
                let (stream, _client) = connected(&server, &with(CLIENT, CLIENT_KEY), "server.test").await;
                assert_eq!(stream.peer_certificates().count(), 1);
            }
            let cases = [
                (server(Required, false), connector(), Some(Alert::CERTIFICATE_REQUIRED)),
                (server(Asked, false), connector(), None),
                (server(Asked, false), with(CLIENT, CLIENT_KEY), None),
                (server(Required, false), with(STRANGER, STRANGER_KEY), Some(Alert::UNKNOWN_CA)),
                (server(Asked, false), with(STRANGER, STRANGER_KEY), Some(Alert::UNKNOWN_CA)),
                (server(Required, false), with(EXPIRED, EXPIRED_KEY), Some(Alert::CERTIFICATE_EXPIRED)),
                (server(Required, false), with(REVOKED, REVOKED_KEY), None),
                (server(Required, true), with(REVOKED, REVOKED_KEY), Some(Alert::CERTIFICATE_REVOKED)),
            ];
            for (n, (server, client, alert)) in cases.into_iter().enumerate() {
                let (of_server, of_client) = outcome(&server, &client, "server.test").await;
                let Some(alert) = alert else {
                    assert_eq!((of_server, of_client), (Ok(()), Ok(())), "{n}");
                    continue;
                };
                assert!(matches!(of_server, Err(Error::Certificate(_))), "{n}: {of_server:?}");
                // TLS 1.2 has another one for a certificate that is missing.
                let also = (alert == Alert::CERTIFICATE_REQUIRED).then_some(Alert::HANDSHAKE_FAILURE);
                let seen = of_client.unwrap_err();
                let wanted = [Some(alert), also].map(|alert| alert.map(Error::AlertReceived));
                assert!(wanted.contains(&Some(seen.clone())), "{n}: {seen:?}");
                assert_eq!(server.stats().handshakes_with_bad_certificates(), 1);
            }
        }
    });
}

#[test]
fn a_revocation_list_that_is_none_is_not_taken() {
    assert!(server_config().revocation_lists(SERVER).is_err());
}

/// A list is good until `nextUpdate`: 2026-02-01, for either side.
#[test]
fn a_revocation_list_whose_time_is_over_is_none() {
    run(async {
        let client_of = |config: ClientConfig| TlsConnector::new(config).unwrap();
        let lists = server_config()
            .client_certificates(ClientCertificates::Required, LISTS_ROOT)
            .unwrap()
            .revocation_lists(LISTS_CRL)
            .unwrap();
        let server = TlsAcceptor::new(lists).unwrap();
        let client = client_of(client_config().certificate(LISTS_CLIENT, LISTS_CLIENT_KEY).unwrap());
        let own = TlsAcceptor::new(config(LISTS_CLIENT, LISTS_CLIENT_KEY)).unwrap();
        let trusting = ClientConfig::from_roots_pem(LISTS_ROOT).unwrap().revocation_lists(LISTS_CRL).unwrap();
        let trusting = client_of(trusting.session_cache(0));
        let day = Duration::from_secs(86_400);
        sleep(30 * day).await;
        assert_eq!(outcome(&server, &client, "server.test").await, (Ok(()), Ok(())));
        assert_eq!(outcome(&own, &trusting, "server.test").await, (Ok(()), Ok(())));
        sleep(2 * day).await;
        let (of_server, of_client) = refused(outcome(&server, &client, "server.test").await);
        let unusable = |error: &Error| matches!(error, Error::Certificate(CertificateProblem::Unusable(_)));
        assert!(unusable(&of_server), "{of_server}");
        assert!(matches!(of_client, Error::AlertReceived(_)), "{of_client}");
        let (of_server, of_client) = refused(outcome(&own, &trusting, "server.test").await);
        assert!(unusable(&of_client), "{of_client}");
        assert!(matches!(of_server, Error::AlertReceived(_)), "{of_server}");
    });
}

/// A ticket is one of the same demands: who has it from before they were others begins anew.
#[test]
fn a_ticket_opens_only_where_certificates_are_held_against_the_same() {
    use ClientCertificates::{Asked, Required};
    run(async {
        for versions in [Versions::Tls13, Versions::Tls12] {
            let tickets: Arc<Tickets> = Arc::default();
            let bare = || server_config().versions(versions).tickets(tickets.clone());
            let asking = |which, root| bare().client_certificates(which, root).unwrap();
            let revoking = || asking(Required, ROOT).revocation_lists(REVOKED_LIST).unwrap();
            let client = || {
                let config = client_config().certificate(REVOKED, REVOKED_KEY).unwrap();
                TlsConnector::new(config).unwrap()
            };
            // What changes nothing that certificates are held against.
            let server = TlsAcceptor::new(asking(Required, ROOT)).unwrap();
            let same = client();
            assert!(resumes(&server, &same).await, "{versions:?}");
            server.replace(asking(Required, ROOT).alpn(&["http/1.1"])).unwrap();
            assert!(resumes(&server, &same).await, "{versions:?}");
            // Revoked, since the ticket was made.
            server.replace(revoking()).unwrap();
            let (of_server, _) = refused(outcome(&server, &same, "server.test").await);
            assert_eq!(of_server, Error::Certificate(CertificateProblem::Revoked), "{versions:?}");
            // Others are trusted; a certificate is asked for where none was.
            let server = TlsAcceptor::new(asking(Asked, ROOT)).unwrap();
            let same = client();
            assert!(resumes(&server, &same).await);
            server.replace(asking(Asked, OTHER_ROOT)).unwrap();
            let (of_server, _) = refused(outcome(&server, &same, "server.test").await);
            assert_eq!(of_server, Error::Certificate(CertificateProblem::UnknownIssuer), "{versions:?}");
            let server = TlsAcceptor::new(bare()).unwrap();
            let none = connector();
            assert!(resumes(&server, &none).await);
            server.replace(asking(Required, ROOT)).unwrap();
            let (of_server, _) = refused(outcome(&server, &none, "server.test").await);
            assert_eq!(of_server, Error::Certificate(CertificateProblem::Missing), "{versions:?}");
        }
    });
}

const HOUR: Duration = Duration::from_secs(3600);

/// Each way to resume a session.
fn ways() -> impl Iterator<Item = (ServerConfig, String)> {
    [Versions::Tls13, Versions::Tls12].into_iter().flat_map(|versions| {
        let config = || server_config().versions(versions);
        [
            (config().tickets(Arc::new(Tickets::default())), format!("{versions:?}, tickets")),
            (config().session_cache(8), format!("{versions:?}, sessions in memory")),
        ]
    })
}

/// A connection whose client speaks first, before it can know what the server thinks of it: whether it was resumed, or the errors of both
/// sides. Then it was, and nothing of an application has passed.
async fn visit(server: &TlsAcceptor, client: &TlsConnector) -> Result<bool, (Error, Error)> {
    let (a, b) = duplex(64 * 1024);
    let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
    let stats = server.stats();
    let before = (stats.octets_received(), stats.octets_sent(), stats.alerts_sent());
    let (of_server, of_client) = both(
        async {
            if let Err(error) = a.read(&mut [0]).await {
                assert_eq!(a.write(b"!").await, Err(error.clone()));
                assert_eq!(a.read(&mut [0]).await, Err(error.clone()));
                return Err(error);
            }
            a.write_all(b"!").await
        },
        async {
            let _ = b.write_all(b"?").await;
            b.read(&mut [0]).await
        },
    )
    .await;
    match (of_server, of_client) {
        (Ok(()), Ok(1)) => Ok(a.is_resumed()),
        (Err(of_server), Err(of_client)) => {
            assert!(a.is_resumed() && b.is_resumed(), "{of_server}, {of_client}");
            let after = (stats.octets_received(), stats.octets_sent(), stats.alerts_sent());
            assert_eq!(after, (before.0, before.1, before.2 + 1));
            Err((of_server, of_client))
        }
        other => panic!("{other:?}"),
    }
}

/// Visits for the first time, and then every five hours, for so many.
async fn visits(server: &TlsAcceptor, client: &TlsConnector, hours: u32, way: &str) {
    assert_eq!(visit(server, client).await, Ok(false), "{way}");
    for hour in (5..=hours).step_by(5) {
        sleep(5 * HOUR).await;
        assert_eq!(visit(server, client).await, Ok(true), "{way}, {hour} h");
    }
    sleep(5 * HOUR).await;
}

fn with(chain: &str, key: &str) -> TlsConnector {
    TlsConnector::new(client_config().certificate(chain, key).unwrap()).unwrap()
}

/// Its time is over at 2026-01-03, 48 hours after the beginning of the test.
#[test]
fn no_session_is_resumed_with_a_certificate_that_has_expired() {
    for (config, way) in ways() {
        run(async {
            // Whose certificate is bad is refused, also where none is needed.
            let config = config.client_certificates(ClientCertificates::Asked, BRIEF_ROOT).unwrap();
            let server = TlsAcceptor::new(config).unwrap();
            let client = with(BRIEF, BRIEF_KEY);
            visits(&server, &client, 45, &way).await;
            let (of_server, of_client) = visit(&server, &client).await.unwrap_err();
            let expired = matches!(of_server, Error::Certificate(CertificateProblem::Expired { .. }));
            assert!(expired, "{way}: {of_server}");
            assert_eq!(of_client, Error::AlertReceived(Alert::CERTIFICATE_EXPIRED), "{way}");
            assert_eq!(server.stats().handshakes_with_bad_certificates(), 1);
            assert_eq!(server.stats().handshakes_resumed(), 9);
        });
    }
}

/// Its time is over at 2026-02-01, 744 hours after the beginning of the test.
#[test]
fn no_session_is_resumed_with_a_revocation_list_whose_time_is_over() {
    for (config, way) in ways() {
        run(async {
            let config = config.client_certificates(ClientCertificates::Required, LISTS_ROOT).unwrap();
            let server = TlsAcceptor::new(config.revocation_lists(LISTS_CRL).unwrap()).unwrap();
            let client = with(LISTS_CLIENT, LISTS_CLIENT_KEY);
            sleep(720 * HOUR).await;
            visits(&server, &client, 20, &way).await;
            let (of_server, of_client) = visit(&server, &client).await.unwrap_err();
            let unusable = matches!(of_server, Error::Certificate(CertificateProblem::Unusable(_)));
            assert!(unusable, "{way}: {of_server}");
            assert_eq!(of_client, Error::AlertReceived(Alert::UNKNOWN_CA), "{way}");
        });
    }
}

#[test]
fn a_session_is_resumed_with_a_certificate_that_is_good_still_or_without_one_that_nobody_wants() {
    for (config, way) in ways() {
        run(async {
            let config = config.client_certificates(ClientCertificates::Asked, ROOT).unwrap();
            let server = TlsAcceptor::new(config).unwrap();
            visits(&server, &with(CLIENT, CLIENT_KEY), 50, &way).await;
            visits(&server, &connector(), 10, &way).await;
            assert_eq!(server.stats().alerts_sent(), 0);
        });
    }
}

/// Records of what a server has sent to a client that has read nothing.
fn records(octets: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut all) = (octets, Vec::new());
    while let [_, _, _, high, low, ..] = *rest {
        let (one, after) = rest.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
        all.push(one);
        rest = after;
    }
    all
}

/// Who listens is not told what is wrong with the certificate.
#[test]
fn the_alert_of_a_session_that_is_not_resumed_is_sealed() {
    for (config, way) in ways() {
        run(async {
            let config = config.client_certificates(ClientCertificates::Required, BRIEF_ROOT).unwrap();
            let server = TlsAcceptor::new(config).unwrap();
            let client = with(BRIEF, BRIEF_KEY);
            sleep(45 * HOUR).await;
            visits(&server, &client, 0, &way).await;
            let (a, b) = duplex(64 * 1024);
            let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
            let _ = timeout(HOUR / 3600, b.handshake()).await;
            assert!(matches!(a.handshake().await, Err(Error::Certificate(_))), "{way}");
            let sent: Vec<u8> = a.get_ref().unwrap().output.borrow().octets.iter().copied().collect();
            let records = records(&sent);
            // TLS 1.3 has the type of an alert sealed too.
            let (last, wanted) = match way.starts_with("Tls13") {
                true => (&[23, 3, 3, 0, 19][..], 0),
                false => (&[21, 3, 3, 0, 26][..], 1),
            };
            assert!(records.last().unwrap().starts_with(last), "{way}: {records:?}");
            let alerts = records.iter().filter(|record| record[0] == 21).count();
            assert_eq!(alerts, wanted, "{way}");
        });
    }
}

/// A server's own memory of what it sealed, which gives all sessions as one that has another digest.
#[derive(Debug, Default)]
struct Swapping(Mutex<Vec<Vec<u8>>>);

const DIGEST: usize = 32;

impl ProducesTickets for Swapping {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        3600
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let mut kept = self.0.lock().unwrap();
        kept.push(session.to_vec());
        Some(vec![kept.len() as u8 - 1; 40])
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let kept = self.0.lock().unwrap();
        let digest = &kept.last()?[..DIGEST];
        Some([digest, &kept[usize::from(ticket[0])][DIGEST..]].concat())
    }
}

/// However it came to be.
#[test]
fn no_session_without_a_certificate_is_resumed_where_one_is_required() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        run(async {
            let tickets = Arc::<Swapping>::default();
            let bare = || server_config().versions(versions).tickets(tickets.clone());
            let server = TlsAcceptor::new(bare()).unwrap();
            let client = connector();
            assert_eq!(visit(&server, &client).await, Ok(false));
            server.replace(bare().client_certificates(ClientCertificates::Required, ROOT).unwrap()).unwrap();
            // The last digest is that of this configuration.
            assert_eq!(visit(&server, &with(CLIENT, CLIENT_KEY)).await, Ok(false));
            let (of_server, of_client) = visit(&server, &client).await.unwrap_err();
            assert_eq!(of_server, Error::Certificate(CertificateProblem::Missing), "{versions:?}");
            let alert = match versions {
                Versions::Tls13 => Alert::CERTIFICATE_REQUIRED,
                _ => Alert::HANDSHAKE_FAILURE,
            };
            assert_eq!(of_client, Error::AlertReceived(alert), "{versions:?}");
        });
    }
}
