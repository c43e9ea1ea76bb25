//! Certificates, and acceptors and connectors over connections in memory.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod pipe;

use embedded_io_async::{Read, Write};
use fata_tls::{ClientConfig, Error, ServerConfig, TlsAcceptor, TlsConnector, TlsStream};
pub use pipe::*;
use std::future::{Future, poll_fn};
use std::task::Poll;

macro_rules! pem {
    ($($name:ident = $file:literal;)*) => { $(
        pub const $name: &str = include_str!(concat!("../certificates/", $file, ".pem"));
    )* };
}

pem! {
    ROOT = "root"; OTHER_ROOT = "other"; REVOKED_LIST = "crl";
    SERVER = "server"; SERVER_KEY = "server-key";
    SERVER_KEY_SEC1 = "server-key-sec1"; SERVER_KEY_ENCRYPTED = "server-key-encrypted";
    RSA = "rsa"; RSA_KEY = "rsa-key"; RSA_KEY_PKCS1 = "rsa-key-pkcs1";
    ED25519 = "ed25519"; ED25519_KEY = "ed25519-key";
    WILD = "wild"; WILD_KEY = "wild-key";
    EXPIRED = "expired"; EXPIRED_KEY = "expired-key";
    FUTURE = "future"; FUTURE_KEY = "future-key";
    CLIENT = "client"; CLIENT_KEY = "client-key";
    REVOKED = "revoked"; REVOKED_KEY = "revoked-key";
    BRIEF_ROOT = "brief-root"; BRIEF = "brief"; BRIEF_KEY = "brief-key";
    LISTS_ROOT = "lists-root"; LISTS_CLIENT = "lists-client"; LISTS_CLIENT_KEY = "lists-client-key";
    LISTS_CRL = "lists-crl";
    STRANGER = "stranger"; STRANGER_KEY = "stranger-key";
}

/// Runs a test in virtual time.
pub fn run<F: Future<Output = ()>>(test: F) {
    fata_libos::testing::run(test);
}

pub fn server_config() -> ServerConfig {
    ServerConfig::from_pem(SERVER, SERVER_KEY).unwrap()
}

pub fn client_config() -> ClientConfig {
    ClientConfig::from_roots_pem(ROOT).unwrap()
}

pub fn acceptor() -> TlsAcceptor {
    TlsAcceptor::new(server_config()).unwrap()
}

pub fn connector() -> TlsConnector {
    TlsConnector::new(client_config()).unwrap()
}

/// Both ends' handshakes, at the same time.
pub async fn shake(
    server: &mut TlsStream<End>,
    client: &mut TlsStream<End>,
) -> (Result<(), Error>, Result<(), Error>) {
    both(server.handshake(), client.handshake()).await
}

/// A connection by that name, after its handshake: the server's end and the client's.
pub async fn connected(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    name: &str,
) -> (TlsStream<End>, TlsStream<End>) {
    let (a, b) = duplex(64 * 1024);
    let (mut server, mut client) = (acceptor.accept(a).unwrap(), connector.stream(name, b).unwrap());
    let done = shake(&mut server, &mut client).await;
    assert_eq!(done, (Ok(()), Ok(())));
    (server, client)
}

/// What becomes of the handshake of a client that asks for this name: the server's error and the client's.
pub async fn outcome(
    acceptor: &TlsAcceptor,
    connector: &TlsConnector,
    name: &str,
) -> (Result<(), Error>, Result<(), Error>) {
    let (a, b) = duplex(64 * 1024);
    let (mut server, mut client) = (acceptor.accept(a).unwrap(), connector.stream(name, b).unwrap());
    // A client is done before it knows what the server thinks of its certificate: it hears of that when it reads.
    both(
        async {
            server.handshake().await?;
            server.write_all(b"!").await
        },
        async { client.read(&mut [0]).await.map(|_| ()) },
    )
    .await
}

/// The errors of both sides, of a handshake that came to nothing.
pub fn refused(server: (Result<(), Error>, Result<(), Error>)) -> (Error, Error) {
    (server.0.unwrap_err(), server.1.unwrap_err())
}

/// Waits for both.
pub async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|cx| {
        if of_a.is_none()
            && let Poll::Ready(out) = a.as_mut().poll(cx)
        {
            of_a = Some(out);
        }
        if of_b.is_none()
            && let Poll::Ready(out) = b.as_mut().poll(cx)
        {
            of_b = Some(out);
        }
        match of_a.is_some() && of_b.is_some() {
            true => Poll::Ready((of_a.take().unwrap(), of_b.take().unwrap())),
            false => Poll::Pending,
        }
    })
    .await
}

/// All that can be read to the end.
pub async fn read_to_end<R: Read>(stream: &mut R, piece: usize) -> (Vec<u8>, Result<(), R::Error>) {
    let (mut all, mut buf) = (Vec::new(), vec![0; piece]);
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => return (all, Ok(())),
            Ok(n) => all.extend_from_slice(&buf[..n]),
            Err(e) => return (all, Err(e)),
        }
    }
}

/// Octets that differ from place to place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect()
}

pub const PEER: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 40_000);

/// Connects twice; whether the second handshake resumed the first one's session, as both sides see it.
pub async fn resumes(server: &TlsAcceptor, client: &TlsConnector) -> bool {
    let (mut a, mut b) = connected(server, client, "server.test").await;
    // Tickets come with what is read.
    a.write_all(b"x").await.unwrap();
    b.read(&mut [0]).await.unwrap();
    drop((a, b));
    let (a, b) = connected(server, client, "server.test").await;
    assert_eq!(a.is_resumed(), b.is_resumed());
    assert_eq!(a.server_name(), Some("server.test"));
    a.is_resumed()
}
