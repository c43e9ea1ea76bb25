//! Both directions of a connection, for two tasks.

use crate::Error;
use crate::record::Incoming;
use crate::session::Session;
use crate::stream::{Parts, io};
use crate::transfer::{Outgoing, fill};
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use fata_libos::time::timeout;

pub(crate) fn split<S, R: Read, W: Write>(
    parts: Parts<S>,
    halves: impl FnOnce(S) -> (R, W),
) -> (TlsReader<R>, TlsWriter<W>) {
    let session = Rc::new(RefCell::new(parts.session));
    let (reader, writer) = halves(parts.stream);
    (
        TlsReader { session: session.clone(), incoming: parts.incoming, stream: reader },
        TlsWriter { session, outgoing: parts.outgoing, stream: writer },
    )
}

/// The reading direction of a connection. What it has to say to the peer, an alert above all, the writing one sends with what
/// it is asked to do next, or when it is dropped.
pub struct TlsReader<R: Read> {
    session: Rc<RefCell<Session>>,
    incoming: Incoming,
    stream: R,
}

/// The writing direction of a connection. Its futures may be dropped as those of [`TlsStream`](crate::TlsStream): what
/// [`write`](Write::write) has accepted may wait here for a [`flush`](Write::flush) or the next call. Dropping it says to the peer that no more is sent.
pub struct TlsWriter<W: Write> {
    session: Rc<RefCell<Session>>,
    outgoing: Outgoing,
    stream: W,
}

impl<R: Read> ErrorType for TlsReader<R> {
    type Error = Error;
}

impl<R: Read> Read for TlsReader<R> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            {
                let mut session = self.session.borrow_mut();
                if session.has_plain() {
                    return Ok(session.take_plain(buf));
                }
                session.check()?;
                if session.is_peer_closed() {
                    return Ok(0);
                }
            }
            let phase = self.session.borrow().phase();
            let filled = fill(&mut self.stream, &mut self.incoming, phase).await;
            let mut session = self.session.borrow_mut();
            let n = match filled {
                Ok(true) => session.receive(self.incoming.take(), buf)?,
                Ok(false) => return Err(session.end(Error::Truncated)),
                Err(Error::NoMemory) => return Err(session.no_memory()),
                Err(error) => return Err(session.end(error)),
            };
            if n > 0 {
                return Ok(n);
            }
        }
    }
}

impl<W: Write> TlsWriter<W> {
    /// See [`TlsStream::shutdown`](crate::TlsStream::shutdown). After an error of the reading direction it sends
    /// the alert, and gives that error.
    pub async fn shutdown(&mut self) -> Result<(), Error> {
        self.session.borrow_mut().close();
        let time = self.session.borrow().common.limits().close_time;
        timeout(time, self.flush()).await.unwrap_or(Err(Error::Io(ErrorKind::TimedOut)))
    }

    async fn drain(&mut self) -> Result<(), Error> {
        loop {
            let sent = self.outgoing.drain(&mut self.stream).await;
            sent.map_err(|e| self.session.borrow_mut().end_sending(e))?;
            let mut session = self.session.borrow_mut();
            if !session.has_output() {
                return Ok(());
            }
            self.outgoing.load(session.take_output());
        }
    }
}

impl<W: Write> ErrorType for TlsWriter<W> {
    type Error = Error;
}

impl<W: Write> Write for TlsWriter<W> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.drain().await?;
        let result = self.session.borrow_mut().send(buf);
        // As that of a whole connection, it waits for nothing once octets are accepted.
        let mut drain = pin!(self.drain());
        poll_fn(|cx| Poll::Ready(drain.as_mut().poll(cx).is_ready())).await;
        result
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let sent = match self.drain().await {
            Ok(()) => self.stream.flush().await.map_err(|e| self.session.borrow_mut().end_sending(io(e))),
            Err(error) => Err(error),
        };
        self.session.borrow().check_sending()?;
        sent
    }
}

impl<W: Write> Drop for TlsWriter<W> {
    fn drop(&mut self) {
        let mut session = self.session.borrow_mut();
        session.close();
        self.outgoing.drain_now(&mut self.stream);
        if self.outgoing.is_empty() {
            self.outgoing.load(session.take_output());
            self.outgoing.drain_now(&mut self.stream);
        }
    }
}
