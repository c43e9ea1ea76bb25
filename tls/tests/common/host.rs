//! A server on the host's sockets, and the programs that speak with it.
#![allow(dead_code, reason = "each test file uses its part")]

use super::common::pattern;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_libos::task::block_on;
use fata_libos::time::{Duration, timeout};
use fata_tls::{ServerConfig, Stats, TlsAcceptor, TlsStream};
use fata_unix::UnixPlatform;
use fata_unix::socket::{TcpListener, TcpStream};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;

/// A host's stream with the traits.
pub struct Socket(pub TcpStream);

fn kind(e: io::Error) -> ErrorKind {
    match e.kind() {
        io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        _ => ErrorKind::Other,
    }
}

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.poll_read(cx, buf)).await.map_err(kind)
    }
}

impl Write for Socket {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.poll_write(cx, buf)).await.map_err(kind)
    }
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// Answers a request with what is known of the connection, and with as many octets as its path says.
async fn serve(mut stream: TlsStream<Socket>) {
    let (mut head, mut buf) = (Vec::new(), [0; 1000]);
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buf).await {
            Ok(n) if n > 0 => head.extend_from_slice(&buf[..n]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let len = path.trim_start_matches('/').parse().unwrap_or(0);
    let what = format!(
        "{} sni={} alpn={} resumed={} certificates={}\n",
        stream.protocol_version().unwrap(),
        stream.server_name().unwrap_or("-"),
        String::from_utf8_lossy(stream.alpn_protocol().unwrap_or(b"-")),
        stream.is_resumed(),
        stream.peer_certificates().count(),
    );
    let answer = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{what}", what.len() + len);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.write_all(&pattern(len)).await;
    let _ = stream.shutdown().await;
    // As a server does: what the client still says is heard.
    let _ = timeout(Duration::from_secs(2), stream.read(&mut buf)).await;
}

/// Runs `client` on another thread against a server with this configuration; what the server counts.
pub fn with_server<T: Send + 'static>(
    config: impl FnOnce() -> ServerConfig,
    client: impl FnOnce(SocketAddr) -> T + Send + 'static,
) -> (T, Rc<Stats>) {
    let platform = UnixPlatform::new().unwrap();
    let stats = Rc::<Stats>::default();
    let output = block_on(platform, async {
        let acceptor = TlsAcceptor::with(config(), Default::default(), stats.clone()).unwrap();
        let listener = TcpListener::bind(platform.reactor(), "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr();
        let client = std::thread::spawn(move || client(address));
        let tls = acceptor.listen(async move || {
            poll_fn(|cx| listener.poll_accept(cx)).await.map(|(stream, peer)| (Socket(stream), peer))
        });
        let serving = fata_libos::spawn(async move {
            while let Ok((stream, _)) = tls.accept().await {
                fata_libos::spawn_detached(serve(stream));
            }
        });
        while !client.is_finished() {
            fata_libos::time::sleep(Duration::from_millis(10)).await;
        }
        drop(serving);
        client.join().unwrap()
    });
    (output, stats)
}

pub fn file(name: &str) -> String {
    format!("{}/tests/certificates/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// What a command says on both outputs, given this input.
pub fn command(program: &str, args: &[&str], input: &str) -> String {
    use std::io::Write as _;
    let mut child = Command::new("timeout")
        .arg("20")
        .arg(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
