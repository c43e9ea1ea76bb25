//! Event channels as owned values that tasks wait for.
//!
//! Upcalls stay masked for ever: the loop asks for what has fired ([`Xen::wait`]) and wakes the tasks of those channels.
//! See `event_channel.h` for the other side of it.

use crate::abi::sched::POLL_PORTS_MAX;
use crate::hypervisor::{HvError, Hypervisor};
use crate::types::{DomId, EvtchnPort};
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::task::{Context, Poll};
use fata_libos::task::WakerSet;

/// Why there is no channel.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The hypervisor refused.
    #[error(transparent)]
    Hypervisor(#[from] HvError),
    /// The guest sleeps on all its channels at once, and the hypervisor takes no more of them.
    #[error("more than {limit} event channels")]
    TooMany {
        /// How many there may be.
        limit: usize,
    },
    /// Two owners of one channel.
    #[error("event channel {port} has an owner")]
    Owned {
        /// The channel.
        port: EvtchnPort,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An event channel: notifies the other end, and is waited for by one task. Closed when dropped, unless it was adopted.
pub struct Channel {
    xen: Rc<Xen>,
    bound: Rc<Bound>,
    on_drop: OnDrop,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum OnDrop {
    Close,
    Keep,
}

impl Channel {
    /// A new channel that `remote` may bind.
    pub fn alloc(xen: &Rc<Xen>, remote: DomId) -> Result<Channel, EventError> {
        xen.events().check_room()?;
        let port = xen.hv().evtchn_alloc_unbound(remote)?;
        Self::bind(xen, port, OnDrop::Close)
    }

    /// A channel that exists since the guest was built: the console's, XenStore's. Never closed.
    pub fn adopt(xen: &Rc<Xen>, port: EvtchnPort) -> Result<Channel, EventError> {
        xen.events().check_room()?;
        Self::bind(xen, port, OnDrop::Keep)
    }

    fn bind(xen: &Rc<Xen>, port: EvtchnPort, on_drop: OnDrop) -> Result<Channel, EventError> {
        let bound = xen.events().add(port)?;
        Ok(Channel { xen: xen.clone(), bound, on_drop })
    }

    /// Its number, for the other side.
    pub fn port(&self) -> EvtchnPort {
        self.bound.port
    }

    pub(crate) fn hv(&self) -> &'static dyn Hypervisor {
        self.xen.hv()
    }

    /// Notifies the other end.
    pub fn notify(&self) {
        self.xen.hv().evtchn_notify(self.bound.port);
    }

    /// Ready once after the channel has fired, however often it did; else wakes the task when it fires.
    pub fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.bound.fired.take() {
            return Poll::Ready(());
        }
        self.bound.waiting.register(cx);
        Poll::Pending
    }

    /// Waits until the channel fires.
    pub async fn fired(&self) {
        poll_fn(|cx| self.poll_fired(cx)).await;
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.xen.events().remove(self.bound.port);
        if self.on_drop == OnDrop::Close
            && let Err(e) = self.xen.hv().evtchn_close(self.bound.port)
        {
            log::warn!("event channel {}: {e}", self.bound.port);
        }
    }
}

struct Bound {
    port: EvtchnPort,
    fired: Cell<bool>,
    waiting: WakerSet,
}

/// The channels in use, and beside them their ports as the hypervisor wants them.
#[derive(Default)]
pub(crate) struct Registry {
    ports: RefCell<Vec<EvtchnPort>>,
    bound: RefCell<Vec<Rc<Bound>>>,
}

impl Registry {
    pub(crate) fn with_ports(&self, f: impl FnOnce(&[EvtchnPort])) {
        f(&self.ports.borrow());
    }

    pub(crate) fn fire(&self, port: EvtchnPort) {
        // The borrow ends before the waking: what a waker drops may be a channel.
        let bound = self.position(port).map(|i| self.bound.borrow()[i].clone());
        if let Some(bound) = bound {
            bound.fired.set(true);
            bound.waiting.wake_all();
        }
    }

    fn check_room(&self) -> Result<(), EventError> {
        let full = self.ports.borrow().len() >= POLL_PORTS_MAX;
        if full { Err(EventError::TooMany { limit: POLL_PORTS_MAX }) } else { Ok(()) }
    }

    fn add(&self, port: EvtchnPort) -> Result<Rc<Bound>, EventError> {
        if self.position(port).is_some() {
            return Err(EventError::Owned { port });
        }
        let bound = Rc::new(Bound { port, fired: Cell::new(false), waiting: WakerSet::new() });
        self.ports.borrow_mut().push(port);
        self.bound.borrow_mut().push(bound.clone());
        Ok(bound)
    }

    fn remove(&self, port: EvtchnPort) {
        if let Some(i) = self.position(port) {
            self.ports.borrow_mut().swap_remove(i);
            self.bound.borrow_mut().swap_remove(i);
        }
    }

    fn position(&self, port: EvtchnPort) -> Option<usize> {
        self.ports.borrow().iter().position(|p| *p == port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::run;
    use fata_libos::spawn;
    use fata_libos::time::{Duration, sleep, timeout};

    const PEER: DomId = DomId(0);
    const SOON: Duration = Duration::from_secs(1);

    #[test]
    fn a_channel_is_ready_once_however_often_it_fired() {
        run(async |hv, xen| {
            let channel = Channel::alloc(&xen, PEER).unwrap();
            assert_eq!(hv.port_remote(channel.port()), Some(PEER));
            hv.peer_notify(channel.port());
            hv.peer_notify(channel.port());
            timeout(SOON, channel.fired()).await.unwrap();
            assert!(timeout(SOON, channel.fired()).await.is_err(), "fired once");
            hv.peer_notify(channel.port());
            sleep(SOON).await;
            timeout(SOON, channel.fired()).await.expect("a firing that nobody waited for is kept");
            channel.notify();
            assert_eq!(hv.take_notified(channel.port()), 1);
        });
    }

    #[test]
    fn only_the_tasks_of_the_channel_that_fired_wake() {
        run(async |hv, xen| {
            let (a, b) = (Channel::alloc(&xen, PEER).unwrap(), Channel::alloc(&xen, PEER).unwrap());
            let port = b.port();
            let waiting = spawn(async move { b.fired().await });
            hv.peer_notify(port);
            timeout(SOON, waiting).await.unwrap();
            assert!(timeout(SOON, a.fired()).await.is_err());
        });
    }

    #[test]
    fn dropping_closes_what_was_allocated_and_keeps_what_was_adopted() {
        run(async |hv, xen| {
            let channel = Channel::alloc(&xen, PEER).unwrap();
            let port = channel.port();
            assert_eq!(Channel::adopt(&xen, port).map(drop), Err(EventError::Owned { port }));
            drop(channel);
            assert_eq!(hv.open_ports(), 0);
            let console = hv.evtchn_alloc_unbound(PEER).unwrap();
            drop(Channel::adopt(&xen, console).unwrap());
            assert_eq!(hv.open_ports(), 1);
            hv.peer_notify(console);
            sleep(SOON).await;
        });
    }

    #[test]
    fn one_channel_more_than_the_hypervisor_polls_is_refused_and_closed() {
        run(async |hv, xen| {
            let all: Vec<_> = (0..128).map(|_| Channel::alloc(&xen, PEER).unwrap()).collect();
            assert_eq!(Channel::alloc(&xen, PEER).map(drop), Err(EventError::TooMany { limit: 128 }));
            assert_eq!(hv.open_ports(), 128);
            drop(all);
            hv.limit_ports(1);
            assert!(matches!(Channel::alloc(&xen, PEER).map(drop), Err(EventError::Hypervisor(_))));
        });
    }
}
