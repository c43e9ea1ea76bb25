//! What the streams of a connection share: its output, in turns, and its windows.

use super::frame::{self, Flags, Kind};
use super::hpack::Encoder;
use super::window::Inbound;
use crate::io::Io;
use crate::memory;
use crate::server::Shared as Server;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Output that is kept together before it is written, octets: a whole frame.
const BATCH: usize = frame::HEADER + frame::MAX_PAYLOAD;
/// The same while memory is short.
const SMALL_BATCH: usize = 512;
/// Below so much output frames are read: each may bring an answer of at most 30 octets.
const MAX_CONTROL: usize = 4 * 1024;

/// What the client may send on the connection, octets: the most content that waits to be read.
pub(crate) const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// The same on one stream, what a client takes for granted.
pub(crate) const STREAM_WINDOW: u32 = 65_535;

/// See the module.
pub(crate) struct Wire<'s> {
    pub(crate) server: &'s Server,
    pub(crate) io: &'s Io,
    /// What we may send, octets.
    pub(crate) window: Cell<i64>,
    pub(crate) inbound: Inbound,
    pub(crate) encoder: RefCell<Encoder>,
    /// Something was put, or room was made: another look at all streams is worth it.
    pub(crate) has_moved: Cell<bool>,
    /// The frame of content at the end of the output: its stream, and where it starts and ends.
    tail: Cell<(u32, usize, usize)>,
    /// Octets of content sent.
    pub(crate) sent: Cell<u64>,
    /// A response asks for the connection to end.
    pub(crate) closes: Cell<bool>,
}

impl<'s> Wire<'s> {
    pub(crate) fn new(server: &'s Server, io: &'s Io) -> Self {
        Self {
            server,
            io,
            window: Cell::new(STREAM_WINDOW.into()),
            inbound: Inbound::new(CONNECTION_WINDOW),
            encoder: RefCell::default(),
            has_moved: Cell::new(false),
            tail: Cell::default(),
            sent: Cell::new(0),
            closes: Cell::new(false),
        }
    }

    /// How many octets of content streams may put into the output now; none where it would be a small frame, and none while
    /// the output before is on its way: between two writes there is always a look for input.
    pub(crate) fn room(&self) -> usize {
        if self.io.is_writing() {
            return 0;
        }
        let batch = if memory::is_free(2 * BATCH) { BATCH } else { SMALL_BATCH };
        let held = self.io.with_output(|out| out.len());
        let room = (batch - frame::HEADER).saturating_sub(held);
        if room < batch / 4 { 0 } else { room }
    }

    /// How many of `octets` the output can take: a small piece where it cannot grow.
    pub(crate) fn reserved(&self, octets: usize) -> usize {
        let is_reserved = self.io.with_output(|out| out.try_reserve(frame::HEADER + octets).is_ok());
        if is_reserved { octets } else { octets.min(SMALL_BATCH) }
    }

    /// Whether there is room for answers to frames.
    pub(crate) fn may_read(&self) -> bool {
        self.io.with_output(|out| out.len() < MAX_CONTROL)
    }

    /// Puts something into the output.
    pub(crate) fn put(&self, f: impl FnOnce(&mut Vec<u8>)) {
        self.has_moved.set(true);
        self.tail.set((0, 0, 0));
        self.io.with_output(|out| {
            if out.capacity() == 0 {
                *out = self.server.spare.take_output();
            }
            f(out);
        });
    }

    /// Content of the connection was used: grants what is due.
    pub(crate) fn used(&self, octets: u32) {
        if let Some(grant) = self.inbound.used(octets) {
            self.put(|out| frame::put_number(out, Kind::WindowUpdate, 0, grant));
        }
    }

    /// Puts content: a frame, or more of the one that stands last in the output, so that what a handler writes in small pieces
    /// goes as one.
    pub(crate) fn put_data(&self, stream: u32, octets: &[u8], flags: Flags) {
        self.window.set(self.window.get() - octets.len() as i64);
        self.sent.set(self.sent.get() + octets.len() as u64);
        let (last, mut start, end) = self.tail.get();
        let mut len = octets.len();
        let goes_on = |held: usize| last == stream && held == end && end - start + len <= BATCH;
        if self.io.with_output(|out| goes_on(out.len())) {
            self.has_moved.set(true);
            len += end - start - frame::HEADER;
            self.io.with_output(|out| frame::change_header(out, start, flags, len));
        } else {
            start = self.io.with_output(|out| out.len());
            self.put(|out| frame::put_header(out, Kind::Data, flags, stream, len));
        }
        self.io.with_output(|out| out.extend_from_slice(octets));
        self.tail.set((stream, start, start + frame::HEADER + len));
    }
}
