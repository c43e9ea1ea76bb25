//! Watches: being told that something below a path has changed.

use super::connection::Connection;
use super::error::{StoreError, StoreFault};
use super::request::Request;
use crate::abi::xs_wire::XS_UNWATCH;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_libos::task::WakerSet;

/// Different paths that wait to be looked at before they become one event for all.
const MAX_QUEUED: usize = 32;

/// Events that wait for the watch's owner.
pub(super) struct WatchQueue {
    token: u32,
    path: String,
    changed: RefCell<Vec<String>>,
    fault: Cell<Option<StoreFault>>,
    waiting: WakerSet,
}

impl WatchQueue {
    pub(super) fn new(token: u32, path: &str) -> Self {
        Self {
            token,
            path: path.into(),
            changed: RefCell::default(),
            fault: Cell::new(None),
            waiting: WakerSet::new(),
        }
    }

    pub(super) fn token(&self) -> u32 {
        self.token
    }

    /// An event whose path waits already is the same event. Where too many wait, they become one for the watched path: what
    /// is below it has to be looked at anew.
    pub(super) fn push(&self, path: &str) {
        let mut changed = self.changed.borrow_mut();
        if !changed.iter().any(|c| c == path) {
            if changed.len() >= MAX_QUEUED {
                changed.clear();
                changed.push(self.path.clone());
            } else {
                changed.push(path.into());
            }
        }
        drop(changed);
        self.waiting.wake_all();
    }

    pub(super) fn fail(&self, fault: StoreFault) {
        self.fault.set(Some(fault));
        self.waiting.wake_all();
    }
}

/// A watch; dropping it ends it. XenStore fires it once at its start.
pub struct Watch {
    connection: Rc<Connection>,
    queue: Rc<WatchQueue>,
}

impl Watch {
    pub(super) fn new(connection: Rc<Connection>, queue: Rc<WatchQueue>) -> Self {
        Self { connection, queue }
    }

    /// The path that is watched.
    pub fn path(&self) -> &str {
        &self.queue.path
    }

    pub(super) fn token(&self) -> u32 {
        self.queue.token
    }

    /// The path of the next change, at or below the watched one: a hint to look, as several changes of one path are told
    /// once, and very many at once are told as one of the watched path.
    pub async fn changed(&mut self) -> Result<String, StoreError> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// See [`changed`](Self::changed).
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Result<String, StoreError>> {
        let mut changed = self.queue.changed.borrow_mut();
        if !changed.is_empty() {
            return Poll::Ready(Ok(changed.remove(0)));
        }
        if let Some(fault) = self.queue.fault.get() {
            return Poll::Ready(Err(fault.into()));
        }
        self.queue.waiting.register(cx);
        Poll::Pending
    }
}

/// A watch that was asked for; dropping it ends it.
#[must_use = "the watch comes when it is awaited"]
pub struct Watching {
    pub(super) watch: Option<Watch>,
    pub(super) request: Request,
}

impl Future for Watching {
    type Output = Result<Watch, StoreError>;
    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        core::task::ready!(Pin::new(&mut self.request).poll(cx))?;
        Poll::Ready(Ok(self.watch.take().expect("awaited once")))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.connection.remove_watch(self.queue.token);
        let rest = alloc::format!("\0{}\0", self.queue.token);
        let parts = [self.queue.path.as_bytes(), rest.as_bytes()];
        drop(self.connection.request(XS_UNWATCH, 0, &parts));
    }
}
