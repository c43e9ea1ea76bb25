//! A connection's streams: opened, ended, reset; and what ends them all.

use super::{Connection, End, Exchange, Leaving, Running, Worth};
use crate::h2::ended::How;
use crate::h2::error::Code;
use crate::h2::exchange;
use crate::h2::frame::{self, Kind};
use crate::h2::request::{EndStream, Verdict};
use crate::h2::stream::Stream;
use crate::h2::waking::Waking;
use crate::h2::{MAX_HEADS, calm};
use crate::io::Phase;
use crate::stream::Aborted;
use crate::{Response, Status};
use alloc::boxed::Box;
use alloc::rc::Rc;
use fata_libos::time::Instant;

impl<'c> Connection<'c> {
    pub(super) fn position(&self, id: u32) -> Option<usize> {
        self.streams.iter().position(|r| r.stream.id == id)
    }

    pub(super) fn stream(&self, id: u32) -> Option<Rc<Stream>> {
        self.streams.iter().find(|r| r.stream.id == id).map(|r| r.stream.clone())
    }

    /// An error for a stream that the client has never opened.
    pub(super) fn check_opened(&self, id: u32) -> Result<(), Code> {
        if id > self.last || id.is_multiple_of(2) { Err(Code::Protocol) } else { Ok(()) }
    }

    /// Whether a stream more can be answered.
    pub(super) fn may_open(&mut self) -> bool {
        let is_among_most = self.leaving != Leaving::Last && self.streams.len() < self.most_streams;
        if !is_among_most || self.heads >= MAX_HEADS {
            return false;
        }
        let has_memory = self.wire.server.waiting.may_open() && self.streams.try_reserve(1).is_ok();
        if !has_memory {
            self.wire.io.stats.refused.add(1);
        }
        has_memory
    }

    /// The client may try again later, or elsewhere: nothing was done for it.
    pub(super) fn refuse(&mut self, id: u32) {
        self.wire.io.stats.http2.refused.add(1);
        self.put_reset(id, Code::RefusedStream);
        self.spend(calm::FRAME);
    }

    pub(super) fn open(&mut self, id: u32, end: EndStream, verdict: Verdict) {
        let wire = self.wire;
        if matches!(verdict, Verdict::Malformed) {
            wire.io.stats.malformed.add(1);
            self.put_reset(id, Code::Protocol);
            return self.spend(calm::RESET);
        }
        let stream = Rc::new(Stream::new(id, self.initial_window, &wire.server.limits));
        match verdict {
            Verdict::Request(request) => {
                stream.expect(&request, end);
                let head = request.head.memory();
                let exchange = exchange::serve(wire, stream.clone(), request, self.peer);
                self.run(stream, Box::pin(exchange), head, Worth::Useful);
            }
            Verdict::Answer { status, is_head } => {
                match status {
                    Status::SERVICE_UNAVAILABLE => wire.io.stats.refused.add(1),
                    _ => self.spend(calm::RESET),
                }
                stream.remote_ended.set(end == EndStream::Yes);
                let exchange = exchange::refuse(wire, stream.clone(), is_head, Response::error(status));
                self.run(stream, Box::pin(exchange), 0, Worth::Nothing);
            }
            Verdict::Malformed => {}
        }
    }

    fn run(&mut self, stream: Rc<Stream>, exchange: Exchange<'c>, head: usize, worth: Worth) {
        let io = self.wire.io;
        if self.streams.is_empty() {
            let limits = &self.wire.server.limits;
            io.slot.set_busy();
            io.begin_writing(Phase::transfer(limits.write_time, limits.min_rate));
            self.stalled = Phase::transfer(limits.write_time, limits.min_rate);
            self.sent_before = self.wire.sent.get();
        }
        self.opened = self.opened.saturating_add(1);
        self.heads += head;
        let waking = Waking::new(&self.task);
        let waker = waking.clone().into();
        self.streams.push(Running { stream, exchange, waking, waker, head, worth });
    }

    /// The exchange at that place has ended.
    pub(super) fn finish(&mut self, at: usize, result: Result<(), Aborted>) {
        let Some(running) = self.streams.get(at) else { return };
        let (id, is_ended) = (running.stream.id, running.stream.remote_ended.get());
        if running.worth == Worth::Useful {
            self.calm.earn(calm::ANSWERED);
        }
        match (result, is_ended) {
            (Ok(()), true) => return self.remove(at, How::Closed),
            // The client need not send what nobody reads (RFC 9113 section 8.1).
            (Ok(()), false) => self.put_reset(id, Code::NoError),
            (Err(Aborted), _) => self.put_reset(id, Code::Internal),
        }
        self.remove(at, How::Reset);
    }

    pub(super) fn remove(&mut self, at: usize, how: How) {
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
    pub(super) fn reset(&mut self, id: u32, code: Code) {
        match self.position(id) {
            Some(at) => {
                self.wire.put(|out| frame::put_number(out, Kind::ResetStream, id, code as u32));
                self.remove(at, How::Reset);
            }
            None => {
                self.put_reset(id, code);
                // One that was idle is so no more.
                self.last = self.last.max(if id.is_multiple_of(2) { 0 } else { id });
            }
        }
        self.wire.io.stats.malformed.add(1);
        self.spend(calm::RESET);
    }

    /// Ends a stream whose client takes nothing for too long.
    pub(super) fn give_up(&mut self, at: usize) {
        let Some(id) = self.streams.get(at).map(|running| running.stream.id) else { return };
        self.wire.io.stats.timeouts.add(1);
        self.put_reset(id, Code::Cancel);
        self.remove(at, How::Reset);
        self.spend(calm::RESET);
    }

    pub(super) fn put_reset(&mut self, id: u32, code: Code) {
        self.wire.put(|out| frame::put_number(out, Kind::ResetStream, id, code as u32));
        if self.position(id).is_none() {
            self.ended.add(id, How::Reset);
        }
    }

    pub(super) fn spend(&mut self, cost: u32) {
        if !self.calm.spend(cost, Instant::recent()) && self.end.is_none() {
            self.fail(Code::EnhanceYourCalm);
        }
    }

    pub(super) fn fail(&mut self, code: Code) {
        let stats = &self.wire.io.stats.http2;
        match code {
            Code::EnhanceYourCalm => stats.calmed.add(1),
            _ => stats.errors.add(1),
        }
        self.say_go_away(code);
        self.end = Some(End::Linger);
    }

    pub(super) fn say_go_away(&mut self, code: Code) {
        self.put_go_away(self.last, code);
    }

    /// No GOAWAY takes back what one before has said of streams that are not answered (RFC 9113 section 6.8).
    pub(super) fn put_go_away(&mut self, last: u32, code: Code) {
        self.told = self.told.min(last);
        self.wire.put(|out| frame::put_go_away(out, self.told, code));
    }
}
