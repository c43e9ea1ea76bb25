//! The state machine of one connection (RFC 9293): pure logic, with time and segments as inputs.
//!
//! A machine is fed with [`receive`](Machine::receive) and asked with [`transmit`](Machine::transmit) what to send, until
//! that is nothing; at [`deadline`](Machine::deadline) it is asked again. It reads no clock, draws no number and sends nothing,
//! so that each rule is a test of its own and a whole conversation runs in virtual time.
//!
//! Inside: [`seq`] and [`header`] are the wire's terms; [`ring`], [`outgoing`] and [`assembler`] hold octets; [`queue`] is what was sent and
//! not acknowledged; [`rtt`], [`rack`], [`congestion`] (with [`cubic`] and [`hystart`]) and [`pmtu`] judge the path. [`receive`],
//! [`acknowledge`], [`loss`], [`transmit`], [`owner`] and [`lend`] are the machine's own rules.

mod acknowledge;
mod assembler;
mod congestion;
mod cubic;
mod header;
mod hystart;
mod lend;
mod loss;
mod outgoing;
mod owner;
mod pmtu;
mod queue;
mod rack;
mod receive;
mod ring;
mod rtt;
mod seq;
mod spread;
mod synchronize;
#[cfg(test)]
mod tests;
mod told;
mod transmit;

use crate::data::Data;
pub use header::{Flags, Header, Options, Sacks, Timestamp};
#[cfg(not(target_os = "xen"))]
pub use header::{HEADER, Parsed};
#[cfg(not(target_os = "xen"))]
pub use owner::Info;
pub use seq::Seq;
pub use synchronize::{Answered, answer, reopens};
pub(crate) use synchronize::{clock, is_opening, window_scale};
#[cfg(not(target_os = "xen"))]
pub use transmit::Transmit;

use crate::memory::Share;
use assembler::Assembler;
use congestion::Congestion;
use fata_libos::time::{Duration, Instant};
use outgoing::Outgoing;
use pmtu::Pmtu;
use queue::Queue;
use rack::Rack;
use ring::Ring;
use rtt::Rtt;
use spread::{Part, Spread};

/// A timer that is not set.
const NEVER: Instant = Instant::from_nanos(u64::MAX);
/// The IPv4 and TCP headers without options, octets.
const HEADERS: u16 = 40;
/// The timestamps option, octets.
const CLOCKS: u16 = 12;
/// The MSS of a peer that names none (RFC 9293, 3.7.1).
const DEFAULT_MSS: u16 = 536;
/// The smallest MSS that a peer is granted, so that nobody makes this side send crumbs.
const LEAST_MSS: u16 = 48;
/// The window that a new connection offers, octets; it grows with use.
const FIRST_WINDOW: usize = 65_535;
/// What can be written before the congestion window says more, octets.
const FIRST_SEND: usize = 16 << 10;

/// RFC 9293, 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A SYN was sent.
    SynSent,
    /// SYNs went both ways.
    SynReceived,
    /// Data goes both ways.
    Established,
    /// This side has finished.
    FinWait1,
    /// The peer knows that.
    FinWait2,
    /// The peer has finished.
    CloseWait,
    /// Both have finished at once.
    Closing,
    /// Both have finished, the peer first.
    LastAck,
    /// Over; what comes late is answered.
    TimeWait,
    /// Over.
    Closed,
}

impl State {
    /// The name in the RFC.
    pub fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// Whether both sides know each other's first number.
    pub fn is_synchronized(self) -> bool {
        !matches!(self, Self::SynSent | Self::SynReceived | Self::Closed)
    }

    /// Whether the peer has finished.
    pub fn has_peer_finished(self) -> bool {
        matches!(self, Self::CloseWait | Self::Closing | Self::LastAck | Self::TimeWait)
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken, perhaps in part.
    Taken,
    /// It was dropped: outside the window, or a duplicate. Answered where that is due.
    Outside,
    /// It was dropped for its timestamp (RFC 7323, 5).
    Old,
    /// It was not believed: RST, SYN, or the acknowledgement of what was not sent (RFC 5961). Challenged.
    NotBelieved,
    /// It makes no sense here.
    Bad,
    /// It took the connection down.
    Reset,
    /// It is to be answered with a reset that has this number.
    Refused(Seq),
    /// Its data was dropped for want of memory.
    NoMemory,
}

/// What a machine begins with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first sequence number (RFC 6528).
    pub iss: Seq,
    /// The most octets received and not read: the window offered at most.
    pub receive: usize,
    /// By how much the peer was told that windows are shifted, at most 14; where it was not yet, as `receive` needs it.
    pub shift: Option<u8>,
    /// The most octets written and not acknowledged.
    pub send: usize,
    /// The largest IP packet of the interface, octets.
    pub mtu: u16,
    /// Added to the clock of timestamps (RFC 7323, 5.4).
    pub timestamp_offset: u32,
    /// Whether to offer explicit congestion notification (RFC 3168); it is accepted in any case.
    pub ecn: bool,
}

/// The memory that buffers may use: of an account, or as much as there is.
#[derive(Debug, Default)]
pub(crate) struct Account(pub(crate) Option<Share>);

impl Account {
    fn grow(&mut self, octets: usize) -> bool {
        self.0.as_mut().is_none_or(|share| share.grow(octets))
    }

    /// Whether others may need what is left, after so many octets more, more than who has much.
    pub(crate) fn is_scarce(&self, more: usize) -> bool {
        self.0.as_ref().is_some_and(|share| share.is_scarce(more))
    }

    fn shrink(&mut self, octets: usize) {
        if let Some(share) = &mut self.0 {
            share.shrink(octets);
        }
    }
}

/// What goes out (RFC 9293, 3.3.1), and when.
#[derive(Debug)]
struct Sending {
    iss: Seq,
    una: Seq,
    next: Seq,
    /// The number after the last octet that the owner has written.
    end: Seq,
    /// The number after the last that the peer takes.
    edge: Seq,
    /// The segment that last set the window.
    wl1: Seq,
    wl2: Seq,
    /// The largest window there was.
    max_window: u32,
    scale: u8,
    /// Octets of data in a segment.
    mss: u32,
    outgoing: Outgoing,
    /// Octets written and not acknowledged.
    queued: u32,
    most: u32,
    /// No more data comes from the owner.
    finished: bool,
    queue: Queue,
    dup_acks: u32,
    nodelay: bool,
    /// The end of the last segment that was not full.
    small: Seq,
    /// The window was full when this was sent.
    full: Seq,
    /// One octet beyond the peer's window was sent as a probe.
    probing: bool,
    probes: u8,
    pace_at: Instant,
    /// When something was last sent that takes numbers.
    last: Instant,
    rto_at: Instant,
    tlp_at: Instant,
    reorder_at: Instant,
    persist_at: Instant,
    tlp: Option<Tlp>,
    /// One segment may go out whatever the window says.
    force: bool,
    frto: Frto,
    /// The next data carries CWR.
    reduced: bool,
    reset: bool,
    /// When pacing lets the next one out.
    paced_at: Instant,
}

/// A tail loss probe on the way (RFC 8985, 7.3).
#[derive(Clone, Copy, Debug)]
struct Tlp {
    end: Seq,
    again: bool,
}

/// The state of F-RTO (RFC 5682, 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frto {
    No,
    /// The first segment was sent again.
    Begun,
    /// Then something was acknowledged, and new data goes out before anything else: up to this number.
    New(Seq),
}

/// What comes in.
#[derive(Debug)]
struct Receiving {
    irs: Seq,
    next: Seq,
    /// The number after the last that was offered to the peer.
    edge: Seq,
    scale: u8,
    ring: Ring,
    /// Octets in order and not read.
    unread: usize,
    /// So many of those were shown to who used none of them.
    refused: u32,
    assembler: Assembler,
    limit: usize,
    most: usize,
    /// The peer's FIN, where it came before what precedes it.
    fin: Option<Seq>,
    /// The largest segment seen, octets.
    mss: u32,
    /// The number that was last acknowledged.
    acked: Seq,
    ack_now: bool,
    part: Part,
    ack_at: Instant,
    spread: Spread,
    /// Segments yet to be acknowledged at once.
    quick: u8,
    duplicate: Option<(Seq, Seq)>,
    /// When something outside the window is answered next, and when something is challenged.
    outside_from: Instant,
    challenge_from: Instant,
    rtt: Duration,
    /// When the owner's reading was last measured, and octets since.
    tuned: Instant,
    copied: u32,
    /// The most that was read between two measurements, and between the last two, in KiB.
    copied_before: u32,
    flow: u16,
    /// Since when the oldest hole is there, or what was waited for last has come while there were more.
    hole_at: Instant,
    /// Congestion was marked, and the peer has not said yet that it knows.
    marked: bool,
}

/// The clocks of both sides, where both sent one (RFC 7323, 3).
#[derive(Clone, Copy, Debug)]
struct Clocks {
    offset: u32,
    on: bool,
    recent: u32,
    recent_at: Instant,
    /// The last one of this side's that the peer sent back with data.
    echo: u32,
}

/// Counts since the connection began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) repeats: u32,
    pub(crate) timeouts: u32,
    pub(crate) recoveries: u32,
    pub(crate) undone: u32,
    pub(crate) duplicates: u32,
    pub(crate) out_of_order: u32,
    pub(crate) no_memory: u32,
    pub(crate) marks: u32,
    /// Segments that reached the peer after later ones.
    pub(crate) reordered: u32,
    /// Segments that the peer says it got twice.
    pub(crate) twice: u32,
}

/// A connection. See the module.
#[derive(Debug)]
pub struct Machine {
    state: State,
    snd: Sending,
    rcv: Receiving,
    clocks: Clocks,
    sack: bool,
    ecn: bool,
    /// What this side's SYN offers.
    offers: Config,
    rtt: Rtt,
    rack: Rack,
    congestion: Congestion,
    pmtu: Pmtu,
    keep_alive: Option<Duration>,
    heard: Instant,
    asked: Instant,
    counts: Counts,
    pub(crate) account: Account,
}
