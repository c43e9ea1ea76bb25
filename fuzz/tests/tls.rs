//! Peers of TLS: hellos and records that are nearly good, certificates and keys that are nearly some.

#[path = "../../tls/tests/common/mod.rs"]
mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_fuzz::{Changes, changes, fuzz, mutated};
use fata_libos::time::{Duration, timeout};
use fata_tls::provider::Tickets;
use fata_tls::{ClientConfig, Error, ServerConfig, TlsAcceptor, TlsConnector, TlsStream, Versions};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting what each thread has.
struct Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = USED.try_with(|used| used.set(used.get() + layout.size() as isize));
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _ = USED.try_with(|used| used.set(used.get() - layout.size() as isize));
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MOMENT: Duration = Duration::from_millis(5);

/// What one side has sent that the other has not read.
fn take(stream: &TlsStream<End>) -> Vec<u8> {
    stream.get_ref().map(|end| end.input.borrow_mut().octets.drain(..).collect()).unwrap_or_default()
}

fn put(stream: &TlsStream<End>, octets: &[u8]) {
    if let Some(end) = stream.get_ref() {
        end.input.borrow_mut().octets.extend(octets);
    }
}

/// A client's first records, in each version, and those of a conversation, for what has no order.
fn corpus() -> Vec<Vec<u8>> {
    let mut all = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![21, 3, 3, 0, 2, 1, 0],
        vec![20, 3, 3, 0, 1, 1],
        vec![22, 3, 3, 0, 4, 14, 0, 0, 0],
        [&[23, 3, 3, 0, 40][..], &[7; 40]].concat(),
    ];
    for versions in [Versions::All, Versions::Tls12, Versions::Tls13] {
        fata_libos::testing::run(async {
            let config = client_config().versions(versions).alpn(&["h2", "http/1.1"]);
            let client = TlsConnector::new(config).unwrap();
            let (a, b) = duplex(100_000);
            let mut client = client.stream("server.test", b).unwrap();
            let mut server = acceptor().accept(a).unwrap();
            let _ = timeout(MOMENT, client.handshake()).await;
            let hello = take(&server);
            put(&server, &hello);
            let _ = timeout(MOMENT, server.handshake()).await;
            all.push(hello);
            all.push(take(&client));
        });
    }
    all
}

/// Octets that nobody has negotiated, to a server and to a client, in pieces: an error or silence, and the memory comes back.
#[test]
fn tls_hellos() {
    let inputs = (vec(mutated(corpus()), 1..3), vec(any::<Index>(), 0..4), any::<bool>());
    fuzz(&inputs, |(octets, cuts, to_client)| {
        let octets = octets.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(octets.len() + 1)).collect();
        cuts.sort_unstable();
        run(async {
            let (server, client) = (acceptor(), connector());
            let one = async |octets: &[u8], cuts: &[usize]| {
                let (a, b) = duplex(1 << 20);
                let (mut stream, peer) = match to_client {
                    true => (client.stream("server.test", a).unwrap(), b),
                    false => (server.accept(a).unwrap(), b),
                };
                let mut at = 0;
                let mut buf = [0; 500];
                for &cut in cuts.iter().chain([&octets.len()]) {
                    put(&stream, &octets[at..cut]);
                    at = cut;
                    if let Ok(Ok(n)) = timeout(MOMENT, stream.read(&mut buf)).await {
                        panic!("{n} octets were read that nobody sealed");
                    }
                }
                peer.finish();
                let end = stream.read(&mut buf).await;
                assert!(end.is_err(), "{end:?}");
                assert!(stream.write(b"x").await.is_err() && stream.flush().await.is_err());
            };
            one(&octets, &cuts).await;
            let before = USED.get();
            one(&octets, &cuts).await;
            assert!(USED.get() - before < 256, "{} octets were not given back", USED.get() - before);
            connected(&server, &client, "server.test").await;
        });
    });
}

/// A conversation of which some flights are changed on their way: none hangs, none panics, what is read was written.
#[test]
fn tls_conversations() {
    let inputs =
        (select(vec![Versions::Tls13, Versions::Tls12]), vec((0..12_usize, changes()), 1..3), any::<bool>());
    fuzz(&inputs, |(versions, changed, certificates)| {
        run(async {
            let mut config = server_config().versions(versions).tickets(Arc::new(Tickets::default()));
            let mut asked = client_config();
            if certificates {
                config = config.client_certificates(fata_tls::ClientCertificates::Required, ROOT).unwrap();
                asked = asked.certificate(CLIENT, CLIENT_KEY).unwrap();
            }
            let (server, client) = (TlsAcceptor::new(config).unwrap(), TlsConnector::new(asked).unwrap());
            // A session to resume, for some.
            if changed.len() > 1 {
                let (mut a, mut b) = connected(&server, &client, "server.test").await;
                let _ = a.write_all(b"x").await;
                let _ = timeout(MOMENT, b.read(&mut [0; 9])).await;
            }
            converse(&server, &client, &changed).await;
            let before = USED.get();
            converse(&server, &client, &[]).await;
            let between = USED.get() - before;
            assert!(between < 8192, "{between} octets were not given back");
        });
    });
}

const SAID: &[u8] = b"what one says to the other";

async fn converse(server: &TlsAcceptor, client: &TlsConnector, changed: &[(usize, Changes)]) {
    let (a, b) = duplex(1 << 20);
    let (mut a, mut b) = (server.accept(a).unwrap(), client.stream("server.test", b).unwrap());
    let mut broken = false;
    for round in 0..12 {
        let one = if round % 2 == 0 { &mut b } else { &mut a };
        let mut buf = [0; 100];
        // Each says its part when it can, and reads.
        let said = match timeout(MOMENT, one.write(SAID)).await {
            Ok(Ok(_)) => timeout(MOMENT, one.flush()).await.unwrap_or(Ok(())),
            Ok(Err(error)) => Err(error),
            Err(_) => Ok(()),
        };
        let heard = match said {
            Ok(()) => timeout(MOMENT, one.read(&mut buf)).await.unwrap_or(Ok(0)),
            Err(error) => Err(error),
        };
        match heard {
            Ok(n) => assert!(SAID.starts_with(&buf[..n.min(SAID.len())]) && n <= 100, "{:?}", &buf[..n]),
            Err(error) => {
                assert!(!changed.is_empty(), "{error}");
                broken = broken || !matches!(error, Error::Closed);
            }
        }
        let other = if round % 2 == 0 { &a } else { &b };
        for (_, change) in changed.iter().filter(|(at, _)| *at == round) {
            let mut octets = take(other);
            change.apply(&mut octets);
            put(other, &octets);
        }
    }
    assert!(!changed.is_empty() || !broken);
}

/// Certificates, keys and lists in PEM and in DER below it: an error or a configuration, which then serves.
#[test]
fn tls_certificates() {
    let texts = [
        SERVER,
        SERVER_KEY,
        SERVER_KEY_SEC1,
        SERVER_KEY_ENCRYPTED,
        RSA,
        RSA_KEY,
        RSA_KEY_PKCS1,
        ED25519,
        ED25519_KEY,
        WILD,
        WILD_KEY,
        ROOT,
        REVOKED_LIST,
    ];
    let pem = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let der = texts.iter().filter_map(|text| der(text)).collect();
    let kinds = vec!["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "X509 CRL"];
    let inputs = (mutated(pem), mutated(der), select(kinds), 0..4_usize);
    fuzz(&inputs, |(text, der, kind, which)| {
        run(async {
            let text = String::from_utf8_lossy(&text).into_owned();
            let armoured = format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", base64(&der));
            for text in [&text, &armoured] {
                // Errors say something.
                let said = |error: fata_tls::ConfigError| assert!(!error.to_string().is_empty());
                match which {
                    0 => match ServerConfig::from_pem(text, SERVER_KEY) {
                        Ok(config) => {
                            let server = TlsAcceptor::new(config).unwrap();
                            let _ = outcome(&server, &connector(), "server.test").await;
                        }
                        Err(error) => said(error),
                    },
                    1 => match ServerConfig::from_pem(SERVER, text) {
                        Ok(config) => drop(TlsAcceptor::new(config)),
                        Err(error) => said(error),
                    },
                    2 => match ClientConfig::from_roots_pem(text) {
                        Ok(config) => {
                            let client = TlsConnector::new(config).unwrap();
                            let _ = outcome(&acceptor(), &client, "server.test").await;
                        }
                        Err(error) => said(error),
                    },
                    _ => match client_config().revocation_lists(text) {
                        Ok(config) => drop(TlsConnector::new(config)),
                        Err(error) => said(error),
                    },
                }
            }
        });
    });
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(octets: &[u8]) -> String {
    let mut text = String::new();
    for three in octets.chunks(3) {
        let word =
            three.iter().fold(0_u32, |word, octet| word << 8 | u32::from(*octet)) << (8 * (3 - three.len()));
        for n in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= three.len() { digit as char } else { '=' });
        }
    }
    text
}

/// What is between the lines of a text's first section.
fn der(pem: &str) -> Option<Vec<u8>> {
    let inside = pem.lines().skip(1).take_while(|line| !line.starts_with("-----"));
    let (mut octets, mut word, mut bits) = (Vec::new(), 0_u32, 0);
    for digit in inside.flat_map(str::bytes).filter(|digit| *digit != b'=') {
        word = word << 6 | DIGITS.iter().position(|d| *d == digit)? as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push((word >> bits) as u8);
        }
    }
    Some(octets)
}
