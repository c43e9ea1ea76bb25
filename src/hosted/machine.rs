//! The devices of the process.

use crate::Result;
use fata_libos::net::NetDevice;
use fata_libos::param::{Kind, Param};
use fata_unix::tap::{self, TapDevice};
use fata_unix::{Reactor, UnixPlatform};
use std::boxed::Box;
use std::format;
use std::rc::Rc;
use std::vec::Vec;

/// The parameter that gives an interface a tap device.
pub(crate) const TAP: &str = "tap";

static TAP_NAME: Kind = Kind { what: "the name of a tap device, such as tap0", check: tap::is_name };

/// The parameters that an appliance's interfaces have in a process beside `usual`: one for each that has an address. For as
/// long as the process.
pub(super) fn tap_params(usual: &'static [Param]) -> &'static [Param] {
    let interfaces = usual.iter().filter_map(|param| param.name.strip_suffix(".ipv4"));
    let tap = |interface: &str| Param {
        name: format!("{interface}.{TAP}").leak(),
        kind: &TAP_NAME,
        default: None,
        help: "the tap device that it is one end of",
    };
    interfaces.map(tap).collect::<Vec<_>>().leak()
}

/// The parameters that an interface has, declared for one named `main`.
pub(super) fn params_of_main() -> &'static [Param] {
    let of_main = |p: &Param| Param { name: format!("main.{}", p.name).leak(), ..*p };
    crate::net::PARAMS.iter().map(of_main).collect::<Vec<_>>().leak()
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
