//! The handle of a block device.

use super::link::Link;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::future::poll_fn;
use fata_libos::block::{BlockDevice, Geometry, InFlight, Request};

/// A block device of the domain. It stays while back ends come and go; dropping it disconnects the device.
pub struct Blkfront {
    name: Rc<str>,
    link: Rc<Link>,
}

impl Blkfront {
    pub(super) fn new(name: Rc<str>, link: Rc<Link>) -> Self {
        Self { name, link }
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// The device's name in logs: `vbd51712`, say.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl BlockDevice for Blkfront {
    fn geometry(&self) -> Geometry {
        self.link.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        match self.link.submit(request) {
            Ok(job) => Box::pin(poll_fn(move |cx| job.poll(cx))),
            Err(outcome) => Box::pin(core::future::ready(outcome)),
        }
    }
}

impl Drop for Blkfront {
    fn drop(&mut self) {
        self.link.abandon();
    }
}
