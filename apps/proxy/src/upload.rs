//! A request's content on its way to a server.
//!
//! What is half written must not be forgotten: the server may answer meanwhile, and the rest goes on beside that answer. So writing is a future of
//! its own, which an [`Upload`] keeps, and who waits for that may be dropped.

use crate::buffer;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use embedded_io_async::{Read, Write};
use fata::http::BodyError;
use fata::time::{Duration, timeout};
use fata_http::client::RequestWriter;

/// Why there is no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server takes no more, and may have said why.
    Refused,
    /// The server has taken nothing for too long.
    Stalled,
    /// The client.
    Client(BodyError),
}

/// The half that writes, the buffer, and what became of it: whether it was the end.
type Written<W> = (RequestWriter<W>, Vec<u8>, Result<bool, Ended>);

enum State<W> {
    Reads(RequestWriter<W>, Vec<u8>),
    Writes(Pin<Box<dyn Future<Output = Written<W>>>>),
    Over(Option<RequestWriter<W>>),
}

/// See the module.
pub struct Upload<W> {
    state: State<W>,
    has_asked: bool,
    time: Duration,
}

impl<W: Write + 'static> Upload<W> {
    /// Of content that `writer`'s request has announced; a server may be busy for `time` with each piece. `None` where there is no memory.
    pub fn new(writer: RequestWriter<W>, time: Duration) -> Option<Self> {
        Some(Self { state: State::Reads(writer, buffer::piece(usize::MAX)?), has_asked: false, time })
    }

    /// Sends all that comes from `source`. May be dropped, and begun again.
    pub async fn run(&mut self, source: &mut impl Read<Error = BodyError>) -> Result<(), Ended> {
        loop {
            match &mut self.state {
                State::Over(_) => return Ok(()),
                State::Reads(_, piece) => {
                    self.has_asked = true;
                    let len = source.read(piece).await.map_err(Ended::Client)?;
                    self.write(len);
                }
                State::Writes(writing) => {
                    let (writer, piece, result) = writing.await;
                    self.state = match result {
                        Ok(false) => State::Reads(writer, piece),
                        Ok(true) | Err(_) => State::Over(Some(writer)),
                    };
                    result?;
                }
            }
        }
    }

    /// Whether content has been asked for: where a client waits to be asked, it sends none before.
    pub fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// Whether the client is what is waited for.
    pub fn awaits_client(&self) -> bool {
        matches!(self.state, State::Reads(..))
    }

    fn write(&mut self, len: usize) {
        self.state = match core::mem::replace(&mut self.state, State::Over(None)) {
            State::Reads(writer, piece) => State::Writes(Box::pin(write(writer, piece, len, self.time))),
            other => other,
        };
    }

    /// The half that writes, if all has been sent, or none of it will be.
    pub fn into_writer(self) -> Option<RequestWriter<W>> {
        match self.state {
            State::Over(writer) => writer,
            _ => None,
        }
    }
}

async fn write<W: Write>(
    mut writer: RequestWriter<W>,
    piece: Vec<u8>,
    len: usize,
    time: Duration,
) -> Written<W> {
    let writing = async {
        match piece.get(..len).filter(|octets| !octets.is_empty()) {
            Some(octets) => writer.write(octets).await,
            None => writer.finish().await,
        }
    };
    let result = match timeout(time, writing).await {
        Ok(Ok(())) => Ok(len == 0),
        Ok(Err(_)) => Err(Ended::Refused),
        Err(_) => Err(Ended::Stalled),
    };
    (writer, piece, result)
}
