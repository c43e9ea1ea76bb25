//! The fake block back end's rings: what the front end has said of them, held to the rules of `blkif.h`, and mapped.

use super::FakeBlkback;
use crate::abi::blkif::{Blk, PROTOCOL};
use crate::fake::{PeerMap, PeerRow};
use crate::ring::BackRing;
use crate::types::{EvtchnPort, GrantRef};
use std::collections::BTreeMap;

/// A ring, mapped.
pub struct BlkbackRing {
    /// Requests in, responses out.
    pub ring: BackRing<Blk>,
    /// The grants that were used on it, where both ends said to keep them.
    pub kept: BTreeMap<GrantRef, PeerMap>,
    pub(super) port: EvtchnPort,
    _map: PeerRow,
}

impl FakeBlkback {
    fn number(&self, key: &str) -> Option<u32> {
        self.front_key(key).and_then(|v| v.parse().ok())
    }

    fn offered(&self, key: &str) -> Option<u32> {
        self.back_key(key).and_then(|v| v.parse().ok())
    }

    /// Maps all rings that the front end has named; `None` if one cannot be.
    ///
    /// # Panics
    /// If the front end has taken what was not offered, or left keys that contradict each other.
    pub(super) fn map_rings(&self) -> Option<Vec<BlkbackRing>> {
        let queues = self.number("multi-queue-num-queues");
        assert!(queues <= self.offered("multi-queue-max-queues") && queues != Some(0), "{queues:?} queues");
        let queues = queues.unwrap_or(1);
        let order = self.number("ring-page-order");
        assert!(order <= self.offered("max-ring-page-order"), "rings of order {order:?}");
        if queues == 1 {
            return Some(vec![self.map_ring("", order)?]);
        }
        for key in ["ring-ref", "ring-ref0", "event-channel"] {
            assert_eq!(self.number(key), None, "{key} beside several queues");
        }
        (0..queues).map(|n| self.map_ring(&format!("queue-{n}/"), order)).collect()
    }

    fn map_ring(&self, place: &str, order: Option<u32>) -> Option<BlkbackRing> {
        let key = |name: &str| self.number(&format!("{place}{name}"));
        let refs: Vec<GrantRef> = match order {
            None => {
                // Some of Linux's back ends look for this one first, whatever the order.
                assert_eq!(key("ring-ref0"), None, "ring-ref0 beside a ring of one page");
                vec![GrantRef(key("ring-ref")?)]
            }
            Some(order) => {
                assert_eq!(key("ring-ref"), None, "ring-ref beside a ring of several pages");
                let refs = (0..1 << order).map(|n| key(&format!("ring-ref{n}")).map(GrantRef));
                refs.collect::<Option<_>>()?
            }
        };
        let port = EvtchnPort(key("event-channel")?);
        let map = self.hv.peer_map_row(self.domain, &refs).ok()?;
        assert_eq!(self.front_key("protocol").as_deref(), Some(PROTOCOL));
        Some(BlkbackRing { ring: BackRing::new(map.memory()), kept: BTreeMap::new(), port, _map: map })
    }

    /// Whether both ends have said that grants are kept mapped.
    pub(super) fn keeps_grants(&self) -> bool {
        self.number("feature-persistent") == Some(1) && self.offered("feature-persistent") == Some(1)
    }

    /// The segments that a request may have.
    pub(super) fn max_indirect(&self) -> usize {
        self.offered("feature-max-indirect-segments").map_or(0, |n| n as usize)
    }
}
