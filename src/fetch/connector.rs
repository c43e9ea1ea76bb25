//! Connections over the appliance's network, with TLS where a URL asks for it.

use super::eyeballs::race;
use crate::net::{self, OwnedReadHalf, OwnedWriteHalf, Resolver, Stack, TcpStream};
use alloc::boxed::Box;
use alloc::vec;
#[cfg(feature = "tls")]
use core::future::Future;
use core::future::ready;
use core::net::{IpAddr, SocketAddr};
#[cfg(feature = "tls")]
use core::pin::pin;
#[cfg(feature = "tls")]
use core::task::{Context, Waker};
use embedded_io_async::{ErrorKind, ErrorType, Read, ReadReady, Write};
use fata_http::client::{Origin, Scheme};
#[cfg(feature = "tls")]
use fata_tls::{ClientConfig, ConfigError, TlsConnector, TlsReader, TlsWriter};

/// Makes connections for a [`Client`](super::Client).
#[derive(Clone)]
pub struct Connector {
    stack: Stack,
    resolver: Resolver,
    #[cfg(feature = "tls")]
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name has no address, or none of them answers: what the last one said.
    #[error("{0}")]
    Network(#[from] net::Error),
    /// The server's certificate, or its TLS.
    #[cfg(feature = "tls")]
    #[error("{0}")]
    Tls(#[from] fata_tls::Error),
    /// A URL of `https`, and nobody has said whose certificates to trust.
    #[error("https without roots to trust")]
    NoTls,
}

impl Connector {
    /// Over this network, without TLS.
    pub fn new(stack: &Stack) -> Self {
        Self {
            stack: stack.clone(),
            resolver: Resolver::new(stack),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// With TLS, to servers that these roots vouch for, in PEM.
    #[cfg(feature = "tls")]
    pub fn roots_pem(self, roots: &str) -> Result<Self, ConfigError> {
        self.tls(ClientConfig::from_roots_pem(roots)?)
    }

    /// With TLS, to servers that browsers trust.
    #[cfg(feature = "webpki-roots")]
    pub fn webpki_roots(self) -> Result<Self, ConfigError> {
        self.tls(ClientConfig::from_webpki_roots())
    }

    /// With TLS as configured; the protocol that is spoken over it is set here.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: ClientConfig) -> Result<Self, ConfigError> {
        self.tls = Some(TlsConnector::new(config.alpn(&["http/1.1"]))?);
        Ok(self)
    }

    /// With another resolver, whose cache others share.
    pub fn resolver(mut self, resolver: &Resolver) -> Self {
        self.resolver = resolver.clone();
        self
    }

    async fn stream(&self, origin: &Origin) -> Result<TcpStream, net::Error> {
        let dial = |address: IpAddr| -> core::pin::Pin<Box<dyn Future<Output = _>>> {
            let (stack, peer) = (self.stack.clone(), SocketAddr::new(address, origin.port()));
            Box::pin(async move { TcpStream::connect(&stack, peer).await })
        };
        let nothing = net::Error::NameNotFound;
        match origin.address() {
            Some(address) => race(ready(Ok(vec![address])), ready(Ok(vec![])), dial, nothing).await,
            None => {
                let (four, six) =
                    (self.resolver.resolve_ipv4(origin.host()), self.resolver.resolve_ipv6(origin.host()));
                race(four, six, dial, nothing).await
            }
        }
    }
}

impl fata_http::client::Connector for Connector {
    type Reader = Reader;
    type Writer = Writer;
    type Error = ConnectError;

    async fn connect(&self, origin: &Origin) -> Result<(Reader, Writer), ConnectError> {
        #[cfg(feature = "tls")]
        let tls = self.tls.as_ref();
        #[cfg(not(feature = "tls"))]
        let tls = None::<()>;
        match (origin.scheme(), tls) {
            (Scheme::Http, _) => {
                let (reader, writer) = self.stream(origin).await?.into_split();
                Ok((Reader(Reading::Plain(reader)), Writer(Writing::Plain(writer))))
            }
            #[cfg(feature = "tls")]
            (Scheme::Https, Some(tls)) => {
                let stream = self.stream(origin).await?;
                let stream = Box::pin(tls.connect(origin.host(), stream)).await?;
                let (reader, writer) = stream.split(TcpStream::into_split).await?;
                let (reader, writer) = (Reading::Tls(Box::new(reader)), Writing::Tls(Box::new(writer)));
                Ok((Reader(reader), Writer(writer)))
            }
            (Scheme::Https, _) => Err(ConnectError::NoTls),
        }
    }

    fn has_input(&self, reader: &mut Reader) -> Option<bool> {
        match &mut reader.0 {
            Reading::Plain(stream) => Some(stream.read_ready().unwrap_or(true)),
            // Below may be what belongs to TLS alone, such as a ticket: reading takes that, and waits for more where nothing else came.
            #[cfg(feature = "tls")]
            Reading::Tls(stream) => {
                let mut octet = [0];
                let reading = pin!(stream.read(&mut octet));
                Some(reading.poll(&mut Context::from_waker(Waker::noop())).is_ready())
            }
        }
    }
}

/// The half of a connection that reads.
pub struct Reader(Reading);

enum Reading {
    Plain(OwnedReadHalf),
    #[cfg(feature = "tls")]
    Tls(Box<TlsReader<OwnedReadHalf>>),
}

/// The half of a connection that writes.
pub struct Writer(Writing);

enum Writing {
    Plain(OwnedWriteHalf),
    #[cfg(feature = "tls")]
    Tls(Box<TlsWriter<OwnedWriteHalf>>),
}

fn kind(error: impl embedded_io_async::Error) -> ErrorKind {
    error.kind()
}

impl ErrorType for Reader {
    type Error = ErrorKind;
}

impl Read for Reader {
    async fn read(&mut self, octets: &mut [u8]) -> Result<usize, ErrorKind> {
        match &mut self.0 {
            Reading::Plain(stream) => stream.read(octets).await.map_err(kind),
            #[cfg(feature = "tls")]
            Reading::Tls(stream) => stream.read(octets).await.map_err(kind),
        }
    }
}

impl ErrorType for Writer {
    type Error = ErrorKind;
}

impl Write for Writer {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, ErrorKind> {
        match &mut self.0 {
            Writing::Plain(stream) => stream.write(octets).await.map_err(kind),
            #[cfg(feature = "tls")]
            Writing::Tls(stream) => stream.write(octets).await.map_err(kind),
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        match &mut self.0 {
            Writing::Plain(stream) => stream.flush().await.map_err(kind),
            #[cfg(feature = "tls")]
            Writing::Tls(stream) => stream.flush().await.map_err(kind),
        }
    }
}
