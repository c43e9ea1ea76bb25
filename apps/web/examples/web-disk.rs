//! The web server with its content on a disk: a FAT volume, or an archive of tar, plain or in gzip. Other content is another
//! disk, and no other image. Without a disk it serves what the image was built with.
//!
//!     tar -C public -czf site.tar.gz . && truncate -s %512 site.tar.gz
//!     cargo fata run web-disk --disk site=site.tar.gz
//!     cargo run -p web --example web-disk -- site.file=site.tar.gz port=8080
#![no_std]
#![no_main]

extern crate alloc;

#[path = "../content/src/media.rs"]
mod media;
#[path = "web-disk/respond.rs"]
mod respond;

use alloc::rc::Rc;
use core::net::Ipv6Addr;
use fata::files::Store;
use fata::http::{Limits, Request, Router, Server, Stats};
use fata::net::TcpListener;
use fata::param::Size;
use fata::prelude::*;
use web_site::content::SITE;
use web_site::state::{Peers, State};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let stats = Rc::<Stats>::default();
    let state = Rc::new(State::new(stats.clone(), Peers::Hidden));
    let router = match env.optional_block(blocks::SITE).await? {
        Some(disk) => {
            let Size { octets } = env.param(params::UNPACKED);
            let store = Store::open(disk, usize::try_from(octets).unwrap_or(usize::MAX)).await?;
            println!(env, "web-disk: {store}");
            from_disk(store, state.clone())
        }
        None => {
            println!(env, "web-disk: no disk, the content of the image");
            web_site::router(&SITE, state.clone())
        }
    };
    let limits = Limits { connections: env.param(params::CONNECTIONS) as usize, ..Limits::default() };
    let server = Server::with(router, limits, stats);
    let network = env.network(networks::MAIN).await?;
    state.set_network(network.stack().clone());
    let port = env.param(params::PORT);
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    println!(env, "web-disk: on port {port}");
    server.serve(async move || listener.accept().await).await.map_err(|e: fata::net::Error| e.into())
}

/// The appliance's own pages, and the disk everywhere else.
fn from_disk(store: Store, state: Rc<State>) -> Router {
    let store = Rc::new(store);
    web_site::routes::pages(state)
        .get("/{*path}", async move |request: Request<'_>| respond::respond(&store, &request).await)
}
