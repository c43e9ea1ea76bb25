//! Both ways together.

use super::{Error, Limits, RequestHead, RequestWriter, ResponseHead, ResponseReader, Stats};
use crate::io::Input;
use alloc::rc::Rc;
use embedded_io_async::{ErrorType, Read, ReadReady, Write};

/// A client's connection: one request after the other. Dropping it drops the stream.
pub struct Connection<R, W> {
    reader: ResponseReader<R>,
    writer: RequestWriter<W>,
}

impl<R: Read, W: Write> Connection<R, W> {
    /// Over the two halves of a stream, with default limits and counters of its own.
    pub fn new(reader: R, writer: W) -> Self {
        Self::with(reader, writer, Limits::default(), Rc::default())
    }

    /// With its limits, counting in `stats`, of which others may hold a clone.
    pub fn with(reader: R, writer: W, limits: Limits, stats: Rc<Stats>) -> Self {
        Self {
            reader: ResponseReader::new(reader, limits, stats.clone()),
            writer: RequestWriter::new(writer, stats),
        }
    }

    /// Of two halves that belong together.
    pub fn of_halves(reader: ResponseReader<R>, writer: RequestWriter<W>) -> Self {
        Self { reader, writer }
    }

    /// Both halves for themselves: where content is sent by one future, and read by another.
    pub fn into_halves(self) -> (ResponseReader<R>, RequestWriter<W>) {
        (self.reader, self.writer)
    }

    /// Sends a request's head. Its content goes by [`halves`](Self::halves); the head waits for the first piece of it.
    pub async fn send(&mut self, head: &RequestHead) -> Result<(), Error> {
        if !self.writer.is_finished() {
            return Err(Error::OutOfTurn);
        }
        self.reader.expect(head)?;
        self.writer.send(head).await
    }

    /// Sends a request without content, or with all of its content, of the length that was announced; gives the response's head.
    pub async fn exchange(&mut self, head: &RequestHead, content: &[u8]) -> Result<ResponseHead, Error> {
        self.send(head).await?;
        if !content.is_empty() {
            self.writer.write(content).await?;
        }
        self.writer.finish().await?;
        self.reader.head().await
    }

    /// Where the request's content goes, and the response comes from. A server may answer before it has all of a request, so
    /// long content is best written while the other half waits for the head.
    pub fn halves(&mut self) -> (&mut RequestWriter<W>, &mut ResponseReader<R>) {
        (&mut self.writer, &mut self.reader)
    }

    /// The half that reads.
    pub fn reader(&mut self) -> &mut ResponseReader<R> {
        &mut self.reader
    }

    /// Whether another request may be sent: this one is out whole, its response has come whole, neither side closes, nothing
    /// else has come.
    pub fn is_reusable(&self) -> bool {
        self.writer.is_finished() && self.reader.is_ready()
    }

    /// Whether a connection that waits for a request has been ended by the server, or has been sent what nobody asked for, as
    /// far as can be told without waiting.
    pub fn is_stale(&mut self) -> bool
    where
        R: ReadReady,
    {
        !self.is_reusable() || self.reader.stream_mut().read_ready().unwrap_or(true)
    }

    /// After 101 the stream, both of its halves; else `None`, and the connection is gone.
    pub fn into_upgraded(self) -> Option<Upgraded<R, W>> {
        let (stream, received) = self.reader.into_upgraded()?;
        Some(Upgraded { reader: WithReceived { received, stream }, writer: self.writer.into_stream() })
    }
}

/// A stream that goes on with another protocol.
pub struct Upgraded<R, W> {
    /// What comes, beginning with what came right behind the 101.
    pub reader: WithReceived<R>,
    /// Where to write.
    pub writer: W,
}

/// A stream behind octets of it that were received before.
pub struct WithReceived<R> {
    received: Input,
    stream: R,
}

impl<R: Read> ErrorType for WithReceived<R> {
    type Error = R::Error;
}

impl<R: Read> Read for WithReceived<R> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, R::Error> {
        let received = self.received.bytes();
        if received.is_empty() {
            return self.stream.read(out).await;
        }
        let n = received.len().min(out.len());
        out[..n].copy_from_slice(&received[..n]);
        self.received.consume(n);
        Ok(n)
    }
}
