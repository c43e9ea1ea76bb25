//! Over HTTP alone.

use crate::{networks, params, start};
use core::net::Ipv6Addr;
use fata::http::Server;
use fata::net::{self, TcpListener};
use fata::prelude::*;
use web_site::content::SITE;

/// Serves until the guest is asked to leave.
pub async fn main(env: Env) -> Result<()> {
    let (state, limits) = start(&env)?;
    let router = web_site::router(&SITE, state.clone());
    let server = Server::with(router, limits, state.stats.clone());
    let network = env.network(networks::MAIN).await?;
    state.set_network(network.stack().clone());
    let port = env.param(params::PORT);
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    println!(env, "web: {} paths on port {port}", SITE.entries.len());
    let accept = async move || {
        let (stream, peer) = listener.accept().await?;
        // An answer is written in one go: its last segment need not wait for the first one's acknowledgement.
        stream.set_nodelay(true);
        Ok((stream, peer))
    };
    server.serve(accept).await.map_err(|e: net::Error| e.into())
}
