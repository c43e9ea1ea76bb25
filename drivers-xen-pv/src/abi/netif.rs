//! The network device's messages and flags, from `xen/include/public/io/netif.h`.
//!
//! Pure data: every bit pattern is a value, what it means is checked in `net`. Flags are named by direction, because the
//! same bit means different things in either: a transmit request's bit 0 is a receive response's bit 1.

use crate::ring::{Message, Protocol, slots_in_page};
use core::mem::{offset_of, size_of};

/// Flags of a transmit request (`NETTXF_*`).
pub mod tx_flags {
    /// The checksum field holds the pseudo-header's sum only (`NETTXF_csum_blank`).
    pub const CSUM_BLANK: u16 = 1 << 0;
    /// The data is known to be good (`NETTXF_data_validated`).
    pub const DATA_VALIDATED: u16 = 1 << 1;
    /// The packet goes on in the next request (`NETTXF_more_data`).
    pub const MORE_DATA: u16 = 1 << 2;
    /// Extra info follows in a slot of its own (`NETTXF_extra_info`).
    pub const EXTRA_INFO: u16 = 1 << 3;
}

/// Flags of a receive response (`NETRXF_*`).
pub mod rx_flags {
    /// The data is known to be good (`NETRXF_data_validated`).
    pub const DATA_VALIDATED: u16 = 1 << 0;
    /// The checksum field holds the pseudo-header's sum only (`NETRXF_csum_blank`).
    pub const CSUM_BLANK: u16 = 1 << 1;
    /// The packet goes on in the next response (`NETRXF_more_data`).
    pub const MORE_DATA: u16 = 1 << 2;
    /// Extra info follows in a slot of its own (`NETRXF_extra_info`).
    pub const EXTRA_INFO: u16 = 1 << 3;
    /// Deprecated, only sent to who asks for it, which this front end never does (`NETRXF_gso_prefix`).
    pub const GSO_PREFIX: u16 = 1 << 4;
}

/// Results in a response's `status` (`NETIF_RSP_*`).
pub mod status {
    /// The packet was dropped.
    pub const DROPPED: i16 = -2;
    /// The request was bad, or could not be served.
    pub const ERROR: i16 = -1;
    /// Done.
    pub const OKAY: i16 = 0;
    /// No response: the slot held extra info.
    pub const NULL: i16 = 1;
}

/// Kinds of extra info (`XEN_NETIF_EXTRA_TYPE_*`).
pub mod extra_type {
    /// Never used.
    pub const NONE: u8 = 0;
    /// Segmentation: the packet is to be, or was, cut up.
    pub const GSO: u8 = 1;
    /// Adds to the multicast filter; to a back end only.
    pub const MCAST_ADD: u8 = 2;
    /// Takes from the multicast filter; to a back end only.
    pub const MCAST_DEL: u8 = 3;
    /// The packet's hash.
    pub const HASH: u8 = 4;
    /// Kinds lie below.
    pub const MAX: u8 = 5;
}

/// Another extra info follows (`XEN_NETIF_EXTRA_FLAG_MORE`).
pub const EXTRA_FLAG_MORE: u8 = 1 << 0;

/// What a segmented packet carries (`XEN_NETIF_GSO_TYPE_*`).
pub mod gso_type {
    /// Not segmented.
    pub const NONE: u8 = 0;
    /// TCP over IPv4.
    pub const TCPV4: u8 = 1;
    /// TCP over IPv6.
    pub const TCPV6: u8 = 2;
}

/// The longest packet of a transmit request, octets (`XEN_NETIF_MAX_TX_SIZE`).
pub const MAX_TX_SIZE: usize = 0xffff;

/// The slots of one packet that every back end takes (`XEN_NETIF_NR_SLOTS_MIN`).
pub const NR_SLOTS_MIN: usize = 18;

/// The constants above with the names that the header has for them, for a test to compare.
pub const NAMED_VALUES: &[(&str, i64)] = &[
    ("NETTXF_csum_blank", tx_flags::CSUM_BLANK as i64),
    ("NETTXF_data_validated", tx_flags::DATA_VALIDATED as i64),
    ("NETTXF_more_data", tx_flags::MORE_DATA as i64),
    ("NETTXF_extra_info", tx_flags::EXTRA_INFO as i64),
    ("NETRXF_data_validated", rx_flags::DATA_VALIDATED as i64),
    ("NETRXF_csum_blank", rx_flags::CSUM_BLANK as i64),
    ("NETRXF_more_data", rx_flags::MORE_DATA as i64),
    ("NETRXF_extra_info", rx_flags::EXTRA_INFO as i64),
    ("NETRXF_gso_prefix", rx_flags::GSO_PREFIX as i64),
    ("NETIF_RSP_DROPPED", status::DROPPED as i64),
    ("NETIF_RSP_ERROR", status::ERROR as i64),
    ("NETIF_RSP_OKAY", status::OKAY as i64),
    ("NETIF_RSP_NULL", status::NULL as i64),
    ("XEN_NETIF_EXTRA_TYPE_NONE", extra_type::NONE as i64),
    ("XEN_NETIF_EXTRA_TYPE_GSO", extra_type::GSO as i64),
    ("XEN_NETIF_EXTRA_TYPE_MCAST_ADD", extra_type::MCAST_ADD as i64),
    ("XEN_NETIF_EXTRA_TYPE_MCAST_DEL", extra_type::MCAST_DEL as i64),
    ("XEN_NETIF_EXTRA_TYPE_HASH", extra_type::HASH as i64),
    ("XEN_NETIF_EXTRA_TYPE_MAX", extra_type::MAX as i64),
    ("XEN_NETIF_EXTRA_FLAG_MORE", EXTRA_FLAG_MORE as i64),
    ("XEN_NETIF_GSO_TYPE_NONE", gso_type::NONE as i64),
    ("XEN_NETIF_GSO_TYPE_TCPV4", gso_type::TCPV4 as i64),
    ("XEN_NETIF_GSO_TYPE_TCPV6", gso_type::TCPV6 as i64),
    ("XEN_NETIF_MAX_TX_SIZE", MAX_TX_SIZE as i64),
    ("XEN_NETIF_NR_SLOTS_MIN", NR_SLOTS_MIN as i64),
    ("__CONST_RING_SIZE(netif_tx, 4096)", slots_in_page::<Tx>() as i64),
    ("__CONST_RING_SIZE(netif_rx, 4096)", slots_in_page::<Rx>() as i64),
    ("offsetof(struct netif_tx_sring, ring)", crate::ring::layout::SLOTS as i64),
    ("offsetof(struct netif_tx_sring, req_prod)", crate::ring::layout::REQ_PROD as i64),
    ("offsetof(struct netif_tx_sring, req_event)", crate::ring::layout::REQ_EVENT as i64),
    ("offsetof(struct netif_tx_sring, rsp_prod)", crate::ring::layout::RSP_PROD as i64),
    ("offsetof(struct netif_tx_sring, rsp_event)", crate::ring::layout::RSP_EVENT as i64),
    ("sizeof(union netif_tx_sring_entry)", Tx::SLOT_SIZE as i64),
    ("sizeof(union netif_rx_sring_entry)", Rx::SLOT_SIZE as i64),
];

/// A part of a packet to be sent (`netif_tx_request_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TxRequest {
    /// The page, granted for reading.
    pub gref: u32,
    /// Where in the page the part starts, octets.
    pub offset: u16,
    /// [`tx_flags`].
    pub flags: u16,
    /// Echoed in the response.
    pub id: u16,
    /// Octets: of the whole packet in its first request, of this part in the others.
    pub size: u16,
}

/// What became of a [`TxRequest`] (`netif_tx_response_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TxResponse {
    /// The request's identifier.
    pub id: u16,
    /// [`status`].
    pub status: i16,
}

/// A page to be filled (`netif_rx_request_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RxRequest {
    /// Echoed in the response.
    pub id: u16,
    /// Zero.
    pub pad: u16,
    /// The page, granted for writing.
    pub gref: u32,
}

/// What a page was filled with (`netif_rx_response_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RxResponse {
    /// The request's identifier.
    pub id: u16,
    /// Where in the page the part starts, octets.
    pub offset: u16,
    /// [`rx_flags`].
    pub flags: u16,
    /// Octets of this part, or negative: [`status`].
    pub status: i16,
}

/// What else is to be known of a packet, in a slot after its first (`netif_extra_info_t`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ExtraInfo {
    /// [`extra_type`].
    pub kind: u8,
    /// [`EXTRA_FLAG_MORE`].
    pub flags: u8,
    /// By type: see [`ExtraInfo::gso`].
    pub body: [u8; 6],
}

/// The body of an [`extra_type::GSO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GsoInfo {
    /// Payload octets of each segment.
    pub size: u16,
    /// [`gso_type`].
    pub kind: u8,
    /// None is defined.
    pub features: u16,
}

impl ExtraInfo {
    /// Segmentation, with nothing behind it.
    pub const fn segmentation(info: GsoInfo) -> Self {
        let ([size0, size1], [features0, features1]) = (info.size.to_le_bytes(), info.features.to_le_bytes());
        Self { kind: extra_type::GSO, flags: 0, body: [size0, size1, info.kind, 0, features0, features1] }
    }

    /// The body read as segmentation.
    pub const fn gso(&self) -> GsoInfo {
        let [size0, size1, kind, _pad, features0, features1] = self.body;
        GsoInfo {
            size: u16::from_le_bytes([size0, size1]),
            kind,
            features: u16::from_le_bytes([features0, features1]),
        }
    }
}

/// What lies in a transmit ring's slot: a request, or extra info, which of both the slot before says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TxSlot([u32; 3]);

impl TxSlot {
    /// The slot read as a request.
    pub fn request(self) -> TxRequest {
        TxRequest::from_words(self.0)
    }

    /// The slot read as extra info.
    pub fn extra(self) -> ExtraInfo {
        let [first, second, _] = self.0;
        ExtraInfo::from_words([first, second])
    }
}

impl From<TxRequest> for TxSlot {
    fn from(request: TxRequest) -> Self {
        Self(request.to_words())
    }
}

impl From<ExtraInfo> for TxSlot {
    fn from(extra: ExtraInfo) -> Self {
        let [first, second] = extra.to_words();
        Self([first, second, 0])
    }
}

/// What lies in a receive ring's slot: a response, or extra info, which of both the slot before says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxSlot([u32; 2]);

impl RxSlot {
    /// The slot read as a response.
    pub fn response(self) -> RxResponse {
        RxResponse::from_words(self.0)
    }

    /// The slot read as extra info.
    pub fn extra(self) -> ExtraInfo {
        ExtraInfo::from_words(self.0)
    }
}

impl From<RxResponse> for RxSlot {
    fn from(response: RxResponse) -> Self {
        Self(response.to_words())
    }
}

impl From<ExtraInfo> for RxSlot {
    fn from(extra: ExtraInfo) -> Self {
        Self(extra.to_words())
    }
}

/// The transmit ring.
#[derive(Debug)]
pub struct Tx;

impl Protocol for Tx {
    type Request = TxSlot;
    type Response = TxResponse;
    const SLOT_SIZE: usize = size_of::<TxRequest>();
}

/// The receive ring.
#[derive(Debug)]
pub struct Rx;

impl Protocol for Rx {
    type Request = RxRequest;
    type Response = RxSlot;
    const SLOT_SIZE: usize = size_of::<RxRequest>();
}

const fn pair(low: u16, high: u16) -> u32 {
    low as u32 | (high as u32) << 16
}

const fn low(word: u32) -> u16 {
    word as u16
}

const fn high(word: u32) -> u16 {
    (word >> 16) as u16
}

impl Message for TxRequest {
    type Words = [u32; 3];
    fn to_words(self) -> [u32; 3] {
        [self.gref, pair(self.offset, self.flags), pair(self.id, self.size)]
    }
    fn from_words([gref, b, c]: [u32; 3]) -> Self {
        Self { gref, offset: low(b), flags: high(b), id: low(c), size: high(c) }
    }
}

impl Message for TxResponse {
    type Words = [u32; 1];
    fn to_words(self) -> [u32; 1] {
        [pair(self.id, self.status.cast_unsigned())]
    }
    fn from_words([a]: [u32; 1]) -> Self {
        Self { id: low(a), status: high(a).cast_signed() }
    }
}

impl Message for RxRequest {
    type Words = [u32; 2];
    fn to_words(self) -> [u32; 2] {
        [pair(self.id, self.pad), self.gref]
    }
    fn from_words([a, gref]: [u32; 2]) -> Self {
        Self { id: low(a), pad: high(a), gref }
    }
}

impl Message for RxResponse {
    type Words = [u32; 2];
    fn to_words(self) -> [u32; 2] {
        [pair(self.id, self.offset), pair(self.flags, self.status.cast_unsigned())]
    }
    fn from_words([a, b]: [u32; 2]) -> Self {
        Self { id: low(a), offset: high(a), flags: low(b), status: high(b).cast_signed() }
    }
}

impl Message for ExtraInfo {
    type Words = [u32; 2];
    fn to_words(self) -> [u32; 2] {
        let [a, b, c, d, e, f] = self.body;
        [u32::from_le_bytes([self.kind, self.flags, a, b]), u32::from_le_bytes([c, d, e, f])]
    }
    fn from_words([first, second]: [u32; 2]) -> Self {
        let [kind, flags, a, b] = first.to_le_bytes();
        let [c, d, e, f] = second.to_le_bytes();
        Self { kind, flags, body: [a, b, c, d, e, f] }
    }
}

impl Message for TxSlot {
    type Words = [u32; 3];
    fn to_words(self) -> [u32; 3] {
        self.0
    }
    fn from_words(words: [u32; 3]) -> Self {
        Self(words)
    }
}

impl Message for RxSlot {
    type Words = [u32; 2];
    fn to_words(self) -> [u32; 2] {
        self.0
    }
    fn from_words(words: [u32; 2]) -> Self {
        Self(words)
    }
}

const _: () = {
    assert!(size_of::<TxRequest>() == 12);
    assert!(offset_of!(TxRequest, gref) == 0);
    assert!(offset_of!(TxRequest, offset) == 4);
    assert!(offset_of!(TxRequest, flags) == 6);
    assert!(offset_of!(TxRequest, id) == 8);
    assert!(offset_of!(TxRequest, size) == 10);
    assert!(size_of::<TxResponse>() == 4);
    assert!(offset_of!(TxResponse, id) == 0);
    assert!(offset_of!(TxResponse, status) == 2);
    assert!(size_of::<RxRequest>() == 8);
    assert!(offset_of!(RxRequest, id) == 0);
    assert!(offset_of!(RxRequest, gref) == 4);
    assert!(size_of::<RxResponse>() == 8);
    assert!(offset_of!(RxResponse, id) == 0);
    assert!(offset_of!(RxResponse, offset) == 2);
    assert!(offset_of!(RxResponse, flags) == 4);
    assert!(offset_of!(RxResponse, status) == 6);
    assert!(size_of::<ExtraInfo>() == 8);
    assert!(offset_of!(ExtraInfo, kind) == 0);
    assert!(offset_of!(ExtraInfo, flags) == 1);
    assert!(offset_of!(ExtraInfo, body) == 2);
    assert!(slots_in_page::<Tx>() == 256);
    assert!(slots_in_page::<Rx>() == 256);
};
