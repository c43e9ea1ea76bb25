//! The server: one test at a time, as iperf3 does; who comes meanwhile is told that it is busy.
//!
//! Whoever connects has [`PATIENCE`] to say its cookie, and only so many may be about it; a test has limits on its streams,
//! its length and on standing still. What a peer does wrong ends its own test.

use crate::control::{Control, PATIENCE, read_cookie};
use crate::error::{Error, Refusal};
use crate::hub::Hub;
use crate::params::{Flow, Limits, MAX_JSON, Params, Plan, Protocol, Until};
use crate::report;
use crate::results::{self, Results};
use crate::run::{Endpoint, Run, Side};
use crate::signal::Signal;
use crate::state::{Cookie, State};
use crate::tally::Role;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use fata::channel::{Receiver, Sender, bounded};
use fata::net::{self, Buffers, Network, TcpListener, TcpStream};
use fata::spawn;
use fata::time::{Duration, Instant, sleep, timeout};

/// Connections that have not said their cookie yet: for one more, the oldest of them goes.
const MAX_STRANGERS: usize = 160;
/// How long a client may take beyond what it said.
const GRACE: Duration = Duration::from_secs(30);
/// How often is looked whether a test still moves.
const PERIOD: Duration = Duration::from_secs(1);
/// A client that sends so much, and not so long, says that it is done while the last of it is on its way: no longer than this
/// is waited for more.
const QUIET: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(10);

/// What a server is told.
pub struct Settings {
    /// Its port.
    pub port: u16,
    /// What clients may have.
    pub limits: Limits,
    /// A test in which nothing moves for so long is ended.
    pub idle: Duration,
    /// Octets of each connection's buffers.
    pub window: usize,
    /// Where its reports go.
    pub print: Box<dyn Fn(&str)>,
}

/// A server.
pub struct Server {
    network: Network,
    listener: TcpListener,
    settings: Settings,
    current: RefCell<Option<Current>>,
    /// Set for one that has to go.
    strangers: RefCell<VecDeque<Rc<Signal>>>,
}

/// The test that runs: who says this cookie belongs to it.
struct Current {
    cookie: Cookie,
    streams: Sender<TcpStream>,
}

impl Server {
    /// Listens.
    pub fn bind(network: &Network, settings: Settings) -> Result<Rc<Self>, net::Error> {
        let unspecified = core::net::Ipv6Addr::UNSPECIFIED;
        let listener = TcpListener::bind(network, (unspecified, settings.port).into())?;
        listener.set_backlog(MAX_STRANGERS);
        listener.set_buffers(buffers(settings.window));
        Ok(Rc::new(Self {
            network: network.clone(),
            listener,
            settings,
            current: RefCell::default(),
            strangers: RefCell::default(),
        }))
    }

    /// Serves until the listener fails.
    pub async fn serve(self: Rc<Self>) -> Result<(), net::Error> {
        loop {
            let (stream, peer) = self.listener.accept().await?;
            let stranger = Stranger::one_more(&self);
            let server = self.clone();
            spawn(async move { server.meet(stream, peer, stranger).await }).detach();
        }
    }

    /// Finds out whose connection it is.
    async fn meet(self: Rc<Self>, mut stream: TcpStream, peer: SocketAddr, stranger: Stranger) {
        let cookie = match stranger.gone.unless(read_cookie(&mut stream)).await {
            Some(Ok(cookie)) => cookie,
            Some(Err(error)) => return fata::log::debug!("{peer}: no cookie: {error}"),
            None => return stream.abort(),
        };
        let streams = self.current.borrow().as_ref().map(|c| (c.cookie == cookie).then(|| c.streams.clone()));
        match streams {
            // More than were asked for, or too late: closed.
            Some(Some(streams)) => drop(streams.try_send(stream)),
            Some(None) => {
                fata::log::debug!("{peer} is told that a test runs");
                let _ = Control::new(stream).send_state(State::AccessDenied).await;
            }
            None => {
                let (streams, incoming) = bounded(self.settings.limits.streams.max(1) as usize);
                *self.current.borrow_mut() = Some(Current { cookie, streams });
                let _busy = Busy(&self);
                drop(stranger);
                self.test(Control::new(stream), peer, incoming).await;
            }
        }
    }

    /// One test from its parameters to its end.
    async fn test(&self, mut control: Control, peer: SocketAddr, incoming: Receiver<TcpStream>) {
        let outcome = self.try_test(&mut control, peer, incoming).await;
        self.listener.set_buffers(buffers(self.settings.window));
        match outcome {
            Ok((run, theirs)) => {
                (self.settings.print)(&format!("iperf: {}\n", report::server_line(&run, &theirs, peer)));
            }
            Err(error) => {
                (self.settings.print)(&format!("iperf: the test of {peer} ended: {error}\n"));
                if let Some(refusal) = refusal(&error) {
                    let _ = control.send_error(refusal).await;
                }
            }
        }
    }

    async fn try_test(
        &self,
        control: &mut Control,
        peer: SocketAddr,
        incoming: Receiver<TcpStream>,
    ) -> Result<(Rc<Run>, Results), Error> {
        control.send_state(State::ParamExchange).await?;
        let params: Params = control.json(MAX_JSON).await?;
        let plan = Plan::of(&params, self.settings.limits)?;
        let run = Run::new(plan, Side::Server);
        let _closed = Closed(run.clone());
        let hub = self.create_streams(control, peer, &run, incoming).await?;
        control.send_state(State::TestStart).await?;
        run.start()?;
        control.send_state(State::TestRunning).await?;
        self.watch(control, &run).await?;
        run.stop();
        let end = take_the_rest(&run).await;
        run.finish(end);
        run.close();
        drop(hub);
        let theirs = exchange(control, &run, peer).await?;
        Ok((run, theirs))
    }

    /// Lets the client connect its streams, and waits for them.
    async fn create_streams(
        &self,
        control: &mut Control,
        peer: SocketAddr,
        run: &Rc<Run>,
        incoming: Receiver<TcpStream>,
    ) -> Result<Option<Hub>, Error> {
        let roles = roles(&run.plan);
        if run.plan.protocol == Protocol::Udp {
            let hub = Hub::open(&self.network, self.settings.port, peer.ip(), run, roles)
                .map_err(|_| Refusal::Listen)?;
            control.send_state(State::CreateStreams).await?;
            timeout(PATIENCE, hub.all_there()).await.map_err(|_| Refusal::StreamsMissing)?;
            return Ok(Some(hub));
        }
        if let Some(window) = run.plan.window {
            self.listener.set_buffers(buffers(window as usize));
        }
        control.send_state(State::CreateStreams).await?;
        let gather = async {
            for role in roles {
                let Ok(stream) = incoming.recv().await else { return Err(Error::Closed) };
                stream.set_nodelay(run.plan.nodelay);
                run.add(role, Endpoint::Tcp(stream));
            }
            Ok(())
        };
        timeout(PATIENCE, gather).await.map_err(|_| Refusal::StreamsMissing)??;
        Ok(None)
    }

    /// Waits for the client to end the test; ends it itself where it has stopped moving, or goes on for too long.
    async fn watch(&self, control: &mut Control, run: &Run) -> Result<(), Error> {
        let (started, omit) = (Instant::now(), run.plan.omit);
        let longest = match run.plan.until {
            Until::Time(time) if !time.is_zero() => time.saturating_add(omit).saturating_add(GRACE),
            _ => self.settings.limits.longest,
        };
        let mut counts = omit.is_zero();
        let mut moved = (run.octets(), started);
        loop {
            let wait = if counts { PERIOD } else { PERIOD.min(omit.saturating_sub(started.elapsed())) };
            if let Ok(state) = timeout(wait, control.state()).await {
                return match state? {
                    State::TestEnd => Ok(()),
                    State::ClientTerminate => Err(Error::Terminated),
                    other => Err(Error::Unexpected { got: other as i8, expected: "the end" }),
                };
            }
            if !counts && started.elapsed() >= omit {
                run.begin();
                counts = true;
            }
            if run.octets() != moved.0 {
                moved = (run.octets(), Instant::now());
            }
            if moved.1.elapsed() >= self.settings.idle || started.elapsed() > longest {
                return Err(Refusal::Stalled.into());
            }
        }
    }
}

/// Tells the client what was counted, and hears what it has.
async fn exchange(control: &mut Control, run: &Run, peer: SocketAddr) -> Result<Results, Error> {
    control.send_state(State::ExchangeResults).await?;
    let theirs: Results =
        control.json(results::max_json(run.plan.streams())).await.map_err(|error| match error {
            Error::Json(_) | Error::TooLong { .. } => Refusal::Results.into(),
            other => other,
        })?;
    let report = run.plan.server_output.then(|| report::server_text(run, peer));
    control.send_json(&run.results(report)).await?;
    control.send_state(State::DisplayResults).await?;
    // Whether it says goodbye changes nothing any more.
    let _ = timeout(PATIENCE, control.state()).await;
    Ok(theirs)
}

/// The server's end of each stream, in the order in which they are connected: what the client sends comes first.
fn roles(plan: &Plan) -> Vec<Role> {
    let each = plan.parallel as usize;
    match plan.flow {
        Flow::ToServer => vec![Role::Receiver; each],
        Flow::ToClient => vec![Role::Sender; each],
        Flow::Both => [vec![Role::Receiver; each], vec![Role::Sender; each]].concat(),
    }
}

/// Takes what a client has sent before it said that it is done; gives the time when the last of it came.
async fn take_the_rest(run: &Run) -> Instant {
    let now = Instant::now();
    if matches!(run.plan.until, Until::Time(_)) || !run.has(Role::Receiver) {
        return now;
    }
    let mut moved = (run.octets(), now);
    while moved.1.elapsed() < QUIET && now.elapsed() < PATIENCE {
        sleep(LOOK).await;
        if run.octets() != moved.0 {
            moved = (run.octets(), Instant::now());
        }
    }
    moved.1
}

fn buffers(octets: usize) -> Buffers {
    Buffers { receive: octets, send: octets }
}

/// What the client is told of an error, if it is there to be told.
fn refusal(error: &Error) -> Option<Refusal> {
    Some(match error {
        Error::Refused(refusal) => *refusal,
        Error::TooLong { .. } | Error::Json(_) => Refusal::Params,
        Error::Unknown(_) | Error::Unexpected { .. } | Error::Silent(_) => Refusal::Message,
        Error::OutOfMemory => Refusal::StreamsMissing,
        _ => return None,
    })
}

/// A connection that has not said its cookie.
struct Stranger {
    server: Rc<Server>,
    gone: Rc<Signal>,
}

impl Stranger {
    fn one_more(server: &Rc<Server>) -> Self {
        let gone = Rc::<Signal>::default();
        let mut all = server.strangers.borrow_mut();
        all.push_back(gone.clone());
        if all.len() > MAX_STRANGERS
            && let Some(oldest) = all.pop_front()
        {
            oldest.set();
        }
        Self { server: server.clone(), gone }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.server.strangers.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.gone));
    }
}

/// While this is there a test runs.
struct Busy<'a>(&'a Server);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.current.take();
    }
}

/// Closes a test's streams, whatever ends it: its tasks hold it too.
struct Closed(Rc<Run>);

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.close();
    }
}
