//! Connections of clients: what is found out before their first request.

use crate::networks::Networks;
use crate::proxy_protocol::{self, Ends, Parsed};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use core::cell::{Cell, OnceCell};
use core::net::SocketAddr;
use core::ops::Range;
use core::task::{Context, Poll};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata::net::TcpStream;
use fata::time::{Duration, timeout};
use fata_libos::net::{Abort, Shared};
use fata_tls::TlsStream;

/// How long the header of a load balancer may take.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// What is known of a connection.
#[derive(Debug)]
pub struct About {
    /// Both ends, as a load balancer has said or as they are.
    ends: Cell<Ends>,
    /// Whether TLS is spoken.
    pub is_tls: bool,
    server_name: OnceCell<Option<String>>,
    client_certificate: OnceCell<String>,
}

impl About {
    /// Of a connection that has just come.
    pub fn new(ends: Ends, is_tls: bool) -> Self {
        Self {
            ends: Cell::new(ends),
            is_tls,
            server_name: OnceCell::new(),
            client_certificate: OnceCell::new(),
        }
    }

    /// The client.
    pub fn source(&self) -> SocketAddr {
        self.ends.get().source
    }

    /// Both ends.
    pub fn ends(&self) -> Ends {
        self.ends.get()
    }

    /// The certificate that the client has shown, and that was found to be good, as RFC 9440 section 2.1 writes it.
    pub fn client_certificate(&self) -> Option<&str> {
        self.client_certificate.get().map(String::as_str)
    }

    /// The name that the client asked for at TLS.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.get()?.as_deref()
    }
}

/// A stream that may begin with a header of the PROXY protocol.
pub struct Preceded {
    stream: TcpStream,
    about: Rc<About>,
    /// The header has not come whole.
    awaits: bool,
    received: Vec<u8>,
    used: usize,
}

impl Preceded {
    /// Over a stream; with the header where its peer is among `trusted`.
    pub fn new(stream: TcpStream, about: Rc<About>, trusted: &Networks) -> Self {
        let awaits = trusted.has(about.source().ip());
        Self { stream, about, awaits, received: Vec::new(), used: 0 }
    }

    async fn header(&mut self) -> Result<(), ErrorKind> {
        loop {
            match proxy_protocol::parse(&self.received) {
                Ok(Parsed::Header(len, ends)) => {
                    if let Some(ends) = ends {
                        self.about.ends.set(ends);
                    }
                    (self.used, self.awaits) = (len, false);
                    return Ok(());
                }
                Ok(Parsed::Partial) if self.received.len() < proxy_protocol::MOST => {}
                _ => return Err(ErrorKind::InvalidData),
            }
            let mut piece = [0; 256];
            let n = self.stream.read(&mut piece).await.map_err(kind)?;
            if n == 0 {
                return Err(ErrorKind::ConnectionReset);
            }
            self.received.try_reserve(n).map_err(|_| ErrorKind::OutOfMemory)?;
            self.received.extend_from_slice(&piece[..n]);
        }
    }
}

fn kind(error: impl embedded_io_async::Error) -> ErrorKind {
    error.kind()
}

impl ErrorType for Preceded {
    type Error = ErrorKind;
}

impl Read for Preceded {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        if self.awaits {
            timeout(HEADER_TIME, self.header()).await.map_err(|_| ErrorKind::TimedOut)??;
        }
        let rest = self.received.get(self.used..).unwrap_or_default();
        if rest.is_empty() {
            self.received = Vec::new();
            return self.stream.read(out).await.map_err(kind);
        }
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.used += n;
        Ok(n)
    }
}

impl Write for Preceded {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, ErrorKind> {
        self.stream.write(octets).await.map_err(kind)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Write::flush(&mut self.stream).await.map_err(kind)
    }
}

impl Abort for Preceded {
    fn abort(&mut self) {
        Abort::abort(&mut self.stream);
    }

    fn poll_share(
        &mut self,
        cx: &mut Context<'_>,
        octets: &Shared,
        part: Range<usize>,
    ) -> Poll<Option<usize>> {
        self.stream.poll_share(cx, octets, part)
    }
}

/// A stream over TLS, whose handshake finds out the name that the client asks for.
pub struct Secured {
    stream: TlsStream<Preceded>,
    about: Rc<About>,
}

impl Secured {
    /// Over a stream of TLS.
    pub fn new(stream: TlsStream<Preceded>, about: Rc<About>) -> Self {
        Self { stream, about }
    }

    /// The application protocol that both sides have agreed on, once the handshake is done.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.stream.alpn_protocol()
    }
}

/// As a byte sequence of a structured field (RFC 9651 section 4.1.8). `None` where memory is short.
fn byte_sequence(octets: &[u8]) -> Option<String> {
    let mut text = Vec::new();
    text.try_reserve_exact(Base64::encoded_len(octets) + 2).ok()?;
    text.resize(Base64::encoded_len(octets) + 2, b':');
    let end = text.len() - 1;
    Base64::encode(octets, &mut text[1..end]).ok()?;
    String::from_utf8(text).ok()
}

impl ErrorType for Secured {
    type Error = fata_tls::Error;
}

impl Read for Secured {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, fata_tls::Error> {
        if self.about.server_name.get().is_none() {
            self.stream.handshake().await?;
            let name = self.stream.server_name().map(|name| name.to_ascii_lowercase());
            let _ = self.about.server_name.set(name);
            if let Some(certificate) = self.stream.peer_certificates().next() {
                let text = byte_sequence(certificate).ok_or(fata_tls::Error::NoMemory)?;
                let _ = self.about.client_certificate.set(text);
            }
        }
        self.stream.read(out).await
    }
}

impl Write for Secured {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, fata_tls::Error> {
        self.stream.write(octets).await
    }

    async fn flush(&mut self) -> Result<(), fata_tls::Error> {
        self.stream.flush().await
    }
}

impl Abort for Secured {
    fn abort(&mut self) {
        self.stream.abort();
    }
}
