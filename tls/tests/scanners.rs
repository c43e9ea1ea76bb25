//! What those say who look at servers for a living: `sslscan` and `testssl.sh`, at a server as a Linux process.

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/testssl.rs"]
mod testssl;

use common::*;
use fata_tls::provider::Tickets;
use host::*;
use std::sync::Arc;
use testssl::*;

fn config() -> fata_tls::ServerConfig {
    server_config().alpn(&["http/1.1"]).tickets(Arc::new(Tickets::default()))
}

#[test]
fn sslscan_finds_what_is_offered_and_nothing_else() {
    let (said, _) = with_server(config, |address| {
        let address = address.to_string();
        said("sslscan", "sslscan", &["--no-colour", "--show-certificate", "--sni-name=server.test", &address])
    });
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    for version in ["SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"] {
        let line = lines.iter().find(|line| line.starts_with(&format!("{version} ")));
        assert!(line.is_some_and(|line| line.ends_with("disabled")), "{version}: {said}");
    }
    for version in ["TLSv1.2", "TLSv1.3"] {
        let line = lines.iter().find(|line| line.starts_with(&format!("{version} ")));
        assert!(line.is_some_and(|line| line.ends_with("enabled")), "{version}: {said}");
    }
    // Debian's OpenSSL cannot ask for compression; `tests/wrong` does.
    for line in [
        "Session renegotiation not supported",
        "TLSv1.3 not vulnerable to heartbleed",
        "TLSv1.2 not vulnerable to heartbleed",
    ] {
        assert!(lines.contains(&line), "no {line:?}: {said}");
    }
    let suites: Vec<&str> = lines
        .iter()
        .filter(|line| line.starts_with("Preferred") || line.starts_with("Accepted"))
        .map(|line| line.split_whitespace().nth(4).unwrap_or(line))
        .collect();
    let wanted = [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ];
    assert_eq!(suites.len(), wanted.len(), "{suites:?}: {said}");
    assert!(wanted.iter().all(|suite| suites.contains(suite)), "{suites:?}: {said}");
}

/// What is not looked at, and why.
const NOT_OURS: &[(&str, &str)] = &[
    (
        "cert_",
        "a certificate of a test: no browser trusts it, it lives for twenty years, and nobody can revoke it",
    ),
    ("OCSP_stapling", "the same"),
    ("DNS_CAArecord", "the same"),
    ("RC4", "Debian's OpenSSL cannot ask for it; the suites are all named by sslscan"),
    (
        "sessionresumption_ticket",
        "it gives up before the server has answered; OpenSSL resumes in `tests/peers.rs`",
    ),
];

#[test]
fn testssl_finds_nothing() {
    let (all, _) = with_server(config, |address| {
        // All that it has takes some minutes: `cargo fata test --long`; and so does web's own test.
        let is_long = std::env::var_os("FATA_LONG").is_some();
        let checks = ["--fast", "-p", "-s", "-P", "-S", "-f", "-U", "-c"];
        let checks = if is_long { &checks[..] } else { &checks[..5] };
        findings(&format!("localhost:{}", address.port()), &host::file("root"), checks)
    });
    let bad = worse_than_low(&all, NOT_OURS);
    assert!(bad.is_empty(), "{bad:#?}");
    for (id, wanted) in [
        ("SSLv3", "not offered"),
        ("TLS1", "not offered"),
        ("TLS1_1", "not offered"),
        ("TLS1_2", "offered"),
        ("TLS1_3", "offered"),
        ("cipherlist_NULL", "not offered"),
        ("cipherlist_STRONG", "offered"),
        ("cipherlist_AVERAGE", "not offered"),
    ] {
        check(&all, id, wanted);
    }
}
