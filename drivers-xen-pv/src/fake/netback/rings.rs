//! The data side of a fake network back end: both rings, frames in and out. Honest in [`NetbackRings::take_sent`] and
//! [`NetbackRings::deliver`]; a test that wants a lie writes it to the rings itself.

use crate::abi::netif::{ExtraInfo, GsoInfo, Rx, RxRequest, RxResponse, RxSlot, Tx, TxRequest, TxResponse};
use crate::abi::netif::{NR_SLOTS_MIN, extra_type, gso_type, rx_flags, status, tx_flags};
use crate::fake::{FakeHypervisor, PeerMap, PeerMapError};
use crate::grant::Access;
use crate::ring::BackRing;
use crate::types::{DomId, EvtchnPort, GrantRef, PAGE_SIZE};
use std::collections::VecDeque;

/// Where a front end's queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAddress {
    /// The transmit ring.
    pub tx_ring: GrantRef,
    /// The receive ring.
    pub rx_ring: GrantRef,
    /// The channel for transmit events.
    pub tx_port: EvtchnPort,
    /// The channel for receive events.
    pub rx_port: EvtchnPort,
}

/// A frame that the guest has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentFrame {
    /// Its octets.
    pub bytes: Vec<u8>,
    /// The flags of its first request.
    pub flags: u16,
    /// The requests it took, without extra info.
    pub slots: usize,
    /// How it is to be cut up.
    pub gso: Option<GsoInfo>,
}

/// How a frame is delivered.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Flags of the first response, beside those that the parts need.
    pub flags: u16,
    /// Where each part starts in its page.
    pub offset: u16,
    /// The most octets of a part.
    pub part: usize,
    /// Extra infos after the first part.
    pub extras: Vec<ExtraInfo>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { flags: 0, offset: 0, part: PAGE_SIZE, extras: Vec::new() }
    }
}

/// Both rings of a queue, mapped.
#[derive(Debug)]
pub struct NetbackRings {
    hv: &'static FakeHypervisor,
    domain: DomId,
    /// Where they are.
    pub address: QueueAddress,
    /// The transmit ring.
    pub tx: BackRing<Tx>,
    /// The receive ring.
    pub rx: BackRing<Rx>,
    /// Requests of a frame whose last is not there yet, and how it is to be cut up.
    unfinished: Vec<TxRequest>,
    gso: Option<GsoInfo>,
    /// Empty pages taken and not used yet.
    empty: VecDeque<RxRequest>,
    _maps: [PeerMap; 2],
}

impl NetbackRings {
    /// Maps the rings for `domain`, the back end's.
    pub fn map(
        hv: &'static FakeHypervisor,
        domain: DomId,
        address: QueueAddress,
    ) -> Result<Self, PeerMapError> {
        let tx = hv.peer_map(domain, address.tx_ring, Access::ReadWrite)?;
        let rx = hv.peer_map(domain, address.rx_ring, Access::ReadWrite)?;
        Ok(Self {
            hv,
            domain,
            address,
            tx: BackRing::new(tx.memory()),
            rx: BackRing::new(rx.memory()),
            unfinished: Vec::new(),
            gso: None,
            empty: VecDeque::new(),
            _maps: [tx, rx],
        })
    }

    /// Takes the frames that the guest has sent and answers them. Asks for an event with the next.
    ///
    /// # Panics
    /// If a request breaks the rules of `netif.h`: the front end under test is wrong.
    pub fn take_sent(&mut self) -> Vec<SentFrame> {
        let mut frames = Vec::new();
        loop {
            while let Some(slot) = self.tx.request() {
                let request = slot.request();
                self.unfinished.push(request);
                if request.flags & tx_flags::EXTRA_INFO != 0 {
                    assert_eq!(self.unfinished.len(), 1, "extra info stands after the first request");
                    self.take_extra();
                }
                if request.flags & tx_flags::MORE_DATA == 0 {
                    let (requests, gso) = (std::mem::take(&mut self.unfinished), self.gso.take());
                    frames.push(self.gather(&requests, gso));
                    self.answer_frame(&requests, gso, status::OKAY);
                }
            }
            if self.tx.arm() == 0 {
                return frames;
            }
        }
    }

    /// What netback reads after a request that says that it is there (`xenvif_get_extras`).
    fn take_extra(&mut self) {
        let extra = self.tx.request().expect("what was said to follow is published with it").extra();
        let gso = extra.gso();
        assert_eq!((extra.kind, extra.flags), (extra_type::GSO, 0), "one of segmentation");
        assert!(matches!(gso.kind, gso_type::TCPV4 | gso_type::TCPV6) && gso.size > 0 && gso.features == 0);
        self.gso = Some(gso);
    }

    /// As netback answers a frame: the slot of extra info has a status that says so, and what identifier lies there.
    fn answer_frame(&mut self, requests: &[TxRequest], gso: Option<GsoInfo>, status: i16) {
        let mut responses: Vec<_> = requests.iter().map(|r| TxResponse { id: r.id, status }).collect();
        if gso.is_some() {
            responses.insert(1, TxResponse { id: 0xdead, status: status::NULL });
        }
        self.answer(responses);
    }

    /// Answers transmit requests.
    pub fn answer(&mut self, responses: impl IntoIterator<Item = TxResponse>) {
        responses.into_iter().for_each(|r| self.tx.response(r));
        if self.tx.push() {
            self.hv.peer_notify(self.address.tx_port);
        }
    }

    fn gather(&self, requests: &[TxRequest], gso: Option<GsoInfo>) -> SentFrame {
        let first = requests[0];
        assert!(requests.len() <= NR_SLOTS_MIN, "{} slots", requests.len());
        assert!(gso.is_none() || first.flags & tx_flags::CSUM_BLANK != 0, "segments need their checksums");
        let later: usize = requests[1..].iter().map(|r| usize::from(r.size)).sum();
        let mut bytes = Vec::new();
        for (i, request) in requests.iter().enumerate() {
            let size = usize::from(request.size) - if i == 0 { later } else { 0 };
            let offset = usize::from(request.offset);
            assert!(size > 0 && offset + size <= PAGE_SIZE, "{request:?} crosses its page or is empty");
            let from = bytes.len();
            bytes.resize(from + size, 0);
            let gref = GrantRef(request.gref);
            let copied = self.hv.peer_copy_from(self.domain, gref, offset, &mut bytes[from..]);
            copied.expect("transmit pages are granted for reading");
            let writable = self.hv.peer_map(self.domain, gref, Access::ReadWrite);
            assert_eq!(writable.err(), Some(PeerMapError::ReadOnly), "and for reading only");
        }
        assert_eq!(bytes.len(), usize::from(first.size), "the first size is the whole frame's");
        let flags = first.flags & !(tx_flags::MORE_DATA | tx_flags::EXTRA_INFO);
        SentFrame { bytes, flags, slots: requests.len(), gso }
    }

    /// Empty pages that the guest has given, and asks for an event when it gives more.
    pub fn empty_pages(&mut self) -> usize {
        loop {
            while let Some(request) = self.rx.request() {
                self.empty.push_back(request);
            }
            if self.rx.arm() == 0 {
                return self.empty.len();
            }
        }
    }

    /// The next empty page.
    pub fn take_empty(&mut self) -> Option<RxRequest> {
        self.empty_pages();
        self.empty.pop_front()
    }

    /// Puts a frame into the guest's pages, without publishing it; false if there are too few of them.
    pub fn write_frame(&mut self, frame: &[u8], how: &Delivery) -> bool {
        let room = how.part.min(PAGE_SIZE - usize::from(how.offset));
        let parts: Vec<_> = frame.chunks(room).collect();
        if self.empty_pages() < parts.len() + how.extras.len() {
            return false;
        }
        for (i, part) in parts.iter().enumerate() {
            let mut flags = if i == 0 { how.flags } else { 0 };
            if i + 1 < parts.len() {
                flags |= rx_flags::MORE_DATA;
            }
            if i == 0 && !how.extras.is_empty() {
                flags |= rx_flags::EXTRA_INFO;
            }
            self.write_part(part, how.offset, flags);
            if i == 0 {
                how.extras.iter().for_each(|extra| self.write_extra(*extra));
            }
        }
        true
    }

    fn write_part(&mut self, part: &[u8], offset: u16, flags: u16) {
        let RxRequest { id, gref, .. } = self.empty.pop_front().expect("counted before");
        let copied = self.hv.peer_copy_to(self.domain, GrantRef(gref), offset.into(), part);
        copied.expect("receive pages are granted for writing");
        let response = RxResponse { id, offset, flags, status: part.len() as i16 };
        self.rx.response(response.into());
    }

    fn write_extra(&mut self, extra: ExtraInfo) {
        self.empty.pop_front().expect("counted before");
        self.rx.response(RxSlot::from(extra));
    }

    /// Publishes receive responses.
    pub fn publish(&mut self) {
        if self.rx.push() {
            self.hv.peer_notify(self.address.rx_port);
        }
    }

    /// Delivers a frame in whole pages; false if the guest has given too few.
    pub fn deliver(&mut self, frame: &[u8], how: &Delivery) -> bool {
        let written = self.write_frame(frame, how);
        self.publish();
        written
    }
}
