//! The network messages as they are here, against the C header that the other side was compiled from.
//!
//! Needs a C compiler and the headers of the package libxen-dev; fails without, because nothing else holds the two together.

use fata_xen::abi::netif::{ExtraInfo, NAMED_VALUES, RxRequest, RxResponse, TxRequest, TxResponse};
use fata_xen::ring::Message;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::{offset_of, size_of};
use std::process::Command;

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

fn program() -> String {
    let mut c = String::from(
        "#include <stddef.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <string.h>\n\
         #include <xen/xen.h>\n#include <xen/io/netif.h>\nint main(void) {\n",
    );
    for (name, _) in NAMED_VALUES.iter().copied().chain(layouts()) {
        writeln!(c, "printf(\"%s\\t%lld\\n\", \"{name}\", (long long)({name}));").unwrap();
    }
    for (i, (message, words)) in messages().iter().enumerate() {
        writeln!(c, "{{ {message}; uint32_t w[3] = {{0}}; memcpy(w, &m, sizeof m);").unwrap();
        for word in 0..words.len() {
            writeln!(c, "printf(\"message {i} word {word}\\t%lld\\n\", (long long)w[{word}]);").unwrap();
        }
        c.push_str("}\n");
    }
    c + "return 0; }\n"
}

/// What the C compiler makes of it, by name.
fn seen_by_c() -> BTreeMap<String, i64> {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, binary) = (dir.join("netif_layout.c"), dir.join("netif_layout"));
    std::fs::write(&source, program()).unwrap();
    let compiled = Command::new("cc").arg("-o").arg(&binary).arg(&source).output();
    let compiled = compiled.unwrap_or_else(|e| panic!("no C compiler: install gcc and libxen-dev ({e})"));
    let errors = String::from_utf8_lossy(&compiled.stderr);
    assert!(
        compiled.status.success(),
        "cannot compile against the Xen headers: install libxen-dev\n{errors}"
    );
    let output = Command::new(&binary).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|l| l.split_once('\t')).map(|(n, v)| (n.into(), v.parse().unwrap())).collect()
}

#[test]
fn constants_layouts_and_messages_are_those_of_the_header() {
    let seen = seen_by_c();
    let mut expected: Vec<(String, i64)> =
        NAMED_VALUES.iter().copied().chain(layouts()).map(|(n, v)| (n.to_string(), v)).collect();
    for (i, (_, words)) in messages().iter().enumerate() {
        let numbered = words.iter().enumerate();
        expected.extend(numbered.map(|(j, w)| (format!("message {i} word {j}"), i64::from(*w))));
    }
    assert_eq!(seen.len(), expected.len());
    for (name, value) in expected {
        assert_eq!(seen[&name], value, "{name}: the header says {}, fata-xen says {value}", seen[&name]);
    }
}
