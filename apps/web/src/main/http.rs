//! Over HTTP alone.

use crate::{accept, networks, params};
use alloc::rc::Rc;
use core::net::Ipv6Addr;
use fata::http::{Limits, Server};
use fata::net::{self, TcpListener};
use fata::prelude::*;
use web_site::content::SITE;
use web_site::state::State;

/// Serves until the guest is asked to leave.
pub async fn serve(env: Env, state: Rc<State>, limits: Limits) -> Result<()> {
    let router = web_site::router(&SITE, state.clone());
    let server = Server::with(router, limits, state.stats.clone());
    let network = env.network(networks::MAIN).await?;
    state.set_network(network.stack().clone());
    let port = env.param(params::PORT);
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    println!(env, "web: {} paths on port {port}", SITE.entries.len());
    server.serve(async move || accept(&listener).await).await.map_err(|e: net::Error| e.into())
}
