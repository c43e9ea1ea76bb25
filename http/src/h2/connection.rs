//! A connection: reads frames, keeps the streams, and lets each have its turn.

mod clock;
mod frames;
mod streams;

use super::calm::Calm;
use super::ended::Ended;
use super::error::Code;
use super::frame::{self, Header, Kind, MAX_31};
use super::hpack::Decoder;
use super::request::EndStream;
use super::stream::Stream;
use super::waking::Waking;
use super::wire::{CONNECTION_WINDOW, STREAM_WINDOW, Wire};
use crate::Peer;
use crate::drive::Timer;
use crate::io::{Phase, ReadError};
use crate::memory;
use crate::stream::Aborted;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use fata_libos::time::Instant;

/// What is read at once while much comes, octets.
const INPUT: usize = 8 * 1024;

/// What becomes of the connection when its logic is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has closed it.
    Gone,
    /// In order, with nothing under way.
    Close,
    /// The client may still be sending, and must see why it ends.
    Linger,
}

/// What comes next of the client's octets.
enum Next {
    /// The preface, of which so many octets have come.
    Preface(usize),
    Header,
    /// So many octets of a frame's content, and then padding.
    Content {
        header: Header,
        left: usize,
        padding: usize,
    },
    Settings {
        left: usize,
    },
    /// So many octets that mean nothing.
    Skip(usize),
}

/// A block of header fields that is not whole.
struct Fields {
    stream: u32,
    end: EndStream,
    octets: Vec<u8>,
    since: Instant,
    depends_on_itself: bool,
}

/// How far we are in leaving.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// The client was told, and is given until then to hear it.
    Told(Instant),
    /// No more streams are taken.
    Last,
}

/// Answers one request.
type Exchange<'c> = Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'c>>;

/// What an answer is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worth {
    /// It gives the client back of what it may cost.
    Useful,
    Nothing,
}

/// A stream and its exchange.
struct Running<'c> {
    stream: Rc<Stream>,
    exchange: Exchange<'c>,
    waking: Arc<Waking>,
    waker: Waker,
    head: usize,
    worth: Worth,
}

impl Running<'_> {
    /// Whether to poll it: it was woken, or what it waits for here has come.
    fn is_due(&self, wire: &Wire<'_>) -> bool {
        let has_room = || self.stream.wants_room(wire) && wire.room() > 0;
        if self.stream.can_go_on(wire) || has_room() {
            self.waking.while_seen(|| self.stream.wake());
        }
        self.waking.take()
    }
}

/// See the module.
pub(crate) struct Connection<'c> {
    wire: &'c Wire<'c>,
    peer: &'c Peer,
    next: Next,
    has_settings: bool,
    fields: Option<Fields>,
    decoder: Decoder,
    streams: Vec<Running<'c>>,
    /// How many there may be.
    most_streams: usize,
    /// The connection's task.
    task: Waker,
    /// Whose turn it is.
    turn: usize,
    /// The last stream that the client has opened.
    last: u32,
    opened: u32,
    /// What the heads of all streams take.
    heads: usize,
    ended: Ended,
    /// What a new stream's window is.
    initial_window: i64,
    calm: Calm,
    /// When our settings must have been acknowledged.
    acknowledged_by: Option<Instant>,
    leaving: Leaving,
    /// The last stream that the client was told may be answered.
    told: u32,
    client_leaves: bool,
    /// Since when there is no stream.
    idle_since: Instant,
    /// Waits for the client to open the connection's window.
    stalled: Phase,
    sent_before: u64,
    sent_seen: u64,
    timer: Timer,
    /// Streams wait for room in the output, not for the client.
    is_full: bool,
    /// Input was asked for before more output is made.
    has_asked: bool,
    end: Option<End>,
}

impl<'c> Connection<'c> {
    pub(crate) fn new(wire: &'c Wire<'c>, peer: &'c Peer) -> Self {
        let now = Instant::recent();
        let limits = &wire.server.limits;
        let most_streams = memory::streams();
        wire.put(|out| {
            let max_head = limits.head_size() as u32;
            // Streams, the size of a head, and that no priorities are heeded (RFC 9218 section 2.1).
            frame::put_settings(out, &[(3, most_streams as u32), (6, max_head), (9, 1)]);
            frame::put_number(out, Kind::WindowUpdate, 0, CONNECTION_WINDOW - STREAM_WINDOW);
        });
        Self {
            wire,
            peer,
            next: Next::Preface(0),
            has_settings: false,
            fields: None,
            decoder: Decoder::new(),
            streams: Vec::new(),
            most_streams,
            task: Waker::noop().clone(),
            turn: 0,
            last: 0,
            opened: 0,
            heads: 0,
            ended: Ended::default(),
            initial_window: STREAM_WINDOW.into(),
            calm: Calm::new(now),
            acknowledged_by: Some(now + limits.head_time),
            leaving: Leaving::No,
            told: MAX_31,
            client_leaves: false,
            idle_since: now,
            stalled: Phase::transfer(limits.write_time, limits.min_rate),
            sent_before: 0,
            sent_seen: 0,
            timer: Timer::new(),
            is_full: false,
            has_asked: false,
            end: None,
        }
    }

    /// Does what can be done; ready when the connection is to end.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let now = Instant::recent();
        self.wake_this_task(cx.waker());
        loop {
            self.read_frames(now);
            if let Some(end) = self.end {
                return Poll::Ready(end);
            }
            if !self.looks_for_input_first() {
                self.run_streams();
            }
            self.leave_if_asked(now);
            let deadline = self.look_at_the_clock(now);
            if let Some(end) = self.end {
                return Poll::Ready(end);
            }
            self.rest();
            match pin!(self.wire.io.fill()).poll(cx) {
                Poll::Ready(Ok(())) => continue,
                Poll::Ready(Err(ReadError::Closed)) => return Poll::Ready(End::Gone),
                Poll::Ready(Err(ReadError::Full | ReadError::NoMemory)) => self.fail(Code::EnhanceYourCalm),
                Poll::Ready(Err(ReadError::TimedOut)) => {}
                Poll::Pending if self.has_asked => cx.waker().wake_by_ref(),
                Poll::Pending => {}
            }
            if self.end.is_none() && !self.timer.has_passed(deadline, cx) {
                return Poll::Pending;
            }
        }
    }

    /// While streams have more to send than the output takes, each turn begins with a look for input: a client that only
    /// receives would not be heard.
    fn looks_for_input_first(&mut self) -> bool {
        let is_due = self.is_full && self.wire.io.is_flushed() && self.wire.io.has_no_input();
        self.has_asked = is_due && !self.has_asked;
        self.has_asked
    }

    /// Streams wake the task that polls the connection. It is the same one as long as it lives, as a rule.
    fn wake_this_task(&mut self, task: &Waker) {
        if self.task.will_wake(task) {
            return;
        }
        self.task = task.clone();
        for running in &mut self.streams {
            running.waking = Waking::new(task);
            running.waker = running.waking.clone().into();
        }
    }

    /// Polls in turn the streams that were woken, until none gets on or all of them wait for room in the output.
    fn run_streams(&mut self) {
        // The first that finds no room is the next to have some.
        let mut next = None;
        loop {
            let mut has_moved = false;
            for _ in 0..self.streams.len() {
                if self.turn >= self.streams.len() {
                    self.turn = 0;
                }
                let Some(running) = self.streams.get_mut(self.turn) else { break };
                if !running.is_due(self.wire) {
                    self.turn += 1;
                    if running.stream.wants_room(self.wire) {
                        next.get_or_insert(running.stream.id);
                    }
                    continue;
                }
                self.wire.has_moved.set(false);
                match running.exchange.as_mut().poll(&mut Context::from_waker(&running.waker)) {
                    Poll::Pending => self.turn += 1,
                    Poll::Ready(result) => self.finish(self.turn, result),
                }
                has_moved |= self.wire.has_moved.get();
            }
            if !has_moved {
                break;
            }
        }
        self.is_full = next.is_some();
        self.turn = next.and_then(|id| self.position(id)).unwrap_or(self.turn);
    }

    /// Lets go of what a connection that waits does not need.
    fn rest(&mut self) {
        let io = self.wire.io;
        let is_full = io.with_input(|input| input.was_filled());
        if is_full && memory::is_free(INPUT) {
            io.with_input(|input| input.widen(INPUT));
        }
        if self.streams.is_empty() && !is_full && self.fields.is_none() {
            io.shrink(&self.wire.server.spare);
        }
    }
}
