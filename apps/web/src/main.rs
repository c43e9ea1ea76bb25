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
use fata::param::Size;
use fata::prelude::*;
use web_site::state::{Peers, State};

fata::main!(serve::main);

/// What both ways to serve begin with.
fn start(env: &Env) -> Result<(Rc<State>, Limits)> {
    let stats = Rc::<Stats>::default();
    let peers = if env.param(params::PEERS) { Peers::Shown } else { Peers::Hidden };
    let state = Rc::new(State::new(stats, peers));
    let connections = env.param(params::CONNECTIONS) as usize;
    let idle_time = env.param(params::IDLE);
    if let Some(Size { octets }) = env.param(params::CAPTURE) {
        let snap = env.param(params::CAPTURE_SNAP);
        state.set_capture(env.stack().capture(octets as usize, snap as usize)?);
        println!(env, "web: /capture.pcap gives captured packets to anyone who asks");
    }
    Ok((state, Limits { connections, idle_time, ..Limits::default() }))
}
