//! The devices of the process.

use crate::Result;
use fata_libos::net::NetDevice;
use fata_libos::param::{Kind, Param};
use fata_unix::tap::{self, TapDevice};
use fata_unix::{Reactor, UnixPlatform};
use std::boxed::Box;
use std::rc::Rc;
use std::vec::Vec;

/// The parameter that gives an interface a tap device.
pub(crate) const TAP: &str = "tap";

static TAP_NAME: Kind = Kind { what: "the name of a tap device, such as tap0", check: tap::is_name };

/// The parameters that an interface has in a process: `usual` and its own. For as long as the process.
pub(super) fn network_params(usual: &'static [Param]) -> &'static [Param] {
    let own =
        Param { name: TAP, kind: &TAP_NAME, default: None, help: "the tap device that it is one end of" };
    let copy = |p: &Param| Param { name: p.name, kind: p.kind, default: p.default, help: p.help };
    usual.iter().map(copy).chain([own]).collect::<Vec<_>>().leak()
}

/// What waits for descriptors, and through it the devices.
pub(crate) struct Machine {
    reactor: Rc<Reactor>,
}

impl Machine {
    pub(super) fn new(platform: &UnixPlatform) -> Self {
        Self { reactor: platform.reactor().clone() }
    }

    pub(crate) fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// A tap device of the host.
    pub(crate) fn open_tap(&self, name: &str) -> Result<Box<dyn NetDevice>> {
        Ok(Box::new(TapDevice::open(&self.reactor, name)?))
    }
}
