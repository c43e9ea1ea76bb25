#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use core::net::Ipv6Addr;
use fata::http::{Limits, Request, Response, Router, Server};
use fata::net::TcpListener;
use fata::prelude::*;

// Names `main`, and makes `networks` and `params` of what unikernel.toml declares.
fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let server = Server::with(router(), Limits::default(), Rc::default());
    let network = env.network(networks::MAIN).await?;
    let port = env.param(params::PORT);
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    println!(env, "{{name}} on port {port}");
    // Until the guest is asked to leave.
    server.serve(async move || listener.accept().await).await?;
    println!(env, "{{name}} leaves after {} requests", server.stats().requests());
    Ok(())
}

fn router() -> Router {
    Router::new()
        .get("/", async |_: Request<'_>| Response::text("hello from {{name}}\n"))
        .get("/up", async |_: Request<'_>| {
            Response::text(format!("{} s\n", Instant::now().as_nanos() / 1_000_000_000))
        })
}
