//! A request's way to a server: whose it is, which servers it is sent to, and how often.

use crate::backends::{Used, Wire, count};
use crate::balance::Tried;
use crate::config::Config;
use crate::exchange::{Exchange, Failure};
use crate::fields;
use crate::front::About;
use crate::hosts::{self, Table};
use crate::kept::For;
use crate::networks::Networks;
use crate::pool::{NoServer, Pool, Turn};
use crate::queue;
use crate::request::{self, Outgoing};
use crate::shares::Client;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use fata::entropy;
use fata::http::{Request, Response, Status};
use fata::log::info;
use fata::time::{Duration, Instant};

/// How often a request is sent, at most.
const TRIES: u32 = 3;
/// The methods that are passed on, where a client asks.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For a server that owes a response, or more of it, or is to take more of a request.
    pub response: Duration,
    /// For either side of a connection with another protocol.
    pub tunnel: Duration,
}

/// What is counted of all requests.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests for hosts that are not served here, or not over that connection.
    pub misdirected: Cell<u64>,
    /// Requests for which no server was up.
    pub none_up: Cell<u64>,
    /// Requests that had been here before.
    pub loops: Cell<u64>,
    /// Requests sent to another server, or again.
    pub retried: Cell<u64>,
    /// Requests that found no memory here.
    pub no_memory: Cell<u64>,
    /// Connections that went on with another protocol.
    pub upgraded: Cell<u64>,
    /// Those of them that are open.
    pub tunnels: Cell<u64>,
}

/// The proxy.
pub struct Proxy {
    /// Its pools.
    pub pools: Vec<Rc<Pool>>,
    hosts: Table<usize>,
    /// Of each host, its names and the number of its pool.
    names: Vec<(Vec<String>, usize)>,
    /// Of each host, the folder of its certificate.
    certificates: Vec<String>,
    default: Option<usize>,
    pub(crate) times: Times,
    trusted: Networks,
    logs: Logs,
    /// What it is called in `Via`: another name for each guest and start, so that it knows its own from those of others (RFC 9110 section 7.6.3).
    pub(crate) name: String,
    /// What is counted.
    pub counts: Counts,
}

/// Whether each request is a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logs {
    /// It is.
    Requests,
    /// It is not.
    Nothing,
}

impl Proxy {
    /// As configured.
    pub fn new(config: &Config, pools: Vec<Rc<Pool>>, times: Times, trusted: Networks, logs: Logs) -> Self {
        let mut hosts = Table::default();
        for (n, host) in config.hosts.iter().enumerate() {
            host.names.iter().for_each(|name| {
                hosts.add(name, n);
            });
        }
        Self {
            pools,
            hosts,
            names: config.hosts.iter().map(|host| (host.names.clone(), host.pool)).collect(),
            certificates: config.hosts.iter().map(|host| host.certificate.clone()).collect(),
            default: config.default,
            times,
            trusted,
            logs,
            name: own_name(),
            counts: Counts::default(),
        }
    }

    /// The names of each host, and its pool; those of the pool for all others are none.
    pub fn hosts(&self) -> impl Iterator<Item = (&[String], &Rc<Pool>)> {
        let named = self.names.iter().map(|(names, pool)| (&names[..], *pool));
        let all = named.chain(self.default.map(|pool| (&[][..], pool)));
        all.filter_map(|(names, pool)| Some((names, self.pools.get(pool)?)))
    }

    /// The pool of a request, unless it is for a host that is not served here, or not over this connection (RFC 9110 section 15.5.20):
    /// one whose certificate the client has not been shown.
    fn pool(&self, authority: Option<&[u8]>, about: &About) -> Option<&Rc<Pool>> {
        let name = authority.and_then(hosts::name);
        let host = name.as_deref().and_then(|name| self.hosts.find(name));
        let certificate = |host: Option<usize>| self.certificates.get(host.unwrap_or(0));
        let shown = certificate(about.server_name().and_then(|name| self.hosts.find(name)));
        if about.is_tls && host.is_some() && certificate(host) != shown {
            return None;
        }
        let pool = host.and_then(|host| self.names.get(host)).map(|(_, pool)| *pool).or(self.default)?;
        self.pools.get(pool)
    }

    /// Answers a request.
    pub async fn handle(self: &Rc<Self>, mut request: Request<'_>) -> Response {
        let Some(about) = request.about::<Rc<About>>() else {
            return Response::error(Status::INTERNAL_SERVER_ERROR);
        };
        let began = Instant::now();
        let (method, path) = (request.method_name().to_string(), request.path().to_string());
        let response = match self.pool(request.authority(), about).cloned() {
            None => {
                count(&self.counts.misdirected);
                Response::text("this host is not served here\n").status(Status::MISDIRECTED_REQUEST)
            }
            // What a client has sent is not shown to whoever made it send that (RFC 9110 section 9.3.8).
            Some(_) if method == "TRACE" => {
                Response::error(Status::METHOD_NOT_ALLOWED).header("Allow", METHODS)
            }
            // Servers that lead back here would have it go round until its head is too large.
            Some(_) if fields::has_passed(request.header_values("Via"), &self.name) => {
                count(&self.counts.loops);
                Response::error(Status::LOOP_DETECTED)
            }
            // It is meant for whom it finds with that (RFC 9110 section 7.6.2).
            Some(_) if method == "OPTIONS" && request::is_last(&request) => {
                Response::new(Status::NO_CONTENT).header("Allow", METHODS)
            }
            Some(pool) => {
                let passed_on = self.pass_on(&mut request, about, &pool).await;
                passed_on.unwrap_or_else(|response| response)
            }
        };
        if self.logs == Logs::Requests {
            let (status, took) = (response.status_code().code(), began.elapsed().as_millis());
            info!(target: "access", "{} {method} {path} {status} {took} ms", about.source());
        }
        response
    }

    /// The response of a server; an error is one of our own.
    async fn pass_on(
        self: &Rc<Self>,
        request: &mut Request<'_>,
        about: &Rc<About>,
        pool: &Rc<Pool>,
    ) -> Result<Response, Response> {
        let is_trusted = self.trusted.has(about.source().ip());
        let outgoing = request::outgoing(request, about, is_trusted, &self.name)
            .map_err(|_| Response::error(Status::BAD_REQUEST))?;
        // Nobody takes a place for content that does not come; who is asked for it may be asked by the server alone.
        if outgoing.has_content && !outgoing.expects_continue {
            request.wait_for_content().await?;
        }
        // Who speaks for others has what they have together.
        let client = (!is_trusted).then(|| Client::of(about.source().ip()));
        let began = Instant::now();
        let (mut tried, mut wanted, mut tries) = (Tried::default(), Wanted::Any, 0);
        loop {
            let turn = pool.server(queue::Wanted { tried, client }).await;
            let turn = turn.map_err(|why| self.no_server(why, tried))?;
            if !outgoing.protocols.is_empty() && !turn.may_tunnel() {
                turn.turn_away();
                return Err(unavailable());
            }
            tries += 1;
            let (wire, used) = match self.wire(&turn, wanted, about, &outgoing).await {
                Ok(wire) => wire,
                Err(NoWire::Own) => return Err(self.no_memory()),
                Err(NoWire::Unreachable) => {
                    tried.add(turn.number);
                    if tries >= TRIES && began.elapsed() >= pool.connect_time {
                        return Err(Response::error(Status::BAD_GATEWAY));
                    }
                    count(&self.counts.retried);
                    continue;
                }
            };
            match Exchange::new(self.clone(), turn, wire, used).run(request, &outgoing).await {
                Ok(response) => return Ok(response),
                // Its server has closed it meanwhile: what it has not answered it has not done, as far as that can be told.
                Err(Failure::Unanswered)
                    if used == Used::Before && outgoing.is_repeatable && tries < TRIES =>
                {
                    count(&self.counts.retried);
                    wanted = Wanted::Fresh;
                }
                Err(Failure::Unanswered | Failure::Broken) => {
                    return Err(Response::error(Status::BAD_GATEWAY));
                }
                Err(Failure::TimedOut) => return Err(Response::error(Status::GATEWAY_TIMEOUT)),
                Err(Failure::NoMemory) => return Err(self.no_memory()),
                Err(Failure::NoTunnel) => return Err(unavailable()),
                Err(Failure::Client(error)) => return Err(error.into()),
            }
        }
    }

    async fn wire(
        &self,
        turn: &Turn,
        wanted: Wanted,
        about: &About,
        outgoing: &Outgoing,
    ) -> Result<(Wire, Used), NoWire> {
        let once = if outgoing.is_repeatable { For::Repeatable } else { For::Once };
        if let Some(wire) = Some(once).filter(|_| wanted == Wanted::Any).and_then(|once| turn.kept(once)) {
            return Ok((wire, Used::Before));
        }
        match turn.connect(about.ends()).await {
            Ok(wire) => Ok((wire, Used::Never)),
            Err(fault) if fault.is_own() => Err(NoWire::Own),
            Err(_) => Err(NoWire::Unreachable),
        }
    }

    fn no_server(&self, why: NoServer, tried: Tried) -> Response {
        match why {
            NoServer::Down if !tried.is_empty() => return Response::error(Status::BAD_GATEWAY),
            NoServer::Down => count(&self.counts.none_up),
            NoServer::Full | NoServer::Waited => {}
        }
        unavailable()
    }

    fn no_memory(&self) -> Response {
        count(&self.counts.no_memory);
        unavailable()
    }
}

fn own_name() -> String {
    let mut octets = [0; 4];
    // Without random octets there would be no TLS either.
    let _ = entropy::try_fill(&mut octets);
    format!("fata-{:08x}", u32::from_be_bytes(octets))
}

fn unavailable() -> Response {
    Response::error(Status::SERVICE_UNAVAILABLE).header("Retry-After", "5")
}

/// Which connection will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Any.
    Any,
    /// One that has not been used.
    Fresh,
}

/// Why there is no connection.
enum NoWire {
    /// This guest can make none now.
    Own,
    /// The server takes none.
    Unreachable,
}
