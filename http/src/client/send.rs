//! The way to the server: requests and their content.

use super::{Content, Error, RequestHead, Stats};
use crate::stream::put_hex;
use alloc::rc::Rc;
use alloc::vec::Vec;
use embedded_io_async::{Error as _, ErrorKind, ErrorType, Write};

/// A chunk's content, at most, octets; pieces up to this size go out together with what delimits them.
const PIECE: usize = 4 * 1024;

/// What is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Length(u64),
    Chunks,
    /// Nobody knows how much of it the server has got.
    Broken,
}

/// The writing half of a connection.
pub struct RequestWriter<W> {
    stream: W,
    rest: Rest,
    /// Octets that wait for more to go with.
    buffer: Vec<u8>,
    stats: Rc<Stats>,
}

impl<W: Write> RequestWriter<W> {
    pub(super) fn new(stream: W, stats: Rc<Stats>) -> Self {
        Self { stream, rest: Rest::Nothing, buffer: Vec::new(), stats }
    }

    /// Sends a head. One with content goes out with the first piece of that, unless the server is to be asked first.
    pub(super) async fn send(&mut self, head: &RequestHead) -> Result<(), Error> {
        if self.rest != Rest::Nothing {
            return Err(Error::OutOfTurn);
        }
        head.put(&mut self.buffer);
        self.stats.requests.add(1);
        self.rest = match head.announced() {
            Content::None => Rest::Nothing,
            Content::Length(n) => Rest::Length(n),
            Content::Chunked => Rest::Chunks,
        };
        if self.rest == Rest::Nothing || head.waits_for_continue() { self.flush().await } else { Ok(()) }
    }

    /// Sends all of `octets`, which must be within the length that was announced; as chunks, where none was.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), Error> {
        match self.rest {
            Rest::Length(left) => {
                let left = left.checked_sub(octets.len() as u64).ok_or(Error::ContentLength)?;
                self.rest = Rest::Broken;
                if self.buffer.len() + octets.len() <= PIECE {
                    self.buffer.extend_from_slice(octets);
                    self.put_out().await?;
                } else {
                    self.put_out().await?;
                    write_all(&mut self.stream, octets, &self.stats).await?;
                }
                self.rest = Rest::Length(left);
            }
            Rest::Chunks => {
                self.rest = Rest::Broken;
                for piece in octets.chunks(PIECE) {
                    put_hex(&mut self.buffer, piece.len());
                    for part in [b"\r\n", piece, b"\r\n"] {
                        self.buffer.extend_from_slice(part);
                    }
                    self.put_out().await?;
                }
                self.rest = Rest::Chunks;
            }
            Rest::Nothing | Rest::Broken => return Err(Error::OutOfTurn),
        }
        self.stream.flush().await.map_err(|error| Error::Io(error.kind()))
    }

    /// Ends the content. All that was announced must have been written.
    pub async fn finish(&mut self) -> Result<(), Error> {
        match self.rest {
            Rest::Nothing | Rest::Length(0) => {}
            Rest::Length(_) => return Err(Error::ContentLength),
            Rest::Chunks => self.buffer.extend_from_slice(b"0\r\n\r\n"),
            Rest::Broken => return Err(Error::OutOfTurn),
        }
        self.rest = Rest::Nothing;
        self.flush().await
    }

    /// Sends what waits for more, a head above all.
    pub async fn flush(&mut self) -> Result<(), Error> {
        let rest = core::mem::replace(&mut self.rest, Rest::Broken);
        self.put_out().await?;
        self.stream.flush().await.map_err(|error| Error::Io(error.kind()))?;
        self.rest = rest;
        Ok(())
    }

    /// Whether all of the request, its content included, is with the stream.
    pub fn is_finished(&self) -> bool {
        self.rest == Rest::Nothing && self.buffer.is_empty()
    }

    async fn put_out(&mut self) -> Result<(), Error> {
        write_all(&mut self.stream, &self.buffer, &self.stats).await?;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn into_stream(self) -> W {
        self.stream
    }
}

async fn write_all<W: Write>(stream: &mut W, mut octets: &[u8], stats: &Stats) -> Result<(), Error> {
    while !octets.is_empty() {
        match stream.write(octets).await {
            Ok(n) if (1..=octets.len()).contains(&n) => {
                stats.sent.add(n as u64);
                octets = &octets[n..];
            }
            Ok(_) => return Err(Error::Io(ErrorKind::WriteZero)),
            Err(error) => return Err(Error::Io(error.kind())),
        }
    }
    Ok(())
}

impl<W: Write> ErrorType for RequestWriter<W> {
    type Error = Error;
}

/// The content; [`finish`](RequestWriter::finish) ends it.
impl<W: Write> Write for RequestWriter<W> {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, Error> {
        RequestWriter::write(self, octets).await?;
        Ok(octets.len())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        RequestWriter::flush(self).await
    }
}
