//! A network in memory for tests: Ethernet devices on a hub that may lose, double, reorder and delay frames.
//!
//! Use it in [`fata_libos::testing::run`]: all delays are virtual time.

mod cut;

/// The TCP state machine, by itself.
pub mod tcp {
    pub use crate::tcp::machine::{
        Answered, Config, Flags, HEADER, Header, Info, Machine, Options, Parsed, Sacks, Seq, State,
        Timestamp, Transmit, Verdict, answer, reopens,
    };
}

use core::cell::RefCell;
use core::task::{Context, Poll, Waker};
use fata_libos::net::{
    Arrived, Checksum, MacAddress, NetCounters, NetDevice, Octets, Offloads, Received, Take, TransmitError,
    TransmitMeta,
};
use fata_libos::spawn;
use fata_libos::time::{Duration, Instant, sleep, sleep_until};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What a hub does to frames: so many of 10,000, and times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Lost.
    pub lose: u32,
    /// Delivered twice.
    pub double: u32,
    /// Held back for a millisecond, so that later ones overtake.
    pub reorder: u32,
    /// One bit turned over.
    pub corrupt: u32,
    /// The time on the wire.
    pub delay: Duration,
}

/// A frame as it travels, and what is known of its checksum.
type Frame = (Vec<u8>, Checksum);

/// The longest frame, an IP packet of its greatest length.
const LONGEST: usize = 14 + 65_535;

struct Shared {
    ports: Vec<Port>,
    faults: Faults,
    seed: u64,
    travelling: BTreeMap<(Instant, u64), (usize, Frame)>,
    count: u64,
    courier: Option<Waker>,
    seen: Option<Vec<Vec<u8>>>,
}

struct Port {
    mac: MacAddress,
    mtu: usize,
    offload: bool,
    /// The most data of TCP in a frame to be cut up; 0 where frames end with the MTU, in both directions.
    large: usize,
    up: bool,
    changed: bool,
    arrived: VecDeque<Frame>,
    /// Frames taken and not yet flushed, with the data of each segment where they are to be cut up; more than `room` are refused.
    taken: Vec<(Frame, usize)>,
    room: usize,
    /// How long what was flushed takes up room.
    turn: Duration,
    leaving: usize,
    /// Flushes that had frames.
    flushes: u64,
    waker: Option<Waker>,
    counters: NetCounters,
    /// Frames whose octets were taken where they are.
    placed: u64,
    /// What is copied whole is what its sender has made of it since it was looked at.
    treacherous: bool,
}

/// A frame whose sender writes its headers anew as soon as they have been read.
struct Shifting(RefCell<(Vec<u8>, bool)>);

/// The headers of a segment of TCP from here, with its clocks, octets.
const HEADERS: usize = 66;

impl Octets for Shifting {
    fn read(&self, at: usize, into: &mut [u8]) {
        let (frame, is_read) = &mut *self.0.borrow_mut();
        into.copy_from_slice(&frame[at..at + into.len()]);
        if !std::mem::replace(is_read, true) {
            let end = frame.len().min(HEADERS);
            frame[..end].fill(0xee);
        }
    }
}

/// Frames on the wire at once, per port; as a back end, it drops the rest.
const BUFFER: usize = 4096;

/// A hub. Clones are the same hub.
#[derive(Clone)]
pub struct Hub(Rc<RefCell<Shared>>);

impl Default for Hub {
    fn default() -> Self {
        Self::new(Faults::default())
    }
}

impl Hub {
    /// A hub with those faults.
    pub fn new(faults: Faults) -> Self {
        let shared = Shared {
            ports: Vec::new(),
            faults,
            seed: 1,
            travelling: BTreeMap::new(),
            count: 0,
            courier: None,
            seen: None,
        };
        let hub = Self(Rc::new(RefCell::new(shared)));
        spawn(hub.clone().deliver()).detach();
        hub
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Begins another row of chances; not zero.
    pub fn set_seed(&self, seed: u64) {
        self.0.borrow_mut().seed = seed;
    }

    /// Keeps a copy of all frames from now on.
    pub fn capture(&self) {
        self.0.borrow_mut().seen = Some(Vec::new());
    }

    /// The frames captured so far, which are forgotten.
    pub fn captured(&self) -> Vec<Vec<u8>> {
        self.0.borrow_mut().seen.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// A device on the hub, with the hardware address 02:00:00:00:00:`n`. With `offload` it leaves checksums half done in
    /// both directions, as guests of one host do.
    pub fn device(&self, n: u8, offload: bool) -> Device {
        let mut hub = self.0.borrow_mut();
        hub.ports.push(Port {
            mac: MacAddress([2, 0, 0, 0, 0, n]),
            mtu: 1500,
            offload,
            large: 0,
            up: true,
            changed: true,
            arrived: VecDeque::new(),
            taken: Vec::new(),
            room: 64,
            turn: Duration::ZERO,
            leaving: 0,
            flushes: 0,
            waker: None,
            counters: NetCounters::default(),
            placed: 0,
            treacherous: false,
        });
        Device { hub: self.clone(), port: hub.ports.len() - 1 }
    }

    /// Plugs a port's cable in or out.
    pub fn set_up(&self, port: usize, up: bool) {
        let mut hub = self.0.borrow_mut();
        let port = &mut hub.ports[port];
        port.up = up;
        port.changed = true;
        port.arrived.clear();
        wake(&mut port.waker);
    }

    /// Frames that arrived at a port and were taken octet by octet, not whole.
    pub fn placed(&self, port: usize) -> u64 {
        self.0.borrow().ports[port].placed
    }

    /// How often a port was told that there are frames to send.
    pub fn flushes(&self, port: usize) -> u64 {
        self.0.borrow().ports[port].flushes
    }

    /// From now on frames that arrive at a port are changed between the look at them and the copy of the whole.
    pub fn set_treacherous(&self, port: usize) {
        self.0.borrow_mut().ports[port].treacherous = true;
    }

    /// Puts a frame on the wire, as a stranger on the hub would.
    pub fn inject(&self, frame: &[u8]) {
        self.inject_with(frame, Checksum::Complete);
    }

    /// The same, with what is said of the frame's checksum.
    pub fn inject_with(&self, frame: &[u8], checksum: Checksum) {
        self.0.borrow_mut().travel(usize::MAX, (frame.to_vec(), checksum), 0);
    }

    async fn deliver(self) {
        loop {
            let next = self.0.borrow().travelling.first_key_value().map(|(k, _)| k.0);
            let mut sleep = next.map(sleep_until);
            core::future::poll_fn(|cx| {
                let mut hub = self.0.borrow_mut();
                hub.courier = Some(cx.waker().clone());
                let first = hub.travelling.first_key_value().map(|(k, _)| k.0);
                drop(hub);
                if first != next {
                    return Poll::Ready(());
                }
                match &mut sleep {
                    Some(sleep) => core::future::Future::poll(core::pin::Pin::new(sleep), cx),
                    None => Poll::Pending,
                }
            })
            .await;
            self.0.borrow_mut().arrive(Instant::now());
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

impl Shared {
    /// Xorshift: the same faults in every run.
    fn chance(&mut self, of_10_000: u32) -> bool {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed % 10_000) < u64::from(of_10_000)
    }

    /// `segment_size`: what it is to be cut into for whoever does not take it whole, octets of data.
    fn travel(&mut self, from: usize, frame: Frame, segment_size: usize) {
        if let Some(seen) = &mut self.seen {
            seen.push(frame.0.clone());
        }
        let targets: Vec<usize> = (0..self.ports.len()).filter(|p| *p != from).collect();
        for to in targets {
            if segment_size > 0 && self.ports[to].large == 0 {
                for piece in cut::cut(&frame.0, segment_size) {
                    assert!(piece.len() <= 14 + self.ports[to].mtu, "{} octets after cutting", piece.len());
                    self.travel_to(to, &(piece, Checksum::Complete));
                }
            } else {
                self.travel_to(to, &frame);
            }
        }
        wake(&mut self.courier);
    }

    fn travel_to(&mut self, to: usize, frame: &Frame) {
        let faults = self.faults;
        if self.chance(faults.lose) {
            return;
        }
        let copies = if self.chance(faults.double) { 2 } else { 1 };
        for _ in 0..copies {
            let mut frame = frame.clone();
            if self.chance(faults.corrupt) {
                let bit = (self.seed >> 20) as usize % (frame.0.len() * 8);
                frame.0[bit / 8] ^= 1 << (bit % 8);
                frame.1 = Checksum::Complete;
            }
            let mut at = Instant::now() + faults.delay;
            if self.chance(faults.reorder) {
                at += Duration::from_millis(1);
            }
            self.count += 1;
            self.travelling.insert((at, self.count), (to, frame));
        }
    }

    fn arrive(&mut self, now: Instant) {
        while let Some(entry) = self.travelling.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (to, frame) = entry.remove();
            let port = &mut self.ports[to];
            if port.up && port.arrived.len() < BUFFER {
                port.arrived.push_back(frame);
                wake(&mut port.waker);
            }
        }
    }
}

/// Makes room again for frames that were flushed.
async fn leave(hub: Hub, port: usize, frames: usize, turn: Duration) {
    sleep(turn).await;
    let mut hub = hub.0.borrow_mut();
    let port = &mut hub.ports[port];
    port.leaving -= frames;
    port.changed = true;
    wake(&mut port.waker);
}

/// A device on a [`Hub`].
pub struct Device {
    hub: Hub,
    port: usize,
}

impl Device {
    /// The number of its port.
    pub fn port(&self) -> usize {
        self.port
    }

    fn with<R>(&self, f: impl FnOnce(&mut Port) -> R) -> R {
        f(&mut self.hub.0.borrow_mut().ports[self.port])
    }

    /// From now on the device cuts up sends of TCP with at most so much data, and takes such frames whole when they arrive, as a
    /// back end does that offers segmentation both ways. Checksums are left half done then.
    pub fn set_large(&self, octets: usize) {
        self.with(|port| (port.large, port.offload) = (octets, true));
    }

    /// How many frames fit between two flushes; 64 at first.
    pub fn set_room(&self, frames: usize) {
        self.with(|port| port.room = frames);
    }

    /// How long flushed frames still take up room, as those do that a back end has not taken; no time at first.
    pub fn set_turn(&self, turn: Duration) {
        self.with(|port| port.turn = turn);
    }
}

impl NetDevice for Device {
    fn mac(&self) -> MacAddress {
        self.with(|port| port.mac)
    }

    fn mtu(&self) -> usize {
        self.with(|port| port.mtu)
    }

    fn offloads(&self) -> Offloads {
        let mut offloads = Offloads::default();
        let (offload, large) = self.with(|port| (port.offload, port.large));
        offloads.tx_checksum_v4 = offload;
        (offloads.tx_segmentation_v4, offloads.tx_segmentation_v6) = (large, large);
        offloads
    }

    fn is_up(&self) -> bool {
        self.with(|port| port.up)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|port| {
            if std::mem::take(&mut port.changed) || !port.arrived.is_empty() {
                return Poll::Ready(());
            }
            port.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        self.receive_into(buf, &mut |_, _| false)?.whole()
    }

    fn receive_into(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Option<Arrived> {
        let (frame, checksum) = self.with(|port| {
            let arrived = port.arrived.pop_front()?;
            port.counters.rx_frames += 1;
            port.counters.rx_octets += arrived.0.len() as u64;
            Some(arrived)
        })?;
        let received = Received::new(frame.len(), checksum);
        let shown = Shifting(RefCell::new((frame.clone(), false)));
        if take(received, &shown) {
            self.with(|port| port.placed += 1);
            return Some(Arrived::Taken);
        }
        let frame = if self.with(|port| port.treacherous) { shown.0.into_inner().0 } else { frame };
        buf[..frame.len()].copy_from_slice(&frame);
        Some(Arrived::Whole(received))
    }

    fn can_transmit(&self) -> bool {
        self.with(|port| port.taken.len() + port.leaving < port.room)
    }

    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        if !self.is_up() {
            return Err(TransmitError::Down);
        }
        if !self.can_transmit() {
            return Err(TransmitError::Full);
        }
        let large = self.with(|port| port.large);
        assert!(meta.segment_size == 0 || large > 0, "no such offload");
        let max = if meta.segment_size > 0 { LONGEST } else { self.mtu() + 14 };
        if len > max {
            return Err(TransmitError::TooLong { len, max });
        }
        let mut frame = vec![0xee; len];
        fill(&mut frame);
        self.with(|port| {
            assert!(port.offload || meta.checksum != Checksum::Partial, "no such offload");
            port.counters.tx_frames += 1;
            port.counters.tx_octets += len as u64;
            port.taken.push(((frame, meta.checksum), meta.segment_size));
        });
        Ok(())
    }

    fn flush(&mut self) {
        let (taken, turn) = self.with(|port| {
            let taken = std::mem::take(&mut port.taken);
            port.flushes += u64::from(!taken.is_empty());
            if port.turn > Duration::ZERO {
                port.leaving += taken.len();
            } else if taken.len() >= port.room {
                port.changed = true;
            }
            (taken, port.turn)
        });
        if turn > Duration::ZERO && !taken.is_empty() {
            spawn(leave(self.hub.clone(), self.port, taken.len(), turn)).detach();
        }
        let mut hub = self.hub.0.borrow_mut();
        for (frame, segment_size) in taken {
            hub.travel(self.port, frame, segment_size);
        }
    }

    fn counters(&self) -> NetCounters {
        self.with(|port| port.counters)
    }
}
