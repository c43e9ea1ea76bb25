//! Between a connection's logic and its stream: the buffers, and what the logic waits for.
//!
//! The logic (an async function that knows no stream type) asks here for input or to have output written, and waits. The
//! driver ([`drive`](crate::drive)) sees what is asked for, moves octets, and polls the logic again. So the logic is
//! compiled once for all kinds of streams, and timers are the driver's business alone.

use crate::memory;
use crate::registry::Slot;
use crate::spare::Spare;
use crate::stats::Stats;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::ops::Range;
use core::pin::pin;
use core::task::Poll;
use fata_libos::net::Shared;
use fata_libos::time::{Duration, Instant};

/// An idle connection's input buffer, octets: a simple client's whole request.
const IDLE_BUFFER: usize = 240;
/// The next larger one: a browser's.
const BUSY_BUFFER: usize = 1008;

/// Output that is kept together before it is written.
const OUTPUT_BATCH: usize = 4 * 1024;
/// The same while memory is short.
const SMALL_BATCH: usize = 256;

/// Why there is no input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The stream has ended or broken, or the server closes.
    Closed,
    /// The phase's time is over.
    TimedOut,
    /// The buffer is as large as it may be, and full.
    Full,
    /// The buffer is full, and there is no memory for a larger one.
    NoMemory,
}

/// How much output is kept together now.
pub(crate) fn batch() -> usize {
    if memory::is_free(2 * OUTPUT_BATCH) { OUTPUT_BATCH } else { SMALL_BATCH }
}

/// A part of octets that is written from where it is, without a copy where the stream can do that.
pub(crate) type Chunk = (Shared, Range<usize>);

/// How long we wait for a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    grace: Duration,
    /// Octets that earn a second; none do where this is 0.
    rate: u32,
    pub(crate) moved: u64,
    /// What waits that are over have taken.
    spent: Duration,
    /// Every octet that moves begins the time anew.
    is_renewed: bool,
    /// When the wait began that goes on.
    since: Option<Instant>,
}

impl Phase {
    /// At most `time` from the first wait on.
    pub(crate) fn wait(time: Duration) -> Self {
        Self::transfer(time, 0)
    }

    /// Waits of at most `grace` together, and a second more for every `rate` octets that have moved. The time in which the
    /// client waits for us does not count.
    pub(crate) fn transfer(grace: Duration, rate: u32) -> Self {
        Self { grace, rate, moved: 0, spent: Duration::ZERO, is_renewed: false, since: None }
    }

    /// Waits of at most `time` each, in which nothing moves.
    pub(crate) fn stall(time: Duration) -> Self {
        Self { is_renewed: true, ..Self::wait(time) }
    }

    /// So many octets have moved.
    fn add(&mut self, octets: usize) {
        self.moved += octets as u64;
        if self.is_renewed {
            self.since = None;
        }
    }

    /// When the time is over, of the wait that begins now or goes on.
    pub(crate) fn deadline(&mut self, now: Instant) -> Instant {
        let earned = self.moved.saturating_mul(1000).checked_div(self.rate.into()).unwrap_or(0);
        let budget = self.grace.saturating_add(Duration::from_millis(earned));
        *self.since.get_or_insert(now) + budget.saturating_sub(self.spent)
    }

    /// The wait is over.
    pub(crate) fn pause(&mut self) {
        if self.is_renewed {
            self.since = None;
        } else if self.rate > 0
            && let Some(since) = self.since.take()
        {
            self.spent += Instant::recent().duration_since(since);
        }
    }
}

/// Octets received and not used yet.
#[derive(Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    #[cfg(feature = "h2")]
    was_filled: bool,
}

impl Input {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Makes room for at least one octet, unless `max` octets wait already, or memory is short.
    pub(crate) fn make_room(&mut self, max: usize) -> Result<(), ReadError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end < self.buffer.len() {
            return Ok(());
        }
        let wanted = match self.buffer.len() {
            0 => IDLE_BUFFER,
            IDLE_BUFFER => BUSY_BUFFER,
            len => len * 2,
        };
        let wanted = wanted.min(max);
        if wanted <= self.end {
            return Err(ReadError::Full);
        }
        let may_grow = wanted <= IDLE_BUFFER || memory::is_free(wanted);
        if !may_grow || self.buffer.try_reserve_exact(wanted - self.buffer.len()).is_err() {
            return Err(ReadError::NoMemory);
        }
        self.buffer.resize(wanted, 0);
        Ok(())
    }

    /// Whether the last read took all there was room for.
    #[cfg(feature = "h2")]
    pub(crate) fn was_filled(&self) -> bool {
        self.was_filled
    }

    /// Makes the buffer so large, if it is empty and there is a piece of memory for it.
    #[cfg(feature = "h2")]
    pub(crate) fn widen(&mut self, len: usize) {
        let more = len.saturating_sub(self.buffer.len());
        if self.start == self.end && self.buffer.try_reserve_exact(more).is_ok() {
            self.buffer.resize(self.buffer.len() + more, 0);
        }
    }

    /// Makes the buffer so large, if it is empty and there is memory for that.
    #[cfg(feature = "client")]
    pub(crate) fn try_widen(&mut self, len: usize) {
        let is_small = self.start == self.end && self.buffer.len() < len;
        if is_small && memory::is_free(len) && self.buffer.try_reserve_exact(len - self.buffer.len()).is_ok()
        {
            self.buffer.resize(len, 0);
        }
    }

    pub(crate) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer[self.end..]
    }

    pub(crate) fn received(&mut self, n: usize) {
        self.end = (self.end + n).min(self.buffer.len());
        #[cfg(feature = "h2")]
        {
            self.was_filled = self.end == self.buffer.len();
        }
    }

    /// Drops what was not used.
    pub(crate) fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.start == self.end && self.buffer.len() > IDLE_BUFFER {
            *self = Self::default();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Nothing,
    Input,
    Written,
}

/// What the driver is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Read,
    Write,
    /// Looks whether the client is still there, while it is owed an answer.
    Watch,
}

/// What a connection speaks.
#[cfg(feature = "h2")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.1, unless the server takes HTTP/2 from who begins with its preface, and the client does.
    AsItBegins,
    /// What its TLS agrees on, which is not known before something was read.
    AsAgreed,
    Http1,
    Http2,
}

/// See the module.
pub(crate) struct Io {
    pub(crate) slot: Rc<Slot>,
    pub(crate) stats: Rc<Stats>,
    max_input: usize,
    input: RefCell<Input>,
    output: RefCell<Vec<u8>>,
    chunk: RefCell<Option<Chunk>>,
    is_writing: Cell<bool>,
    #[cfg(feature = "h2")]
    pub(crate) spoken: Cell<Spoken>,
    /// What is being sent ends where the connection does: an end before that must not look like one.
    pub(crate) is_open_ended: Cell<bool>,
    /// A client that ends its side is taken for gone now.
    pub(crate) is_watched: Cell<bool>,
    /// Octets of output that the driver was given, and those of them that are with the stream.
    #[cfg(feature = "h2")]
    taken: Cell<u64>,
    #[cfg(feature = "h2")]
    written: Cell<u64>,
    want: Cell<Want>,
    answer: Cell<Option<Result<(), ReadError>>>,
    pub(crate) reading: RefCell<Phase>,
    pub(crate) writing: RefCell<Phase>,
}

/// For the connection's logic.
impl Io {
    pub(crate) fn new(slot: Rc<Slot>, stats: Rc<Stats>, limits: &crate::Limits, input: Input) -> Self {
        Self {
            slot,
            stats,
            max_input: limits.head_size(),
            input: RefCell::new(input),
            output: RefCell::default(),
            chunk: RefCell::default(),
            is_writing: Cell::new(false),
            #[cfg(feature = "h2")]
            spoken: Cell::new(Spoken::AsItBegins),
            is_open_ended: Cell::new(false),
            is_watched: Cell::new(false),
            #[cfg(feature = "h2")]
            taken: Cell::new(0),
            #[cfg(feature = "h2")]
            written: Cell::new(0),
            want: Cell::new(Want::Nothing),
            answer: Cell::new(None),
            reading: RefCell::new(Phase::wait(limits.idle_time)),
            writing: RefCell::new(Phase::transfer(limits.write_time, limits.min_rate)),
        }
    }

    /// From now on input must come within `phase`.
    pub(crate) fn begin_reading(&self, phase: Phase) {
        *self.reading.borrow_mut() = phase;
        self.answer.set(None);
    }

    /// From now on output must go within `phase`.
    pub(crate) fn begin_writing(&self, phase: Phase) {
        *self.writing.borrow_mut() = phase;
    }

    /// What has come in.
    pub(crate) fn with_input<R>(&self, f: impl FnOnce(&mut Input) -> R) -> R {
        f(&mut self.input.borrow_mut())
    }

    /// Whether all that has come in is used.
    pub(crate) fn has_no_input(&self) -> bool {
        self.with_input(|input| input.bytes().is_empty())
    }

    /// The output buffer. What is put there goes out when the logic waits for something.
    pub(crate) fn with_output<R>(&self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        f(&mut self.output.borrow_mut())
    }

    /// Waits for more input than there is.
    pub(crate) fn fill(&self) -> impl Future<Output = Result<(), ReadError>> {
        poll_fn(|_| match self.answer.take() {
            Some(answer) => {
                self.want.set(Want::Nothing);
                Poll::Ready(answer)
            }
            None => {
                self.want.set(Want::Input);
                Poll::Pending
            }
        })
    }

    /// As [`fill`](Self::fill), for a connection without a request: ends when the server wants it closed.
    pub(crate) async fn fill_idle(&self) -> Result<(), ReadError> {
        let mut fill = pin!(self.fill());
        poll_fn(|cx| match self.slot.is_closing() {
            true => Poll::Ready(Err(ReadError::Closed)),
            false => fill.as_mut().poll(cx),
        })
        .await
    }

    /// Waits until all output is with the stream. If the stream breaks or takes too long, this never returns: the
    /// connection ends, and what waits in it is dropped.
    pub(crate) fn flush(&self) -> impl Future<Output = ()> {
        poll_fn(|_| {
            if !self.has_output() && !self.is_writing.get() {
                self.want.set(Want::Nothing);
                return Poll::Ready(());
            }
            self.want.set(Want::Written);
            Poll::Pending
        })
    }

    /// Waits only if much output has come together.
    pub(crate) async fn flush_if_much(&self) {
        let len = self.output.borrow().len();
        if len >= SMALL_BATCH && len >= batch() {
            self.flush().await;
        }
    }

    /// Writes the output buffer and then `chunk`; as [`flush`](Self::flush).
    pub(crate) fn flush_with(&self, chunk: Chunk) -> impl Future<Output = ()> {
        self.chunk.replace(Some(chunk));
        self.flush()
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn shrink(&self, spare: &Spare) {
        self.with_input(Input::shrink);
        self.with_output(|out| {
            if out.is_empty() {
                spare.keep_output(core::mem::take(out));
            }
        });
    }

    /// Gives back what the connection, which ends, has read with.
    pub(crate) fn take_rest_of_input(&self) -> Input {
        self.input.take()
    }

    /// Whether the driver has taken output that is not with the stream yet.
    #[cfg(feature = "h2")]
    pub(crate) fn is_writing(&self) -> bool {
        self.is_writing.get()
    }

    /// Whether all output is with the stream.
    #[cfg(feature = "h2")]
    pub(crate) fn is_flushed(&self) -> bool {
        !self.has_output() && !self.is_writing.get()
    }

    /// The end of the output so far, for [`is_written`](Self::is_written).
    #[cfg(feature = "h2")]
    pub(crate) fn mark(&self) -> u64 {
        self.taken.get() + self.output.borrow().len() as u64
    }

    /// Whether output up to that mark is with the stream.
    #[cfg(feature = "h2")]
    pub(crate) fn is_written(&self, mark: u64) -> bool {
        self.written.get() >= mark
    }

    fn has_output(&self) -> bool {
        !self.output.borrow().is_empty() || self.chunk.borrow().is_some()
    }
}

/// For the driver.
impl Io {
    /// What to do now that the logic waits. Output goes first, so that nobody waits for an answer that waits for him.
    pub(crate) fn task(&self) -> Option<Task> {
        if self.has_output() {
            return Some(Task::Write);
        }
        if self.want.get() == Want::Input {
            return Some(Task::Read);
        }
        // What has come already hides what is behind it.
        (self.is_watched.get() && self.has_no_input()).then_some(Task::Watch)
    }

    /// Takes what is to be written.
    pub(crate) fn take_output(&self) -> (Vec<u8>, Option<Chunk>) {
        self.is_writing.set(true);
        #[cfg(feature = "h2")]
        self.taken.set(self.mark());
        (self.output.take(), self.chunk.take())
    }

    /// It was written; gives the buffer back.
    pub(crate) fn written(&self, mut buffer: Vec<u8>) {
        self.is_writing.set(false);
        #[cfg(feature = "h2")]
        self.written.set(self.taken.get());
        self.writing.borrow_mut().pause();
        let mut output = self.output.borrow_mut();
        if output.capacity() == 0 {
            buffer.clear();
            *output = buffer;
        }
    }

    /// Octets were written.
    pub(crate) fn wrote(&self, n: usize) {
        self.stats.sent.add(n as u64);
        self.writing.borrow_mut().add(n);
    }

    /// Takes the input buffer, with room in it.
    pub(crate) fn take_input(&self) -> Result<Input, ReadError> {
        let mut input = self.input.borrow_mut();
        input.make_room(self.max_input)?;
        Ok(core::mem::take(&mut *input))
    }

    /// Gives it back with `n` octets more.
    pub(crate) fn give_input(&self, mut input: Input, n: usize) {
        input.received(n);
        self.stats.received.add(n as u64);
        let mut phase = self.reading.borrow_mut();
        phase.moved += n as u64;
        phase.pause();
        self.input.replace(input);
    }

    /// What the logic waits for has come, or will not.
    pub(crate) fn answer(&self, answer: Result<(), ReadError>) {
        self.answer.set(Some(answer));
    }
}
