//! A TCP server that sends back what it gets, to any number of clients at once.
//!
//!     cargo fata run echo --forward 7777:7
//!     nc 127.0.0.1 7777
//!
//! As a process: cargo run --example echo -- port=7777
#![no_std]
#![no_main]

use core::net::Ipv4Addr;
use fata::io::Write;
use fata::net::{TcpListener, TcpStream};
use fata::param::{PORT, Param};
use fata::prelude::*;

// A boot parameter of our own: `port=7777` on the kernel command line changes it.
static PARAMS: [Param; 1] =
    [Param { name: "port", kind: &PORT, default: Some("7"), help: "the TCP port to listen on" }];

// One network interface, the first `vif` of the guest. Its address comes from DHCP, or from `ipv4=10.0.0.2/24`.
fata::main!(main, networks: ["main"], params: PARAMS);

async fn main(env: Env) -> Result<()> {
    let network = env.network("main").await?;
    let port: u16 = env.param_as("port");
    let listener = TcpListener::bind(&network, (Ipv4Addr::UNSPECIFIED, port).into())?;
    println!(env, "echo on port {port}");
    loop {
        let (stream, peer) = listener.accept().await?;
        fata::log::debug!("{peer} came");
        // A task of its own for each client. `detach` lets it run alone; dropping the task would end it.
        spawn(async move {
            match echo(stream).await {
                Ok(octets) => fata::log::debug!("{peer} left after {octets} octets"),
                Err(error) => fata::log::debug!("{peer}: {error}"),
            }
        })
        .detach();
    }
}

/// Sends everything back until the client has no more, and says how much it was.
async fn echo(mut stream: TcpStream) -> Result<u64> {
    let mut buffer = [0; 4096];
    let mut octets = 0;
    loop {
        let len = stream.read(&mut buffer).await?;
        if len == 0 {
            return Ok(octets);
        }
        stream.write_all(&buffer[..len]).await?;
        octets += len as u64;
    }
}
