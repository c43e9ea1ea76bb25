//! The network messages as they are here, against the C header that the other side was compiled from.
//!
//! Needs a C compiler and the headers of the package libxen-dev; fails without, because nothing else holds the two together.

mod header;

use fata_xen::abi::netif::{ExtraInfo, NAMED_VALUES, RxRequest, RxResponse, TxRequest, TxResponse};
use fata_xen::ring::Message;
use header::Header;
use std::mem::{offset_of, size_of};

/// Sizes and offsets, as C spells them and as they are here.
fn layouts() -> Vec<(&'static str, i64)> {
    let table: &[(&str, usize)] = &[
        ("sizeof(netif_tx_request_t)", size_of::<TxRequest>()),
        ("offsetof(netif_tx_request_t, gref)", offset_of!(TxRequest, gref)),
        ("offsetof(netif_tx_request_t, offset)", offset_of!(TxRequest, offset)),
        ("offsetof(netif_tx_request_t, flags)", offset_of!(TxRequest, flags)),
        ("offsetof(netif_tx_request_t, id)", offset_of!(TxRequest, id)),
        ("offsetof(netif_tx_request_t, size)", offset_of!(TxRequest, size)),
        ("sizeof(netif_tx_response_t)", size_of::<TxResponse>()),
        ("offsetof(netif_tx_response_t, id)", offset_of!(TxResponse, id)),
        ("offsetof(netif_tx_response_t, status)", offset_of!(TxResponse, status)),
        ("sizeof(netif_rx_request_t)", size_of::<RxRequest>()),
        ("offsetof(netif_rx_request_t, id)", offset_of!(RxRequest, id)),
        ("offsetof(netif_rx_request_t, gref)", offset_of!(RxRequest, gref)),
        ("sizeof(netif_rx_response_t)", size_of::<RxResponse>()),
        ("offsetof(netif_rx_response_t, id)", offset_of!(RxResponse, id)),
        ("offsetof(netif_rx_response_t, offset)", offset_of!(RxResponse, offset)),
        ("offsetof(netif_rx_response_t, flags)", offset_of!(RxResponse, flags)),
        ("offsetof(netif_rx_response_t, status)", offset_of!(RxResponse, status)),
        ("sizeof(netif_extra_info_t)", size_of::<ExtraInfo>()),
        ("offsetof(netif_extra_info_t, type)", offset_of!(ExtraInfo, kind)),
        ("offsetof(netif_extra_info_t, flags)", offset_of!(ExtraInfo, flags)),
        ("offsetof(netif_extra_info_t, u)", offset_of!(ExtraInfo, body)),
        ("offsetof(netif_extra_info_t, u.gso.size)", offset_of!(ExtraInfo, body)),
        ("offsetof(netif_extra_info_t, u.gso.type)", offset_of!(ExtraInfo, body) + 2),
        ("offsetof(netif_extra_info_t, u.gso.features)", offset_of!(ExtraInfo, body) + 4),
    ];
    table.iter().map(|(name, value)| (*name, *value as i64)).collect()
}

/// The octets of each message as the ring writes it, against C filling the same fields.
fn messages() -> Vec<(&'static str, Vec<u32>)> {
    let tx = TxRequest { gref: 0x01020304, offset: 0x0506, flags: 0x0708, id: 0x090a, size: 0x0b0c };
    let tx_done = TxResponse { id: 0x0102, status: -2 };
    let rx = RxRequest { id: 0x0102, pad: 0, gref: 0x05060708 };
    let rx_done = RxResponse { id: 0x0102, offset: 0x0304, flags: 0x0506, status: -2 };
    let gso = ExtraInfo { kind: 1, flags: 1, body: [0xb4, 0x05, 2, 0, 0x34, 0x12] };
    vec![
        (
            "netif_tx_request_t m = { .gref = 0x01020304, .offset = 0x0506, .flags = 0x0708, .id = 0x090a, .size = 0x0b0c }",
            tx.to_words().to_vec(),
        ),
        ("netif_tx_response_t m = { .id = 0x0102, .status = -2 }", tx_done.to_words().to_vec()),
        ("netif_rx_request_t m = { .id = 0x0102, .gref = 0x05060708 }", rx.to_words().to_vec()),
        (
            "netif_rx_response_t m = { .id = 0x0102, .offset = 0x0304, .flags = 0x0506, .status = -2 }",
            rx_done.to_words().to_vec(),
        ),
        (
            "netif_extra_info_t m = { .type = 1, .flags = 1, .u.gso = { .size = 1460, .type = 2, .features = 0x1234 } }",
            gso.to_words().to_vec(),
        ),
    ]
}

#[test]
fn constants_layouts_and_messages_are_those_of_the_header() {
    let values = NAMED_VALUES.iter().copied().chain(layouts()).collect();
    Header { name: "netif", includes: &[], values, messages: messages() }.is_the_same();
}
