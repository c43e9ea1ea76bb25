//! What a connection does with time: ends what takes too long, and leaves in order.

use super::{Connection, End, Leaving};
use crate::body::BodyError;
use crate::h2::NEVER;
use crate::h2::error::Code;
use crate::h2::frame::{self, Flags, MAX_31};
use crate::io::Phase;
use core::cell::Cell;
use fata_libos::time::{Duration, Instant};

/// How long a client may take to hear that we leave.
const FAREWELL: Duration = Duration::from_secs(1);
/// What we send with the PING that tells.
const FAREWELL_DATA: [u8; 8] = *b"farewell";

impl Connection<'_> {
    /// Ends what takes too long; when the next such thing will.
    pub(super) fn look_at_the_clock(&mut self, now: Instant) -> Instant {
        let first = Cell::new(now + NEVER);
        let limits = &self.wire.server.limits;
        let is_over = |deadline: Option<Instant>| {
            let deadline = deadline.inspect(|&d| first.set(first.get().min(d)));
            deadline.is_some_and(|d| now >= d)
        };
        let unacknowledged = is_over(self.acknowledged_by);
        let no_head = is_over(self.fields.as_ref().map(|f| f.since + limits.head_time));
        let idle = is_over(self.streams.is_empty().then(|| self.idle_since + limits.idle_time));
        let is_stalled = is_over(self.stalled_until(now));
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
        if is_stalled {
            // Those that come later have their own time.
            self.stalled = Phase::transfer(limits.write_time, limits.min_rate);
            self.sent_before = self.wire.sent.get();
        }
        for at in (0..self.streams.len()).rev() {
            let Some(stream) = self.streams.get(at).map(|running| &running.stream) else { continue };
            let of_all = is_stalled && stream.waits_for_connection(self.wire);
            if is_over(stream.window_deadline(now)) || of_all {
                self.give_up(at);
            }
        }
        if unacknowledged {
            self.fail(Code::SettingsTimeout);
        } else if no_head {
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

    /// Until when the client must open the connection's window, if streams wait for nothing else.
    fn stalled_until(&mut self, now: Instant) -> Option<Instant> {
        let sent = self.wire.sent.get();
        self.calm.sent(sent - self.sent_seen);
        let has_sent = core::mem::replace(&mut self.sent_seen, sent) != sent;
        let mut streams = self.streams.iter().map(|running| &running.stream);
        let is_stalled =
            self.wire.io.is_flushed() && streams.any(|stream| stream.waits_for_connection(self.wire));
        if has_sent || !is_stalled {
            self.stalled.pause();
        }
        self.stalled.moved = sent - self.sent_before;
        is_stalled.then(|| self.stalled.deadline(now))
    }

    /// Leaves when asked, in two steps: a client that has streams under way may have sent more that we have not seen (RFC
    /// 9113 section 6.8).
    pub(super) fn leave_if_asked(&mut self, now: Instant) {
        let is_asked = self.wire.server.is_last(&self.wire.io.slot, self.opened)
            || self.wire.closes.get()
            || self.client_leaves;
        match self.leaving {
            Leaving::No if is_asked && self.streams.is_empty() => self.take_no_more(),
            Leaving::No if is_asked => {
                self.put_go_away(MAX_31, Code::NoError);
                self.wire.put(|out| frame::put_ping(out, Flags::NONE, &FAREWELL_DATA));
                self.leaving = Leaving::Told(now + FAREWELL);
            }
            _ => {}
        }
        if self.leaving == Leaving::Last && self.streams.is_empty() && self.end.is_none() {
            let is_quiet = self.opened == 0 || self.idle_since < now;
            self.end = Some(if is_quiet { End::Close } else { End::Linger });
        }
    }

    pub(super) fn take_no_more(&mut self) {
        self.leaving = Leaving::Last;
        self.say_go_away(Code::NoError);
    }

    /// The client has answered what told it that we leave.
    pub(super) fn hear_farewell(&mut self, data: &[u8]) {
        if data == FAREWELL_DATA && matches!(self.leaving, Leaving::Told(_)) {
            self.take_no_more();
        }
    }
}
