//! The queues of a device: one, or as many as both ends want.
//!
//! The frames of a flow must stay in order, and two rings have none between them. So a flow's frames all go the same way,
//! which is found from the addresses and ports in them; the back end does likewise in the other direction. To look at them a
//! frame has to be written first, so with several queues it is put together in private memory and copied from there.

use super::fault::NetFault;
use super::queue::{Queue, QueueConfig, QueueError};
use super::tx::Outgoing;
use crate::xen::Xen;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::task::{Context, Poll};
use fata_libos::net::{Arrived, ETHERNET_HEADER, NetCounters, Take};

/// The most that a device has, each with rings, pages and event channels of its own.
pub(super) const MAX_QUEUES: usize = 8;

pub(super) struct Queues {
    all: Vec<Queue>,
    /// The one whose frames are taken next.
    turn: usize,
    /// Where a frame is written to be looked at; empty with one queue.
    scratch: Vec<u8>,
    /// Frames that there was no memory to put together.
    no_memory: u64,
}

impl Queues {
    /// So many queues, at least one, that share the pages which `config` allows.
    pub(super) fn new(xen: &Rc<Xen>, config: QueueConfig, count: usize) -> Result<Self, QueueError> {
        let pages = xen.grants().parked_pages_of(config.remote);
        if pages > config.limits.rx_pages + config.limits.tx_pages {
            return Err(QueueError::Held { pages });
        }
        let each = QueueConfig { limits: config.limits.share(count), ..config };
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(Queue::new(xen, each)?);
        }
        Ok(Self { all, turn: 0, scratch: Vec::new(), no_memory: 0 })
    }

    /// Each of them, for what is to be told to the back end.
    pub(super) fn all(&self) -> &[Queue] {
        &self.all
    }

    /// Octets of the longest frame that is not to be cut up.
    pub(super) fn max_frame(&self) -> usize {
        self.all.iter().map(Queue::max_frame).min().unwrap_or(0)
    }

    /// Octets of the longest frame that is to be cut up.
    pub(super) fn longest(&self) -> usize {
        self.all.iter().map(Queue::longest).min().unwrap_or(0)
    }

    /// The next frame of any queue, each in turn.
    pub(super) fn receive(
        &mut self,
        buf: &mut [u8],
        take: &mut Take<'_>,
    ) -> Result<Option<Arrived>, NetFault> {
        for _ in 0..self.all.len() {
            let turn = self.turn;
            self.turn = (turn + 1) % self.all.len();
            if let Some(arrived) = self.all[turn].receive(buf, take)? {
                return Ok(Some(arrived));
            }
        }
        Ok(None)
    }

    /// Whether a frame of `len` octets can be taken, whatever flow it is of: which it is is not known before it is written. A ring
    /// that the back end does not empty holds up all, therefore, as one queue would; a back end that leaves one alone is broken.
    pub(super) fn make_room(&mut self, len: usize) -> Result<bool, NetFault> {
        for queue in &mut self.all {
            if !queue.make_room(len)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes a frame, for which there is room in each queue.
    pub(super) fn transmit(&mut self, frame: Outgoing, fill: &mut dyn FnMut(&mut [u8])) {
        if let [only] = &mut self.all[..] {
            return only.transmit(frame, fill);
        }
        if self.scratch.try_reserve(frame.len.saturating_sub(self.scratch.len())).is_err() {
            // Without memory it is lost, as on a wire.
            self.no_memory += 1;
            return;
        }
        self.scratch.resize(self.scratch.len().max(frame.len), 0);
        let bytes = &mut self.scratch[..frame.len];
        fill(bytes);
        let queue = ((u64::from(flow(bytes)) * self.all.len() as u64) >> 32) as usize;
        self.all[queue].transmit(frame, &mut |buf| buf.copy_from_slice(bytes));
    }

    pub(super) fn flush(&mut self) {
        self.all.iter_mut().for_each(Queue::flush);
    }

    /// Wakes the peer, whether it asked for it or not: it may have looked before it was connected.
    pub(super) fn kick(&mut self) {
        self.all.iter_mut().for_each(Queue::kick);
    }

    /// Ready when any queue is; else each keeps the waker.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, NetFault> {
        let mut polled = Poll::Pending;
        for queue in &mut self.all {
            if queue.poll(cx)?.is_ready() {
                polled = Poll::Ready(());
            }
        }
        Ok(polled)
    }

    /// Takes the last answers, so that only what was not answered counts as lost.
    pub(super) fn settle(&mut self) {
        self.all.iter_mut().for_each(Queue::settle);
    }

    /// Adds what was counted to `counters`.
    pub(super) fn add_counts(&self, counters: &mut NetCounters) {
        self.all.iter().for_each(|queue| queue.add_counts(counters));
        counters.tx_errors += self.no_memory;
    }

    /// Frames that were taken and not reported as sent.
    pub(super) fn frames_in_flight(&self) -> u64 {
        self.all.iter().map(Queue::frames_in_flight).sum()
    }
}

const IPV4_ADDRESSES: core::ops::Range<usize> = 12..20;
const IPV6_ADDRESSES: core::ops::Range<usize> = 8..40;
const MORE_FRAGMENTS_OR_OFFSET: u16 = 0x3fff;

/// A number that all frames of a flow have in common, spread over all numbers. Of IPv4 and IPv6 from addresses and, where each
/// frame has them, the ports of TCP and UDP; all else is one flow.
fn flow(frame: &[u8]) -> u32 {
    let parts = || {
        let packet = frame.get(ETHERNET_HEADER..)?;
        let (addresses, header, protocol) = match frame.get(ETHERNET_HEADER - 2..ETHERNET_HEADER)? {
            [0x08, 0x00] => {
                let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]);
                let protocol = if fragment & MORE_FRAGMENTS_OR_OFFSET == 0 { *packet.get(9)? } else { 0 };
                (packet.get(IPV4_ADDRESSES)?, 4 * usize::from(packet.first()? & 15), protocol)
            }
            [0x86, 0xdd] => (packet.get(IPV6_ADDRESSES)?, 40, *packet.get(6)?),
            _ => return None,
        };
        let ports = if matches!(protocol, 6 | 17) { packet.get(header..header + 4)? } else { &[] };
        Some(addresses.chunks_exact(4).chain(ports.chunks_exact(4)))
    };
    let mix = |hash: u32, word: &[u8]| {
        let word = word.try_into().map_or(0, u32::from_be_bytes);
        (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b1)
    };
    // The last words touch the upper bits only so; those choose the queue.
    parts().map_or(0, |words| words.fold(0, mix)).wrapping_mul(0x85eb_ca6b)
}

#[cfg(test)]
pub(super) mod tests {
    use super::flow;
    use crate::abi::netif::gso_type;
    use crate::net::cut::tests::segment;
    use proptest::prelude::*;

    /// A TCP segment of a flow with that source port.
    pub(in crate::net) fn of_flow(kind: u8, port: u16, payload: usize) -> Vec<u8> {
        let mut frame = segment(kind, 0, payload);
        let at = if kind == gso_type::TCPV4 { 34 } else { 54 };
        if kind == gso_type::TCPV4 {
            frame[20..22].copy_from_slice(&[0x40, 0]);
        }
        frame[at..at + 2].copy_from_slice(&port.to_be_bytes());
        frame
    }

    #[test]
    fn a_flow_is_one_number_and_many_are_spread_evenly() {
        for kind in [gso_type::TCPV4, gso_type::TCPV6] {
            let mut counts = [0; 8];
            for port in 1024..9024 {
                let number = flow(&of_flow(kind, port, 10));
                let mut other = of_flow(kind, port, 5000);
                other[0] = 9;
                assert_eq!(flow(&other), number, "the rest of the frame is nothing to it");
                counts[((u64::from(number) * 8) >> 32) as usize] += 1;
            }
            assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn pieces_of_a_packet_stay_together() {
        let mut first = of_flow(gso_type::TCPV4, 1000, 100);
        first[20] = 0x20;
        let mut later = of_flow(gso_type::TCPV4, 2000, 100);
        later[20..22].copy_from_slice(&[0, 9]);
        assert_eq!(flow(&first), flow(&later));
    }

    proptest! {
        #[test]
        fn no_frame_makes_it_panic(frame in prop::collection::vec(any::<u8>(), 0..100)) {
            flow(&frame);
        }
    }
}
