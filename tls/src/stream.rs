//! A connection: TLS over a stream.

use crate::engine::Engine;
use crate::record::Incoming;
use crate::session::{Handshaking, Phase, Session};
use crate::split::{self, TlsReader, TlsWriter};
use crate::transfer::{Outgoing, fill, forget};
use crate::{Error, Version};
use alloc::boxed::Box;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_libos::net::Abort;
use fata_libos::time::{Duration, Instant, timeout};
use rustls::pki_types::CertificateDer;

/// A TLS connection over a stream `S`. The handshake runs when it is first read from or written to, so that no listener waits
/// for it, or in [`handshake`](Self::handshake).
///
/// Reading ends with `Ok(0)` where the peer has said so, and with [`Error::Truncated`] where its stream just ended. Dropping
/// it says to the peer that no more is sent, if that can be done without waiting; after [`abort`](Abort::abort) it does not.
///
/// Any future of its may be dropped before it is done. A [`read`](Read::read) has then taken nothing, and a
/// [`write`](Write::write) has accepted nothing: it waits only until what was accepted before is with the stream below, and ends as
/// soon as its own octets are encrypted. So the last record may wait here: [`flush`](Write::flush), the next call, or dropping sends
/// it. A `write_all` that is dropped has accepted a part of its octets, and does not say how many.
///
/// Where the stream below takes nothing more, what came is read still, until it ends there too.
pub struct TlsStream<S: Read + Write>(Option<Parts<S>>);

/// What a connection is made of.
pub(crate) struct Parts<S> {
    pub(crate) session: Session,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    pub(crate) stream: S,
}

impl<S: Read + Write> TlsStream<S> {
    pub(crate) fn new(engine: Box<dyn Engine>, handshaking: Handshaking, stream: S) -> Self {
        let (session, incoming) = (Session::new(engine, handshaking), Incoming::default());
        Self(Some(Parts { session, incoming, outgoing: Outgoing::default(), stream }))
    }

    fn parts(&mut self) -> Result<&mut Parts<S>, Error> {
        self.0.as_mut().ok_or(Error::Closed)
    }

    fn session(&self) -> Option<&Session> {
        self.0.as_ref().map(|parts| &parts.session)
    }

    /// Does the handshake, if it is not done: what it finds out is known then.
    pub async fn handshake(&mut self) -> Result<(), Error> {
        self.parts()?.handshake().await
    }

    /// Says to the peer that no more is sent, and waits until the stream has that. Reading goes on. The stream below is not
    /// finished before this is dropped.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.parts()?.shutdown().await
    }

    /// Both directions, each owned, to be used by two tasks, once the handshake is done. `halves` splits the stream below,
    /// such as netstack's `TcpStream::into_split`.
    pub async fn split<R: Read, W: Write>(
        mut self,
        halves: impl FnOnce(S) -> (R, W),
    ) -> Result<(TlsReader<R>, TlsWriter<W>), Error> {
        self.handshake().await?;
        let parts = self.0.take().ok_or(Error::Closed)?;
        Ok(split::split(parts, halves))
    }

    /// The stream below.
    pub fn get_ref(&self) -> Option<&S> {
        self.0.as_ref().map(|parts| &parts.stream)
    }

    /// The application protocol that both sides have agreed on (ALPN, RFC 7301).
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session()?.state().alpn_protocol()
    }

    /// Of a server's connection: the name that the client asked for (SNI, RFC 6066). A client need not be one that the
    /// certificate is for.
    pub fn server_name(&self) -> Option<&str> {
        self.session()?.server_name()
    }

    /// The version in use.
    pub fn protocol_version(&self) -> Option<Version> {
        Version::new(self.session()?.state().protocol_version()?)
    }

    /// The cipher suite in use, by its number (RFC 8446 appendix B.4).
    pub fn cipher_suite(&self) -> Option<u16> {
        Some(self.session()?.state().negotiated_cipher_suite()?.suite().into())
    }

    /// The peer's certificates, its own first, each in DER: those of a server, or of a client that was asked for one.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        let certificates = self.session().and_then(|session| session.state().peer_certificates());
        certificates.unwrap_or_default().iter().map(CertificateDer::as_ref)
    }

    /// Whether the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        let kind = self.session().and_then(|session| session.state().handshake_kind());
        kind == Some(rustls::HandshakeKind::Resumed)
    }
}

impl<S: Read + Write> Parts<S> {
    async fn handshake(&mut self) -> Result<(), Error> {
        if let Err(error) = self.session.check() {
            return Err(self.say_why(error).await);
        }
        if self.session.phase() == Phase::Open {
            return Ok(());
        }
        let time = self.session.common.limits().handshake_time;
        let deadline = *self.session.deadline.get_or_insert(Instant::now() + time);
        let left = deadline.duration_since(Instant::recent());
        match timeout(left, self.shake_hands()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.say_why(error).await),
            Err(_) => {
                let error = self.session.end(Error::HandshakeTimeout(time));
                self.session.make_room();
                Err(error)
            }
        }
    }

    async fn shake_hands(&mut self) -> Result<(), Error> {
        self.session.begin()?;
        loop {
            self.drain().await?;
            if self.session.phase() == Phase::Open {
                return Ok(());
            }
            self.next_record(&mut []).await?;
        }
    }

    /// Waits for a record and looks at it; gives how many octets of plaintext it has put into `buf`.
    async fn next_record(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        match fill(&mut self.stream, &mut self.incoming, self.session.phase()).await {
            Ok(true) => self.session.receive(self.incoming.take(), buf),
            Ok(false) => Err(self.session.end(Error::Truncated)),
            Err(Error::NoMemory) => Err(self.session.no_memory()),
            Err(error) => Err(self.session.end(error)),
        }
    }

    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.session.has_plain() {
            return Ok(self.session.take_plain(buf));
        }
        self.handshake().await?;
        loop {
            if self.session.has_plain() {
                return Ok(self.session.take_plain(buf));
            }
            if self.session.is_peer_closed() {
                return Ok(0);
            }
            // Where nothing can be sent any more, something may have come before that.
            let _ = self.drain().await;
            match self.next_record(buf).await {
                Ok(0) => {}
                Ok(n) => return Ok(n),
                Err(error) => return Err(self.say_why(error).await),
            }
        }
    }

    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.handshake().await?;
        self.drain().await?;
        match self.session.send(buf) {
            Ok(n) => {
                // Nothing waits from here on: who drops this before it is done must know that nothing was accepted.
                self.drain_now().await;
                Ok(n)
            }
            Err(error) => Err(self.say_why(error).await),
        }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let sent = self.send_rest().await;
        self.session.check_sending()?;
        sent
    }

    async fn send_rest(&mut self) -> Result<(), Error> {
        self.drain().await?;
        self.stream.flush().await.map_err(|e| self.session.end_sending(io(e)))
    }

    async fn shutdown(&mut self) -> Result<(), Error> {
        self.session.close();
        let time = self.session.common.limits().close_time;
        timeout(time, self.flush()).await.unwrap_or(Err(Error::Io(ErrorKind::TimedOut)))
    }

    /// Sends what is to be sent.
    async fn drain(&mut self) -> Result<(), Error> {
        loop {
            let sent = self.outgoing.drain(&mut self.stream).await;
            sent.map_err(|e| self.session.end_sending(e))?;
            if !self.session.has_output() {
                return Ok(());
            }
            self.outgoing.load(self.session.take_output());
        }
    }

    /// Sends what the stream takes at once.
    async fn drain_now(&mut self) {
        let mut drain = pin!(self.drain());
        poll_fn(|cx| Poll::Ready(drain.as_mut().poll(cx).is_ready())).await;
    }

    /// Sends the alert that goes with an error, and lets it arrive.
    async fn say_why(&mut self, error: Error) -> Error {
        let time = self.session.common.limits().close_time;
        if (!self.outgoing.is_empty() || self.session.has_output())
            && timeout(time, self.send_rest()).await == Ok(Ok(()))
        {
            // Nor is memory kept for it where it is short.
            let time = if self.session.may_wait() { time } else { Duration::ZERO };
            let _ = timeout(time, forget(&mut self.stream)).await;
        }
        self.session.make_room();
        error
    }
}

pub(crate) fn io<E: embedded_io_async::Error>(error: E) -> Error {
    Error::Io(error.kind())
}

impl<S: Read + Write> ErrorType for TlsStream<S> {
    type Error = Error;
}

impl<S: Read + Write> Read for TlsStream<S> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.parts()?.read(buf).await
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.parts()?.write(buf).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        self.parts()?.flush().await
    }
}

impl<S: Read + Write + Abort> Abort for TlsStream<S> {
    fn abort(&mut self) {
        if let Some(mut parts) = self.0.take() {
            parts.stream.abort();
        }
    }
}

impl<S: Read + Write> Drop for TlsStream<S> {
    fn drop(&mut self) {
        let Some(parts) = &mut self.0 else { return };
        parts.session.close();
        parts.outgoing.drain_now(&mut parts.stream);
        if parts.outgoing.is_empty() {
            parts.outgoing.load(parts.session.take_output());
            parts.outgoing.drain_now(&mut parts.stream);
        }
    }
}

impl<S: Read + Write> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = self.session().map(Session::phase);
        write!(f, "TlsStream({phase:?})")
    }
}
