//! A connection: reads frames, keeps the streams, and lets each have its turn.

use super::calm::{self, Calm};
use super::ended::{Ended, How};
use super::error::{Code, Error};
use super::exchange;
use super::frame::{self, Flags, Header, Kind, MAX_31};
use super::hpack::Decoder;
use super::request::{Block, Builder, EndStream, Verdict};
use super::stream::{Stream, Wait};
use super::wire::{CONNECTION_WINDOW, STREAM_WINDOW, Wire};
use super::{MAX_BLOCK, MAX_HEADS, STREAMS};
use crate::body::BodyError;
use crate::drive::Timer;
use crate::io::{Phase, ReadError};
use crate::stream::Aborted;
use crate::{Response, Status, memory};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use fata_libos::time::{Duration, Instant};

/// How long a client may take to hear that we leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// What we send with the PING that tells.
const FAREWELL_DATA: [u8; 8] = *b"farewell";
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

/// A stream and its exchange.
struct Running<'c> {
    stream: Rc<Stream>,
    exchange: Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'c>>,
    head: usize,
}

/// See the module.
pub(crate) struct Connection<'c> {
    wire: &'c Wire<'c>,
    peer: SocketAddr,
    next: Next,
    has_settings: bool,
    fields: Option<Fields>,
    decoder: Decoder,
    streams: Vec<Running<'c>>,
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
    client_leaves: bool,
    /// Since when there is no stream.
    idle_since: Instant,
    /// Waits for the client's leave to send.
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
    pub(crate) fn new(wire: &'c Wire<'c>, peer: SocketAddr) -> Self {
        let now = Instant::recent();
        let limits = &wire.server.limits;
        wire.put(|out| {
            let max_head = limits.head_size() as u32;
            frame::put_settings(out, &[(3, STREAMS as u32), (6, max_head)]);
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
            turn: 0,
            last: 0,
            opened: 0,
            heads: 0,
            ended: Ended::new(),
            initial_window: STREAM_WINDOW.into(),
            calm: Calm::new(now),
            acknowledged_by: Some(now + limits.head_time),
            leaving: Leaving::No,
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
        loop {
            self.read_frames(now);
            if !self.looks_for_input_first() {
                self.run_streams(cx);
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

    /// Polls streams in turn, until none gets on or the output is full.
    fn run_streams(&mut self, cx: &mut Context<'_>) {
        self.is_full = false;
        loop {
            self.wire.has_moved.set(false);
            for _ in 0..self.streams.len() {
                if self.wire.room() == 0 {
                    self.is_full = true;
                    return;
                }
                if self.turn >= self.streams.len() {
                    self.turn = 0;
                }
                let Some(running) = self.streams.get_mut(self.turn) else { break };
                if running.stream.is_blocked(self.wire) {
                    self.turn += 1;
                    continue;
                }
                match running.exchange.as_mut().poll(cx) {
                    Poll::Pending => self.turn += 1,
                    Poll::Ready(result) => self.finish(self.turn, result),
                }
            }
            if !self.wire.has_moved.get() {
                return;
            }
        }
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
            self.decoder.shrink();
        }
    }
}

/// Time.
impl Connection<'_> {
    /// Ends what takes too long; when the next such thing will.
    fn look_at_the_clock(&mut self, now: Instant) -> Instant {
        let first = Cell::new(now + super::NEVER);
        let limits = &self.wire.server.limits;
        let is_over = |deadline: Option<Instant>| {
            let deadline = deadline.inspect(|&d| first.set(first.get().min(d)));
            deadline.is_some_and(|d| now >= d)
        };
        let unacknowledged = is_over(self.acknowledged_by);
        let no_head = is_over(self.fields.as_ref().map(|f| f.since + limits.head_time));
        let idle = is_over(self.streams.is_empty().then(|| self.idle_since + limits.idle_time));
        let stalled = is_over(self.stalled_until(now));
        let told = is_over(match self.leaving {
            Leaving::Told(until) => Some(until),
            _ => None,
        });
        for running in &self.streams {
            if is_over(running.stream.content_deadline(self.wire, now)) {
                self.wire.io.stats.timeouts.add(1);
                running.stream.fail(BodyError::TimedOut);
            }
        }
        if unacknowledged {
            self.fail(Code::SettingsTimeout);
        } else if no_head || stalled {
            self.wire.io.stats.timeouts.add(1);
            self.say_go_away(Code::NoError);
            self.end = Some(End::Linger);
        } else if idle {
            self.say_go_away(Code::NoError);
            self.end = Some(End::Close);
        } else if told {
            self.take_no_more();
        }
        first.get()
    }

    /// Until when a stream must get leave to send, if nothing but that keeps one from it.
    fn stalled_until(&mut self, now: Instant) -> Option<Instant> {
        let sent = self.wire.sent.get();
        self.calm.sent(sent - self.sent_seen);
        let has_sent = core::mem::replace(&mut self.sent_seen, sent) != sent;
        let waits = |r: &Running<'_>| r.stream.waits.get() == Wait::Window && r.stream.is_blocked(self.wire);
        let is_stalled = self.wire.io.is_flushed() && self.streams.iter().any(waits);
        if has_sent || !is_stalled {
            self.stalled.pause();
        }
        self.stalled.moved = sent - self.sent_before;
        is_stalled.then(|| self.stalled.deadline(now))
    }

    /// Leaves when asked, in two steps: a client that has streams under way may have sent more that we have not seen (RFC
    /// 9113 section 6.8).
    fn leave_if_asked(&mut self, now: Instant) {
        let limit = self.wire.server.limits.requests_per_connection;
        let is_asked = self.wire.server.is_last(&self.wire.io.slot, self.opened)
            || self.wire.closes.get()
            || self.client_leaves
            || limit > 0 && self.opened >= limit;
        match self.leaving {
            Leaving::No if is_asked && self.streams.is_empty() => self.take_no_more(),
            Leaving::No if is_asked => {
                self.wire.put(|out| {
                    frame::put_go_away(out, MAX_31, Code::NoError);
                    frame::put_ping(out, Flags::NONE, &FAREWELL_DATA);
                });
                self.leaving = Leaving::Told(now + FAREWELL);
            }
            _ => {}
        }
        if self.leaving == Leaving::Last && self.streams.is_empty() && self.end.is_none() {
            let is_quiet = self.opened == 0 || self.idle_since < now;
            self.end = Some(if is_quiet { End::Close } else { End::Linger });
        }
    }

    fn take_no_more(&mut self) {
        self.leaving = Leaving::Last;
        self.say_go_away(Code::NoError);
    }
}

/// Frames.
impl<'c> Connection<'c> {
    fn read_frames(&mut self, now: Instant) {
        let wire = self.wire;
        wire.io.with_input(|input| {
            while self.end.is_none() && wire.may_read() {
                match self.step(input.bytes(), now) {
                    Ok(Some(n)) => input.consume(n),
                    Ok(None) => break,
                    Err(code) => self.fail(code),
                }
            }
        });
    }

    /// Takes something from the start of `input`: how many octets, `None` if more is needed. An error ends the connection.
    fn step(&mut self, input: &[u8], now: Instant) -> Result<Option<usize>, Code> {
        match self.next {
            Next::Preface(seen) => self.preface(input, seen),
            Next::Header => self.header(input, now),
            Next::Content { header, left, padding } => {
                let n = left.min(input.len());
                if n == 0 {
                    return Ok(None);
                }
                self.content(&header, input.get(..n).unwrap_or_default())?;
                self.expect(header, left - n, padding)?;
                Ok(Some(n))
            }
            Next::Settings { left } => self.setting(input, left),
            Next::Skip(left) => {
                let n = left.min(input.len());
                self.next = if n == left { Next::Header } else { Next::Skip(left - n) };
                Ok((n > 0 || left == 0).then_some(n))
            }
        }
    }

    fn preface(&mut self, input: &[u8], seen: usize) -> Result<Option<usize>, Code> {
        let rest = frame::PREFACE.get(seen..).unwrap_or_default();
        let n = rest.len().min(input.len());
        if rest.get(..n) != input.get(..n) {
            return Err(Code::Protocol);
        }
        self.next = if n == rest.len() { Next::Header } else { Next::Preface(seen + n) };
        Ok((n > 0).then_some(n))
    }

    /// Reads a frame's header, and with it what is short.
    fn header(&mut self, input: &[u8], now: Instant) -> Result<Option<usize>, Code> {
        let Some(header) = Header::read(input) else { return Ok(None) };
        self.check_order(&header)?;
        match header.check() {
            Ok(()) => {}
            Err(Error::Connection(code)) => return Err(code),
            Err(Error::Stream(code)) => {
                self.reset(header.stream, code);
                self.next = Next::Skip(header.len);
                return Ok(Some(frame::HEADER));
            }
        }
        let payload = input.get(frame::HEADER..).unwrap_or_default();
        let needed = match header.kind {
            Kind::Data | Kind::Headers => header.prelude(),
            Kind::Priority | Kind::ResetStream | Kind::Ping | Kind::WindowUpdate => header.len,
            Kind::GoAway => 8,
            _ => 0,
        };
        let Some(payload) = payload.get(..needed) else { return Ok(None) };
        match header.kind {
            Kind::Data => self.begin_data(header, payload)?,
            Kind::Headers => self.begin_headers(header, payload, now)?,
            Kind::Continuation => {
                self.spend(calm::FRAME);
                self.expect(header, header.len, 0)?;
            }
            Kind::Settings if header.flags.has(Flags::ACK) => self.acknowledged_by = None,
            Kind::Settings => {
                self.spend(calm::FRAME);
                self.next = Next::Settings { left: header.len };
            }
            _ => {
                self.short(&header, payload)?;
                self.next = Next::Skip(header.len - needed);
            }
        }
        Ok(Some(frame::HEADER + needed))
    }

    /// SETTINGS come first, and nothing between the frames of a block.
    fn check_order(&mut self, header: &Header) -> Result<(), Code> {
        let is_first = header.kind == Kind::Settings && !header.flags.has(Flags::ACK);
        if !self.has_settings && !is_first {
            return Err(Code::Protocol);
        }
        let continues = (header.kind == Kind::Continuation).then_some(header.stream);
        if continues != self.fields.as_ref().map(|f| f.stream) {
            return Err(Code::Protocol);
        }
        Ok(())
    }

    /// A frame that is short, or whose payload does not matter.
    fn short(&mut self, header: &Header, payload: &[u8]) -> Result<(), Code> {
        match header.kind {
            Kind::Ping if header.flags.has(Flags::ACK) => {
                if payload == FAREWELL_DATA && matches!(self.leaving, Leaving::Told(_)) {
                    self.take_no_more();
                }
            }
            Kind::Ping => {
                let data = payload.first_chunk().copied().unwrap_or_default();
                self.wire.put(|out| frame::put_ping(out, Flags::ACK, &data));
            }
            Kind::WindowUpdate => self.open_window(header.stream, frame::number(payload))?,
            Kind::ResetStream => self.reset_by_client(header.stream)?,
            Kind::GoAway => self.client_leaves = true,
            // Priorities, and types that we do not know.
            _ => {}
        }
        self.spend(calm::FRAME);
        Ok(())
    }

    fn setting(&mut self, input: &[u8], left: usize) -> Result<Option<usize>, Code> {
        if left == 0 {
            self.has_settings = true;
            self.wire.put(|out| frame::put_header(out, Kind::Settings, Flags::ACK, 0, 0));
            self.next = Next::Header;
            return Ok(Some(0));
        }
        let Some(&[a, b, ref value @ ..]) = input.first_chunk::<6>() else { return Ok(None) };
        let value = u32::from_be_bytes(*value);
        match u16::from_be_bytes([a, b]) {
            2 if value > 1 => return Err(Code::Protocol),
            4 => self.set_initial_window(value)?,
            5 if !(16_384..1 << 24).contains(&value) => return Err(Code::Protocol),
            _ => {}
        }
        self.next = Next::Settings { left: left - 6 };
        Ok(Some(6))
    }

    /// Changes the windows of all streams too (RFC 9113 section 6.9.2).
    fn set_initial_window(&mut self, size: u32) -> Result<(), Code> {
        if size > MAX_31 {
            return Err(Code::FlowControl);
        }
        let change = i64::from(size) - self.initial_window;
        self.initial_window = size.into();
        for running in &self.streams {
            let window = running.stream.window.get() + change;
            if window > MAX_31.into() {
                return Err(Code::FlowControl);
            }
            running.stream.window.set(window);
        }
        Ok(())
    }

    fn open_window(&mut self, id: u32, octets: u32) -> Result<(), Code> {
        let opened = |window: i64| Some(window + i64::from(octets)).filter(|&w| w <= MAX_31.into());
        if id == 0 {
            if octets == 0 {
                return Err(Code::Protocol);
            }
            self.wire.window.set(opened(self.wire.window.get()).ok_or(Code::FlowControl)?);
            return Ok(());
        }
        self.check_opened(id)?;
        let Some(stream) = self.stream(id) else { return Ok(()) };
        if octets == 0 {
            self.reset(id, Code::Protocol);
        } else if let Some(window) = opened(stream.window.get()) {
            stream.window.set(window);
        } else {
            self.reset(id, Code::FlowControl);
        }
        Ok(())
    }

    fn reset_by_client(&mut self, id: u32) -> Result<(), Code> {
        self.check_opened(id)?;
        if let Some(at) = self.position(id) {
            self.wire.io.stats.http2.resets.add(1);
            self.spend(calm::RESET);
            self.remove(at, How::Closed);
        }
        Ok(())
    }

    fn begin_data(&mut self, header: Header, prelude: &[u8]) -> Result<(), Code> {
        self.check_opened(header.stream)?;
        let (content, padding) = header.split(prelude).map_err(|_| Code::Protocol)?;
        let len = header.len as u32;
        if !self.wire.inbound.take(len) {
            return Err(Code::FlowControl);
        }
        if content == 0 && !header.flags.has(Flags::END_STREAM) {
            self.spend(calm::FRAME);
        }
        self.wire.used(len - content as u32);
        match self.stream(header.stream) {
            Some(stream) if stream.remote_ended.get() => self.reset(header.stream, Code::StreamClosed),
            Some(stream) if !stream.take(len) => self.reset(header.stream, Code::FlowControl),
            Some(stream) => stream.used(self.wire, len - content as u32),
            None if self.ended.find(header.stream) == Some(How::Reset) => self.spend(calm::FRAME),
            None => self.reset(header.stream, Code::StreamClosed),
        }
        self.expect(header, content, padding)
    }

    fn begin_headers(&mut self, header: Header, prelude: &[u8], now: Instant) -> Result<(), Code> {
        if header.stream.is_multiple_of(2) {
            return Err(Code::Protocol);
        }
        let (content, padding) = header.split(prelude).map_err(|_| Code::Protocol)?;
        let end = if header.flags.has(Flags::END_STREAM) { EndStream::Yes } else { EndStream::No };
        self.fields = Some(Fields { stream: header.stream, end, octets: Vec::new(), since: now });
        self.expect(header, content, padding)
    }

    /// A piece of a frame's content.
    fn content(&mut self, header: &Header, octets: &[u8]) -> Result<(), Code> {
        if header.kind != Kind::Data {
            return self.add_to_block(octets);
        }
        self.wire.received.set(self.wire.received.get() + octets.len() as u64);
        match self.stream(header.stream) {
            Some(stream) if stream.receive(self.wire, octets) => {}
            Some(_) => {
                self.wire.used(octets.len() as u32);
                self.reset(header.stream, Code::Protocol);
            }
            None => self.wire.used(octets.len() as u32),
        }
        Ok(())
    }

    /// So much of a frame's content is still to come: where nothing is, it has ended.
    fn expect(&mut self, header: Header, left: usize, padding: usize) -> Result<(), Code> {
        self.next = Next::Content { header, left, padding };
        if left > 0 {
            return Ok(());
        }
        self.next = Next::Skip(padding);
        if header.kind != Kind::Data {
            return if header.flags.has(Flags::END_HEADERS) { self.end_block() } else { Ok(()) };
        }
        if header.flags.has(Flags::END_STREAM)
            && let Some(stream) = self.stream(header.stream)
            && !stream.end_remote()
        {
            self.reset(header.stream, Code::Protocol);
        }
        Ok(())
    }

    fn add_to_block(&mut self, octets: &[u8]) -> Result<(), Code> {
        let max = MAX_BLOCK.max(2 * self.wire.server.limits.head_size());
        let Some(fields) = &mut self.fields else { return Err(Code::Internal) };
        let grown = fields.octets.len() + octets.len();
        let may_grow = grown <= max && (grown <= 512 || memory::is_free(grown));
        if !may_grow || fields.octets.try_reserve(octets.len()).is_err() {
            return Err(Code::EnhanceYourCalm);
        }
        fields.octets.extend_from_slice(octets);
        Ok(())
    }

    /// A block of header fields is whole: a request, or what follows its content.
    fn end_block(&mut self) -> Result<(), Code> {
        let Some(Fields { stream: id, end, octets, .. }) = self.fields.take() else {
            return Err(Code::Internal);
        };
        let known = self.stream(id);
        let kind = if known.is_some() { Block::Trailers } else { Block::Head };
        let mut builder = Builder::new(&self.wire.server.limits, kind);
        let decoded = self.decoder.decode(&octets, &mut |name, value| builder.field(name, value));
        decoded.map_err(|_| Code::Compression)?;
        if let Some(stream) = known {
            self.trailers(&stream, end, builder.finish(end));
            return Ok(());
        }
        if id <= self.last {
            return match self.ended.find(id) {
                Some(How::Reset) => Ok(self.spend(calm::FRAME)),
                Some(How::Closed) => Err(Code::StreamClosed),
                None => Err(Code::Protocol),
            };
        }
        self.last = id;
        self.wire.io.stats.http2.streams.add(1);
        if self.leaving == Leaving::Last || self.streams.len() >= STREAMS || self.heads >= MAX_HEADS {
            self.wire.io.stats.http2.refused.add(1);
            self.put_reset(id, Code::RefusedStream);
            self.spend(calm::FRAME);
            return Ok(());
        }
        self.open(id, end, builder.finish(end));
        Ok(())
    }

    fn trailers(&mut self, stream: &Stream, end: EndStream, verdict: Verdict) {
        if stream.remote_ended.get() {
            return self.reset(stream.id, Code::StreamClosed);
        }
        let is_wrong = end == EndStream::No || matches!(verdict, Verdict::Malformed);
        if is_wrong || !stream.end_remote() {
            self.reset(stream.id, Code::Protocol);
        }
    }
}

/// Streams.
impl<'c> Connection<'c> {
    fn position(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|r| r.stream.id == id)
    }

    fn stream(&self, id: u32) -> Option<Rc<Stream>> {
        self.streams.iter().find(|r| r.stream.id == id).map(|r| r.stream.clone())
    }

    /// An error for a stream that the client has never opened.
    fn check_opened(&self, id: u32) -> Result<(), Code> {
        if id > self.last || id.is_multiple_of(2) { Err(Code::Protocol) } else { Ok(()) }
    }

    fn open(&mut self, id: u32, end: EndStream, verdict: Verdict) {
        let (wire, limits) = (self.wire, &self.wire.server.limits);
        let stream = Rc::new(Stream::new(id, self.initial_window, limits, wire.received.get()));
        let (status, is_head) = match verdict {
            Verdict::Request(request) => {
                stream.expect(&request, end);
                let head = request.head.memory();
                let exchange = Box::pin(exchange::serve(wire, stream.clone(), request, self.peer));
                return self.run(Running { stream, exchange, head });
            }
            Verdict::Answer { status, is_head } => (status, is_head),
            Verdict::Malformed => {
                wire.io.stats.malformed.add(1);
                self.put_reset(id, Code::Protocol);
                return self.spend(calm::RESET);
            }
        };
        if status == Status::SERVICE_UNAVAILABLE {
            wire.io.stats.refused.add(1);
        }
        stream.remote_ended.set(end == EndStream::Yes);
        let exchange = Box::pin(exchange::refuse(wire, stream.clone(), is_head, Response::error(status)));
        self.run(Running { stream, exchange, head: 0 });
    }

    fn run(&mut self, running: Running<'c>) {
        let io = self.wire.io;
        if self.streams.is_empty() {
            let limits = &self.wire.server.limits;
            io.slot.set_busy();
            io.begin_writing(Phase::transfer(limits.write_time, limits.min_rate));
            self.stalled = Phase::transfer(limits.write_time, limits.min_rate);
            self.sent_before = self.wire.sent.get();
        }
        self.opened = self.opened.saturating_add(1);
        self.heads += running.head;
        self.streams.push(running);
    }

    /// The exchange at that place has ended.
    fn finish(&mut self, at: usize, result: Result<(), Aborted>) {
        let Some(running) = self.streams.get(at) else { return };
        let (id, is_ended) = (running.stream.id, running.stream.remote_ended.get());
        self.calm.earn(calm::ANSWERED);
        match (result, is_ended) {
            (Ok(()), true) => return self.remove(at, How::Closed),
            // The client need not send what nobody reads (RFC 9113 section 8.1).
            (Ok(()), false) => self.put_reset(id, Code::NoError),
            (Err(Aborted), _) => self.put_reset(id, Code::Internal),
        }
        self.remove(at, How::Reset);
    }

    fn remove(&mut self, at: usize, how: How) {
        if at >= self.streams.len() {
            return;
        }
        let running = self.streams.remove(at);
        self.heads = self.heads.saturating_sub(running.head);
        running.stream.forget_content(self.wire);
        self.ended.add(running.stream.id, how);
        if at < self.turn {
            self.turn -= 1;
        }
        if self.streams.is_empty() {
            self.idle_since = Instant::recent();
            self.wire.server.registry.set_idle(&self.wire.io.slot);
        }
    }

    /// Ends a stream because of what the client did.
    fn reset(&mut self, id: u32, code: Code) {
        match self.position(id) {
            Some(at) => {
                self.wire.put(|out| frame::put_number(out, Kind::ResetStream, id, code as u32));
                self.remove(at, How::Reset);
            }
            None => self.put_reset(id, code),
        }
        self.wire.io.stats.malformed.add(1);
        self.spend(calm::RESET);
    }

    fn put_reset(&mut self, id: u32, code: Code) {
        self.wire.put(|out| frame::put_number(out, Kind::ResetStream, id, code as u32));
        if self.position(id).is_none() {
            self.ended.add(id, How::Reset);
        }
    }

    fn spend(&mut self, cost: u32) {
        if !self.calm.spend(cost, Instant::recent()) && self.end.is_none() {
            self.fail(Code::EnhanceYourCalm);
        }
    }

    fn fail(&mut self, code: Code) {
        let stats = &self.wire.io.stats.http2;
        match code {
            Code::EnhanceYourCalm => stats.calmed.add(1),
            _ => stats.errors.add(1),
        }
        self.say_go_away(code);
        self.end = Some(End::Linger);
    }

    fn say_go_away(&mut self, code: Code) {
        self.wire.put(|out| frame::put_go_away(out, self.last, code));
    }
}
