//! A device with its back end: what both show in XenStore, and waiting for that to change.

use super::fault::BlockFault;
use super::link::{Link, Lost};
use super::queue::QueueError;
use crate::xenbus::{Backend, BackendStates, Device, XenbusState};
use crate::xenstore::{Errno, Later, StoreError, Watch, XenStore};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// Why a connection ends, or comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    /// The back end closes it.
    #[error("the back end closes it")]
    Closing,
    /// The back end was there and starts anew: Linux's does when its driver is bound to the device again.
    #[error("the back end starts anew, and has not closed")]
    Anew,
    /// It was detached, or belongs to another back end now.
    #[error("it was detached")]
    Gone,
    /// The back end broke the protocol.
    #[error("{0}")]
    Fault(BlockFault),
    /// XenStore refused something.
    #[error("{0}")]
    Store(StoreError),
    /// There is no memory, grant or event channel for it.
    #[error("{0}")]
    Resources(#[from] QueueError),
    /// Nobody has the handle any more.
    #[error("nobody uses it")]
    Unwanted,
}

impl From<BlockFault> for Why {
    fn from(fault: BlockFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Why {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadValue(bad) => Self::Fault(BlockFault::key(bad.key, bad.value, bad.expected)),
            // A guest may not learn what is not there where it may not read what is above: so a removed back end answers.
            StoreError::Refused(Errno::ENOENT | Errno::EACCES) => Self::Gone,
            e => Self::Store(e),
        }
    }
}

impl From<Lost> for Why {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::Fault(fault) => Self::Fault(fault),
            Lost::Unwanted => Self::Unwanted,
        }
    }
}

/// A device that is there, and a back end that it names.
pub(super) struct Session {
    pub(super) device: Device,
    pub(super) backend: Backend,
    states: BackendStates,
    directory: Watch,
    /// Whether the directory has to be looked at. Kept outside of the future, which may be dropped between event and look.
    look: bool,
    state: XenbusState,
    /// The size that the back end tells, once it is connected.
    size: Option<Watch>,
}

/// What a back end does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It is in another state.
    State(XenbusState),
    /// It has told a size, perhaps another one.
    Size,
}

impl Session {
    /// Finds out what the device's directory says.
    pub(super) async fn open(store: &XenStore, number: u32) -> Result<Self, Why> {
        let device = Device::new(store, "vbd", number);
        let backend = device.backend().await?;
        let directory = device.watch_backend();
        let states = backend.states().await?;
        let directory = directory.await?;
        // The event that a watch begins with is the first reason to look.
        Ok(Self { device, backend, states, directory, look: false, state: XenbusState::Unknown, size: None })
    }

    /// The back end's state as it was last seen.
    pub(super) fn state(&self) -> XenbusState {
        self.state
    }

    /// Waits for the back end's state to be another one, the first time for its state now. Requests move meanwhile.
    pub(super) async fn next_state(&mut self, link: &Link) -> Result<XenbusState, Why> {
        loop {
            if let Change::State(state) = self.next_change(link).await? {
                return Ok(state);
            }
        }
    }

    /// The same, or for its size to be told, where that is watched.
    pub(super) async fn next_change(&mut self, link: &Link) -> Result<Change, Why> {
        let change = self.wait_for_change(link).await?;
        if let Change::State(state) = change {
            self.state = state;
            if state == XenbusState::Unknown {
                return Err(self.unknown_state().await);
            }
        }
        Ok(change)
    }

    /// Watches the size from now on; it is told once at the beginning.
    pub(super) async fn watch_size(&mut self) -> Result<(), StoreError> {
        let key = format!("{}/sectors", self.backend.path());
        self.size = Some(self.device.store().watch(&key).await?);
        Ok(())
    }

    async fn wait_for_change(&mut self, link: &Link) -> Result<Change, Why> {
        let Self { device, backend, states, directory, look, size, .. } = self;
        let mut moved = pin!(moved(device, backend, directory, look));
        let mut next = pin!(states.next());
        poll_fn(|cx| {
            if let Poll::Ready(lost) = link.poll(cx) {
                return Poll::Ready(Err(lost.into()));
            }
            if let Poll::Ready(why) = moved.as_mut().poll(cx) {
                return Poll::Ready(Err(why));
            }
            if let Poll::Ready(state) = next.as_mut().poll(cx) {
                return Poll::Ready(Ok(Change::State(state?)));
            }
            match size.as_mut().map(|size| size.poll_changed(cx)) {
                Some(Poll::Ready(told)) => Poll::Ready(told.map(|_| Change::Size).map_err(Why::from)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Tells a back end that is gone from one whose state is none.
    async fn unknown_state(&self) -> Why {
        match self.backend.read_optional::<String>("state").await {
            Ok(Some(seen)) if seen.trim() != "0" => {
                let key = format!("{}/state", self.backend.path());
                Why::Fault(BlockFault::key(key, seen, "a state, 1 to 8"))
            }
            Ok(_) => Why::Gone,
            Err(e) => e.into(),
        }
    }

    /// Shows the back end a state of this end, unless it is shown already.
    pub(super) async fn show(&self, state: XenbusState) -> Result<(), Why> {
        let (key, text) = &(format!("{}/state", self.device.path()), state.to_string());
        let show = |store: XenStore| -> Later<'_, ()> {
            Box::pin(async move {
                if store.read(key).await? == *text {
                    return Ok(());
                }
                store.write(key, text).await
            })
        };
        Ok(self.device.store().transact(&show).await?)
    }
}

/// Waits until the directory is gone, or names another back end.
async fn moved(device: &Device, backend: &Backend, directory: &mut Watch, look: &mut bool) -> Why {
    loop {
        if !*look {
            match directory.changed().await {
                Ok(_) => *look = true,
                Err(e) => return e.into(),
            }
        }
        match device.backend().await {
            Ok(now) if now.path() == backend.path() && now.domid() == backend.domid() => {}
            Ok(_) => return Why::Gone,
            Err(e) => return e.into(),
        }
        *look = false;
    }
}
