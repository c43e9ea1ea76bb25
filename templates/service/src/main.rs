#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use core::net::Ipv6Addr;
use fata::io::Write;
use fata::net::{TcpListener, TcpStream};
use fata::prelude::*;
use fata::time::timeout;

/// Who says nothing for so long, or does not read what is answered, is let go.
const PATIENCE: Duration = Duration::from_secs(60);

// Names `main`, and makes `networks` and `params` of what unikernel.toml declares.
fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let network = env.network(networks::MAIN).await?;
    let port = env.param(params::PORT);
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    println!(env, "{{name}} on port {port}");
    // A task of its own, cancelled when it is dropped: at the end of `main`.
    let _serving = spawn(serve(listener));
    env.shutdown().await;
    println!(env, "{{name}} leaves");
    Ok(())
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, peer)) = listener.accept().await {
        spawn(async move {
            if let Err(error) = answer(stream).await {
                fata::log::debug!("{peer}: {error}");
            }
        })
        .detach();
    }
}

async fn answer(mut stream: TcpStream) -> Result<()> {
    while timeout(PATIENCE, answer_one(&mut stream)).await?? {}
    Ok(())
}

/// Says of a piece that comes how long it is; false: there are no more.
async fn answer_one(stream: &mut TcpStream) -> Result<bool> {
    let mut buffer = [0; 1024];
    let len = stream.read(&mut buffer).await?;
    if len > 0 {
        stream.write_all(format!("{len} octets\n").as_bytes()).await?;
    }
    Ok(len > 0)
}
