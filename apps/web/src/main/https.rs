//! Over HTTPS; who comes by HTTP is sent there.

#[cfg(feature = "acme")]
mod acme;
#[cfg_attr(not(feature = "client-certificates"), path = "no_clients.rs")]
mod clients;
#[cfg_attr(not(feature = "disk"), path = "no_disk.rs")]
mod disk;

use crate::{networks, params, start};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use fata::http::{Limits, Router, Server};
use fata::https::{Keeper, Maker, Pair, Shown, Site};
use fata::net::{self, TcpListener};
use fata::param::Size;
use fata::prelude::*;
use fata::time::SystemTime;
use fata_tls::ServerConfig;
use fata_tls::provider::Tickets;
use web_site::content::{KEYS, SITE};
use web_site::https::fields;
use web_site::routes;
use zeroize::Zeroizing;

/// What is spoken over TLS, the dearest first.
#[cfg(feature = "h2")]
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];
#[cfg(not(feature = "h2"))]
const PROTOCOLS: &[&str] = &["http/1.1"];

/// A key of tickets is used for so long, and opens those that it made for as long again.
const TICKET_KEYS: Duration = Duration::from_secs(6 * 3600);

/// The most connections of clients that are to be sent away.
const REDIRECTED: usize = 128;

/// Serves until the guest is asked to leave.
pub async fn main(env: Env) -> Result<()> {
    let (state, mut limits) = start(&env)?;
    let keys = disk::Keys::open(&env).await?;
    let maker = Maker { names: env.param(params::NAMES).into(), valid: env.param(params::VALID) };
    let names = maker.names.replace(',', ", ");
    let network = env.network(networks::MAIN).await?;
    state.set_network(network.stack().clone());
    #[cfg(feature = "acme")]
    let has_pair = if clients::are_asked(&env) { keys.has_pair().await? } else { keys.is_some() };
    #[cfg(feature = "acme")]
    let order = acme::open(&env, &network, &maker, has_pair).await?;
    #[cfg(feature = "acme")]
    let kept = order.as_ref().map(|order| acme::pair(&env, order, &maker)).transpose()?;
    #[cfg(not(feature = "acme"))]
    let kept = None;
    let pair = match kept {
        Some(pair) => Some(pair),
        None => keys.pair(&env, &maker).await?,
    };
    let pair = match (pair, KEYS) {
        (Some(pair), _) => pair,
        (None, Some((chain, key))) => Pair::new(chain.into(), Zeroizing::new(key.into())),
        (None, None) => {
            println!(env, "web: {}: a certificate for {names} until it ends", disk::NONE);
            maker.make()?
        }
    };
    // Better than none: clients say it too.
    if let Err(error) = pair.check_dates(SystemTime::now()) {
        println!(env, "web: {error}");
    }
    let tickets = Arc::new(Tickets::new(TICKET_KEYS));
    #[cfg(feature = "acme")]
    let challenges = order.as_ref().map(|order| order.responder.certificates());
    let finish = move |config: ServerConfig| {
        let config = config.alpn(PROTOCOLS).tickets(tickets.clone());
        #[cfg(feature = "acme")]
        let config = match &challenges {
            Some(challenges) => config.acme_challenges(challenges.clone()),
            None => config,
        };
        config
    };
    let (stats, reloads) = (state.tls.stats.clone(), state.tls.reloads.clone());
    let shown = Shown::new(alloc::vec![pair], stats, reloads, finish)?;
    clients::ask(&env, &keys, &shown).await?;
    let acceptor = shown.acceptor().clone();
    let redirects = Router::redirect_to_https(env.param(params::TLS_PORT));
    #[cfg(feature = "acme")]
    let redirects = match &order {
        Some(order) => order.responder.route(redirects),
        None => redirects,
    };
    #[cfg(feature = "acme")]
    let is_ordered = order.is_some();
    #[cfg(not(feature = "acme"))]
    let is_ordered = false;
    #[cfg(feature = "acme")]
    if let Some(order) = order {
        state.tls.set_acme(web_site::https::Order { names, status: order.status.clone() });
        let shown = shown.clone();
        spawn(order.keep(move |pair| shown.replace(alloc::vec![(0, pair)]))).detach();
    }
    // The certificate of an authority has its own.
    let sites = if is_ordered { Vec::new() } else { alloc::vec![Site::new(0, "", maker)] };
    spawn(keys.keep(Keeper::new(sites, shown), &env).run()).detach();

    let (port, tls_port) = (env.param(params::PORT), env.param(params::TLS_PORT));
    let plain = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into())?;
    let listener = TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, tls_port).into())?;
    let few = Limits { connections: REDIRECTED, ..Limits::default() };
    let http = Server::with(redirects, few, state.tls.redirects.clone());
    spawn(async move { http.serve(async move || accept(&plain).await).await }).detach();

    let mut router = web_site::router(&SITE, state.clone());
    if let Some(Size { octets }) = env.param(params::UPLOAD) {
        limits.body_size = octets;
        router = router.post("/upload", routes::upload);
    }
    let lines = fields::lines(env.param(params::HSTS), env.param(params::POLICY));
    let https =
        Server::with(router, limits, state.stats.clone()).with_fields(Box::leak(lines.into_boxed_str()));
    println!(env, "web: {} paths, HTTPS on port {tls_port}, HTTP on port {port}", SITE.entries.len());
    let listener = acceptor.listen(async move || accept(&listener).await);
    let accept = async move || listener.accept().await;
    #[cfg(feature = "h2")]
    let served = https.serve_by_alpn(accept, |stream| stream.alpn_protocol());
    #[cfg(not(feature = "h2"))]
    let served = https.serve(accept);
    served.await.map_err(|e: net::Error| e.into())
}

/// The next connection. An answer is written in one go: its last segment need not wait for the first one's acknowledgement.
async fn accept(listener: &TcpListener) -> Result<(net::TcpStream, core::net::SocketAddr), net::Error> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true);
    Ok((stream, peer))
}
