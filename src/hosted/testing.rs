//! For tests of appliances: as processes ([`Process`]), and in the test's own thread ([`run`]).

use super::{PARAMS, UnixPlatform, block_on, env};
use crate::Env;
use core::future::Future;
use fata_libos::param::Params;
pub use fata_unix::testing::*;

/// The network interface that [`run`] gives.
#[cfg(feature = "net")]
pub const MAIN: crate::net::Name = crate::net::Name::new(0, "main");

/// Runs `test` with an environment of its own, on the host's clock, with a network interface [`MAIN`] that is the host's own
/// sockets. `params` is its command line. Time that stands still until it is needed is in `fata_libos::testing`.
///
/// # Panics
/// If a parameter makes no sense, or the host refuses what every process has.
pub fn run<F: Future>(params: &str, test: impl FnOnce(Env) -> F) -> F::Output {
    let platform = UnixPlatform::new().expect("epoll");
    #[cfg(feature = "net")]
    let of_main = super::machine::params_of_main();
    #[cfg(not(feature = "net"))]
    let of_main = &[];
    let params = Params::parse(params, &[&PARAMS, of_main, super::host_params(of_main)]);
    let env = env(params.unwrap_or_else(|error| panic!("{error}")), platform);
    block_on(platform, async move { test(env).await })
}
