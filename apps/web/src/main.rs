//! The web server appliance: serves the folder that its image was built with.
//!
//!     cargo fata run web
//!     FATA_WEB_ROOT=./public cargo fata run web
#![no_std]
#![no_main]

extern crate alloc;

use alloc::rc::Rc;
use core::net::Ipv6Addr;
use fata::http::{Limits, Server, Stats};
use fata::net::TcpListener;
use fata::param::Size;
use fata::prelude::*;
use web_site::content::SITE;
use web_site::state::{Peers, State};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let stats = Rc::<Stats>::default();
    let peers = if env.param(params::PEERS) { Peers::Shown } else { Peers::Hidden };
    let state = Rc::new(State::new(stats.clone(), peers));
    let router = web_site::router(&SITE, state.clone());
    let connections = env.param(params::CONNECTIONS) as usize;
    let idle_time = env.param(params::IDLE);
    let limits = Limits { connections, idle_time, ..Limits::default() };
    let server = Server::with(router, limits, stats);

    if let Some(Size { octets }) = env.param(params::CAPTURE) {
        let snap = env.param(params::CAPTURE_SNAP);
        state.set_capture(env.stack().capture(octets as usize, snap as usize)?);
        println!(env, "web: /capture.pcap gives captured packets to anyone who asks");
    }
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
    // Until the guest is asked to leave.
    server.serve(accept).await.map_err(|e: fata::net::Error| e.into())
}
