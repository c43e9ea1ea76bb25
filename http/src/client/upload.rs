//! A request's content.

use super::agent::Clock;
use super::failure::{FetchError, Waiting};
use super::{Connector, Content, Error, RequestWriter};
use crate::stream::Aborted;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
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
    Octets(Rc<Vec<u8>>),
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

    /// What is sent of it once; of what cannot be sent again nothing is left.
    pub(super) fn once(&mut self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Octets(octets) => Self::Octets(octets.clone()),
            Self::Stream(content, source) => Self::Stream(*content, source.take()),
        }
    }

    /// Sends it, to its end.
    async fn write(self, writer: &mut ContentWriter<'_, C>) -> Result<(), FetchError<C::Error>> {
        let made = match self {
            Self::None => Ok(()),
            Self::Octets(octets) => writer.write(&octets).await,
            Self::Stream(_, Some(source)) => source.run(writer).await,
            Self::Stream(_, None) => Err(Aborted),
        };
        if made.is_ok() {
            let finishing = writer.to.finish();
            return Ok(writer.clock.within(writer.pause_time, Waiting::Request, finishing).await??);
        }
        Err(writer.failed.take().unwrap_or(FetchError::Aborted))
    }
}

/// What has become of an upload: the half that writes, and whether all is out.
pub(super) type Sent<C> =
    (RequestWriter<<C as Connector>::Writer>, Result<(), FetchError<<C as Connector>::Error>>);

/// Content on its way, which goes on while the response comes.
pub(super) struct Upload<C: Connector>(Pin<Box<dyn Future<Output = Sent<C>>>>);

impl<C: Connector> Upload<C> {
    pub(super) fn start(
        body: Body<C>,
        mut writer: RequestWriter<C::Writer>,
        pause_time: Duration,
        clock: Clock,
    ) -> Self {
        Self(Box::pin(async move {
            let mut content = ContentWriter { to: &mut writer, pause_time, clock, failed: None };
            let result = body.write(&mut content).await;
            (writer, result)
        }))
    }
}

impl<C: Connector> Future for Upload<C> {
    type Output = Sent<C>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Sent<C>> {
        self.0.as_mut().poll(cx)
    }
}

/// Whether what ended an upload is its maker's fault. What the server does not take is its own affair once it has answered.
pub(super) fn is_own_fault<E>(error: &FetchError<E>) -> bool {
    matches!(error, FetchError::Aborted | FetchError::Http(Error::ContentLength | Error::OutOfTurn))
}

/// Where a request's content goes.
pub struct ContentWriter<'a, C: Connector> {
    to: &'a mut RequestWriter<C::Writer>,
    pause_time: Duration,
    clock: Clock,
    failed: Option<FetchError<C::Error>>,
}

impl<C: Connector> ContentWriter<'_, C> {
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
