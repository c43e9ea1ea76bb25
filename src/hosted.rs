//! An appliance built for the machine that builds it. Running it as a process is not there yet; saying so is.

use crate::Appliance;
use std::eprintln;

/// The exit status of a program that was not started rightly (`sysexits.h`: EX_UNAVAILABLE).
const UNAVAILABLE: i32 = 69;

#[doc(hidden)]
pub fn hosted(appliance: Appliance) -> i32 {
    let Appliance { name, .. } = appliance;
    eprintln!("{name} is an appliance, and this build of it is for this machine, where it cannot run yet.");
    eprintln!("Start it on Xen with:  cargo fata run {name}");
    UNAVAILABLE
}

#[cfg(feature = "net")]
impl crate::env::Machine {
    /// No process has a machine of this kind.
    pub(crate) async fn open_network(
        &self,
        _index: usize,
    ) -> crate::Result<alloc::boxed::Box<dyn fata_libos::net::NetDevice>> {
        match *self {}
    }
}
