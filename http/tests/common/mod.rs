//! A client that speaks raw octets over a connection in memory.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod guest;
pub mod pipe;

use embedded_io_async::{Read, Write};
use fata_http::{Limits, Response, Router, Server, Stats};
use fata_libos::task::Task;
use fata_libos::time::{Duration, timeout};
pub use pipe::*;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// A client's end, and the server's task.
pub struct Client {
    pub end: End,
    pub serving: Task<()>,
    seen: Vec<u8>,
}

pub const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 40_000);

impl Client {
    pub fn new(server: &Server) -> Self {
        Self::with_capacity(server, 64 * 1024)
    }

    pub fn with_capacity(server: &Server, capacity: usize) -> Self {
        let (end, other) = duplex(capacity);
        let server = server.clone();
        let serving = fata_libos::spawn(async move { server.serve_connection(other, PEER).await });
        Self { end, serving, seen: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.end.write_all(bytes.as_ref()).await;
    }

    /// All that comes until the server closes.
    pub async fn rest(&mut self) -> String {
        String::from_utf8_lossy(&self.rest_octets().await).into_owned()
    }

    /// The same, where it is no text.
    pub async fn rest_octets(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.seen)
    }

    /// All that comes within a moment, in which the server does what it can.
    pub async fn now(&mut self) -> String {
        while timeout(Duration::from_millis(1), self.more()).await == Ok(true) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }

    /// Whether the server has closed.
    pub async fn is_closed(&mut self) -> bool {
        timeout(Duration::from_millis(1), self.more()).await == Ok(false)
    }

    async fn more(&mut self) -> bool {
        let mut buf = [0; 4096];
        let n = self.end.read(&mut buf).await.unwrap_or(0);
        self.seen.extend_from_slice(&buf[..n]);
        n > 0
    }

    /// Sends a request and gives what the server answers at once.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> String {
        self.send(request).await;
        self.now().await
    }
}

/// Runs a test in virtual time.
pub fn run<F: Future<Output = ()>>(test: F) {
    fata_libos::testing::run(test);
}

/// The same on a thread of its own, whose state a test that fails does not leave to the next try.
pub fn run_apart<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send) {
    let result = std::thread::scope(|scope| scope.spawn(|| run(test())).join());
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// What a server answers on a connection of its own, to its end.
pub async fn answer(server: &Server, request: impl AsRef<[u8]>) -> String {
    let mut client = Client::new(server);
    client.send(request).await;
    client.end.finish();
    client.rest().await
}

/// A server with these routes and the default limits.
pub fn server(router: Router) -> Server {
    Server::new(router)
}

/// The same with limits.
pub fn limited(router: Router, limits: Limits) -> Server {
    Server::with(router, limits, Rc::<Stats>::default())
}

/// The status line's code.
pub fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {answer:?}"))
}

/// A header field's value.
pub fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (n, value) = line.split_once(": ")?;
        n.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// What follows the head.
pub fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

/// A page of so many octets.
pub fn page(len: usize) -> Response {
    Response::text("0123456789".repeat(len / 10 + 1)[..len].to_owned())
}
