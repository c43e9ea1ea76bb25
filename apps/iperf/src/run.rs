//! A test while it runs: its streams, each with a task that sends or receives, and what they count.

use crate::control::buffer;
use crate::error::Error;
use crate::pace::Pace;
use crate::params::{Plan, Protocol, Until};
use crate::results::{Results, StreamResults};
use crate::signal::Signal;
use crate::tally::{Role, Tally};
use crate::udp;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::pending;
use core::net::SocketAddr;
use fata::net::{Shared, TcpStream, UdpSocket};
use fata::spawn;
use fata::task::{Task, yield_now};
use fata::time::{Duration, Instant, sleep_until};

/// What is written at once at most, octets: blocks may be larger.
const PIECE: usize = 128 << 10;
/// Datagrams that are taken at once at most.
const DATAGRAMS: usize = 64;
/// After so many turns in a row a task lets the others run.
const TURNS: u32 = 16;

/// Which side of a test this is. The client is the one that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It asks.
    Client,
    /// It does what it is asked for.
    Server,
}

/// Where a stream's data goes or comes from.
pub enum Endpoint {
    /// A connection.
    Tcp(TcpStream),
    /// A socket that is this stream's alone, or all streams' where the server sends, and the peer.
    Udp(Rc<UdpSocket>, SocketAddr),
    /// Somebody else receives and counts.
    Elsewhere,
}

/// A test while it runs.
pub struct Run {
    /// What was asked for.
    pub plan: Plan,
    side: Side,
    /// Senders are to stop.
    stop: Signal,
    /// The client's limit is reached, or a stream has failed.
    done: Signal,
    failure: RefCell<Option<Error>>,
    streams: RefCell<Vec<Rc<Tally>>>,
    endpoints: RefCell<Vec<(Rc<Tally>, Endpoint)>>,
    tasks: RefCell<Vec<Task<()>>>,
    counts: Cell<bool>,
    began: Cell<Instant>,
    ended: Cell<Option<Instant>>,
    /// Octets and blocks of all streams, from where they count.
    octets: Cell<(u64, u64)>,
    blocks: Cell<u64>,
}

impl Run {
    /// Of a test without streams yet.
    pub fn new(plan: Plan, side: Side) -> Rc<Self> {
        Rc::new(Self {
            plan,
            side,
            stop: Signal::default(),
            done: Signal::default(),
            failure: RefCell::default(),
            streams: RefCell::default(),
            endpoints: RefCell::default(),
            tasks: RefCell::default(),
            counts: Cell::new(true),
            began: Cell::new(Instant::now()),
            ended: Cell::default(),
            octets: Cell::default(),
            blocks: Cell::default(),
        })
    }

    /// Adds a stream; streams have numbers in their order.
    pub fn add(&self, role: Role, endpoint: Endpoint) -> Rc<Tally> {
        let mut streams = self.streams.borrow_mut();
        let tally = Rc::new(Tally::new(crate::state::stream_id(streams.len()), role));
        streams.push(tally.clone());
        self.endpoints.borrow_mut().push((tally.clone(), endpoint));
        tally
    }

    /// Lets all streams go.
    pub fn start(self: &Rc<Self>) -> Result<(), Error> {
        self.began.set(Instant::now());
        let endpoints = self.endpoints.take();
        let piece = match self.plan.protocol {
            Protocol::Tcp => PIECE.min(self.plan.block as usize),
            Protocol::Udp => self.plan.block as usize,
        };
        let pattern = Shared::from(self.pattern(piece)?);
        for (tally, endpoint) in endpoints {
            let run = self.clone();
            let task = match (endpoint, tally.role) {
                (Endpoint::Elsewhere, _) => continue,
                (Endpoint::Tcp(stream), Role::Sender) => spawn(run.send_tcp(tally, stream, pattern.clone())),
                (Endpoint::Tcp(stream), Role::Receiver) => spawn(run.receive_tcp(tally, stream)),
                (Endpoint::Udp(socket, peer), Role::Sender) => spawn(run.send_udp(tally, socket, peer)),
                (Endpoint::Udp(socket, _), Role::Receiver) => spawn(run.receive_udp(tally, socket)),
            };
            self.tasks.borrow_mut().push(task);
        }
        Ok(())
    }

    /// What is sent: digits, as iperf3 has it.
    fn pattern(&self, len: usize) -> Result<Vec<u8>, Error> {
        let mut octets = buffer(len)?;
        octets.iter_mut().zip((b'0'..=b'9').cycle()).for_each(|(octet, digit)| *octet = digit);
        Ok(octets)
    }

    /// From now on it counts: the time to omit is over.
    pub fn begin(&self) {
        self.streams.borrow().iter().for_each(|tally| tally.begin());
        self.octets.set((0, 0));
        self.blocks.set(0);
        self.began.set(Instant::now());
    }

    /// Waits until the client's limit is reached or a stream has failed.
    pub async fn done(&self) {
        self.done.wait().await;
    }

    /// What has failed, if anything.
    pub fn failure(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    /// Senders stop; what comes is still taken.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Nothing counts any more: it was over at `end`.
    pub fn finish(&self, end: Instant) {
        self.counts.set(false);
        self.ended.set(Some(end));
    }

    /// Closes all streams.
    pub fn close(&self) {
        self.tasks.take();
    }

    /// Seconds that count.
    pub fn seconds(&self) -> f64 {
        let end = self.ended.get().unwrap_or_else(Instant::now);
        end.duration_since(self.began.get()).as_secs_f64()
    }

    /// Octets sent and received so far, from where they count.
    pub fn octets(&self) -> (u64, u64) {
        self.octets.get()
    }

    /// Each stream's figures.
    pub fn streams(&self) -> Vec<Rc<Tally>> {
        self.streams.borrow().clone()
    }

    /// What the other side is told.
    pub fn results(&self, report: Option<String>) -> Results {
        let seconds = self.seconds();
        let streams: Vec<StreamResults> =
            self.streams.borrow().iter().map(|tally| tally.results(seconds)).collect();
        Results {
            sender_has_retransmits: self.counts_retransmits(),
            server_output_text: report,
            streams,
            ..Results::default()
        }
    }

    /// 1: this side sends and counts what it sends again; 0: it sends datagrams; -1: it does not send.
    fn counts_retransmits(&self) -> f64 {
        match (self.has(Role::Sender), self.plan.protocol) {
            (false, _) => -1.0,
            (true, Protocol::Tcp) => 1.0,
            (true, Protocol::Udp) => 0.0,
        }
    }

    /// Whether this side sends, or receives.
    pub fn has(&self, role: Role) -> bool {
        self.streams.borrow().iter().any(|tally| tally.role == role)
    }

    /// Counts what has come on a stream.
    pub fn received(&self, tally: &Tally, octets: usize) {
        if !self.counts.get() {
            return;
        }
        tally.add(octets);
        let (sent, received) = self.octets.get();
        self.octets.set((sent, received + octets as u64));
        if self.plan.protocol == Protocol::Udp {
            self.blocks.set(self.blocks.get() + 1);
        } else if !self.has_sent() {
            self.blocks.set((received + octets as u64) / u64::from(self.plan.block.max(1)));
        }
        self.check_limit();
    }

    /// Counts a datagram that has come.
    pub fn datagram(&self, tally: &Tally, datagram: &[u8]) {
        if !self.counts.get() {
            return;
        }
        // One without a number is a late answer to the first one, or a stranger's.
        let Some((sent, number)) = udp::read_header(datagram, self.plan.counter) else { return };
        tally.arrived(sent, number, Duration::from_nanos(Instant::now().as_nanos()));
        self.received(tally, datagram.len());
    }

    fn has_sent(&self) -> bool {
        self.octets.get().0 > 0
    }

    fn sent(&self, tally: &Tally, octets: usize) {
        tally.add(octets);
        let (sent, received) = self.octets.get();
        self.octets.set((sent + octets as u64, received));
    }

    fn sent_block(&self) {
        self.blocks.set(self.blocks.get() + 1);
    }

    /// Whether the client has what it wanted; says so.
    fn check_limit(&self) -> bool {
        let (sent, received) = self.octets.get();
        let reached = self.side == Side::Client
            && match self.plan.until {
                Until::Time(_) => false,
                Until::Octets(octets) => sent >= octets || received >= octets,
                Until::Blocks(blocks) => self.blocks.get() >= blocks,
            };
        if reached && !self.done.is_set() {
            self.done.set();
        }
        reached
    }

    fn fail(&self, error: Error) {
        self.failure.borrow_mut().get_or_insert(error);
        self.done.set();
    }

    async fn send_tcp(self: Rc<Self>, tally: Rc<Tally>, mut stream: TcpStream, pattern: Shared) {
        let block = self.plan.block as usize;
        let mut pace = Pace::new(self.plan.bitrate, Instant::now());
        let (mut in_block, mut turns) = (0, 0);
        tally.sent_again(stream.retransmits());
        while !self.stop.is_set() && !self.check_limit() {
            if in_block == 0 && self.has_waited(&pace).await {
                continue;
            }
            // It is the same again and again, so that it is sent from where it is.
            let piece = 0..pattern.len().min(block - in_block);
            let len = match self.stop.unless(stream.write_shared(&pattern, piece)).await {
                None => break,
                Some(Ok(len)) => len,
                Some(Err(error)) => {
                    self.fail(error.into());
                    break;
                }
            };
            self.sent(&tally, len);
            in_block += len;
            if in_block == block {
                in_block = 0;
                tally.sent_again(stream.retransmits());
                self.sent_block();
                if pace.is_limited() {
                    pace.sent(block, Instant::now());
                }
            }
            take_turns(&mut turns).await;
        }
        tally.sent_again(stream.retransmits());
        // The connection stays open until the test is over.
        pending().await
    }

    async fn receive_tcp(self: Rc<Self>, tally: Rc<Tally>, mut stream: TcpStream) {
        let mut turns = 0;
        loop {
            // What comes is only counted, where it lies.
            match stream.read_with(|octets| (octets.len(), octets.len())).await {
                Ok(0) => break,
                Ok(len) => self.received(&tally, len),
                Err(error) => {
                    self.fail(error.into());
                    break;
                }
            }
            take_turns(&mut turns).await;
        }
        pending().await
    }

    async fn send_udp(self: Rc<Self>, tally: Rc<Tally>, socket: Rc<UdpSocket>, peer: SocketAddr) {
        let len = self.plan.block as usize;
        let mut pace = Pace::new(self.plan.bitrate, Instant::now());
        let mut turns = 0;
        while !self.stop.is_set() && !self.check_limit() {
            if self.has_waited(&pace).await {
                continue;
            }
            let now = Instant::now();
            let (time, number) = (Duration::from_nanos(now.as_nanos()), tally.next_number());
            // Behind the header are zeros: nobody looks at them, and written in the device's own memory there is nothing to copy.
            let write = |datagram: &mut [u8]| udp::write_header(datagram, time, number, self.plan.counter);
            match self.stop.unless(socket.send_with(len, peer, write)).await {
                None => break,
                Some(Ok(())) => self.sent(&tally, len),
                Some(Err(error)) => {
                    self.fail(error.into());
                    break;
                }
            }
            self.sent_block();
            pace.sent(len, now);
            take_turns(&mut turns).await;
        }
        pending().await
    }

    async fn receive_udp(self: Rc<Self>, tally: Rc<Tally>, socket: Rc<UdpSocket>) {
        loop {
            // What comes is only counted, where it lies.
            if let Err(error) =
                socket.recv_many(DATAGRAMS, |datagram, _| self.datagram(&tally, datagram)).await
            {
                self.fail(error.into());
                break;
            }
            yield_now().await;
        }
        pending().await
    }

    /// Waits until the next block is due, if it is not yet.
    async fn has_waited(&self, pace: &Pace) -> bool {
        if !pace.is_limited() {
            return false;
        }
        let Some(due) = pace.wait(Instant::now()) else { return false };
        self.stop.unless(sleep_until(due)).await;
        true
    }
}

/// A task that always has something to do lets the others run now and then.
async fn take_turns(turns: &mut u32) {
    *turns += 1;
    if turns.is_multiple_of(TURNS) {
        yield_now().await;
    }
}
