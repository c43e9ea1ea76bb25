//! A device with its back end: what both show in XenStore, and waiting for that to change.

use super::fault::NetFault;
use super::link::{Link, Lost};
use super::pool::Limits;
use super::queue::QueueError;
use crate::xen::Xen;
use crate::xenbus::{Backend, BackendStates, Device, XenbusState};
use crate::xenstore::{Errno, StoreError, Watch, XenStore};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

/// What stays while back ends come and go.
pub(super) struct Site {
    pub(super) xen: Rc<Xen>,
    pub(super) store: XenStore,
    pub(super) link: Rc<Link>,
    pub(super) name: Rc<str>,
    pub(super) limits: Limits,
    /// The number that the device has, or had when it was last there.
    pub(super) number: u32,
}

/// Why a connection ends, or comes to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Why {
    /// The back end closes it.
    #[error("the back end closes it")]
    Closing,
    /// It was detached, or belongs to another back end now.
    #[error("it was detached")]
    Gone,
    /// The back end broke the protocol.
    #[error("{0}")]
    Fault(NetFault),
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

impl From<NetFault> for Why {
    fn from(fault: NetFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Why {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadValue(bad) => Self::Fault(NetFault::key(bad.key, Some(bad.value), bad.expected)),
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
    pub(super) site: Site,
    pub(super) device: Device,
    pub(super) backend: Backend,
    states: BackendStates,
    place: Place,
    /// The back end's state.
    state: XenbusState,
    /// This end's state when the device was found.
    pub(super) own: XenbusState,
}

impl Session {
    /// Finds out what the device's directory says; gives the site back where it says nothing of use. The session is in a box as it
    /// is handed on from state to state.
    pub(super) async fn open(site: Site) -> Result<Box<Self>, (Site, Why)> {
        let device = Device::new(&site.store, "vif", site.number);
        match Self::look(&device).await {
            Ok((own, backend, states, place)) => {
                let state = XenbusState::Unknown;
                Ok(Box::new(Self { site, device, backend, states, place, state, own }))
            }
            Err(e) => Err((site, e.into())),
        }
    }

    async fn look(device: &Device) -> Result<(XenbusState, Backend, BackendStates, Place), StoreError> {
        let (own, watch) = (device.state(), device.watch_backend());
        let backend = device.backend().await?;
        let states = backend.states().await?;
        // The event that a watch begins with is older than what was just read, or the first reason to look again.
        Ok((own.await?, backend, states, Place { watch: watch.await?, look: false }))
    }

    /// The back end's state as it was last seen.
    pub(super) fn state(&self) -> XenbusState {
        self.state
    }

    /// Waits for the back end's state to be another one, the first time for its state now.
    pub(super) async fn next_state(&mut self) -> Result<XenbusState, Why> {
        self.state = self.wait_for_state().await?;
        match self.state {
            XenbusState::Unknown => Err(self.unknown_state().await),
            known => Ok(known),
        }
    }

    async fn wait_for_state(&mut self) -> Result<XenbusState, Why> {
        let Self { site, device, backend, states, place, .. } = self;
        let mut moved = pin!(place.moved(device, backend));
        let mut next = pin!(states.next());
        poll_fn(|cx| {
            if let Poll::Ready(lost) = site.link.poll_lost(cx) {
                return Poll::Ready(Err(lost.into()));
            }
            if let Poll::Ready(why) = moved.as_mut().poll(cx) {
                return Poll::Ready(Err(why));
            }
            next.as_mut().poll(cx).map_err(Why::from)
        })
        .await
    }

    /// Tells a back end that is gone from one whose state is none.
    async fn unknown_state(&self) -> Why {
        match self.backend.read_optional::<alloc::string::String>("state").await {
            Ok(Some(text)) if text.trim() != "0" => {
                let key = alloc::format!("{}/state", self.backend.path());
                Why::Fault(NetFault::key(key, Some(text), "a state, 1 to 8"))
            }
            Ok(_) => Why::Gone,
            Err(e) => e.into(),
        }
    }

    /// Shows the back end a state of this end.
    pub(super) async fn show(&self, state: XenbusState) -> Result<(), Why> {
        Ok(self.device.switch_state(state).await?)
    }
}

/// Where the device says which back end it has, watched.
struct Place {
    watch: Watch,
    /// Whether it has to be looked at. Kept outside of the future, which may be dropped between event and look.
    look: bool,
}

impl Place {
    /// Waits until the directory is gone, or names another back end.
    async fn moved(&mut self, device: &Device, backend: &Backend) -> Why {
        loop {
            if !self.look {
                match self.watch.changed().await {
                    Ok(_) => self.look = true,
                    Err(e) => return e.into(),
                }
            }
            match device.backend().await {
                Ok(now) if now.path() == backend.path() && now.domid() == backend.domid() => {}
                Ok(_) => return Why::Gone,
                Err(e) => return e.into(),
            }
            self.look = false;
        }
    }
}
