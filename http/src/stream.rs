//! Content that is made while it is sent.

use crate::body::RequestContent;
use crate::io::{Io, batch};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::future::Future;
use core::pin::Pin;

/// The content could not be made whole; the connection is cut so that the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the response's content could not be made whole")]
pub struct Aborted;

/// What makes content: see [`Response::stream`](crate::Response::stream). It may read what is left of the request's meanwhile.
pub(crate) trait Source {
    fn run<'a>(
        self: Box<Self>,
        request: RequestContent<'a>,
        body: &'a mut BodyWriter<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'a>>;
}

impl<F> Source for F
where
    F: AsyncFnOnce(&mut BodyWriter<'_>) -> Result<(), Aborted> + 'static,
{
    fn run<'a>(
        self: Box<Self>,
        _: RequestContent<'a>,
        body: &'a mut BodyWriter<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'a>> {
        Box::pin(async move { self(body).await })
    }
}

/// As a closure of content alone, of one that reads as well.
pub(crate) struct TwoWays<F>(pub(crate) F);

impl<F> Source for TwoWays<F>
where
    F: AsyncFnOnce(RequestContent<'_>, &mut BodyWriter<'_>) -> Result<(), Aborted> + 'static,
{
    fn run<'a>(
        self: Box<Self>,
        request: RequestContent<'a>,
        body: &'a mut BodyWriter<'_>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'a>> {
        Box::pin(async move { (self.0)(request, body).await })
    }
}

/// How the end of the content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimiter {
    Chunks,
    /// So many octets are still to come.
    Length(u64),
    /// The connection's end.
    Close,
}

/// Where content goes. Writing never fails: when the client is gone or takes nothing for too long, the connection ends, or the
/// stream of HTTP/2, and what was writing is dropped.
pub struct BodyWriter<'a> {
    to: Target<'a>,
    delimiter: Delimiter,
    trailers: Vec<u8>,
    overrun: bool,
}

/// Where the octets go.
#[derive(Clone, Copy)]
enum Target<'a> {
    Http1(&'a Io),
    #[cfg(feature = "h2")]
    Http2(&'a crate::h2::Sender<'a>),
}

impl<'a> BodyWriter<'a> {
    pub(crate) fn new(io: &'a Io, delimiter: Delimiter) -> Self {
        Self { to: Target::Http1(io), delimiter, trailers: Vec::new(), overrun: false }
    }

    #[cfg(feature = "h2")]
    pub(crate) fn over_http2(stream: &'a crate::h2::Sender<'a>, delimiter: Delimiter) -> Self {
        Self { to: Target::Http2(stream), delimiter, trailers: Vec::new(), overrun: false }
    }

    /// Writes all of `bytes`; as one chunk, up to some size. Waits while the client is slower than we are.
    pub async fn write(&mut self, bytes: &[u8]) {
        match self.to {
            Target::Http1(io) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (piece, more) = rest.split_at(batch().min(rest.len()));
                    rest = more;
                    self.put(io, piece);
                    io.flush_if_much().await;
                }
            }
            #[cfg(feature = "h2")]
            Target::Http2(stream) => {
                if self.is_announced(bytes) {
                    stream.data(bytes, crate::h2::Flags::NONE).await;
                }
            }
        }
    }

    /// Waits until all that was written is with the stream. What is written goes out by itself, at the latest when the
    /// handler waits for something.
    pub async fn flush(&mut self) {
        match self.to {
            Target::Http1(io) => io.flush().await,
            #[cfg(feature = "h2")]
            Target::Http2(stream) => stream.flush().await,
        }
    }

    /// Adds a field that follows the content; only chunks and HTTP/2 can carry it, else it is left out.
    pub fn trailer(&mut self, name: &str, value: &str) {
        self.trailers.append(&mut crate::Response::new(crate::Status::OK).header(name, value).fields);
    }

    /// Whether the piece is within what was announced.
    fn is_announced(&mut self, piece: &[u8]) -> bool {
        if let Delimiter::Length(left) = &mut self.delimiter {
            let Some(rest) = left.checked_sub(piece.len() as u64) else {
                self.overrun = true;
                return false;
            };
            *left = rest;
        }
        true
    }

    fn put(&mut self, io: &Io, piece: &[u8]) {
        if !self.is_announced(piece) {
            return;
        }
        io.with_output(|out| {
            if self.delimiter != Delimiter::Chunks {
                return out.extend_from_slice(piece);
            }
            put_hex(out, piece.len());
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        });
    }

    /// Ends the content; an error if it is not what was announced.
    pub(crate) fn finish(&self) -> Result<(), Aborted> {
        match self.delimiter {
            Delimiter::Chunks => self.put_end(),
            Delimiter::Length(left) if left > 0 || self.overrun => return Err(Aborted),
            Delimiter::Length(_) | Delimiter::Close => {}
        }
        Ok(())
    }

    /// Fields that follow the content.
    #[cfg(feature = "h2")]
    pub(crate) fn trailers(&self) -> &[u8] {
        &self.trailers
    }

    fn put_end(&self) {
        match self.to {
            Target::Http1(io) => io.with_output(|out| {
                out.extend_from_slice(b"0\r\n");
                out.extend_from_slice(&self.trailers);
                out.extend_from_slice(b"\r\n");
            }),
            // The exchange ends the stream.
            #[cfg(feature = "h2")]
            Target::Http2(_) => {}
        }
    }
}

pub(crate) fn put_hex(out: &mut Vec<u8>, n: usize) {
    let digits = (usize::BITS - n.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..digits).rev().map(|i| b"0123456789abcdef"[n >> (4 * i) & 15]));
}

impl embedded_io_async::ErrorType for BodyWriter<'_> {
    type Error = Infallible;
}

impl embedded_io_async::Write for BodyWriter<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        BodyWriter::write(self, bytes).await;
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        BodyWriter::flush(self).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn hexadecimal() {
        for n in [1, 9, 15, 16, 255, 256, 4096, 0xabcdef] {
            let mut out = Vec::new();
            super::put_hex(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{n:x}"));
        }
    }
}
