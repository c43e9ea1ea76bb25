//! What those say who look at servers for a living: `sslscan` and `testssl.sh`, at a server as a Linux process.

mod common;
#[path = "common/host.rs"]
mod host;

use common::*;
use fata_tls::provider::Tickets;
use host::*;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

fn config() -> fata_tls::ServerConfig {
    server_config().alpn(&["http/1.1"]).tickets(Arc::new(Tickets::default()))
}

/// What a program says; its package is named where it is missing.
fn said(program: &str, package: &str, args: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["400", program])
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert_ne!(output.status.code(), Some(127), "{program} is missing: is its package {package} installed?");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
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

/// A finding of `testssl.sh`: its severity and what it says.
fn findings(json: &str) -> BTreeMap<String, (String, String)> {
    // One key and value a line, flat.
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{key}\"")))?;
        let value = line.trim_start().trim_start_matches(':').trim().trim_end_matches(',');
        Some(value.trim_matches('"').to_owned())
    };
    let blocks = json.split('}');
    blocks
        .filter_map(|block| {
            Some((value(block, "id")?, (value(block, "severity")?, value(block, "finding")?)))
        })
        .collect()
}

/// What is not looked at, and why.
const NOT_OURS: &[(&str, &str)] = &[
    (
        "cert_",
        "a certificate of a test: no browser trusts it, it lives for twenty years, and nobody can revoke it",
    ),
    ("OCSP_stapling", "the same"),
    ("DNS_CAArecord", "the same"),
    (
        "cipher_order",
        "the client's order counts, as Mozilla has it: who has no instructions for AES wants ChaCha20; no suite is weak",
    ),
    ("RC4", "Debian's OpenSSL cannot ask for it; the suites are all named by sslscan"),
    (
        "sessionresumption_ticket",
        "it gives up before the server has answered; OpenSSL resumes in `tests/peers.rs`",
    ),
    ("overall_grade", "T, for the root that nobody trusts"),
];

#[test]
fn testssl_finds_nothing() {
    let (json, _) = with_server(config, |address| {
        let folder = std::env::temp_dir().join(format!("fata-tls-testssl-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("findings.json");
        let _ = std::fs::remove_file(&file);
        // All it has takes a minute and a half: `cargo fata test --long`.
        let is_long = std::env::var_os("FATA_LONG").is_some();
        let checks =
            if is_long { &["-p", "-s", "-f", "-P", "-S", "-U", "-c"][..] } else { &["-p", "-s", "-P", "-S"] };
        let target = format!("localhost:{}", address.port());
        let root = host::file("root");
        let common = [
            "--quiet",
            "--color",
            "0",
            "--warnings",
            "batch",
            "--fast",
            "--openssl",
            "/usr/bin/openssl",
            "--add-ca",
            &root,
            "--jsonfile",
            file.to_str().unwrap(),
        ];
        let said = said("testssl", "testssl.sh", &[&common[..], checks, &[&target]].concat());
        let json = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}: {said}"));
        let _ = std::fs::remove_dir_all(&folder);
        json
    });
    let all = findings(&json);
    assert!(all.len() > 30, "{json}");
    let bad: Vec<_> = all
        .iter()
        .filter(|(id, (severity, _))| {
            ["MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"].contains(&severity.as_str())
                && !NOT_OURS.iter().any(|(not_ours, _)| id.starts_with(not_ours))
        })
        .collect();
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
        let (_, said) = all.get(id).unwrap_or_else(|| panic!("no {id}: {json}"));
        assert!(said.contains(wanted), "{id}: {said}");
    }
}
