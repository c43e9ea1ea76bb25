//! What freed memory holds of secrets: nothing.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_tls::provider::Tickets;
use fata_tls::{ServerConfig, TlsAcceptor, Versions};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::ProducesTickets;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// Octets that are looked for.
const PART: usize = 16;

thread_local! {
    static SECRET: Cell<[u8; PART]> = const { Cell::new([0; PART]) };
    static FOUND: Cell<usize> = const { Cell::new(0) };
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    static WHERE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The system's allocator, which looks at what is given back.
struct Looking;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller. With zeros: what nobody has written is no secret of ours.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if LOOKS.get() {
            // SAFETY: by the caller it is a block of so many octets; `alloc` has set all of them.
            let octets = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let secret = SECRET.get();
            if octets.windows(PART).any(|window| window == secret) {
                LOOKS.set(false);
                FOUND.set(FOUND.get() + 1);
                let place = std::backtrace::Backtrace::force_capture().to_string();
                WHERE.with_borrow_mut(|places| places.push(format!("{} octets: {place}", layout.size())));
                LOOKS.set(true);
            }
        }
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

/// Runs `f`; where blocks with the secret were given back meanwhile.
async fn found_in<T>(secret: &[u8], f: impl Future<Output = T>) -> (T, Vec<String>) {
    SECRET.set(secret[..PART].try_into().unwrap());
    LOOKS.set(true);
    let value = f.await;
    LOOKS.set(false);
    (value, WHERE.take())
}

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

#[test]
fn keys_are_in_no_memory_that_was_given_back() {
    run(async {
        let secret = scalar(SERVER_KEY);
        let (config, places) = found_in(&secret, async { ServerConfig::from_pem(SERVER, SERVER_KEY) }).await;
        assert!(places.is_empty(), "reading a key: {}", places.join("\n"));
        let text = format!("{SERVER}{SERVER_KEY}");
        let (_, places) = found_in(&secret, async {
            // Errors too, and keys that are not looked for.
            drop((ServerConfig::from_pem(WILD, SERVER_KEY), ServerConfig::from_pem(&text, &text)));
            drop(ServerConfig::from_pem(SERVER, &format!("{SERVER_KEY}{WILD_KEY}")));
            drop(fata_tls::ClientConfig::from_roots_pem(&text));
        })
        .await;
        assert!(places.is_empty(), "reading what is wrong: {}", places.join("\n"));
        let server = TlsAcceptor::new(config.unwrap()).unwrap();
        let (_, places) = found_in(&secret, async {
            connected(&server, &connector(), "server.test").await;
            drop(server);
        })
        .await;
        assert!(places.is_empty(), "using a key: {}", places.join("\n"));
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
        SECRET.set(session[OF_SESSION..OF_SESSION + PART].try_into().unwrap());
        self.0.encrypt(session)
    }
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.0.decrypt(ticket)
    }
}

/// Whether it was this crate that gave a block back. What rustls hands over and takes back is its own.
fn is_ours(place: &str) -> bool {
    let whose = place.lines().find(|line| line.contains("rustls::") || line.contains("fata_tls::"));
    whose.is_some_and(|line| line.contains("fata_tls::"))
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

        for versions in [Versions::Tls13, Versions::Tls12] {
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
            // Both sides' rustls is seen: the search looks where it should.
            assert!(!places.is_empty(), "{versions:?}: nothing of rustls was seen");
            let ours: Vec<String> = places.into_iter().filter(|place| is_ours(place)).collect();
            assert!(ours.is_empty(), "{versions:?}: {}", ours.join("\n"));
        }
    });
}
