//! Two ends of a connection in memory, certificates, and acceptors and connectors over them.
#![allow(dead_code, reason = "each test file uses its part")]

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_libos::net::Abort;
use fata_tls::{ClientConfig, Error, ServerConfig, TlsAcceptor, TlsConnector, TlsStream};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

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
    LISTS_ROOT = "lists-root"; LISTS_CLIENT = "lists-client"; LISTS_CLIENT_KEY = "lists-client-key";
    LISTS_CRL = "lists-crl";
    STRANGER = "stranger"; STRANGER_KEY = "stranger-key";
}

/// One direction.
#[derive(Default)]
pub struct Pipe {
    pub octets: VecDeque<u8>,
    capacity: usize,
    /// At most so many octets are read or written at once; any number where 0.
    piece: usize,
    ended: bool,
    broken: bool,
    reset: bool,
    pub total: usize,
    waiting: Option<Waker>,
}

type Shared = Rc<RefCell<Pipe>>;

/// An end of a connection. Dropping it ends the other's reading and breaks its writing.
pub struct End {
    pub input: Shared,
    pub output: Shared,
}

/// A connection whose directions hold at most `capacity` octets each.
pub fn duplex(capacity: usize) -> (End, End) {
    duplex_in_pieces(capacity, 0)
}

/// The same, of which at most `piece` octets move at once.
pub fn duplex_in_pieces(capacity: usize, piece: usize) -> (End, End) {
    let pipe = || Rc::new(RefCell::new(Pipe { capacity, piece, ..Pipe::default() }));
    let (a, b) = (pipe(), pipe());
    (End { input: a.clone(), output: b.clone() }, End { input: b, output: a })
}

impl End {
    /// Whether the other end was aborted.
    pub fn is_reset(&self) -> bool {
        self.input.borrow().reset
    }

    /// Ends writing, as a TCP FIN does.
    pub fn finish(&self) {
        let mut pipe = self.output.borrow_mut();
        pipe.ended = true;
        pipe.wake();
    }

    /// Both directions.
    pub fn halves(self) -> (Half, Half) {
        let this = Rc::new(self);
        (Half(this.clone()), Half(this))
    }
}

/// A direction that is used by itself.
pub struct Half(Rc<End>);

impl Pipe {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    fn piece(&self, n: usize) -> usize {
        if self.piece == 0 { n } else { n.min(self.piece) }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.finish();
        let mut pipe = self.input.borrow_mut();
        pipe.broken = true;
        pipe.wake();
    }
}

impl Abort for End {
    fn abort(&mut self) {
        self.output.borrow_mut().reset = true;
    }
}

async fn read(pipe: &Shared, buf: &mut [u8]) -> Result<usize, ErrorKind> {
    poll_fn(|cx| {
        let mut pipe = pipe.borrow_mut();
        if pipe.octets.is_empty() && !pipe.ended {
            pipe.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = pipe.piece(pipe.octets.len().min(buf.len()));
        for (to, from) in buf.iter_mut().zip(pipe.octets.drain(..n)) {
            *to = from;
        }
        pipe.wake();
        Poll::Ready(Ok(n))
    })
    .await
}

async fn write(pipe: &Shared, buf: &[u8]) -> Result<usize, ErrorKind> {
    poll_fn(|cx| {
        let mut pipe = pipe.borrow_mut();
        if pipe.broken {
            return Poll::Ready(Err(ErrorKind::BrokenPipe));
        }
        let n = pipe.piece(buf.len().min(pipe.capacity - pipe.octets.len()));
        if n == 0 {
            pipe.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        pipe.octets.extend(&buf[..n]);
        pipe.total += n;
        pipe.wake();
        Poll::Ready(Ok(n))
    })
    .await
}

macro_rules! stream {
    ($($name:ty: $self:ident => $input:expr, $output:expr;)*) => { $(
        impl ErrorType for $name {
            type Error = ErrorKind;
        }
        impl Read for $name {
            async fn read(&mut $self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
                read($input, buf).await
            }
        }
        impl Write for $name {
            async fn write(&mut $self, buf: &[u8]) -> Result<usize, ErrorKind> {
                write($output, buf).await
            }
            async fn flush(&mut self) -> Result<(), ErrorKind> {
                Ok(())
            }
        }
    )* };
}

stream! {
    End: self => &self.input, &self.output;
    Half: self => &self.0.input, &self.0.output;
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
