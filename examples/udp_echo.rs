//! A UDP server that sends every datagram back to where it came from.
//!
//!     cargo fata run udp_echo
//!
//! It names no TCP, and its image has none.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use core::net::Ipv6Addr;
use fata::net::UdpSocket;
use fata::prelude::*;

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let network = env.network(networks::MAIN).await?;
    let port = env.param(params::PORT);
    let socket = UdpSocket::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    println!(env, "echo on UDP port {port}");
    // A datagram is read whole or cut off: this is the longest there is.
    let mut buffer = vec![0; 65_507];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await?;
        // The network may have gone since; the client asks again.
        if let Err(error) = socket.send_to(&buffer[..len], peer).await {
            fata::log::debug!("{peer}: {error}");
        }
    }
}
