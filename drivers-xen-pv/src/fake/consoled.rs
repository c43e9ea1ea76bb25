//! A console daemon, step-driven.

use super::{FakeHypervisor, Peer, peer_ring};
use crate::console::{IN_RING, OUT_RING, XenConsole};
use crate::events::Channel;
use crate::hypervisor::Hypervisor;
use crate::shared::{Pages, SharedMemory};
use crate::types::{DomId, EvtchnPort};
use crate::xen::Xen;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The daemon.
pub struct FakeConsoled {
    hv: &'static FakeHypervisor,
    pages: Rc<Pages>,
    port: EvtchnPort,
    seen: RefCell<Vec<u8>>,
    typed: RefCell<Vec<u8>>,
    /// Octets that a step takes.
    appetite: Cell<usize>,
}

impl FakeConsoled {
    /// A daemon, attached to `hv`, and the guest's console.
    pub fn start(hv: &'static FakeHypervisor, xen: &Rc<Xen>) -> (Rc<Self>, Rc<XenConsole>) {
        let port = hv.evtchn_alloc_unbound(DomId(0)).expect("a free channel");
        let daemon = Rc::new(Self {
            hv,
            pages: Pages::alloc(hv, 1).expect("a free page"),
            port,
            seen: RefCell::default(),
            typed: RefCell::default(),
            appetite: Cell::new(usize::MAX),
        });
        hv.attach(daemon.clone());
        let channel = Channel::adopt(xen, port).expect("a free channel");
        let console = XenConsole::connect(daemon.page(), channel);
        (daemon, console)
    }

    /// The shared page, to be broken.
    pub fn page(&self) -> SharedMemory {
        self.pages.memory()
    }

    /// The daemon's channel.
    pub fn port(&self) -> EvtchnPort {
        self.port
    }

    /// Takes at most so many octets a step from now on; 0: it hangs.
    pub fn set_appetite(&self, octets: usize) {
        self.appetite.set(octets);
    }

    /// What the guest has written since the last time this was asked, as far as the daemon has taken it.
    pub fn take_output(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.seen.borrow_mut())).expect("text")
    }

    /// Types.
    pub fn type_in(&self, bytes: &[u8]) {
        self.typed.borrow_mut().extend_from_slice(bytes);
    }
}

impl Peer for FakeConsoled {
    fn step(&self) {
        let output = peer_ring::take_at_most(self.page(), OUT_RING, self.appetite.get());
        let mut typed = self.typed.borrow_mut();
        let put = peer_ring::put(self.page(), IN_RING, &typed);
        typed.drain(..put);
        if put > 0 || !output.is_empty() {
            self.hv.peer_notify(self.port);
        }
        self.seen.borrow_mut().extend(output);
    }
}
