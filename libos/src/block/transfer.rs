//! What a disk was asked for, as futures. Written by hand, not as `async fn`s: their code is in an image once, not once a caller.

use super::{BlockError, Buffer, Disk, InFlight, Outcome, Request};
use core::future::Future;
use core::mem::replace;
use core::pin::Pin;
use core::task::{Context, Poll};

enum State {
    Asked(Request),
    InFlight(InFlight),
    Refused(BlockError),
    Over,
}

/// A request that begins when it is first polled.
pub(super) struct Asked<'a> {
    disk: &'a Disk,
    sector: u64,
    state: State,
}

impl<'a> Asked<'a> {
    pub(super) fn new(disk: &'a Disk, request: Request) -> Self {
        Self { disk, sector: request.sector(), state: State::Asked(request) }
    }

    pub(super) fn refused(disk: &'a Disk, sector: u64, error: BlockError) -> Self {
        Self { disk, sector, state: State::Refused(error) }
    }

    /// What became of it. There is nothing any more once that was told.
    #[inline(never)]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        if let State::Asked(_) = self.state
            && let State::Asked(request) = replace(&mut self.state, State::Over)
        {
            self.state = State::InFlight(self.disk.submit(request));
        }
        let outcome = match &mut self.state {
            State::InFlight(in_flight) => match in_flight.as_mut().poll(cx) {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => return Poll::Pending,
            },
            State::Refused(error) => Outcome { result: Err(*error), buffer: None },
            State::Asked(_) | State::Over => return Poll::Pending,
        };
        self.state = State::Over;
        Poll::Ready(outcome)
    }
}

/// A buffer that is being filled or written; its output is the buffer.
#[must_use = "it begins when it is awaited"]
pub struct Transfer<'a>(pub(super) Asked<'a>);

impl Future for Transfer<'_> {
    type Output = Result<Buffer, BlockError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sector = self.0.sector;
        self.0.poll(cx).map(|Outcome { result, buffer }| {
            result?;
            buffer.ok_or(BlockError::Gone { sector })
        })
    }
}

/// A request without a buffer.
#[must_use = "it begins when it is awaited"]
pub struct Finished<'a>(pub(super) Asked<'a>);

impl Future for Finished<'_> {
    type Output = Result<(), BlockError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(cx).map(|outcome| outcome.result)
    }
}
