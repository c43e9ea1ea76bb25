//! A request's way to a server, and the response's way back.

use crate::backends::{NoServer, Pool, Turn, Wanted, Wire, count};
use crate::balance::Tried;
use crate::config::Config;
use crate::fields;
use crate::front::About;
use crate::hosts::{self, Table};
use crate::networks::Networks;
use crate::pipe;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use fata::http::{Aborted, BodyWriter, Request, RequestContent, Response, Status};
use fata::log::info;
use fata::time::{Duration, Instant, timeout};
use fata_http::client::{Content, RequestHead, ResponseHead};

/// What is copied at once, octets.
pub(crate) const PIECE: usize = 16 * 1024;
/// How long a server may think about whether it wants the content (RFC 9110 section 10.1.1).
const CONTINUE_TIME: Duration = Duration::from_secs(1);
/// Servers that a request goes to, at most.
const TRIES: u32 = 3;

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For a server that owes a response, or more of it.
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
    /// Requests sent to another server, or again.
    pub retried: Cell<u64>,
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
    /// Of each host, the number of its pool.
    pool_of: Vec<usize>,
    /// Of each host, the folder of its certificate.
    certificates: Vec<String>,
    default: Option<usize>,
    times: Times,
    trusted: Networks,
    logs: Logs,
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
            pool_of: config.hosts.iter().map(|host| host.pool).collect(),
            certificates: config.hosts.iter().map(|host| host.certificate.clone()).collect(),
            default: config.default,
            times,
            trusted,
            logs,
            counts: Counts::default(),
        }
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
        let pool = host.and_then(|host| self.pool_of.get(host).copied()).or(self.default)?;
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
                Err(Response::text("this host is not served here\n").status(Status::MISDIRECTED_REQUEST))
            }
            Some(_) if method == "TRACE" => Err(Response::error(Status::METHOD_NOT_ALLOWED)),
            Some(pool) => self.pass_on(&mut request, about, &pool).await,
        };
        let (response, status) = response.unwrap_or_else(|response| {
            let status = response.status_code();
            (response, status)
        });
        if self.logs == Logs::Requests {
            let took = began.elapsed().as_millis();
            info!(target: "access", "{} {method} {path} {} {took} ms", about.source(), status.code());
        }
        response
    }

    async fn pass_on(
        self: &Rc<Self>,
        request: &mut Request<'_>,
        about: &Rc<About>,
        pool: &Rc<Pool>,
    ) -> Result<(Response, Status), Response> {
        let head = self.head(request, about).map_err(|_| Response::error(Status::BAD_REQUEST))?;
        let has_content = request.content_length() != Some(0);
        let is_idempotent = matches!(request.method_name(), "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE");
        let (mut tried, mut wanted, mut tries) = (Tried::default(), Wanted::Any, 0);
        loop {
            let turn = match pool.server(tried).await {
                Ok(turn) => turn,
                Err(NoServer::Down) if !tried.is_empty() => return Err(Response::error(Status::BAD_GATEWAY)),
                Err(why) => {
                    if why == NoServer::Down {
                        count(&self.counts.none_up);
                    }
                    return Err(Response::error(Status::SERVICE_UNAVAILABLE).header("Retry-After", "5"));
                }
            };
            tries += 1;
            let Some((wire, is_reused)) = turn.connect(wanted, about.ends()).await else {
                tried.add(turn.number);
                count(&self.counts.retried);
                if tries >= TRIES.max(pool.servers.len() as u32) {
                    return Err(Response::error(Status::BAD_GATEWAY));
                }
                continue;
            };
            let exchange = Exchange { proxy: self.clone(), turn, wire };
            match exchange.run(request, &head).await {
                Ok(answered) => return Ok(answered),
                // Its server has closed it meanwhile: what it has not answered it has not done, as far as that can be told.
                Err(Failure::Unanswered) if is_reused && is_idempotent && !has_content && tries < TRIES => {
                    count(&self.counts.retried);
                    wanted = Wanted::Fresh;
                }
                Err(Failure::Unanswered | Failure::Broken) => {
                    return Err(Response::error(Status::BAD_GATEWAY));
                }
                Err(Failure::TimedOut) => return Err(Response::error(Status::GATEWAY_TIMEOUT)),
                Err(Failure::Client(error)) => return Err(error),
            }
        }
    }

    /// The request as it goes to a server.
    fn head(
        &self,
        request: &Request<'_>,
        about: &About,
    ) -> Result<RequestHead, fata_http::client::InvalidRequest> {
        let target = match request.query() {
            Some(query) => format!("{}?{query}", request.path()),
            None => request.path().to_string(),
        };
        let mut head = RequestHead::new(request.method_name(), &target)?;
        let is_trusted = self.trusted.has(about.source().ip());
        let authority = request.authority().unwrap_or_default();
        head.field("Host", authority)?;
        for (name, value) in request.headers() {
            let is_ours = name.eq_ignore_ascii_case("Host")
                || name.eq_ignore_ascii_case("Via")
                || name.eq_ignore_ascii_case("X-Forwarded-For");
            let may_say = !fields::is_of_client(name) || is_trusted;
            if !is_ours && may_say && fields::goes_on(name, request.header_values("Connection")) {
                head.field(name, value)?;
            }
        }
        let before =
            |name| request.header_values(name).filter(|_| is_trusted).collect::<Vec<_>>().join(&b", "[..]);
        let joined = |mut before: Vec<u8>, own: &str| {
            if !before.is_empty() {
                before.extend_from_slice(b", ");
            }
            before.extend_from_slice(own.as_bytes());
            before
        };
        let source = about.source().ip().to_canonical().to_string();
        head.field("X-Forwarded-For", joined(before("X-Forwarded-For"), &source))?;
        if !is_trusted || request.header("X-Forwarded-Proto").is_none() {
            head.field("X-Forwarded-Proto", if about.is_tls { "https" } else { "http" })?;
        }
        if !is_trusted || request.header("X-Forwarded-Host").is_none() {
            head.field("X-Forwarded-Host", authority)?;
        }
        let via = request.header_values("Via").collect::<Vec<_>>().join(&b", "[..]);
        head.field("Via", joined(via, "1.1 fata"))?;
        head.content(match request.content_length() {
            Some(0) => Content::None,
            Some(length) => Content::Length(length),
            None => Content::Chunked,
        });
        if request.header("Expect").is_some() {
            head.expect_continue();
        }
        if let Some(protocol) = upgrade(request) {
            head.upgrade(protocol)?;
        }
        Ok(head)
    }
}

/// The protocol that a client wants to go on with: with GET, without content.
fn upgrade<'a>(request: &Request<'a>) -> Option<&'a str> {
    let asks =
        |value: &[u8]| value.split(|&b| b == b',').any(|v| v.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let is_asked = request.method_name() == "GET" && request.content_length() == Some(0);
    let protocol =
        request.header("Upgrade").filter(|_| is_asked && request.header_values("Connection").any(asks))?;
    core::str::from_utf8(protocol).ok().filter(|p| !p.is_empty() && !p.eq_ignore_ascii_case("h2c"))
}

/// Why there is no response.
enum Failure {
    /// The connection ended before anything of it had come.
    Unanswered,
    Broken,
    TimedOut,
    Client(Response),
}

/// A request at a server.
struct Exchange {
    proxy: Rc<Proxy>,
    turn: Turn,
    wire: Wire,
}

/// How the content of a request ended.
enum Upload {
    Whole,
    /// The server takes no more of it.
    Refused,
    Client(Response),
}

/// Sends a request's content.
async fn upload<W: embedded_io_async::Write>(
    request: &mut Request<'_>,
    writer: &mut fata_http::client::RequestWriter<W>,
) -> Upload {
    let mut piece = Vec::new();
    if piece.try_reserve_exact(PIECE).is_err() {
        return Upload::Client(Response::error(Status::SERVICE_UNAVAILABLE));
    }
    piece.resize(PIECE, 0);
    loop {
        match request.read(&mut piece).await {
            Ok(0) => break,
            Ok(n) if writer.write(&piece[..n]).await.is_ok() => {}
            Ok(_) => return Upload::Refused,
            Err(error) => return Upload::Client(error.into()),
        }
    }
    if writer.finish().await.is_ok() { Upload::Whole } else { Upload::Refused }
}

impl Exchange {
    async fn run(
        mut self,
        request: &mut Request<'_>,
        head: &RequestHead,
    ) -> Result<(Response, Status), Failure> {
        let began = Instant::now();
        count(&self.turn.server().counts.requests);
        let answered = self.ask(request, head).await;
        let counts = &self.turn.server().counts;
        match &answered {
            Ok(answer) => {
                counts.waited_us.set(counts.waited_us.get().wrapping_add(began.elapsed().as_micros() as u64));
                let class = usize::from(answer.status().code() / 100).wrapping_sub(1);
                counts.responses.get(class).map(count);
            }
            Err(Failure::Client(_)) => {}
            Err(Failure::TimedOut) => {
                count(&counts.timed_out);
                count(&counts.failed);
            }
            Err(_) => count(&counts.failed),
        }
        let answer = answered?;
        let status = answer.status();
        Ok((self.answer(&answer, request.method_name() == "HEAD"), status))
    }

    /// Sends the request; gives the head of its response.
    async fn ask(&mut self, request: &mut Request<'_>, head: &RequestHead) -> Result<ResponseHead, Failure> {
        let time = self.proxy.times.response;
        let has_content = request.content_length() != Some(0);
        if self.wire.send(head).await.is_err() {
            return Err(Failure::Unanswered);
        }
        if has_content && request.header("Expect").is_some() {
            match timeout(CONTINUE_TIME, self.wire.reader().wait_for_continue()).await {
                Ok(Ok(Some(answer))) => return Ok(answer),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(_)) => return Err(Failure::Broken),
            }
        }
        let (writer, reader) = self.wire.halves();
        if has_content {
            let mut early = None;
            let ended = {
                let mut upload = pin!(upload(request, writer));
                let mut answer = pin!(reader.head());
                poll_fn(|cx| {
                    if early.is_none()
                        && let Poll::Ready(head) = answer.as_mut().poll(cx)
                    {
                        // Who refuses, or fails, need not have all of the content; others get it.
                        let is_enough = head.as_ref().map_or(true, |head| head.status().code() >= 300);
                        early = Some(head);
                        if is_enough {
                            return Poll::Ready(None);
                        }
                    }
                    upload.as_mut().poll(cx).map(Some)
                })
                .await
            };
            match (ended, early) {
                (Some(Upload::Client(response)), _) => return Err(Failure::Client(response)),
                (_, Some(head)) => return head.map_err(|_| Failure::Broken),
                (Some(Upload::Whole | Upload::Refused) | None, None) => {}
            }
        }
        let is_first = match timeout(time, reader.head()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(_)) => reader.is_unanswered(),
            Err(_) => return Err(Failure::TimedOut),
        };
        Err(if is_first { Failure::Unanswered } else { Failure::Broken })
    }

    /// The response as it goes to the client.
    fn answer(mut self, answer: &ResponseHead, is_head: bool) -> Response {
        let status = answer.status();
        let mut response = match status {
            Status::SWITCHING_PROTOCOLS => self.tunnel(answer),
            _ => {
                let length = match is_head {
                    true => answer.field("Content-Length").and_then(|length| length.parse().ok()),
                    false => self.wire.reader().known_rest(),
                };
                let is_empty = self.wire.reader().is_done();
                let stream = async move |body: &mut BodyWriter<'_>| match is_empty {
                    true => Ok(()),
                    false => self.content(body).await,
                };
                match length {
                    Some(length) => Response::sized_stream(length, stream),
                    None => Response::stream(stream),
                }
                .status(status)
            }
        };
        for (name, value) in answer.fields() {
            if !name.eq_ignore_ascii_case("Via") && fields::goes_on(name, answer.fields_of("Connection")) {
                response = response.relayed_header(name, value);
            }
        }
        let mut via = answer.fields_of("Via").collect::<Vec<_>>().join(&b", "[..]);
        via.extend_from_slice(if via.is_empty() { b"1.1 fata" } else { b", 1.1 fata" });
        response.relayed_header("Via", &via)
    }

    /// Passes the content on.
    async fn content(mut self, body: &mut BodyWriter<'_>) -> Result<(), Aborted> {
        let mut piece = Vec::new();
        piece.try_reserve_exact(PIECE).map_err(|_| Aborted)?;
        piece.resize(PIECE, 0);
        loop {
            match timeout(self.proxy.times.response, self.wire.reader().read(&mut piece)).await {
                Ok(Ok(0)) => break,
                Ok(Ok(n)) => body.write(&piece[..n]).await,
                failed => {
                    let counts = &self.turn.server().counts;
                    count(&counts.failed);
                    if failed.is_err() {
                        count(&counts.timed_out);
                    }
                    return Err(Aborted);
                }
            }
        }
        let Self { turn, wire, .. } = self;
        turn.keep(wire);
        Ok(())
    }

    /// Goes on with another protocol.
    fn tunnel(self, answer: &ResponseHead) -> Response {
        let Self { proxy, turn, wire } = self;
        let protocol = answer.field("Upgrade").unwrap_or_default();
        Response::upgrade(protocol, async move |content: RequestContent<'_>, body: &mut BodyWriter<'_>| {
            let upgraded = wire.into_upgraded().ok_or(Aborted)?;
            count(&proxy.counts.upgraded);
            let counts = &proxy.counts.tunnels;
            counts.set(counts.get() + 1);
            let done = pipe::run(content, body, upgraded, proxy.times.tunnel).await;
            counts.set(counts.get() - 1);
            drop(turn);
            done
        })
    }
}
