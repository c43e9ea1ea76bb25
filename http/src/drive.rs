//! Moves octets between a stream and a connection's logic: all that is compiled for each kind of stream.

use crate::io::{Chunk, Io, Phase, ReadError, Task};
use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use embedded_io_async::{Read, Write};
use fata_libos::net::Abort;
use fata_libos::time::{Instant, Sleep, sleep_until};

/// How waiting for the stream ended.
enum Outcome<T> {
    Finished(T),
    TimedOut,
    /// The logic does not want this any more.
    Unwanted,
    /// The connection is over.
    Over,
}

/// Runs `logic` with `stream` until it is done, or the stream takes no more output. `hear` looks at the stream before the logic sees what was
/// read.
pub(crate) async fn drive<S, L>(stream: &mut S, io: &Io, mut logic: Pin<&mut L>, hear: impl Fn(&S, &Io))
where
    S: Read + Write + Abort,
    L: Future<Output = ()>,
{
    let mut timer = Timer::new();
    while let Some(task) = next_task(io, logic.as_mut()).await {
        let over = match task {
            Task::Write => write(stream, io, logic.as_mut(), &mut timer).await,
            Task::Read => read(stream, io, logic.as_mut(), &mut timer).await,
            Task::Watch => watch(stream, io, logic.as_mut()).await,
        };
        if over {
            return;
        }
        hear(stream, io);
    }
}

/// Polls the logic until it wants something of the stream; `None` when it is done.
async fn next_task<L: Future<Output = ()>>(io: &Io, mut logic: Pin<&mut L>) -> Option<Task> {
    poll_fn(|cx| {
        if io.slot.is_aborted() || logic.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        match io.task() {
            Some(task) => Poll::Ready(Some(task)),
            None => io.slot.pend(cx),
        }
    })
    .await
}

/// True if the connection is over: output that cannot be written ends it.
async fn write<S, L>(stream: &mut S, io: &Io, logic: Pin<&mut L>, timer: &mut Timer) -> bool
where
    S: Write + Abort,
    L: Future<Output = ()>,
{
    let (buffer, chunk) = io.take_output();
    let outcome = {
        let write = pin!(write_all(stream, io, &buffer, chunk.as_ref()));
        wait(write, io, logic, timer, Task::Write).await
    };
    match outcome {
        Outcome::Finished(Ok(())) => {
            io.written(buffer);
            false
        }
        Outcome::TimedOut => {
            io.stats.timeouts.add(1);
            true
        }
        Outcome::Finished(Err(())) | Outcome::Unwanted | Outcome::Over => true,
    }
}

async fn write_all<S: Write + Abort>(
    stream: &mut S,
    io: &Io,
    first: &[u8],
    second: Option<&Chunk>,
) -> Result<(), ()> {
    let octets = second.and_then(|(all, part)| all.get(part.clone())).unwrap_or_default();
    for (mut rest, chunk) in [(first, None), (octets, second)] {
        while !rest.is_empty() {
            let shared = match chunk {
                Some((all, part)) => {
                    let left = part.end - rest.len()..part.end;
                    poll_fn(|cx| stream.poll_share(cx, all, left.clone())).await
                }
                None => None,
            };
            let written = match shared {
                Some(n) => Ok(n),
                None => stream.write(rest).await,
            };
            match written {
                Ok(n) if n > 0 && n <= rest.len() => {
                    io.wrote(n);
                    rest = &rest[n..];
                }
                _ => return Err(()),
            }
        }
    }
    stream.flush().await.map_err(|_| ())
}

/// True if the connection is over.
async fn read<S, L>(stream: &mut S, io: &Io, logic: Pin<&mut L>, timer: &mut Timer) -> bool
where
    S: Read,
    L: Future<Output = ()>,
{
    let mut input = match io.take_input() {
        Ok(input) => input,
        Err(error) => {
            io.answer(Err(error));
            return false;
        }
    };
    let outcome = {
        let read = pin!(stream.read(input.room()));
        wait(read, io, logic, timer, Task::Read).await
    };
    let (n, answer) = match outcome {
        Outcome::Finished(Ok(n)) if n > 0 => (n, Some(Ok(()))),
        Outcome::Finished(_) => (0, Some(Err(ReadError::Closed))),
        Outcome::TimedOut => (0, Some(Err(ReadError::TimedOut))),
        Outcome::Unwanted => (0, None),
        Outcome::Over => return true,
    };
    io.give_input(input, n);
    if let Some(answer) = answer {
        io.answer(answer);
    }
    false
}

/// True if the connection is over: the client has ended its side, or the stream has broken. What comes meanwhile is kept for later.
async fn watch<S, L>(stream: &mut S, io: &Io, mut logic: Pin<&mut L>) -> bool
where
    S: Read,
    L: Future<Output = ()>,
{
    let Ok(mut input) = io.take_input() else {
        io.is_watched.set(false);
        return false;
    };
    let outcome = {
        let mut read = pin!(stream.read(input.room()));
        let mut first = true;
        poll_fn(|cx| {
            if let Poll::Ready(output) = read.as_mut().poll(cx) {
                return Poll::Ready(Outcome::Finished(output));
            }
            // The logic has just been polled, as in `wait`.
            let is_done = !core::mem::take(&mut first) && logic.as_mut().poll(cx).is_ready();
            if is_done || io.slot.is_aborted() {
                return Poll::Ready(Outcome::Over);
            }
            if io.task() != Some(Task::Watch) {
                return Poll::Ready(Outcome::Unwanted);
            }
            io.slot.pend(cx)
        })
        .await
    };
    match outcome {
        Outcome::Finished(Ok(n)) if n > 0 => {
            io.give_input(input, n);
            false
        }
        Outcome::Finished(_) => {
            io.stats.gone.add(1);
            true
        }
        Outcome::Unwanted => {
            io.give_input(input, 0);
            false
        }
        Outcome::TimedOut | Outcome::Over => true,
    }
}

/// Waits for `operation`, while the logic goes on with what else it does.
async fn wait<O, L>(
    mut operation: Pin<&mut O>,
    io: &Io,
    mut logic: Pin<&mut L>,
    timer: &mut Timer,
    task: Task,
) -> Outcome<O::Output>
where
    O: Future,
    L: Future<Output = ()>,
{
    let phase = if task == Task::Read { &io.reading } else { &io.writing };
    let mut first = true;
    poll_fn(|cx| {
        if let Poll::Ready(output) = operation.as_mut().poll(cx) {
            return Poll::Ready(Outcome::Finished(output));
        }
        if io.slot.is_aborted() {
            return Poll::Ready(Outcome::Over);
        }
        if timer.is_over(phase, cx) {
            return Poll::Ready(Outcome::TimedOut);
        }
        // The logic has just been polled when the wait begins; later it may have been woken for something else.
        if !core::mem::take(&mut first) && logic.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Outcome::Over);
        }
        if task == Task::Read && io.task() != Some(Task::Read) {
            return Poll::Ready(Outcome::Unwanted);
        }
        io.slot.pend(cx)
    })
    .await
}

/// One timer for all phases of a connection. It is moved only when it would fire too late, so that a connection that is
/// never slow sets it about once per idle time, not once per request.
pub(crate) struct Timer {
    sleep: Sleep,
    /// Whom it wakes, once it runs.
    waker: Option<Waker>,
}

impl Timer {
    pub(crate) fn new() -> Self {
        Self { sleep: sleep_until(Instant::default()), waker: None }
    }

    /// Whether the phase's time is over; else the task is woken when it may be.
    fn is_over(&mut self, phase: &RefCell<Phase>, cx: &mut Context<'_>) -> bool {
        let deadline = phase.borrow_mut().deadline(Instant::recent());
        self.has_passed(deadline, cx)
    }

    /// Whether the moment has passed; else the task is woken when it may have.
    pub(crate) fn has_passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let now = Instant::recent();
        if now >= deadline {
            return true;
        }
        let runs = self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker()));
        let fires_in_time = now < self.sleep.deadline() && self.sleep.deadline() <= deadline;
        if runs && fires_in_time {
            return false;
        }
        if !fires_in_time {
            self.sleep.reset(deadline);
        }
        if !runs {
            self.waker = Some(cx.waker().clone());
        }
        Pin::new(&mut self.sleep).poll(cx).is_ready()
    }
}
