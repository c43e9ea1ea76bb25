//! The proxy appliance: ends TLS, and passes requests on to servers that it watches.
//!
//!     cargo fata run proxy --param backends=10.0.2.2:8080
//!     cargo run -p proxy -- backends=127.0.0.1:8000 port=8080 tls-port=8443
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use certificates::Certificates;
use core::net::{Ipv6Addr, SocketAddr};
use fata::fetch::Connector;
use fata::files::Store;
use fata::http::{Limits, Peer, Request, Router, Server, Stats};
use fata::net::{self, TcpListener};
use fata::param::Size;
use fata::prelude::*;
use proxying::config::{Config, Params};
use proxying::front::{About, Preceded, Secured};
use proxying::keys;
use proxying::networks::Networks;
use proxying::pool::Pool;
use proxying::proxy_protocol::Ends;
use proxying::relay::{Logs, Proxy, Times};
use proxying::{admin, check};

#[cfg(feature = "acme")]
#[path = "main/acme.rs"]
mod acme;
#[path = "main/certificates.rs"]
mod certificates;

fata::main!(main);

/// What is spoken over TLS, the dearest first.
#[cfg(feature = "h2")]
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];
#[cfg(not(feature = "h2"))]
const PROTOCOLS: &[&str] = &["http/1.1"];

/// A key of tickets is used for so long, and opens those that it made for as long again.
const TICKET_KEYS: Duration = Duration::from_secs(6 * 3600);

async fn main(env: Env) -> Result<()> {
    if env.param(params::CLIENT_CERTIFICATES) == "require" && env.param(params::HTTP) == "serve" {
        return Err("boot parameters client-certificates=require and http=serve: over HTTP nobody shows a certificate; leave http at redirect, or off".into());
    }
    fata::shutdown::set_grace(env.param(params::DRAIN) + Duration::from_secs(3));
    let disk = env.optional_block(blocks::CONFIG).await?;
    let store = match &disk {
        Some(disk) => Some(fata::https::disk::open(disk).await.map_err(|e| format!("the disk config: {e}"))?),
        None => None,
    };
    let mut config = config(&env, store.as_ref()).await?;
    let listed = |name: &str, text: Option<&str>| match text {
        None => Ok(Networks::default()),
        Some(text) => Networks::parse(text).map_err(|what| format!("boot parameter {name}: {what}")),
    };
    let load_balancers = Rc::new(listed("proxy-from", env.param(params::PROXY_FROM))?);
    let trusted = listed("trust-forwarded", env.param(params::TRUST_FORWARDED))?;

    let network = env.network(networks::MAIN).await?;
    let certificates = Certificates::begin(&env, &network, disk.as_ref(), store, &mut config).await?;
    let acceptor = certificates.shown.acceptor().clone();
    let connector = Connector::new(&network);
    let pools: Vec<Rc<Pool>> = config
        .pools
        .iter()
        .map(|pool| Rc::new(Pool::new(pool.clone(), connector.clone(), env.param(params::CONNECT))))
        .collect();
    for pool in pools.iter().filter(|pool| pool.config.check.is_some()) {
        for number in 0..pool.servers.len() {
            spawn(check::watch(pool.clone(), number, connector.clone())).detach();
        }
    }
    let times = Times { response: env.param(params::RESPONSE), tunnel: env.param(params::TUNNEL) };
    let logs = if env.param(params::ACCESS_LOG) { Logs::Requests } else { Logs::Nothing };
    let proxy = Rc::new(Proxy::new(&config, pools, times, trusted, logs));

    let Size { octets: body_size } = env.param(params::BODY);
    let limits = Limits {
        connections: env.param(params::CONNECTIONS) as usize,
        idle_time: env.param(params::IDLE),
        drain_time: env.param(params::DRAIN),
        head_size: 16 << 10,
        body_size,
        ..Limits::default()
    };
    let listen = |port: u16| TcpListener::bind(&network, (Ipv6Addr::UNSPECIFIED, port).into());
    let (port, tls_port) = (env.param(params::PORT), env.param(params::TLS_PORT));
    let stats = Rc::<Stats>::default();
    let mut plain = None;
    match env.param(params::HTTP) {
        "off" => {}
        "redirect" => {
            let (listener, load_balancers) = (listen(port)?, load_balancers.clone());
            let server = Server::with(
                certificates.route(Router::redirect_to_https(tls_port)),
                Limits { connections: 128, ..limits.clone() },
                Rc::default(),
            )
            .with_any_method();
            let accept = async move || {
                let (stream, _, peer) = accept(&listener, &load_balancers, false).await?;
                Ok::<_, net::Error>((stream, peer))
            };
            spawn(async move { server.serve(accept).await }).detach();
        }
        "serve" => {
            let (listener, load_balancers) = (listen(port)?, load_balancers.clone());
            let server = Server::with(certificates.route(router(&proxy)), limits.clone(), stats.clone())
                .with_any_method()
                .with_client_watch();
            let accept = async move || {
                let (stream, about, peer) = accept(&listener, &load_balancers, false).await?;
                Ok::<_, net::Error>((stream, Peer::with(peer, Rc::new(about))))
            };
            plain = Some(spawn(async move { server.serve(accept).await }));
        }
        other => {
            return Err(format!("boot parameter http: \"{other}\" is none of redirect, serve, off").into());
        }
    }
    if let Some(port) = env.param(params::ADMIN_PORT) {
        let listener = listen(port)?;
        let router = admin::router(&proxy, &stats, certificates.figures());
        let server = Server::with(router, Limits { connections: 16, ..limits.clone() }, Rc::default());
        spawn(async move { server.serve(async move || listener.accept().await).await }).detach();
    }
    let listener = listen(tls_port)?;
    certificates.run();
    let https = Server::with(router_of_https(&proxy, env.param(params::HSTS)), limits, stats)
        .with_any_method()
        .with_client_watch();
    println!(env, "proxy: {} pools, HTTPS on port {tls_port}, HTTP on port {port}", config.pools.len());
    let accept = async move || loop {
        let (stream, about, peer) = accept(&listener, &load_balancers, true).await?;
        // Without memory for it, above all: the client sees its stream end, and the next one may be luckier.
        if let Ok(stream) = acceptor.accept(stream) {
            break Ok::<_, net::Error>((
                Secured::new(stream, about.clone()),
                Peer::with(peer, Rc::new(about)),
            ));
        }
    };
    #[cfg(feature = "h2")]
    https.serve_by_alpn(accept, Secured::alpn_protocol).await?;
    #[cfg(not(feature = "h2"))]
    https.serve(accept).await?;
    // What is under way there has its time too.
    if let Some(plain) = plain {
        plain.await?;
    }
    Ok(())
}

/// What is proxied: from the disk, or from the parameters.
async fn config(env: &Env, store: Option<&Store>) -> Result<Config> {
    let text = match store {
        Some(store) => keys::config_text(store).await?,
        None => None,
    };
    match (text, env.param(params::BACKENDS)) {
        (Some(_), Some(_)) => Err("proxy.conf and the boot parameter backends: one of them is enough".into()),
        (Some(text), None) => Config::parse(&text).map_err(|error| format!("proxy.conf, {error}").into()),
        (None, Some(backends)) => Ok(Config::of_params(Params {
            backends,
            hosts: env.param(params::HOSTS),
            check: env.param(params::CHECK),
            send_proxy: env.param(params::SEND_PROXY),
        })?),
        (None, None) => {
            Err("nothing to proxy: neither the boot parameter backends nor a disk config with proxy.conf"
                .into())
        }
    }
}

fn router(proxy: &Rc<Proxy>) -> Router {
    let proxy = proxy.clone();
    Router::new().fallback(async move |request: Request<'_>| proxy.handle(request).await)
}

/// As [`router`], and browsers are told how long to ask for HTTPS at once (RFC 6797), unless the server has.
fn router_of_https(proxy: &Rc<Proxy>, transport: Duration) -> Router {
    const NAME: &str = "Strict-Transport-Security";
    if transport.as_secs() == 0 {
        return router(proxy);
    }
    let (proxy, value) = (proxy.clone(), format!("max-age={}", transport.as_secs()));
    Router::new().fallback(async move |request: Request<'_>| {
        let response = proxy.handle(request).await;
        if response.has_header(NAME) { response } else { response.header(NAME, &value) }
    })
}

async fn accept(
    listener: &TcpListener,
    load_balancers: &Networks,
    is_tls: bool,
) -> Result<(Preceded, Rc<About>, SocketAddr), net::Error> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true);
    let ends = Ends { source: peer, destination: stream.local_addr() };
    let about = Rc::new(About::new(ends, is_tls));
    Ok((Preceded::new(stream, about.clone(), load_balancers), about, peer))
}
