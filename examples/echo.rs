//! A TCP server that sends back what it gets, to any number of clients at once.
//!
//!     cargo fata run echo --forward 7777:7
//!     nc 127.0.0.1 7777
//!
//! As a process: cargo run --example echo -- port=7777
#![no_std]
#![no_main]

use core::net::Ipv6Addr;
use fata::io::Write;
use fata::net::{TcpListener, TcpStream};
use fata::prelude::*;

// Besides `main` it makes `networks` and `params` of what echo.toml declares.
fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let network = env.network(networks::MAIN).await?;
    let port = env.param(params::PORT);
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
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
