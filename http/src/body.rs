//! A request's content, read as the handler asks for it.

use crate::chunked::Decoder;
use crate::framing::{Content, Framing};
use crate::io::{Io, Phase, ReadError};
use crate::memory;
use crate::{Limits, Response, Status};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Content that is thrown away so that a connection can be kept, octets.
const MAX_SKIP: u64 = 64 * 1024;

/// Why there is no more content. As a response it has the status that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not the chunked coding.
    #[error("the request's chunks are malformed")]
    Malformed,
    /// More than the limit.
    #[error("the request's content is too large")]
    TooLarge,
    /// Too slow.
    #[error("the request's content did not come in time")]
    TimedOut,
    /// The client went away before the end.
    #[error("the request's content is not complete")]
    Closed,
    /// There is no memory for it now.
    #[error("no memory for the request's content")]
    NoMemory,
}

impl BodyError {
    /// The status to answer with.
    pub fn status(self) -> Status {
        match self {
            Self::Malformed | Self::Closed => Status::BAD_REQUEST,
            Self::TooLarge => Status::CONTENT_TOO_LARGE,
            Self::TimedOut => Status::REQUEST_TIMEOUT,
            Self::NoMemory => Status::SERVICE_UNAVAILABLE,
        }
    }
}

impl From<BodyError> for Response {
    fn from(error: BodyError) -> Self {
        Response::error(error.status())
    }
}

impl embedded_io_async::Error for BodyError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        use embedded_io_async::ErrorKind;
        match self {
            Self::Malformed | Self::TooLarge => ErrorKind::InvalidData,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::Closed => ErrorKind::ConnectionReset,
            Self::NoMemory => ErrorKind::OutOfMemory,
        }
    }
}

/// What is left of a request's content while it is answered; after an upgrade what comes of the other protocol.
pub struct RequestContent<'a>(pub(crate) Left<'a>);

/// See [`RequestContent`].
pub(crate) enum Left<'a> {
    Nothing,
    Content(Received<'a>),
    /// Of another protocol.
    Raw(&'a Io),
}

impl RequestContent<'_> {
    /// Octets still to come, where that is known.
    pub fn known_rest(&self) -> Option<u64> {
        match self.0 {
            Left::Nothing => Some(0),
            Left::Content(content) => content.known_rest(),
            Left::Raw(_) => None,
        }
    }

    /// The next octets; 0 at the end.
    pub async fn read(&mut self, out: &mut [u8]) -> Result<usize, BodyError> {
        match self.0 {
            Left::Nothing => Ok(0),
            Left::Content(content) => content.read(out).await,
            Left::Raw(io) => read_raw(io, out).await,
        }
    }
}

impl embedded_io_async::ErrorType for RequestContent<'_> {
    type Error = BodyError;
}

impl embedded_io_async::Read for RequestContent<'_> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, BodyError> {
        RequestContent::read(self, out).await
    }
}

/// A request's content, however it comes.
#[derive(Clone, Copy)]
pub(crate) enum Received<'a> {
    Http1(&'a Incoming<'a>),
    #[cfg(feature = "h2")]
    Http2(&'a crate::h2::Incoming<'a>),
}

impl Received<'_> {
    /// Octets still to come, where that is known.
    pub(crate) fn known_rest(self) -> Option<u64> {
        match self {
            Self::Http1(content) => content.known_rest(),
            #[cfg(feature = "h2")]
            Self::Http2(content) => content.known_rest(),
        }
    }

    /// The next octets; 0 at the end.
    pub(crate) async fn read(self, out: &mut [u8]) -> Result<usize, BodyError> {
        match self {
            Self::Http1(content) => content.read(out).await,
            #[cfg(feature = "h2")]
            Self::Http2(content) => content.read(out).await,
        }
    }

    /// Waits until some is there, or the end.
    pub(crate) async fn wait(self) -> Result<(), BodyError> {
        match self {
            Self::Http1(content) => content.wait().await,
            #[cfg(feature = "h2")]
            Self::Http2(content) => content.wait().await,
        }
    }

    /// All the rest, at most `limit` octets.
    pub(crate) async fn read_to_end(self, limit: usize) -> Result<Vec<u8>, BodyError> {
        let mut all = Vec::new();
        let expected = self.known_rest().unwrap_or(0);
        if expected > limit as u64 {
            return Err(self.fail(BodyError::TooLarge));
        }
        self.make_room(&mut all, expected as usize)?;
        while self.known_rest() != Some(0) {
            let old = all.len();
            let step = usize::try_from(self.known_rest().unwrap_or(1024)).unwrap_or(1024).min(4096);
            self.make_room(&mut all, step)?;
            all.resize(old + step, 0);
            let n = self.read(&mut all[old..]).await?;
            all.truncate(old + n);
            if all.len() > limit {
                return Err(self.fail(BodyError::TooLarge));
            }
        }
        Ok(all)
    }

    /// Makes room for so many octets more.
    fn make_room(self, all: &mut Vec<u8>, octets: usize) -> Result<(), BodyError> {
        if all.capacity() - all.len() >= octets {
            return Ok(());
        }
        let grown = (all.len() + octets).max(2 * all.capacity());
        if !memory::may_keep(grown) || all.try_reserve_exact(grown - all.len()).is_err() {
            self.io().stats.refused.add(1);
            return Err(self.fail(BodyError::NoMemory));
        }
        Ok(())
    }

    fn fail(self, error: BodyError) -> BodyError {
        match self {
            Self::Http1(content) => content.fail(error),
            #[cfg(feature = "h2")]
            Self::Http2(content) => content.fail(error),
        }
    }

    fn io(&self) -> &Io {
        match self {
            Self::Http1(content) => content.io,
            #[cfg(feature = "h2")]
            Self::Http2(content) => content.wire.io,
        }
    }
}

#[derive(Debug)]
enum Rest {
    Length(u64),
    Chunked(Decoder),
}

/// The content of one request on its connection.
pub(crate) struct Incoming<'a> {
    io: &'a Io,
    limits: &'a Limits,
    rest: RefCell<Rest>,
    owes_continue: Cell<bool>,
    begun: Cell<bool>,
    failed: Cell<Option<BodyError>>,
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(io: &'a Io, limits: &'a Limits, framing: &Framing) -> Self {
        let rest = match framing.content {
            Content::None => Rest::Length(0),
            Content::Length(n) => Rest::Length(n),
            Content::Chunked => Rest::Chunked(Decoder::new(limits.body_size)),
        };
        Self {
            io,
            limits,
            rest: RefCell::new(rest),
            owes_continue: Cell::new(framing.expects_continue),
            begun: Cell::new(false),
            failed: Cell::new(None),
        }
    }

    /// Octets still to come, where that is known.
    pub(crate) fn known_rest(&self) -> Option<u64> {
        match &*self.rest.borrow() {
            Rest::Length(n) => Some(*n),
            Rest::Chunked(decoder) => decoder.is_done().then_some(0),
        }
    }

    fn is_done(&self) -> bool {
        self.known_rest() == Some(0)
    }

    /// The next octets; 0 at the end.
    pub(crate) async fn read(&self, out: &mut [u8]) -> Result<usize, BodyError> {
        loop {
            let n = self.take(out)?;
            if n > 0 || out.is_empty() || self.is_done() {
                return Ok(n);
            }
            self.wait_for_more().await?;
        }
    }

    /// Waits until some is there, or the end.
    pub(crate) async fn wait(&self) -> Result<(), BodyError> {
        loop {
            // What frames it is taken off.
            self.take(&mut [])?;
            if self.is_done() || self.has_some() {
                return Ok(());
            }
            self.wait_for_more().await?;
        }
    }

    fn has_some(&self) -> bool {
        let may_come = match &*self.rest.borrow() {
            Rest::Length(left) => *left > 0,
            Rest::Chunked(decoder) => decoder.is_in_content(),
        };
        may_come && !self.io.has_no_input()
    }

    /// See [`Early`](crate::Early).
    pub(crate) async fn put_interim(&self, answer: &Response) {
        if answer.status == Status::CONTINUE {
            self.owes_continue.set(false);
        }
        self.io.stats.count(answer.status);
        self.io.with_output(|out| crate::send::put_interim(out, answer));
        self.io.flush_if_much().await;
    }

    /// Whether the connection can go on after a response, as far as can be told now.
    pub(crate) fn can_skip(&self) -> bool {
        self.may_be_read() && self.known_rest().is_none_or(|n| n <= MAX_SKIP)
    }

    /// Whether the client sends it, or has sent it.
    pub(crate) fn may_be_read(&self) -> bool {
        let waits = self.owes_continue.get() && !self.is_done();
        self.failed.get().is_none() && !waits
    }

    /// Reads and forgets what the handler left; false if the connection cannot go on.
    pub(crate) async fn skip(&self) -> bool {
        let mut skipped = 0;
        while !self.is_done() {
            match self.take_and_forget() {
                Ok(n) => skipped += n as u64,
                Err(_) => return false,
            }
            if skipped > MAX_SKIP || (!self.is_done() && self.wait_for_more().await.is_err()) {
                return false;
            }
        }
        true
    }

    fn take_and_forget(&self) -> Result<usize, BodyError> {
        let mut scratch = [0; 512];
        let mut all = 0;
        loop {
            match self.take(&mut scratch)? {
                0 => return Ok(all),
                n => all += n,
            }
        }
    }

    /// Moves what has come in, without waiting.
    fn take(&self, out: &mut [u8]) -> Result<usize, BodyError> {
        if let Some(error) = self.failed.get() {
            return Err(error);
        }
        let mut rest = self.rest.borrow_mut();
        self.io.with_input(|input| {
            if !input.bytes().is_empty() {
                self.owes_continue.set(false);
            }
            let (taken, given) = match &mut *rest {
                Rest::Length(left) => take_plain(input.bytes(), out, left),
                Rest::Chunked(d) => d.decode(input.bytes(), out).map_err(|e| self.fail(e))?,
            };
            input.consume(taken);
            Ok(given)
        })
    }

    async fn wait_for_more(&self) -> Result<(), BodyError> {
        if self.owes_continue.take() {
            self.io.with_output(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
        }
        if !self.begun.replace(true) {
            self.io.begin_reading(Phase::transfer(self.limits.body_time, self.limits.min_rate));
        }
        self.io.fill().await.map_err(|e| {
            self.fail(match e {
                ReadError::TimedOut => BodyError::TimedOut,
                ReadError::NoMemory => BodyError::NoMemory,
                ReadError::Closed | ReadError::Full => BodyError::Closed,
            })
        })
    }

    /// After an error a connection's octets mean nothing any more.
    fn fail(&self, error: BodyError) -> BodyError {
        match error {
            BodyError::TimedOut => self.io.stats.timeouts.add(1),
            BodyError::Malformed => self.io.stats.malformed.add(1),
            BodyError::TooLarge | BodyError::Closed | BodyError::NoMemory => {}
        }
        self.failed.set(Some(error));
        error
    }
}

pub(crate) fn take_plain(input: &[u8], out: &mut [u8], left: &mut u64) -> (usize, usize) {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len()).min(out.len());
    out[..n].copy_from_slice(&input[..n]);
    *left -= n as u64;
    (n, n)
}

/// The next octets of a connection as they come; 0 at its end.
async fn read_raw(io: &Io, out: &mut [u8]) -> Result<usize, BodyError> {
    loop {
        let n = io.with_input(|input| {
            let n = input.bytes().len().min(out.len());
            out[..n].copy_from_slice(&input.bytes()[..n]);
            input.consume(n);
            n
        });
        if n > 0 || out.is_empty() {
            return Ok(n);
        }
        match io.fill().await {
            Ok(()) => {}
            Err(ReadError::Closed) => return Ok(0),
            Err(ReadError::TimedOut) => return Err(BodyError::TimedOut),
            Err(ReadError::NoMemory | ReadError::Full) => return Err(BodyError::NoMemory),
        }
    }
}
