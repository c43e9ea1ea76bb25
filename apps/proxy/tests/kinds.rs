//! Hosts with keys of each kind beside each other, chosen by SNI, as OpenSSL and curl see them in both versions of TLS.

mod common;
mod volume;

use common::server;
use fata::testing::{Process, free_port, run_tool};
use std::fs;
use volume::{Volume, tool};

/// A host, and what a client sees of its key.
struct Kind {
    host: &'static str,
    /// What OpenSSL makes such a key by.
    newkey: &'static str,
    bits: u32,
    /// The lines of OpenSSL about the handshake's signature.
    signature: &'static [&'static str],
    /// What its suites of TLS 1.2 are called after.
    family: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind {
        host: "p256.test",
        newkey: "ec -pkeyopt ec_paramgen_curve:P-256",
        bits: 256,
        signature: &["Peer signing digest: SHA256", "Peer signature type: ECDSA"],
        family: "ECDHE-ECDSA",
    },
    Kind {
        host: "p384.test",
        newkey: "ec -pkeyopt ec_paramgen_curve:P-384",
        bits: 384,
        signature: &["Peer signing digest: SHA384", "Peer signature type: ECDSA"],
        family: "ECDHE-ECDSA",
    },
    Kind {
        host: "ed25519.test",
        newkey: "ed25519",
        bits: 256,
        signature: &["Peer signature type: ed25519"],
        // RFC 8422 section 5.10.
        family: "ECDHE-ECDSA",
    },
    Kind {
        host: "rsa.test",
        newkey: "rsa:2048",
        bits: 2048,
        signature: &["Peer signature type: RSA-PSS"],
        family: "ECDHE-RSA",
    },
];

/// The suites of a family.
const SUITES: [&str; 3] = ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"];

/// The certificate of a host, signed by the one root, into its folder on the volume.
fn make(volume: &Volume, kind: &Kind) {
    let openssl = |arguments: &str| {
        let arguments: Vec<_> =
            arguments.split(' ').map(|word| word.replace("IN/", &volume.file(""))).collect();
        tool("openssl", &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let (host, newkey) = (kind.host, kind.newkey);
    if !fs::exists(volume.file("root")).unwrap() {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(&format!("req -x509 {key} -keyout IN/root-key -out IN/root -subj /CN=root -days 9"));
    }
    openssl(&format!(
        "req -newkey {newkey} -nodes -keyout IN/key -out IN/asked -subj /CN={host} -addext subjectAltName=DNS:{host}"
    ));
    openssl(
        "x509 -req -in IN/asked -CA IN/root -CAkey IN/root-key -copy_extensions copy -days 9 -out IN/signed",
    );
    for (file, name) in [("key", "key.pem"), ("signed", "chain.pem")] {
        volume.put(&format!("{host}/{name}"), &fs::read_to_string(volume.file(file)).unwrap());
    }
}

/// What OpenSSL says that asks a host for a page.
fn s_client(port: u16, root: &str, host: &str, how: &str) -> String {
    let request = format!("GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n");
    let script = format!(
        "printf '{request}' | timeout 60 openssl s_client -ign_eof -connect 127.0.0.1:{port} -servername {host} \
         -verify_hostname {host} -verify_return_error -CAfile {root} {how} 2>&1; true"
    );
    String::from_utf8_lossy(&run_tool("sh", ["-c", &script]).stdout).into_owned()
}

#[test]
fn each_host_has_a_key_of_another_kind() {
    let volume = Volume::new("kinds", &KINDS.map(|kind| kind.host));
    let mut config = format!("pool app\n server 127.0.0.1:{}\n", server("one"));
    for kind in &KINDS {
        make(&volume, kind);
        config += &format!("host {}\n pool app\n", kind.host);
    }
    volume.put("proxy.conf", &config);
    let (port, root) = (free_port(), volume.file("root"));
    let params = ["http=off", &format!("tls-port={port}"), &format!("config.file={}", volume.image())]
        .map(String::from);
    let process = Process::start(env!("CARGO_BIN_EXE_proxy"), params);
    process.wait_for(&format!("HTTPS on port {port}"));

    for Kind { host, bits, signature, family, .. } in KINDS {
        let is_served = |how: &str, lines: &[&str]| {
            let said = s_client(port, &root, host, how);
            let always = [&*format!("Server public key is {bits} bit"), "Verification: OK"];
            for line in always.iter().chain(lines) {
                assert!(said.lines().any(|said| said.trim_end() == *line), "{host} {how}: no {line}: {said}");
            }
            let is_answered = said.contains("HTTP/1.1 200 OK") && said.contains(&format!("\nHost: {host}\r"));
            assert!(is_answered, "{host} {how}: {said}");
        };
        let suite = "TLS_AES_128_GCM_SHA256";
        let line = format!("New, TLSv1.3, Cipher is {suite}");
        is_served(&format!("-tls1_3 -ciphersuites {suite}"), &[signature, &[&*line]].concat());
        // Those of ECDSA are each tried elsewhere.
        let suites = if family == "ECDHE-RSA" { &SUITES[..] } else { &SUITES[..1] };
        for suite in suites {
            let line = format!("New, TLSv1.2, Cipher is {family}-{suite}");
            is_served(&format!("-tls1_2 -cipher {family}-{suite}"), &[signature, &[&*line]].concat());
        }
        // A signature of old, which clients of TLS 1.2 ask for that know none of PSS (RFC 8446 section 4.2.3).
        if family == "ECDHE-RSA" {
            let lines = ["Peer signature type: RSA", "Peer signing digest: SHA256"];
            is_served("-tls1_2 -sigalgs RSA+SHA256", &lines);
        }
        let (other, scheme) =
            if family == "ECDHE-RSA" { ("ECDHE-ECDSA", "ECDSA+SHA256") } else { ("ECDHE-RSA", "PSS+SHA256") };
        for how in [format!("-tls1_2 -cipher {other}-{}", SUITES[0]), format!("-tls1_3 -sigalgs {scheme}")] {
            let said = s_client(port, &root, host, &how);
            let is_refused = said.contains("alert handshake failure") && !said.contains("200 OK");
            assert!(is_refused, "{host} {how}: {said}");
        }
        let (url, resolve) = (format!("https://{host}:{port}/"), format!("{host}:{port}:127.0.0.1"));
        for version in [["--tlsv1.3", "--http2"], ["--tls-max", "1.2"]] {
            let usual = ["-sSf", "--max-time", "60", "--cacert", &root, "--resolve", &resolve, &url];
            let said = tool("curl", &[&usual[..], &version].concat());
            assert!(said.contains(&format!("\nHost: {host}:{port}\r")), "{host} {version:?}: {said}");
        }
    }
    assert_eq!(process.leave().code(), Some(0));
}
