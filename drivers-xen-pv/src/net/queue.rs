//! A queue pair: transmit and receive ring, their pages, their event channels.

use super::cut::Segmentation;
use super::fault::NetFault;
use super::moderation::{Moderation, Plan};
use super::pool::{Limits, RxPool};
use super::rx::RxQueue;
use super::tx::{Outgoing, TxQueue, pages_for};
use super::tx_pool::TxPool;
use crate::abi::netif::MAX_TX_SIZE;
use crate::events::{Channel, EventError};
use crate::grant::{Access, GrantError, GrantedPages};
use crate::hypervisor::Hypervisor;
use crate::types::{DomId, EvtchnPort, GrantRef, PAGE_SIZE};
use crate::xen::Xen;
use alloc::rc::Rc;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
#[cfg(test)]
use fata_libos::net::Received;
use fata_libos::net::{Arrived, NetCounters, Take};
use fata_libos::time::{Duration, Instant, Sleep, sleep_until};

/// Why there is no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// No pages, or no grants of them.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// No event channel.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The back end's domain holds pages of earlier connections, and would hold these too.
    #[error("the back end's domain holds {pages} pages of earlier connections")]
    Held {
        /// Pages that wait for a back end to let go.
        pages: usize,
    },
}

/// What a queue is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueConfig {
    pub(super) remote: DomId,
    pub(super) channels: Channels,
    pub(super) limits: Limits,
    /// The longest frame to be sent, octets.
    pub(super) max_frame: usize,
    /// What the back end cuts up.
    pub(super) segmentation: Segmentation,
    /// What a hypercall takes on this machine.
    pub(super) hypercall: Duration,
}

/// How many event channels a queue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channels {
    One,
    Split,
}

enum Events {
    One(Channel),
    Split { tx: Channel, rx: Channel },
}

pub(super) struct Queue {
    tx: TxQueue,
    rx: RxQueue,
    events: Events,
    tx_ring: GrantedPages,
    rx_ring: GrantedPages,
    max_frame: usize,
    /// Octets of the longest frame to be cut up: there are pages for it.
    longest: usize,
    /// The octets of the longest frame that there was no room for, and that somebody waits to send; else 0.
    room_wanted: usize,
    moderation: Moderation,
    /// The end of a wait for several frames.
    timer: Sleep,
}

impl Queue {
    pub(super) fn new(xen: &Rc<Xen>, config: QueueConfig) -> Result<Self, QueueError> {
        let QueueConfig { remote, channels, limits, max_frame, segmentation, hypercall } = config;
        let events = Events::new(xen, remote, channels)?;
        let tx_ring = GrantedPages::alloc(xen, remote, 1, Access::ReadWrite)?;
        let rx_ring = GrantedPages::alloc(xen, remote, 1, Access::ReadWrite)?;
        let mut tx_pool = TxPool::new(xen, remote, limits.tx_pages);
        // With pages for one frame there is always something that an answer can give room for.
        while tx_pool.len() < pages_for(max_frame) {
            if tx_pool.grow()? == 0 {
                return Err(GrantError::NoMemory { pages: pages_for(max_frame) }.into());
            }
        }
        let longest = (tx_pool.len() * PAGE_SIZE).min(MAX_TX_SIZE);
        let rx_pool = RxPool::new(xen, remote, limits.rx_pages);
        let tx = TxQueue::new(tx_ring.memory(), tx_pool, segmentation);
        let rx = RxQueue::new(rx_ring.memory(), rx_pool)?;
        let (moderation, timer) = (Moderation::new(hypercall), sleep_until(Instant::default()));
        Ok(Self { tx, rx, events, tx_ring, rx_ring, max_frame, longest, room_wanted: 0, moderation, timer })
    }

    /// The grants of the transmit and the receive ring.
    pub(super) fn ring_refs(&self) -> (GrantRef, GrantRef) {
        (self.tx_ring.refs()[0], self.rx_ring.refs()[0])
    }

    /// The event channels' ports, for transmit and receive; the same where there is one.
    pub(super) fn ports(&self) -> (EvtchnPort, EvtchnPort) {
        match &self.events {
            Events::One(both) => (both.port(), both.port()),
            Events::Split { tx, rx } => (tx.port(), rx.port()),
        }
    }

    /// Octets of the longest frame that is not to be cut up.
    pub(super) fn max_frame(&self) -> usize {
        self.max_frame
    }

    /// Octets of the longest frame that is to be cut up.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// See [`RxQueue::receive`].
    pub(super) fn receive(
        &mut self,
        buf: &mut [u8],
        take: &mut Take<'_>,
    ) -> Result<Option<Arrived>, NetFault> {
        let arrived = self.rx.receive(buf, take)?;
        // A long burst must not leave the peer without pages until it is over.
        if self.rx.is_half_unpublished() {
            self.publish_rx();
        }
        Ok(arrived)
    }

    /// The next frame whole.
    #[cfg(test)]
    pub(super) fn receive_whole(&mut self, buf: &mut [u8]) -> Result<Option<Received>, NetFault> {
        Ok(self.receive(buf, &mut |_, _| false)?.and_then(Arrived::whole))
    }

    /// Whether a frame of `len` octets can be taken; if not, [`poll`](Self::poll) waits for room.
    pub(super) fn make_room(&mut self, len: usize) -> Result<bool, NetFault> {
        let room = self.tx.make_room(len)?;
        match room {
            // Room for a short frame is none for the long one that somebody waits to send.
            true if len < self.room_wanted => {}
            true => self.room_wanted = 0,
            false => self.room_wanted = self.room_wanted.max(len),
        }
        Ok(room)
    }

    /// See [`TxQueue::transmit`].
    pub(super) fn transmit(&mut self, frame: Outgoing, fill: &mut dyn FnMut(&mut [u8])) {
        self.tx.transmit(frame, fill);
    }

    pub(super) fn flush(&mut self) {
        let (tx, rx) = (self.tx.publish(), self.rx.publish());
        match &self.events {
            Events::One(both) if tx || rx => both.notify(),
            Events::One(_) => {}
            Events::Split { tx: to_tx, rx: to_rx } => {
                if tx {
                    to_tx.notify();
                }
                if rx {
                    to_rx.notify();
                }
            }
        }
    }

    /// Wakes the peer, whether it asked for it or not: it may have looked before it was connected.
    pub(super) fn kick(&mut self) {
        self.flush();
        match &self.events {
            Events::One(both) => both.notify(),
            Events::Split { tx, rx } => {
                tx.notify();
                rx.notify();
            }
        }
    }

    /// Ready when there is something to receive, or the room that was wanted.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, NetFault> {
        self.flush();
        let plan = self.moderation.plan(Instant::recent(), self.rx.responses(), self.rx.counts().frames);
        let waits = plan != Plan::Next;
        let count = match plan {
            Plan::Next => 1,
            Plan::Several { count, until } => {
                self.timer.reset(until);
                count
            }
        };
        loop {
            if self.rx.arm(count)? || self.has_wanted_room()? {
                return Ok(Poll::Ready(()));
            }
            // Its end is a reason to look again, which the stack does; there is nothing to be told about it here.
            if waits && Pin::new(&mut self.timer).poll(cx).is_ready() {
                return Ok(Poll::Ready(()));
            }
            // An event from before the arming says nothing; one after it is not lost.
            if self.events.poll_fired(cx).is_pending() {
                return Ok(Poll::Pending);
            }
        }
    }

    fn has_wanted_room(&mut self) -> Result<bool, NetFault> {
        if self.room_wanted == 0 {
            return Ok(false);
        }
        self.tx.arm()?;
        self.make_room(self.room_wanted)
    }

    fn publish_rx(&mut self) {
        if self.rx.publish() {
            match &self.events {
                Events::One(channel) | Events::Split { rx: channel, .. } => channel.notify(),
            }
        }
    }

    /// Takes the last answers, so that only what was not answered counts as lost.
    pub(super) fn settle(&mut self) {
        // A lie that only shows now harms nobody any more.
        let _ = self.tx.reap();
    }

    /// Adds what was counted to `counters`.
    pub(super) fn add_counts(&self, counters: &mut NetCounters) {
        let (tx, rx) = (self.tx.counts(), self.rx.counts());
        counters.rx_frames += rx.frames;
        counters.rx_octets += rx.octets;
        counters.rx_errors += rx.errors;
        counters.tx_frames += tx.frames;
        counters.tx_octets += tx.octets;
        counters.tx_errors += tx.errors;
    }

    /// Frames that were taken and not reported as sent.
    pub(super) fn frames_in_flight(&self) -> u64 {
        self.tx.frames_in_flight()
    }
}

/// What a hypercall that gives the processor away takes on this machine: a poll for nothing, whose time is over. The shortest
/// of some, as others may run meanwhile.
pub(super) fn hypercall_time(hv: &dyn Hypervisor) -> Duration {
    const TRIES: u32 = 4;
    let one = |_| {
        let start = Instant::now();
        hv.poll(&[], Some(start));
        start.elapsed()
    };
    (0..TRIES).map(one).min().unwrap_or_default()
}

impl Events {
    fn new(xen: &Rc<Xen>, remote: DomId, channels: Channels) -> Result<Self, EventError> {
        Ok(match channels {
            Channels::One => Self::One(Channel::alloc(xen, remote)?),
            Channels::Split => {
                Self::Split { tx: Channel::alloc(xen, remote)?, rx: Channel::alloc(xen, remote)? }
            }
        })
    }

    fn poll_fired(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::One(both) => both.poll_fired(cx),
            Self::Split { tx, rx } => {
                // Both are asked, so that either wakes.
                let (tx, rx) = (tx.poll_fired(cx), rx.poll_fired(cx));
                if tx.is_ready() { tx } else { rx }
            }
        }
    }
}
