//! The way from the server: responses and their content.

use super::request::RequestHead;
use super::response::Partial;
use super::{Error, Limits, Malformed, ResponseHead, Stats};
use crate::Status;
use crate::body::{BodyError, take_plain};
use crate::chunked::Decoder;
use crate::framing::{self, Content};
use crate::io::{Input, ReadError};
use alloc::rc::Rc;
use embedded_io_async::{Error as _, ErrorType, Read};

/// Room for input while chunks come, octets, where there is memory for it.
const CHUNKS_BUFFER: usize = 4 * 1024;

/// What is to be known of a request to understand its response.
#[derive(Clone, Copy, Debug)]
struct Asked {
    is_head: bool,
    closes: bool,
    upgrades: bool,
    interim: u32,
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

#[derive(Debug)]
enum State {
    /// No request was sent.
    Idle,
    /// The head, or its rest, is to come.
    Head(Asked, Partial),
    Content {
        rest: Rest,
        keep_alive: bool,
    },
    /// Another protocol goes on.
    Upgraded,
    Failed(Error),
}

/// The reading half of a connection.
///
/// Waiting here may be dropped and begun again, as far as the stream's own reading may.
pub struct ResponseReader<R> {
    stream: R,
    input: Input,
    state: State,
    /// Something of the response has come.
    has_begun: bool,
    limits: Limits,
    stats: Rc<Stats>,
}

impl<R: Read> ResponseReader<R> {
    pub(super) fn new(stream: R, limits: Limits, stats: Rc<Stats>) -> Self {
        Self { stream, input: Input::default(), state: State::Idle, has_begun: false, limits, stats }
    }

    /// A request is about to be sent.
    pub(super) fn expect(&mut self, head: &RequestHead) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::OutOfTurn);
        }
        let is_head = head.method() == "HEAD";
        let asked = Asked { is_head, closes: head.closes(), upgrades: head.wants_upgrade(), interim: 0 };
        self.state = State::Head(asked, Partial::default());
        self.has_begun = false;
        Ok(())
    }

    /// Whether a request may be sent: there was none, or its response has come whole, and the connection stays.
    pub(super) fn is_ready(&self) -> bool {
        let is_between = match &self.state {
            State::Idle => true,
            State::Content { keep_alive, .. } => *keep_alive && self.is_done(),
            _ => false,
        };
        is_between && self.input.bytes().is_empty()
    }

    /// Whether nothing of the response has come yet.
    pub fn is_unanswered(&self) -> bool {
        !self.has_begun
    }

    /// The head of the response, or 101 where it was asked for. Interim responses are overlooked.
    pub async fn head(&mut self) -> Result<ResponseHead, Error> {
        loop {
            let head = self.next_head().await?;
            if head.status().code() >= 200 || head.status() == Status::SWITCHING_PROTOCOLS {
                return Ok(head);
            }
        }
    }

    /// After a request with [`RequestHead::expect_continue`], waits for the server to ask for the content: `None`. It may
    /// answer at once instead, and need not read the content then. A server that does not know about this is silent until it
    /// has the content: after a second or so, send it.
    pub async fn wait_for_continue(&mut self) -> Result<Option<ResponseHead>, Error> {
        loop {
            let head = self.next_head().await?;
            match head.status().code() {
                100 => return Ok(None),
                102..200 => {}
                _ => return Ok(Some(head)),
            }
        }
    }

    /// The next head, also an interim one, of which there are at most [`Limits::interim`]: another follows then.
    pub async fn next_head(&mut self) -> Result<ResponseHead, Error> {
        loop {
            if let State::Failed(error) = self.state {
                return Err(error);
            }
            let State::Head(asked, partial) = &mut self.state else { return Err(Error::OutOfTurn) };
            let read = partial.read(self.input.bytes(), &self.limits);
            match read.and_then(|read| {
                read.map(|(head, len)| Ok((next(asked, &head, &self.limits)?, head, len))).transpose()
            }) {
                Ok(Some((state, head, len))) => {
                    self.input.consume(len);
                    self.stats.count(head.status());
                    if let Some(state) = state {
                        self.state = state;
                    }
                    return Ok(head);
                }
                Ok(None) => {
                    if !self.fill().await? {
                        return Err(self.fail(if self.has_begun {
                            Error::Incomplete
                        } else {
                            Error::Closed
                        }));
                    }
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
    }

    /// The next octets of the content; 0 at its end. What follows chunks, trailers, is read and forgotten.
    pub async fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        loop {
            let State::Content { rest, .. } = &mut self.state else {
                return Err(match self.state {
                    State::Failed(error) => error,
                    _ => Error::OutOfTurn,
                });
            };
            let (taken, given) = match rest {
                Rest::Length(left) => take_plain(self.input.bytes(), out, left),
                Rest::UntilClose => take_plain(self.input.bytes(), out, &mut { u64::MAX }),
                Rest::Chunked(decoder) => match decoder.decode(self.input.bytes(), out) {
                    Ok(moved) => moved,
                    Err(error) => return Err(self.fail(chunk_error(error))),
                },
            };
            self.input.consume(taken);
            if given > 0 || out.is_empty() || self.is_done() {
                return Ok(given);
            }
            if let Some(n) = self.more(out).await? {
                return Ok(n);
            }
        }
    }

    /// Waits for more of the content: into `out`, if it goes there as it comes; then says how much.
    async fn more(&mut self, out: &mut [u8]) -> Result<Option<usize>, Error> {
        let State::Content { rest, .. } = &mut self.state else { return Err(Error::OutOfTurn) };
        let most = match rest {
            Rest::Chunked(_) => {
                self.input.try_widen(CHUNKS_BUFFER);
                return if self.fill().await? { Ok(None) } else { Err(self.fail(Error::Incomplete)) };
            }
            Rest::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(out.len()),
            Rest::UntilClose => out.len(),
        };
        let n = match self.stream.read(&mut out[..most]).await {
            Ok(n) => n.min(most),
            Err(error) => return Err(self.fail(Error::Io(error.kind()))),
        };
        self.stats.received.add(n as u64);
        let State::Content { rest, .. } = &mut self.state else { return Err(Error::OutOfTurn) };
        match (rest, n) {
            (rest @ Rest::UntilClose, 0) => *rest = Rest::Length(0),
            (_, 0) => return Err(self.fail(Error::Incomplete)),
            (Rest::Length(left), n) => *left -= n as u64,
            _ => {}
        }
        Ok(Some(n))
    }

    /// Octets of the content that are still to come, where that is known.
    pub fn known_rest(&self) -> Option<u64> {
        match &self.state {
            State::Content { rest: Rest::Length(n), .. } => Some(*n),
            State::Content { rest: Rest::Chunked(decoder), .. } if decoder.is_done() => Some(0),
            _ => None,
        }
    }

    /// Whether the response has come whole.
    pub fn is_done(&self) -> bool {
        self.known_rest() == Some(0)
    }

    /// Waits for octets; false at the stream's end.
    async fn fill(&mut self) -> Result<bool, Error> {
        let most = self.limits.head_size();
        if let Err(error) = self.input.make_room(most) {
            let is_full = error == ReadError::Full;
            return Err(self.fail(if is_full { Error::HeadTooLarge(most) } else { Error::NoMemory }));
        }
        match self.stream.read(self.input.room()).await {
            Ok(n) => {
                self.input.received(n);
                self.has_begun |= n > 0;
                self.stats.received.add(n as u64);
                Ok(n > 0)
            }
            Err(error) => Err(self.fail(Error::Io(error.kind()))),
        }
    }

    /// After an error the connection's octets mean nothing any more.
    fn fail(&mut self, error: Error) -> Error {
        match error {
            Error::Malformed(_) | Error::UnknownCoding => self.stats.malformed.add(1),
            Error::HeadTooLarge(_) | Error::TooManyFields(_) | Error::TooManyInterim(_) => {
                self.stats.too_large.add(1)
            }
            Error::NoMemory => self.stats.refused.add(1),
            _ => {}
        }
        self.state = State::Failed(error);
        error
    }

    /// The stream, where it goes on with another protocol, and what has come of that already.
    pub(super) fn into_upgraded(self) -> Option<(R, Input)> {
        matches!(self.state, State::Upgraded).then_some((self.stream, self.input))
    }

    /// The stream below.
    pub fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }
}

/// What follows a head; nothing changes where another is to come.
fn next(asked: &mut Asked, head: &ResponseHead, limits: &Limits) -> Result<Option<State>, Error> {
    match head.status().code() {
        101 if asked.upgrades => return Ok(Some(State::Upgraded)),
        101 => return Err(Malformed::Upgrade.into()),
        ..200 if asked.interim >= limits.interim => return Err(Error::TooManyInterim(limits.interim)),
        ..200 => {
            asked.interim += 1;
            return Ok(None);
        }
        _ => {}
    }
    let fields = head.fields().map(|(name, value)| (name.as_bytes(), value));
    let framing = framing::of_response(fields, head.minor()).map_err(|status| match status {
        Status::NOT_IMPLEMENTED => Error::UnknownCoding,
        _ => Malformed::Length.into(),
    })?;
    let rest = match framing.content {
        _ if asked.is_head || head.status().is_bodyless() => Rest::Length(0),
        Some(Content::None) => Rest::Length(0),
        Some(Content::Length(n)) => Rest::Length(n),
        Some(Content::Chunked) => Rest::Chunked(Decoder::new(u64::MAX)),
        None => Rest::UntilClose,
    };
    let keep_alive = framing.keep_alive && !asked.closes && !matches!(rest, Rest::UntilClose);
    Ok(Some(State::Content { rest, keep_alive }))
}

fn chunk_error(error: BodyError) -> Error {
    match error {
        BodyError::NoMemory => Error::NoMemory,
        _ => Malformed::Chunk.into(),
    }
}

impl<R: Read> ErrorType for ResponseReader<R> {
    type Error = Error;
}

/// The content.
impl<R: Read> Read for ResponseReader<R> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        ResponseReader::read(self, out).await
    }
}
