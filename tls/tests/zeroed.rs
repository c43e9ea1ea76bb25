//! What freed memory holds of secrets: nothing.

mod common;
#[path = "common/looking.rs"]
mod looking;

use common::*;
use embedded_io_async::{Read, Write};
use fata_tls::provider::Tickets;
use fata_tls::{ServerConfig, TlsAcceptor, Versions};
use looking::{PART, found_in, look_for, text_of, zero_as_a_guest};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ProducesTickets;
use std::sync::Arc;

/// The number that an EC key in PKCS#8 is: behind the header of its OCTET STRING of 32.
fn scalar(pem: &str) -> Vec<u8> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let der = key.secret_der();
    let at = der.windows(2).position(|two| two == [4, 32]).unwrap() + 2;
    der[at..at + 32].to_vec()
}

#[test]
fn what_looks_finds() {
    run(async {
        let secret: Vec<u8> = (100..150).collect();
        let (_, places) = found_in(&secret, async { drop(secret.clone()) }).await;
        assert_eq!(places.len(), 1);
    });
}

/// What is done with a key, each with what it is called.
async fn use_key(chain: &str, key: &str, other: (&str, &str), secret: &[u8]) {
    let (config, places) = found_in(secret, async { ServerConfig::from_pem(chain, key) }).await;
    assert!(places.is_empty(), "reading a key: {}", places.join("\n"));
    let text = format!("{chain}{key}");
    let cut = key.replace("-----END", "");
    let damaged = key.replace("\n-----END", "!\n-----END");
    let (other_chain, other_key) = other;
    let two = format!("{key}{other_key}");
    let (_, places) = found_in(secret, async {
        // Errors too, and keys that are not looked for.
        drop((ServerConfig::from_pem(other_chain, key), ServerConfig::from_pem(&text, &text)));
        for key in [&two, &cut, &damaged] {
            assert!(ServerConfig::from_pem(chain, key).is_err());
        }
        drop(fata_tls::ClientConfig::from_roots_pem(&text));
    })
    .await;
    assert!(places.is_empty(), "reading what is wrong: {}", places.join("\n"));
    let server = TlsAcceptor::new(config.unwrap()).unwrap();
    let (_, places) = found_in(secret, async {
        let _ = outcome(&server, &connector(), "server.test").await;
        drop(server);
    })
    .await;
    assert!(places.is_empty(), "using a key: {}", places.join("\n"));
}

#[test]
fn keys_are_in_no_memory_that_was_given_back() {
    run(async {
        for key in [SERVER_KEY, SERVER_KEY_SEC1] {
            for secret in [&scalar(SERVER_KEY), text_of(key)] {
                use_key(SERVER, key, (WILD, WILD_KEY), secret).await;
            }
        }
    });
}

/// A prime of an RSA key in PKCS#1 (RFC 8017 appendix A.1.2): the fifth number of it.
#[cfg(feature = "rsa")]
fn prime(pem: &str) -> Vec<u8> {
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut rest = &key.secret_der()[4..];
    for n in 0..5 {
        let (length, head) = match rest[1] {
            0x82 => (usize::from(rest[2]) << 8 | usize::from(rest[3]), 4),
            0x81 => (usize::from(rest[2]), 3),
            short => (usize::from(short), 2),
        };
        if n == 4 {
            return rest[head..head + length].to_vec();
        }
        rest = &rest[head + length..];
    }
    unreachable!()
}

#[cfg(feature = "rsa")]
#[test]
fn keys_of_rsa_and_ed25519_are_in_no_memory_that_was_given_back() {
    run(async {
        // As it is encoded. The crate `rsa` leaves copies of what it calculates with, the octets of which are the other way round.
        let prime = prime(RSA_KEY_PKCS1);
        let seed = PrivateKeyDer::from_pem_slice(ED25519_KEY.as_bytes()).unwrap().secret_der()[16..].to_vec();
        let mut all = Vec::new();
        for secret in [&prime[20..], text_of(RSA_KEY), text_of(RSA_KEY_PKCS1), text_of(ED25519_KEY), &seed] {
            let (_, places) = found_in(secret, async {
                drop(ServerConfig::from_pem(RSA, RSA_KEY).unwrap());
                drop(ServerConfig::from_pem(RSA, RSA_KEY_PKCS1).unwrap());
                drop(ServerConfig::from_pem(ED25519, ED25519_KEY).unwrap());
            })
            .await;
            all.extend(places);
        }
        assert!(all.is_empty(), "{} times: {}", all.len(), all.join("\n"));
    });
}

/// Keys that are made here, and those that are kept.
#[cfg(feature = "issue")]
#[test]
fn keys_of_ours_are_in_no_memory_that_was_given_back() {
    use fata_libos::time::SystemTime;
    use fata_tls::issue::{MAX_DATE, Names, PrivateKey, received, request, self_signed_with};
    run(async {
        for secret in [&scalar(SERVER_KEY), text_of(SERVER_KEY)] {
            let (_, places) = found_in(secret, async {
                let key = PrivateKey::from_pem(SERVER_KEY).unwrap();
                let names = ["a.test"];
                let own = self_signed_with(&key, &names, SystemTime::now(), MAX_DATE).unwrap();
                let names = Names::parse(&names).unwrap();
                request(&key, &names).unwrap();
                received(&own.chain_pem, &key, &names).unwrap();
                drop((key.clone(), own.clone(), key.to_pem().unwrap(), key.sign(b"a").unwrap()));
            })
            .await;
            assert!(places.is_empty(), "{}", places.join("\n"));
        }
    });
}

/// Seals tickets, and has what is sealed looked for from then on.
#[derive(Debug, Default)]
struct Spy(Tickets);

/// Where a session's secret is in what is sealed: behind our digest, and the name and suite of "server.test".
const OF_SESSION: usize = 32 + 20;

impl ProducesTickets for Spy {
    fn enabled(&self) -> bool {
        true
    }
    fn lifetime(&self) -> u32 {
        self.0.lifetime()
    }
    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        look_for(&session[OF_SESSION..]);
        self.0.encrypt(session)
    }
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }
}

/// What is sealed in tickets, while they are made and when they are opened.
#[test]
fn sessions_are_in_no_memory_that_was_given_back() {
    run(async {
        let session: Vec<u8> = (0..200).map(|n| (n as u8).wrapping_mul(73) ^ 0x3c).collect();
        let tickets = Tickets::default();
        let (ticket, places) = found_in(&session, async { tickets.encrypt(&session) }).await;
        assert!(places.is_empty(), "{}", places.join("\n"));
        let mut ticket = ticket.unwrap();
        let (opened, places) = found_in(&session, async { tickets.decrypt(&ticket) }).await;
        assert!(places.is_empty(), "{}", places.join("\n"));
        assert_eq!(opened, Some(session.clone()));
        *ticket.last_mut().unwrap() ^= 1;
        let (_, places) = found_in(&session, async { tickets.decrypt(&ticket) }).await;
        assert!(places.is_empty(), "{}", places.join("\n"));

        for (versions, zeroes) in [Versions::Tls13, Versions::Tls12].map(|v| [(v, false), (v, true)]).concat()
        {
            zero_as_a_guest(zeroes);
            let config = server_config().versions(versions).tickets(Arc::new(Spy::default()));
            let (server, client) = (TlsAcceptor::new(config).unwrap(), connector());
            let (_, places) = found_in(&[0xa5; PART], async {
                for is_resumed in [false, true] {
                    let (mut a, mut b) = connected(&server, &client, "server.test").await;
                    assert_eq!(a.is_resumed(), is_resumed);
                    // A ticket comes behind the handshake.
                    a.write_all(b"!").await.unwrap();
                    b.read_exact(&mut [0]).await.unwrap();
                }
            })
            .await;
            // What rustls leaves is seen, by a heap that does not zero it: the search looks where it should.
            assert_eq!(places.is_empty(), zeroes, "{versions:?}: {}", places.join("\n"));
        }
    });
}
