//! The web server appliance: serves the folder that its image was built with, over HTTP, or with the feature `tls` over HTTPS.
//!
//!     cargo fata run web
//!     FATA_WEB_ROOT=./public cargo fata run web
//!     cargo fata run web --features tls,h2
#![no_std]
#![no_main]

extern crate alloc;

#[cfg_attr(feature = "tls", path = "main/https.rs")]
#[cfg_attr(not(feature = "tls"), path = "main/http.rs")]
mod serve;

use alloc::rc::Rc;
use fata::http::{Limits, Stats};
use fata::net::{self, TcpListener};
use fata::param::Size;
use fata::prelude::*;
use serve::serve;
use web_site::state::{Peers, State};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let stats = Rc::<Stats>::default();
    let peers = if env.param(params::PEERS) { Peers::Shown } else { Peers::Hidden };
    let state = Rc::new(State::new(stats, peers));
    let connections = env.param(params::CONNECTIONS) as usize;
    let idle_time = env.param(params::IDLE);
    let limits = Limits { connections, idle_time, ..Limits::default() };
    if let Some(Size { octets }) = env.param(params::CAPTURE) {
        let snap = env.param(params::CAPTURE_SNAP);
        state.set_capture(env.stack().capture(octets as usize, snap as usize)?);
        println!(env, "web: /capture.pcap gives captured packets to anyone who asks");
    }
    serve(env, state, limits).await
}

/// The next connection. An answer is written in one go: its last segment need not wait for the first one's acknowledgement.
async fn accept(listener: &TcpListener) -> Result<(net::TcpStream, core::net::SocketAddr), net::Error> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true);
    Ok((stream, peer))
}
