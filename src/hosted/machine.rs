//! The devices of the process.

#[cfg(feature = "net")]
use crate::Result;
#[cfg(feature = "net")]
use fata_libos::net::NetDevice;
use fata_libos::param::{Kind, Param};
#[cfg(feature = "net")]
use fata_unix::tap::{self, TapDevice};
use fata_unix::{Reactor, UnixPlatform};
#[cfg(feature = "net")]
use std::boxed::Box;
use std::format;
use std::rc::Rc;
use std::vec::Vec;

/// The parameter that gives an interface a tap device.
#[cfg(feature = "net")]
pub(crate) const TAP: &str = "tap";

#[cfg(feature = "net")]
static TAP_NAME: Kind = Kind { what: "the name of a tap device, such as tap0", check: tap::is_name };

/// The parameter that gives a block device its file.
#[cfg(feature = "block")]
pub(crate) const FILE: &str = "file";

#[cfg(feature = "block")]
static FILE_PATH: Kind = Kind { what: "the path of a file", check: |path| !path.is_empty() };

/// The parameters that an appliance's devices have in a process beside `usual`: one for each interface, which has an address,
/// and one for each block device, which is one of several disks. For as long as the process.
pub(super) fn host_params(usual: &'static [Param]) -> &'static [Param] {
    let mut params = Vec::new();
    #[cfg(feature = "net")]
    params.extend(each(usual, ".ipv4", TAP, &TAP_NAME, "the tap device that it is one end of"));
    #[cfg(feature = "block")]
    params.extend(each(
        usual,
        ".disk",
        FILE,
        &FILE_PATH,
        "the file, or block device of the host, that it is",
    ));
    params.leak()
}

/// A parameter for each device that has one whose name ends so.
fn each(
    usual: &'static [Param],
    ending: &'static str,
    key: &'static str,
    kind: &'static Kind,
    help: &'static str,
) -> impl Iterator<Item = Param> {
    let devices = usual.iter().filter_map(move |param| param.name.strip_suffix(ending));
    devices.map(move |device| Param { name: format!("{device}.{key}").leak(), kind, default: None, help })
}

/// The parameters that an interface has, declared for one named `main`.
#[cfg(feature = "net")]
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
    #[cfg(feature = "net")]
    pub(crate) fn open_tap(&self, name: &str) -> Result<Box<dyn NetDevice>> {
        Ok(Box::new(TapDevice::open(&self.reactor, name)?))
    }
}
