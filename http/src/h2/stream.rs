//! A stream's state (RFC 9113 section 5.1), between the connection that reads frames and the exchange that answers.

use super::exchange::{self, Sender};
use super::frame::{self, Flags, Kind};
use super::request::{EndStream, Request};
use super::window::Inbound;
use super::wire::{STREAM_WINDOW, Wire};
use crate::body::BodyError;
use crate::io::Phase;
use crate::{Limits, Response, Status, memory};
use alloc::collections::VecDeque;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::{Context, Poll, Waker};
use fata_libos::time::Instant;

/// Content that is thrown away so that a stream ends in order, octets.
const MAX_SKIP: u64 = 64 * 1024;

/// Where the connection's window is smaller, a client that sends nothing may be waiting for us: a whole frame, octets.
const MIN_WINDOW: u32 = frame::MAX_PAYLOAD as u32;

/// What a stream waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing of the connection's.
    Other,
    /// Room in the output.
    Room,
    /// The client's leave to send, and room.
    Window,
    /// That output up to this mark is written.
    Written(u64),
}

/// See the module.
pub(crate) struct Stream {
    pub(crate) id: u32,
    /// What we may send, octets; less than none after a change of settings.
    pub(crate) window: Cell<i64>,
    inbound: Inbound,
    /// Received and not read.
    content: RefCell<VecDeque<u8>>,
    /// The client has ended its side.
    pub(crate) remote_ended: Cell<bool>,
    /// Content still to be received, where the client has said.
    announced: Cell<Option<u64>>,
    all_received: Cell<u64>,
    owes_continue: Cell<bool>,
    failed: Cell<Option<BodyError>>,
    waits: Cell<Wait>,
    /// Content of the request, or its end, is waited for, perhaps beside something else.
    wants_content: Cell<bool>,
    /// Who waits.
    waker: Cell<Option<Waker>>,
    reading: RefCell<Phase>,
    /// Waits for the client to open the stream's window; moves with content sent.
    writing: RefCell<Phase>,
    /// What content has earned it of time, octets: those of its own, so often as there were streams that share the way.
    earned: Cell<u64>,
}

impl Stream {
    /// A stream whose request has come.
    pub(crate) fn new(id: u32, window: i64, limits: &Limits) -> Self {
        Self {
            id,
            window: Cell::new(window),
            inbound: Inbound::new(STREAM_WINDOW),
            content: RefCell::default(),
            remote_ended: Cell::new(false),
            announced: Cell::new(None),
            all_received: Cell::new(0),
            owes_continue: Cell::new(false),
            failed: Cell::new(None),
            waits: Cell::new(Wait::Other),
            wants_content: Cell::new(false),
            waker: Cell::new(None),
            reading: RefCell::new(Phase::transfer(limits.body_time, limits.min_rate)),
            writing: RefCell::new(Phase::transfer(limits.write_time, limits.min_rate)),
            earned: Cell::new(0),
        }
    }

    /// What the request's fields say of its content.
    pub(crate) fn expect(&self, request: &Request, end: EndStream) {
        self.announced.set(request.length);
        self.owes_continue.set(request.expects_continue);
        self.remote_ended.set(end == EndStream::Yes);
    }

    /// Waits, until the connection finds that what is waited for has come.
    pub(crate) fn wait<T>(&self, what: Wait, cx: &Context<'_>) -> Poll<T> {
        self.waits.set(what);
        self.keep_waker(cx);
        Poll::Pending
    }

    /// Waits for content of the request, or its end.
    fn wait_for_content<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.wants_content.set(true);
        self.keep_waker(cx);
        Poll::Pending
    }

    fn keep_waker(&self, cx: &Context<'_>) {
        let kept = self.waker.take().filter(|kept| kept.will_wake(cx.waker()));
        self.waker.set(Some(kept.unwrap_or_else(|| cx.waker().clone())));
    }

    /// Marks what waits here as waiting for nothing when it is over, however it ends.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        Waiting(self)
    }

    /// Has who waits here polled.
    pub(crate) fn wake(&self) {
        self.waits.set(Wait::Other);
        self.wants_content.set(false);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// What we may send, octets.
    pub(crate) fn may_send(&self, wire: &Wire<'_>) -> usize {
        usize::try_from(self.window.get().min(wire.window.get())).unwrap_or(0)
    }

    /// Whether it could go on if there were room in the output.
    pub(crate) fn wants_room(&self, wire: &Wire<'_>) -> bool {
        match self.waits.get() {
            Wait::Room => true,
            Wait::Window => self.may_send(wire) > 0,
            _ => false,
        }
    }

    /// Whether what it waits for, other than room, is there.
    pub(crate) fn can_go_on(&self, wire: &Wire<'_>) -> bool {
        let is_written = matches!(self.waits.get(), Wait::Written(mark) if wire.io.is_written(mark));
        let has_content = || {
            let is_over = self.remote_ended.get() || self.failed.get().is_some();
            is_over || !self.content.borrow().is_empty()
        };
        is_written || (self.wants_content.get() && has_content())
    }

    /// Content was sent.
    pub(crate) fn sent(&self, octets: usize) {
        self.window.set(self.window.get() - octets as i64);
        self.writing.borrow_mut().moved += octets as u64;
    }

    /// Whether the connection's window alone keeps it from sending.
    pub(crate) fn waits_for_connection(&self, wire: &Wire<'_>) -> bool {
        self.waits.get() == Wait::Window && self.window.get() > 0 && wire.window.get() <= 0
    }

    /// Until when the client must open the stream's window, if that is what it waits for.
    pub(crate) fn window_deadline(&self, now: Instant) -> Option<Instant> {
        let mut writing = self.writing.borrow_mut();
        if self.waits.get() != Wait::Window || self.window.get() > 0 {
            writing.pause();
            return None;
        }
        Some(writing.deadline(now))
    }
}

/// See [`Stream::waiting`].
pub(crate) struct Waiting<'a>(&'a Stream);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waits.set(Wait::Other);
    }
}

/// As [`Waiting`], for the request's content.
struct WaitingForContent<'a>(&'a Stream);

impl Drop for WaitingForContent<'_> {
    fn drop(&mut self) {
        self.0.wants_content.set(false);
    }
}

/// For the connection: what comes in.
impl Stream {
    /// A frame of that length comes; false if the client may not send so much.
    pub(crate) fn take(&self, octets: u32) -> bool {
        self.inbound.take(octets)
    }

    /// So many octets of a frame were none of its content.
    pub(crate) fn used(&self, wire: &Wire<'_>, octets: u32) {
        if !self.remote_ended.get()
            && let Some(grant) = self.inbound.used(octets)
        {
            wire.put(|out| frame::put_number(out, Kind::WindowUpdate, self.id, grant));
        }
    }

    /// Content has come, while so many streams may send some; false if it is more than the client has announced.
    pub(crate) fn receive(&self, wire: &Wire<'_>, octets: &[u8], senders: usize) -> bool {
        let n = octets.len() as u64;
        self.earned.set(self.earned.get().saturating_add(n.saturating_mul(senders as u64)));
        if let Some(announced) = self.announced.get() {
            let Some(rest) = announced.checked_sub(n) else { return false };
            self.announced.set(Some(rest));
        }
        self.all_received.set(self.all_received.get() + n);
        if self.all_received.get() > wire.server.limits.body_size {
            self.fail(BodyError::TooLarge);
        }
        self.owes_continue.set(false);
        let mut content = self.content.borrow_mut();
        let grown = content.len() + octets.len();
        if self.failed.get().is_none() && grown > content.capacity() {
            let may_grow = memory::may_keep(grown) && content.try_reserve(octets.len()).is_ok();
            if !may_grow {
                wire.io.stats.refused.add(1);
                self.fail(BodyError::NoMemory);
            }
        }
        if self.failed.get().is_some() {
            wire.used(octets.len() as u32);
            return true;
        }
        content.extend(octets);
        true
    }

    /// The client ends its side; false if content is missing.
    pub(crate) fn end_remote(&self) -> bool {
        self.remote_ended.set(true);
        self.announced.get().is_none_or(|rest| rest == 0)
    }

    /// Reading fails from now on.
    pub(crate) fn fail(&self, error: BodyError) {
        if self.failed.get().is_none() {
            self.failed.set(Some(error));
        }
    }

    /// Until when content must come, if the handler waits for it and the client may send it: each stream has to keep up its share of the rate,
    /// so that those which send do not excuse those which do not.
    pub(crate) fn content_deadline(&self, wire: &Wire<'_>, now: Instant) -> Option<Instant> {
        let mut reading = self.reading.borrow_mut();
        let may_come = self.failed.get().is_none() && wire.inbound.left() >= MIN_WINDOW;
        if !self.wants_content.get() || !may_come {
            reading.pause();
            return None;
        }
        reading.moved = self.earned.get();
        Some(reading.deadline(now))
    }

    /// Gives the connection's window back what nobody will read: how many octets.
    pub(crate) fn forget_content(&self, wire: &Wire<'_>) -> usize {
        let left = self.content.take().len();
        wire.used(left as u32);
        left
    }
}

/// A request's content, for its handler.
pub(crate) struct Incoming<'a> {
    pub(crate) wire: &'a Wire<'a>,
    pub(crate) stream: &'a Stream,
}

impl Incoming<'_> {
    /// Octets still to come, where that is known.
    pub(crate) fn known_rest(&self) -> Option<u64> {
        let held = self.stream.content.borrow().len() as u64;
        match self.stream.announced.get() {
            Some(rest) => Some(rest + held),
            None => self.stream.remote_ended.get().then_some(held),
        }
    }

    /// Waits until some is there, or the end.
    pub(crate) async fn wait(&self) -> Result<(), BodyError> {
        let stream = self.stream;
        let _waiting = WaitingForContent(stream);
        poll_fn(|cx| {
            if let Some(error) = stream.failed.get() {
                return Poll::Ready(Err(error));
            }
            if !stream.content.borrow().is_empty() || self.known_rest() == Some(0) {
                return Poll::Ready(Ok(()));
            }
            self.ask_for_more(cx)
        })
        .await
    }

    /// The next octets; 0 at the end.
    pub(crate) async fn read(&self, out: &mut [u8]) -> Result<usize, BodyError> {
        let stream = self.stream;
        let _waiting = WaitingForContent(stream);
        poll_fn(|cx| {
            if let Some(error) = stream.failed.get() {
                return Poll::Ready(Err(error));
            }
            let n = self.take(out);
            if n > 0 || out.is_empty() || self.known_rest() == Some(0) {
                return Poll::Ready(Ok(n));
            }
            self.ask_for_more(cx)
        })
        .await
    }

    /// See [`Early`](crate::Early).
    pub(crate) async fn send_interim(&self, answer: &Response) {
        Sender { wire: self.wire, stream: self.stream }.until_there_is_room().await;
        if answer.status == Status::CONTINUE {
            self.stream.owes_continue.set(false);
        }
        self.wire.io.stats.count(answer.status);
        self.put_interim(answer.status.digits(), &answer.fields);
    }

    fn ask_for_more<T>(&self, cx: &Context<'_>) -> Poll<T> {
        if self.stream.owes_continue.take() {
            self.put_interim(*b"100", &[]);
        }
        self.stream.wait_for_content(cx)
    }

    /// Reads and forgets what the handler left, if it is not much, and waits for its end: to reset the stream is right as
    /// well, but not all clients understand it.
    pub(crate) async fn skip(&self) {
        let (stream, mut skipped) = (self.stream, 0);
        let _waiting = WaitingForContent(stream);
        poll_fn(|cx| {
            let n = stream.forget_content(self.wire);
            stream.used(self.wire, n as u32);
            skipped += n as u64;
            let is_much = skipped + stream.announced.get().unwrap_or(0) > MAX_SKIP;
            let is_over = stream.remote_ended.get() || stream.failed.get().is_some();
            if is_over || is_much || stream.owes_continue.get() {
                return Poll::Ready(());
            }
            stream.wait_for_content(cx)
        })
        .await
    }

    /// Forgets what still comes of content that nobody wants, which is no more than the client may send already, until it ends or fails.
    pub(crate) async fn linger(&self) {
        let stream = self.stream;
        let _waiting = WaitingForContent(stream);
        poll_fn(|cx| {
            stream.forget_content(self.wire);
            let is_over = stream.remote_ended.get() || stream.failed.get().is_some();
            if is_over { Poll::Ready(()) } else { stream.wait_for_content(cx) }
        })
        .await
    }

    /// No more can be read after this.
    pub(crate) fn fail(&self, error: BodyError) -> BodyError {
        self.stream.fail(error);
        error
    }

    fn take(&self, out: &mut [u8]) -> usize {
        let mut content = self.stream.content.borrow_mut();
        let n = content.len().min(out.len());
        let (first, second) = content.as_slices();
        let (mut rest, mut copied) = (out, 0);
        for part in [first, second] {
            let len = part.len().min(n - copied);
            let (to, after) = rest.split_at_mut(len);
            to.copy_from_slice(&part[..len]);
            (rest, copied) = (after, copied + len);
        }
        content.drain(..n);
        if content.is_empty() {
            *content = VecDeque::new();
        }
        self.wire.used(n as u32);
        self.stream.used(self.wire, n as u32);
        n
    }

    /// Puts an interim answer with these header lines.
    pub(crate) fn put_interim(&self, status: [u8; 3], lines: &[u8]) {
        let mut block = alloc::vec::Vec::new();
        {
            let mut encoder = self.wire.encoder.borrow_mut();
            encoder.begin(&mut block);
            encoder.status(&mut block, status);
        }
        exchange::put_lines(self.wire, &mut block, lines);
        self.wire.put(|out| frame::put_block(out, self.stream.id, Flags::NONE, &block));
    }
}
