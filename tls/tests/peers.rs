//! Real peers over the host's sockets: OpenSSL's `s_client` and `s_server`, and curl.

mod common;
#[path = "common/host.rs"]
mod host;

use common::*;
use embedded_io_async::Write;
use fata_libos::task::block_on;
use fata_libos::time::Duration;
use fata_tls::provider::Tickets;
use fata_tls::{ClientCertificates, ServerConfig};
use fata_unix::UnixPlatform;
use fata_unix::socket::TcpStream;
use host::*;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn s_client(address: SocketAddr, args: &str, input: &str) -> String {
    let (address, root) = (address.to_string(), file("root"));
    let mut all =
        vec!["s_client", "-connect", &address, "-CAfile", &root, "-verify_return_error", "-ign_eof"];
    all.extend(args.split_whitespace());
    command("openssl", &all, input)
}

const GET: &str = "GET /1000 HTTP/1.0\r\n\r\n";

const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const TLS12: [&str; 3] =
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];

/// The groups that are offered, with the line of OpenSSL's that says which was taken. It takes a certificate of P-256 in TLS 1.2 only where it
/// offers that group too; of P-521 there is none here, so that TLS 1.3 has a second hello.
const GROUPS: [(&str, &str); 4] = [
    ("X25519:P-256", "Server Temp Key: X25519, 253 bits"),
    ("P-256", "Server Temp Key: ECDH, prime256v1, 256 bits"),
    ("P-384:P-256", "Server Temp Key: ECDH, secp384r1, 384 bits"),
    ("P-521:P-256", "Server Temp Key: ECDH, prime256v1, 256 bits"),
];

/// Each of these lines is one of what was said.
fn has_lines(args: &str, said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.lines().any(|said| said.trim() == *line), "{args}: no {line:?}: {said}");
    }
}

#[test]
fn openssl_speaks_each_version_suite_and_group() {
    let ((), stats) = with_server(
        || server_config().alpn(&["http/1.1"]),
        |address| {
            for (option, suites, openssls, ours) in [
                ("-tls1_3 -ciphersuites", TLS13, "TLSv1.3", "TLS 1.3"),
                ("-tls1_2 -cipher", TLS12, "TLSv1.2", "TLS 1.2"),
            ] {
                for (suite, (groups, key)) in
                    suites.iter().flat_map(|suite| GROUPS.map(|group| (suite, group)))
                {
                    let args =
                        format!("{option} {suite} -groups {groups} -servername localhost -alpn http/1.1");
                    let said = s_client(address, &args, GET);
                    let negotiated = format!("New, {openssls}, Cipher is {suite}");
                    let served = format!("{ours} sni=localhost alpn=http/1.1 resumed=false certificates=0");
                    has_lines(&args, &said, &[&negotiated, key, &served, "Verify return code: 0 (ok)"]);
                }
            }
            for (args, alert) in [
                ("-tls1_1 -cipher ALL@SECLEVEL=0", "protocol version"),
                ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "handshake failure"),
                ("-tls1_2 -cipher AES128-GCM-SHA256", "handshake failure"),
                ("-groups P-521", "handshake failure"),
                ("-alpn h3", "no application protocol"),
            ] {
                let said = s_client(address, args, GET);
                assert!(said.contains(alert), "{args}: {said}");
            }
        },
    );
    assert_eq!((stats.handshakes(), stats.handshakes_refused()), (24, 5));
}

/// Keys of other kinds: RSA in each of its suites, Ed25519, in both versions.
#[cfg(feature = "rsa")]
#[test]
fn openssl_speaks_with_keys_of_each_kind() {
    const PSS: &str = "Peer signature type: RSA-PSS";
    const EDDSA: &str = "Peer signature type: ed25519";
    for (chain, key, rows) in [
        (
            RSA,
            RSA_KEY,
            &[
                ("-tls1_3 -sigalgs rsa_pss_rsae_sha256", [PSS, "Peer signing digest: SHA256"]),
                ("-tls1_3 -sigalgs rsa_pss_rsae_sha512", [PSS, "Peer signing digest: SHA512"]),
                (
                    "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256",
                    [PSS, "New, TLSv1.2, Cipher is ECDHE-RSA-AES128-GCM-SHA256"],
                ),
                (
                    "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384",
                    [PSS, "New, TLSv1.2, Cipher is ECDHE-RSA-AES256-GCM-SHA384"],
                ),
                (
                    "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305",
                    [PSS, "New, TLSv1.2, Cipher is ECDHE-RSA-CHACHA20-POLY1305"],
                ),
                ("-tls1_2 -sigalgs RSA+SHA384", ["Peer signature type: RSA", "Peer signing digest: SHA384"]),
            ][..],
        ),
        (
            ED25519,
            ED25519_KEY,
            &[
                ("-tls1_3", [EDDSA, "New, TLSv1.3, Cipher is TLS_AES_128_GCM_SHA256"]),
                ("-tls1_2", [EDDSA, "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"]),
            ][..],
        ),
    ] {
        let (_, stats) = with_server(
            move || ServerConfig::from_pem(chain, key).unwrap(),
            move |address| {
                for (args, lines) in rows {
                    let said = s_client(address, args, GET);
                    has_lines(args, &said, lines);
                    let served = if args.starts_with("-tls1_3") { "TLS 1.3 sni=" } else { "TLS 1.2 sni=" };
                    assert!(said.contains(served), "{args}: {said}");
                    has_lines(args, &said, &["Verify return code: 0 (ok)"]);
                }
            },
        );
        assert_eq!(stats.handshakes(), rows.len() as u64);
    }
}

/// Clients' certificates: shown, missing, of another root, expired, revoked; in both versions.
#[test]
fn openssl_shows_certificates() {
    for (version, missing) in [("-tls1_3", "certificate required"), ("-tls1_2", "handshake failure")] {
        let config = || {
            let config = server_config().client_certificates(ClientCertificates::Required, ROOT).unwrap();
            config.revocation_lists(REVOKED_LIST).unwrap()
        };
        let ((), stats) = with_server(config, move |address| {
            let with = |name: &str| {
                let args = format!("{version} -cert {} -key {}", file(name), file(&format!("{name}-key")));
                s_client(address, &args, GET)
            };
            // OpenSSL sends the root too.
            let said = with("client");
            assert!(said.contains("200 OK") && said.contains("resumed=false certificates=2"), "{said}");
            for (name, alert) in [
                ("stranger", "unknown ca"),
                ("expired", "certificate expired"),
                ("revoked", "certificate revoked"),
            ] {
                let said = with(name);
                assert!(said.contains(alert) && !said.contains("200 OK"), "{version} {name}: {said}");
            }
            let said = s_client(address, version, GET);
            assert!(said.contains(missing) && !said.contains("200 OK"), "{version}: {said}");
        });
        assert_eq!((stats.handshakes(), stats.handshakes_with_bad_certificates()), (1, 4), "{version}");
    }
}

#[test]
fn openssl_renegotiates_with_nobody_and_updates_keys() {
    with_server(server_config, |address| {
        // `R` renegotiates: the server refuses, and OpenSSL gives up.
        let said = command(
            "sh",
            &[
                "-c",
                &format!(
                    "(sleep 1; echo R; sleep 1) | openssl s_client -tls1_2 -connect {address} -CAfile {}",
                    file("root")
                ),
            ],
            "",
        );
        assert!(said.contains("RENEGOTIATING") && said.contains("no renegotiation"), "{said}");
        // `K` updates both sides' keys.
        let input = "(sleep 1; echo K; sleep 1; printf 'GET /5 HTTP/1.0\\r\\n\\r\\n'; sleep 2)";
        let said = command(
            "sh",
            &[
                "-c",
                &format!("{input} | openssl s_client -tls1_3 -connect {address} -CAfile {}", file("root")),
            ],
            "",
        );
        assert!(said.contains("KEYUPDATE") && said.contains("200 OK"), "{said}");
    });
}

#[test]
fn openssl_resumes_with_tickets() {
    let ((), stats) = with_server(
        || server_config().tickets(Arc::new(Tickets::default())),
        |address| {
            for version in ["-tls1_3", "-tls1_2"] {
                let kept = format!(
                    "{}/fata-tls-session-{}{version}",
                    std::env::temp_dir().display(),
                    std::process::id()
                );
                let first = s_client(address, &format!("{version} -sess_out {kept}"), GET);
                assert!(first.contains("resumed=false"), "{first}");
                let second = s_client(address, &format!("{version} -sess_in {kept}"), GET);
                let _ = std::fs::remove_file(&kept);
                assert!(second.contains("resumed=true"), "{version}: {second}");
            }
        },
    );
    assert_eq!((stats.handshakes(), stats.handshakes_resumed()), (4, 2));
}

#[test]
fn curl_gets_and_shows_certificates() {
    let config = || server_config().client_certificates(ClientCertificates::Required, ROOT).unwrap();
    let ((), stats) = with_server(config, |address| {
        let url = format!("https://localhost:{}/3000000", address.port());
        let (root, cert, key) = (file("root"), file("client"), file("client-key"));
        let common = ["-sS", "--cacert", &root, "--http1.1", &url];
        let with = |cert: &str, key: &str| {
            command("curl", &[&common[..], &["--cert", cert, "--key", key]].concat(), "")
        };
        let said = with(&cert, &key);
        // OpenSSL sends the root too.
        let line = "TLS 1.3 sni=localhost alpn=- resumed=false certificates=2\n";
        assert!(said.starts_with(line), "{}", said.get(..200).unwrap_or(&said));
        let said = command("curl", &common, "");
        assert!(said.contains("certificate required"), "{said}");
        let said = with(&file("stranger"), &file("stranger-key"));
        assert!(said.contains("unknown ca"), "{said}");
    });
    assert_eq!((stats.handshakes(), stats.handshakes_with_bad_certificates()), (1, 2));
}

#[test]
fn plain_text_is_refused() {
    let ((), stats) = with_server(server_config, |address| {
        let url = format!("http://localhost:{}/", address.port());
        let said = command("curl", &["-sS", "--http0.9", "-o", "/dev/stdout", &url], "");
        // The alert's seven octets.
        assert!(said.as_bytes().starts_with(&[21, 3, 3, 0, 2, 2, 10]), "{said:?}");
    });
    assert_eq!(stats.handshakes_refused(), 1);
}

#[test]
fn our_client_speaks_with_openssls_server() {
    let (cert, key) = (file("server"), file("server-key"));
    let platform = UnixPlatform::new().unwrap();
    for version in ["-tls1_3", "-tls1_2"] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new("timeout")
            .args(["30", "openssl", "s_server", "-accept", &format!("127.0.0.1:{port}"), "-cert", &cert])
            .args(["-key", &key, "-www", version, "-alpn", "http/1.1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        block_on(platform, async {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let client = fata_tls::TlsConnector::new(client_config().alpn(&["http/1.1"])).unwrap();
            let mut resumed = Vec::new();
            for _ in 0..2 {
                let stream = loop {
                    match TcpStream::connect(platform.reactor(), address).await {
                        Ok(stream) => break stream,
                        Err(_) => fata_libos::time::sleep(Duration::from_millis(50)).await,
                    }
                };
                let mut stream = client.connect("localhost", Socket(stream)).await.unwrap();
                stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
                let (page, end) = read_to_end(&mut stream, 5000).await;
                let page = String::from_utf8_lossy(&page).into_owned();
                assert!(page.contains("200 ok") && end.is_ok(), "{version} {end:?} {page}");
                assert_eq!(stream.alpn_protocol(), Some(&b"http/1.1"[..]));
                resumed.push(stream.is_resumed());
            }
            assert_eq!(resumed, [false, true], "{version}");
        });
        // `timeout` hands it on, as it cannot do when it is killed.
        let _ = Command::new("kill").arg(server.id().to_string()).status();
        let _ = server.wait();
    }
}

#[cfg(feature = "issue")]
#[test]
fn an_authority_that_asks_is_shown_the_certificate_of_its_challenge() {
    let ((), _) = with_server(
        || {
            let challenges = fata_tls::AcmeChallenges::default();
            for (name, digest) in [("server.test", [7; 32]), ("192.0.2.1", [9; 32]), ("gone.test", [8; 32])] {
                let now = fata_libos::time::SystemTime::now();
                let issued = fata_tls::issue::acme_certificate(name, &digest, now).unwrap();
                challenges.present(name, &issued.chain_pem, &issued.key_pem).unwrap();
            }
            challenges.withdraw("gone.test");
            server_config().alpn(&["http/1.1"]).acme_challenges(challenges)
        },
        |address| {
            let address = address.to_string();
            let ask = |protocols: &str, name: &str| {
                let args =
                    ["s_client", "-connect", &address, "-ign_eof", "-alpn", protocols, "-servername", name];
                command("openssl", &args, GET)
            };
            for name in ["server.test", "SERVER.test", "1.2.0.192.in-addr.arpa"] {
                let said = ask("acme-tls/1", name);
                assert!(said.contains("ALPN protocol: acme-tls/1"), "{said}");
                assert!(said.contains("unhandled critical extension"), "{said}");
                assert!(!said.contains("HTTP/1.0 200"), "nothing is answered: {said}");
            }
            // Without a challenge there is nothing to show.
            for name in ["gone.test", "other.test"] {
                let said = ask("acme-tls/1", name);
                assert!(said.contains("no peer certificate available"), "{said}");
            }
            // Who can speak something else too is no authority.
            for protocols in ["http/1.1", "http/1.1,acme-tls/1", "acme-tls/1,http/1.1"] {
                let said = ask(protocols, "server.test");
                assert!(said.contains("ALPN protocol: http/1.1") && said.contains("HTTP/1.0 200"), "{said}");
            }
        },
    );
    let refused = block_on(UnixPlatform::new().unwrap(), async {
        let alone = server_config().acme_challenges(fata_tls::AcmeChallenges::default());
        fata_tls::TlsAcceptor::new(alone).err()
    });
    assert!(matches!(refused, Some(fata_tls::ConfigError::Refused(_))), "{refused:?}");
}
