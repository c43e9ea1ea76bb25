//! Two network interfaces: echoes on both, and says on which one a client came.
//!
//! In an xl configuration: `vif = [ 'bridge=xenbr0', 'bridge=xenbr1' ]`, and in `extra=` a parameter for each, as in
//! `main.ipv4=10.0.2.15/24 main.gateway=10.0.2.2 back.ipv4=10.0.3.15/24`.
#![no_std]
#![no_main]

use core::net::Ipv6Addr;
use fata::io::Write;
use fata::net::{TcpListener, TcpStream};
use fata::prelude::*;

// The names are those in two_networks.toml.
fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let main = env.network(networks::MAIN).await?;
    env.network(networks::BACK).await?;
    // Both interfaces belong to one stack: a listener on no address in particular hears both.
    let listener = TcpListener::bind(&main, (Ipv6Addr::UNSPECIFIED, 7).into())?;
    loop {
        let (stream, peer) = listener.accept().await?;
        println!(env, "{peer} came to {}", stream.local_addr().ip());
        spawn(async move { echo(stream).await.unwrap_or_default() }).detach();
    }
}

async fn echo(mut stream: TcpStream) -> Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            len => stream.write_all(&buffer[..len]).await?,
        }
    }
}
