//! For tests of appliances: as processes ([`Process`]), and in the test's own thread ([`run`]).

use super::{PARAMS, UnixPlatform, block_on, env};
use crate::Env;
use core::future::Future;
use fata_libos::param::Params;
pub use fata_unix::testing::*;

/// The network interface that [`run`] gives.
#[cfg(feature = "net")]
const NETWORKS: &[&str] = &["main"];

/// Runs `test` with an environment of its own, on the host's clock, with a network interface `main` that is the host's own
/// sockets. `params` is its command line. Time that stands still until it is needed is in `fata_libos::testing`.
///
/// # Panics
/// If a parameter makes no sense, or the host refuses what every process has.
pub fn run<F: Future>(params: &str, test: impl FnOnce(Env) -> F) -> F::Output {
    let platform = UnixPlatform::new().expect("epoll");
    #[cfg(feature = "net")]
    let (networks, network_params) = (NETWORKS, super::machine::network_params(&crate::net::PARAMS));
    #[cfg(not(feature = "net"))]
    let (networks, network_params) = (&[][..], &[][..]);
    let params = Params::parse(params, &[&PARAMS], networks, network_params);
    let env = env(params.unwrap_or_else(|error| panic!("{error}")), platform, networks);
    block_on(platform, async move { test(env).await })
}
