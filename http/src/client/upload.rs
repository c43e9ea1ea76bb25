//! A request's content.

use super::agent::Clock;
use super::failure::{FetchError, Waiting};
use super::{Connector, Content, RequestWriter};
use crate::stream::Aborted;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use fata_libos::time::Duration;

/// Content is written in pieces of so many octets, each of which must go within the time for a pause.
const PIECE: usize = 16 * 1024;

/// What makes content.
pub(super) trait Source<C: Connector> {
    fn run<'a>(
        self: Box<Self>,
        body: &'a mut ContentWriter<'_, C>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'a>>;
}

impl<C, F> Source<C> for F
where
    C: Connector,
    F: AsyncFnOnce(&mut ContentWriter<'_, C>) -> Result<(), Aborted> + 'static,
{
    fn run<'a>(
        self: Box<Self>,
        body: &'a mut ContentWriter<'_, C>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Aborted>> + 'a>> {
        Box::pin(async move { self(body).await })
    }
}

/// A request's content.
pub(super) enum Body<C: Connector> {
    None,
    Octets(Vec<u8>),
    /// `None` when it was made.
    Stream(Content, Option<Box<dyn Source<C>>>),
}

impl<C: Connector> Body<C> {
    pub(super) fn content(&self) -> Content {
        match self {
            Self::None => Content::None,
            Self::Octets(octets) => Content::Length(octets.len() as u64),
            Self::Stream(content, _) => *content,
        }
    }

    pub(super) fn can_be_repeated(&self) -> bool {
        !matches!(self, Self::Stream(..))
    }

    /// Whether it can be sent now.
    pub(super) fn is_there(&self) -> bool {
        !matches!(self, Self::Stream(_, None))
    }

    /// Sends it, to its end.
    pub(super) async fn write(
        &mut self,
        writer: &mut ContentWriter<'_, C>,
    ) -> Result<(), FetchError<C::Error>> {
        let made = match self {
            Self::None => Ok(()),
            Self::Octets(octets) => writer.write(octets).await,
            Self::Stream(_, source) => match source.take() {
                Some(source) => source.run(writer).await,
                None => Err(Aborted),
            },
        };
        if made.is_ok() {
            let finishing = writer.to.finish();
            return Ok(writer.clock.within(writer.pause_time, Waiting::Request, finishing).await??);
        }
        Err(writer.failed.take().unwrap_or(FetchError::Aborted))
    }
}

/// Where a request's content goes.
pub struct ContentWriter<'a, C: Connector> {
    to: &'a mut RequestWriter<C::Writer>,
    pause_time: Duration,
    clock: Clock,
    failed: Option<FetchError<C::Error>>,
}

impl<'a, C: Connector> ContentWriter<'a, C> {
    pub(super) fn new(to: &'a mut RequestWriter<C::Writer>, pause_time: Duration, clock: Clock) -> Self {
        Self { to, pause_time, clock, failed: None }
    }

    /// Sends all of `octets`. An error means that no more is of use; what it is, who sends the request will know.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), Aborted> {
        for piece in octets.chunks(PIECE) {
            let writing = self.clock.within(self.pause_time, Waiting::Request, self.to.write(piece)).await;
            if let Err(error) = writing.and_then(|result| Ok(result?)) {
                self.failed = Some(error);
                return Err(Aborted);
            }
        }
        Ok(())
    }
}
