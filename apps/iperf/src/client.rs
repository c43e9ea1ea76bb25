//! The client: one test against a server.

use crate::control::{Control, PATIENCE, buffer, send_cookie};
use crate::error::Error;
use crate::params::{Flow, Plan, Protocol, Until};
use crate::report::{Interval, Report};
use crate::results::{self, Results};
use crate::run::{Endpoint, Run, Side};
use crate::state::{Cookie, State};
use crate::tally::Role;
use crate::udp::{ANSWER, HELLO, OLD_ANSWER};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::net::{Ipv6Addr, SocketAddr};
use fata::net::{Buffers, Network, TcpStream, UdpSocket};
use fata::time::{Duration, Instant, timeout};

/// Intervals of which figures are kept: more are not measured.
const MAX_INTERVALS: usize = 3600;
const INTERVAL: Duration = Duration::from_secs(1);
/// What may wait to be received of a stream, octets.
const QUEUE: usize = 1 << 20;

/// What a client is told.
pub struct Settings {
    /// The server.
    pub server: SocketAddr,
    /// What to do.
    pub plan: Plan,
    /// A test in which nothing moves for so long is given up.
    pub idle: Duration,
    /// Octets of each connection's buffers.
    pub window: usize,
}

/// Does it.
pub async fn measure(network: &Network, settings: &Settings) -> Result<Report, Error> {
    let cookie = Cookie::random();
    let mut stream = TcpStream::connect(network, settings.server).await?;
    send_cookie(&mut stream, &cookie).await?;
    let mut control = Control::new(stream);
    let run = Run::new(settings.plan, Side::Client);
    let outcome = test(network, settings, &mut control, &cookie, &run).await;
    run.close();
    if let Err(error) = &outcome
        && !matches!(error, Error::Denied | Error::Server { .. } | Error::Terminated)
    {
        let _ = control.send_state(State::ClientTerminate).await;
    }
    outcome
}

async fn test(
    network: &Network,
    settings: &Settings,
    control: &mut Control,
    cookie: &Cookie,
    run: &Rc<Run>,
) -> Result<Report, Error> {
    let plan = &settings.plan;
    expect(control, State::ParamExchange).await?;
    control.send_json(&plan.to_params()).await?;
    expect(control, State::CreateStreams).await?;
    let mut connected = Vec::new();
    for role in roles(plan) {
        connected.push(match plan.protocol {
            Protocol::Tcp => connect_tcp(network, settings, cookie, role, run).await?,
            Protocol::Udp => connect_udp(network, settings, role, run).await?,
        });
    }
    expect(control, State::TestStart).await?;
    expect(control, State::TestRunning).await?;
    run.start()?;
    let intervals = watch(control, settings, run).await?;
    run.stop();
    run.finish(Instant::now());
    control.send_state(State::TestEnd).await?;
    expect(control, State::ExchangeResults).await?;
    control.send_json(&run.results(None)).await?;
    let theirs: Results = control.json(results::max_json(plan.streams())).await?;
    check_streams(run, &theirs)?;
    expect(control, State::DisplayResults).await?;
    control.send_state(State::IperfDone).await?;
    Ok(Report { run: run.clone(), theirs, intervals, connected, server: settings.server, cookie: *cookie })
}

async fn connect_tcp(
    network: &Network,
    settings: &Settings,
    cookie: &Cookie,
    role: Role,
    run: &Run,
) -> Result<(SocketAddr, SocketAddr), Error> {
    let buffers = Buffers { receive: settings.window, send: settings.window };
    let mut stream = TcpStream::connect_with(network, settings.server, buffers).await?;
    stream.set_nodelay(settings.plan.nodelay);
    send_cookie(&mut stream, cookie).await?;
    let addresses = (stream.local_addr(), stream.peer_addr());
    run.add(role, Endpoint::Tcp(stream));
    Ok(addresses)
}

async fn connect_udp(
    network: &Network,
    settings: &Settings,
    role: Role,
    run: &Run,
) -> Result<(SocketAddr, SocketAddr), Error> {
    let socket = UdpSocket::bind(network, (Ipv6Addr::UNSPECIFIED, 0).into())?;
    socket.set_queue(QUEUE);
    socket.connect(settings.server)?;
    socket.send(&HELLO).await?;
    let mut answer = buffer(settings.plan.block.max(16) as usize)?;
    let answered = async {
        loop {
            // Data that overtakes the answer is none.
            let len = socket.recv(&mut answer).await?;
            if answer[..len] == ANSWER || answer[..len] == OLD_ANSWER {
                return Ok::<_, Error>(());
            }
        }
    };
    timeout(PATIENCE, answered).await.map_err(|_| Error::Silent(PATIENCE.as_secs()))??;
    let addresses = (socket.local_addr(), settings.server);
    run.add(role, Endpoint::Udp(Rc::new(socket), settings.server));
    Ok(addresses)
}

/// Waits until the test is over, and keeps figures of each second.
async fn watch(control: &mut Control, settings: &Settings, run: &Rc<Run>) -> Result<Vec<Interval>, Error> {
    let Plan { until, omit, .. } = settings.plan;
    let mut intervals = Vec::new();
    let mut began = Instant::now();
    let mut counts = omit.is_zero();
    let (mut last, mut moved) = ((run.octets(), began), began);
    loop {
        let now = Instant::now();
        if !counts && now >= began + omit {
            run.begin();
            (counts, began, last) = (true, now, ((0, 0), now));
        }
        let end = match until {
            Until::Time(time) if counts => Some(began + time),
            _ if !counts => Some(began + omit),
            _ => None,
        };
        if counts && end.is_some_and(|end| now >= end) {
            keep(&mut intervals, began, last, (run.octets(), now));
            return Ok(intervals);
        }
        let wake = end.unwrap_or(last.1 + INTERVAL).min(last.1 + INTERVAL);
        let heard = timeout(wake.duration_since(now), first(run.done(), control.state())).await;
        match heard {
            Ok(None) => {
                if let Some(failure) = run.failure() {
                    return Err(said_on(control, failure).await);
                }
                keep(&mut intervals, began, last, (run.octets(), Instant::now()));
                return Ok(intervals);
            }
            Ok(Some(state)) => return Err(unexpected(control, state?, "the end").await),
            Err(_) => {}
        }
        let now = Instant::now();
        if run.octets() != last.0 {
            moved = now;
        } else if now.duration_since(moved) >= settings.idle {
            return Err(Error::Silent(settings.idle.as_secs()));
        }
        if now.duration_since(last.1) >= INTERVAL {
            if counts {
                keep(&mut intervals, began, last, (run.octets(), now));
            }
            last = (run.octets(), now);
        }
    }
}

type Seen = ((u64, u64), Instant);

fn keep(intervals: &mut Vec<Interval>, began: Instant, from: Seen, to: Seen) {
    if intervals.len() < MAX_INTERVALS && to.1 > from.1 {
        let seconds = |at: Instant| at.duration_since(began).as_secs_f64();
        intervals.push(Interval {
            start: seconds(from.1),
            end: seconds(to.1),
            sent: to.0.0.saturating_sub(from.0.0),
            received: to.0.1.saturating_sub(from.0.1),
        });
    }
}

/// `None` when the first is done, or what the second gives.
async fn first<T>(one: impl Future<Output = ()>, other: impl Future<Output = T>) -> Option<T> {
    let (mut one, mut other) = (core::pin::pin!(one), core::pin::pin!(other));
    core::future::poll_fn(|cx| {
        if one.as_mut().poll(cx).is_ready() {
            return core::task::Poll::Ready(None);
        }
        other.as_mut().poll(cx).map(Some)
    })
    .await
}

/// A stream that has failed: the server may say why.
async fn said_on(control: &mut Control, failure: Error) -> Error {
    match timeout(Duration::from_secs(1), control.state()).await {
        Ok(Ok(state)) => unexpected(control, state, "the end").await,
        _ => failure,
    }
}

async fn expect(control: &mut Control, wanted: State) -> Result<(), Error> {
    let state = timeout(PATIENCE, control.state()).await.map_err(|_| Error::Silent(PATIENCE.as_secs()))??;
    if state == wanted { Ok(()) } else { Err(unexpected(control, state, "the next step").await) }
}

/// What another message than the one that was to come means.
async fn unexpected(control: &mut Control, state: State, expected: &'static str) -> Error {
    match state {
        State::AccessDenied => Error::Denied,
        State::ServerTerminate => Error::Terminated,
        State::ServerError => control.server_error().await,
        other => Error::Unexpected { got: other as i8, expected },
    }
}

/// The client's end of each stream: what it sends comes first.
fn roles(plan: &Plan) -> impl Iterator<Item = Role> {
    let (send, receive) = match plan.flow {
        Flow::ToServer => (plan.parallel, 0),
        Flow::ToClient => (0, plan.parallel),
        Flow::Both => (plan.parallel, plan.parallel),
    };
    let roles = core::iter::repeat_n(Role::Sender, send as usize);
    roles.chain(core::iter::repeat_n(Role::Receiver, receive as usize))
}

/// The server has a figure of each stream, and of no other.
fn check_streams(run: &Run, theirs: &Results) -> Result<(), Error> {
    let ours = run.streams();
    let is_ours = |id| ours.iter().any(|tally| tally.id == id);
    if let Some(other) = theirs.streams.iter().find(|stream| !is_ours(stream.id)) {
        return Err(Error::Stream(other.id));
    }
    let is_theirs = |id| theirs.streams.iter().any(|stream| stream.id == id);
    ours.iter().find(|tally| !is_theirs(tally.id)).map_or(Ok(()), |tally| Err(Error::Stream(tally.id)))
}
