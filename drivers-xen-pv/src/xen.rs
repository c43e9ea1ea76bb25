//! What all front ends of a guest share: the hypervisor, the event channels, the grant table.

use crate::events::Registry;
use crate::grant::GrantTable;
use crate::hypervisor::Hypervisor;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};
use fata_libos::time::Instant;

/// A guest's one connection to the hypervisor; front ends keep an `Rc` of it.
pub struct Xen {
    hv: &'static dyn Hypervisor,
    events: Registry,
    grants: GrantTable,
    /// Leaked: a value here would bring its drop code into images that have no disk.
    disks: OnceCell<&'static RefCell<Vec<u32>>>,
}

impl Xen {
    /// The one of this guest: a second one would hand out the same grants again.
    pub fn new(hv: &'static dyn Hypervisor) -> Rc<Xen> {
        let (events, grants) = (Registry::default(), GrantTable::new(hv));
        Rc::new(Xen { hv, events, grants, disks: OnceCell::new() })
    }

    /// The hypervisor.
    pub fn hv(&self) -> &'static dyn Hypervisor {
        self.hv
    }

    /// The grant table.
    pub fn grants(&self) -> &GrantTable {
        &self.grants
    }

    /// The numbers of the `vbd`s that have a front end, each as often as it has one.
    pub(crate) fn disks(&self) -> &RefCell<Vec<u32>> {
        self.disks.get_or_init(|| Box::leak(Box::default()))
    }

    pub(crate) fn events(&self) -> &Registry {
        &self.events
    }

    /// A platform's wait: sleeps until a channel fires or `deadline` has passed, then wakes the tasks of all channels that
    /// fired. A deadline of zero ([`Instant::default`]) only looks, without a hypercall.
    pub fn wait(&self, deadline: Option<Instant>) {
        if deadline != Some(Instant::default()) {
            self.events.with_ports(|ports| self.hv.poll(ports, deadline));
        }
        self.hv.take_pending(&mut |port| self.events.fire(port));
        self.grants.retry_parked();
    }
}
