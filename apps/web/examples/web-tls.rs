//! The web server over TLS: HTTPS with HTTP/2 and HTTP/1.1, its certificate and key on a disk; HTTP sends clients there.
//!
//!     tar -czf keys.tar.gz chain.pem key.pem && truncate -s %512 keys.tar.gz
//!     cargo fata run web-tls --disk keys=keys.tar.gz
//!     cargo run -p web --example web-tls -- keys.file=keys.tar.gz port=8080 tls-port=8443
#![no_std]
#![no_main]

extern crate alloc;

#[path = "web-tls/keys.rs"]
mod keys;
#[path = "web-tls/routes.rs"]
mod routes;
#[allow(dead_code, reason = "when a file was changed is for those who serve it")]
#[path = "web-disk/store.rs"]
mod store;

use alloc::rc::Rc;
use alloc::sync::Arc;
use core::net::Ipv6Addr;
use fata::http::{Limits, Server, Stats};
use fata::net::TcpListener;
use fata::prelude::*;
use fata_tls::provider::Tickets;
use fata_tls::{ServerConfig, TlsAcceptor};
use web_site::state::{Peers, State};

fata::main!(main);

/// A key of tickets is used for so long, and opens those that it made for as long again.
const TICKET_KEYS: Duration = Duration::from_secs(6 * 3600);

async fn main(env: Env) -> Result<()> {
    let keys = keys::read(env.block(blocks::KEYS).await?).await?;
    let has_http2 = env.param(params::HTTP2);
    let protocols: &[&str] = if has_http2 { &["h2", "http/1.1"] } else { &["http/1.1"] };
    let config = ServerConfig::from_pem(&keys.chain, &keys.key)
        .map_err(|error| alloc::format!("the disk keys: {error}"))?
        .alpn(protocols)
        .tickets(Arc::new(Tickets::new(TICKET_KEYS)));
    drop(keys);
    let acceptor = TlsAcceptor::new(config).map_err(|error| alloc::format!("the disk keys: {error}"))?;

    let stats = Rc::<Stats>::default();
    let state = Rc::new(State::new(stats.clone(), Peers::Hidden));
    let limits = Limits { connections: env.param(params::CONNECTIONS) as usize, ..Limits::default() };
    let https = Server::with(routes::secure(state.clone()), limits, stats);
    let https = if has_http2 { https.with_http2() } else { https };

    let network = env.network(networks::MAIN).await?;
    state.set_network(network.stack().clone());
    let (port, tls_port) = (env.param(params::PORT), env.param(params::TLS_PORT));
    let plain = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, tls_port).into())?;
    let http = Server::new(routes::redirects(tls_port));
    spawn(async move { http.serve(async move || plain.accept().await).await }).detach();
    println!(env, "web-tls: HTTPS on port {tls_port}, HTTP on port {port}");
    let accept = async move || {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true);
        Ok((stream, peer))
    };
    let listener = acceptor.listen(accept);
    https.serve(async move || listener.accept().await).await.map_err(|e: fata::net::Error| e.into())
}
