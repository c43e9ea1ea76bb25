//! Requests on their way, as futures. Written by hand, not as `async fn`s: their code is in an image once, not once a caller.

use super::error::StoreError;
use crate::text;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

pub(super) type Reply = Result<Vec<u8>, StoreError>;

/// What a caller waits for. The connection keeps it until the reply, also if the caller has gone.
#[derive(Default)]
pub(super) struct Slot {
    reply: Cell<Option<Reply>>,
    waker: Cell<Option<Waker>>,
}

impl Slot {
    pub(super) fn complete(&self, reply: Reply) {
        self.reply.set(Some(reply));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A request; its output is the payload of the reply.
#[must_use = "dropping it leaves the reply to nobody"]
pub(crate) struct Request(Rc<Slot>);

impl Request {
    pub(super) fn new(slot: Rc<Slot>) -> Self {
        Self(slot)
    }

    /// One that was not sent.
    pub(super) fn failed(error: StoreError) -> Self {
        let slot = Rc::new(Slot::default());
        slot.complete(Err(error));
        Self(slot)
    }
}

impl Future for Request {
    type Output = Reply;
    #[inline(never)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        match self.0.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                self.0.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

/// A change that was asked for; dropping it leaves it at that.
#[must_use = "whether XenStore did it is not known before it is awaited"]
pub struct Done(pub(super) Request);

impl Future for Done {
    type Output = Result<(), StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_ok(drop)
    }
}

/// Changes that were asked for one after the other, to be awaited as one.
#[derive(Default)]
#[must_use = "whether XenStore did them is not known before they are awaited"]
pub struct Changes(Vec<Done>);

impl Changes {
    /// One more.
    pub fn add(&mut self, change: Done) {
        self.0.push(change);
    }

    /// The first error of any, but that what was to be removed was not there.
    pub async fn done(self) -> Result<(), StoreError> {
        for change in self.0 {
            match change.await {
                Err(e) if e.is_absent() => {}
                done => done?,
            }
        }
        Ok(())
    }
}

/// A value that was asked for.
#[must_use = "the value comes when it is awaited"]
pub struct Value<'a> {
    pub(super) key: &'a str,
    pub(super) request: Request,
}

impl Future for Value<'_> {
    type Output = Result<String, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let reply = core::task::ready!(Pin::new(&mut self.request).poll(cx))?;
        Poll::Ready(text_of(self.key, reply))
    }
}

/// The text that a key holds.
pub(crate) fn text_of(key: &str, reply: Vec<u8>) -> Result<String, StoreError> {
    String::from_utf8(reply)
        .map_err(|e| StoreError::bad_value(key.into(), text::lossy(e.into_bytes()), "text"))
}
