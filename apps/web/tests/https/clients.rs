//! Certificates that clients show: who is let in, who is not and is told why, and what takes the place of authorities.

use super::{CHAIN, KEY, Process, Volume, metrics, run_tool, web};

const ROOT: &str = include_str!("../../../../tls/tests/certificates/root.pem");
const OTHER: &str = include_str!("../../../../tls/tests/certificates/other.pem");
const REVOKED: &str = include_str!("../../../../tls/tests/certificates/crl.pem");

/// What curl says of a page, by the certificate of that name if there is one: a status, or an alert.
fn says(place: &str, version: &str, name: Option<&str>) -> String {
    let file = |name: &str| format!("../../tls/tests/certificates/{name}.pem");
    let (root, url) = (file("root"), format!("https://{place}/"));
    let mut arguments = vec!["-sS", "--max-time", "20", "--cacert", &root, "-o", "/dev/null"];
    // Over HTTP/2 curl goes on writing, and says that it cannot where it has not read the alert yet.
    arguments.push("--http1.1");
    arguments.extend(["-w", "%{http_code}", if version == "1.2" { "--tls-max" } else { "--tlsv1.3" }]);
    arguments.extend((version == "1.2").then_some("1.2"));
    let own = name.map(|name| [file(name), file(&format!("{name}-key"))]);
    if let Some([certificate, key]) = &own {
        arguments.extend(["--cert", certificate, "--key", key]);
    }
    let output = run_tool("curl", [&arguments[..], &[&url]].concat());
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Each client's certificate, and what is said to it in both versions.
fn each(place: &str, expected: &[(Option<&str>, &str)]) {
    for version in ["1.3", "1.2"] {
        for (name, wanted) in expected {
            // RFC 5246 has no alert of its own for a certificate that is missing.
            let wanted = match *wanted {
                "certificate required" if version == "1.2" => "handshake failure",
                // So says curl of that alert.
                "certificate expired" if version == "1.2" => "SSL certificate verification failed",
                wanted => wanted,
            };
            let said = says(place, version, *name);
            assert!(said.contains(wanted), "TLS {version}, {name:?}: not {wanted}, but {said}");
        }
    }
}

fn volume(name: &str, authorities: &[(&str, &str)]) -> Volume {
    Volume::new(name, &[&[("chain.pem", CHAIN), ("key.pem", KEY)], authorities].concat())
}

/// A figure of `/metrics`, for who shows a certificate.
fn figure(place: &str, name: &str) -> u64 {
    let file = |name: &str| format!("../../tls/tests/certificates/{name}.pem");
    let url = format!("https://{place}/metrics");
    let own = ["--cert", &file("client"), "--key", &file("client-key")];
    let all = super::tool("curl", &[&["-sS", "--cacert", &file("root")], &own[..], &[&url]].concat());
    let value = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name}: {all}")).parse().unwrap()
}

#[test]
fn who_shows_none_or_a_wrong_one_is_refused() {
    let volume = volume("required", &[("client-ca.pem", ROOT), ("client-crl.pem", REVOKED)]);
    let (web, place) = web(&[&format!("keys.file={}", volume.image()), "client-certificates=require"]);
    web.wait_for("clients show certificates that client-ca.pem of the disk keys has signed");
    each(
        &place,
        &[
            (Some("client"), "200"),
            (None, "certificate required"),
            (Some("stranger"), "unknown ca"),
            (Some("expired"), "certificate expired"),
            (Some("revoked"), "certificate revoked"),
        ],
    );
    assert_eq!(figure(&place, "tls_handshakes_total{result=\"bad_certificate\"}"), 8);
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn who_is_only_asked_need_not_show_any() {
    let volume = volume("asked", &[("client-ca.pem", ROOT)]);
    let (web, place) = web(&[&format!("keys.file={}", volume.image()), "client-certificates=ask"]);
    // Without a list nothing is known to be revoked.
    each(
        &place,
        &[(None, "200"), (Some("client"), "200"), (Some("revoked"), "200"), (Some("stranger"), "unknown ca")],
    );
    assert!(metrics(&place, "../../tls/tests/certificates/root.pem").contains("bad_certificate"));
    assert_eq!(web.leave().code(), Some(0));
}

/// Authorities are replaced as pairs are. What cannot be used, or is gone, lets nobody in that was not let in before; nor does a session of before.
#[test]
fn other_authorities_take_their_place() {
    let volume = volume("authorities", &[("client-ca.pem", OTHER)]);
    let image = volume.image();
    let (web, place) = web(&[&format!("keys.file={image}"), "client-certificates=require", "reload=100ms"]);
    each(&place, &[(Some("stranger"), "200"), (Some("client"), "unknown ca")]);
    let session = volume.0.join("session").display().to_string();
    let s_client = |how: &str| {
        let file = |name: &str| format!("../../tls/tests/certificates/{name}.pem");
        let arguments = ["s_client", "-connect", &place, "-tls1_2", "-cert", &file("stranger")];
        let more = ["-key", &file("stranger-key"), how, &session];
        let output = run_tool("openssl", [&arguments[..], &more].concat());
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    assert!(s_client("-sess_out").contains("New, TLSv1.2"));
    assert!(s_client("-sess_in").contains("Reused, TLSv1.2"), "{}", s_client("-sess_in"));

    volume.put("client-ca.pem", "-----BEGIN CERTIFICATE-----\nMII");
    web.wait_for("client-ca.pem and client-crl.pem: section 1 of the PEM text is broken");
    super::tool("mdel", &["-i", &image, "::client-ca.pem"]);
    web.wait_for("client-ca.pem is not there; clients' certificates are held against those before");
    each(&place, &[(Some("stranger"), "200"), (None, "certificate required")]);

    volume.put("client-ca.pem", ROOT);
    web.wait_for("clients' certificates are held against others from now on");
    let said = s_client("-sess_in");
    assert!(!said.contains("Reused") && said.contains("unknown ca"), "{said}");
    each(&place, &[(Some("client"), "200"), (Some("stranger"), "unknown ca"), (Some("revoked"), "200")]);
    assert_eq!(figure(&place, "tls_reloads_total"), 1);

    volume.put("client-crl.pem", REVOKED);
    for _ in 0..300 {
        if figure(&place, "tls_reloads_total") == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    each(&place, &[(Some("client"), "200"), (Some("revoked"), "certificate revoked")]);
    super::tool("mdel", &["-i", &image, "::client-crl.pem"]);
    web.wait_for("client-crl.pem is not there; clients' certificates are held against those before");
    each(&place, &[(Some("revoked"), "certificate revoked")]);
    assert_eq!(figure(&place, "tls_reloads_refused_total"), 3);
    assert_eq!(web.leave().code(), Some(0));
}

#[test]
fn what_makes_no_sense_stops_the_start() {
    let without = volume("none", &[]);
    let broken = volume("broken", &[("client-ca.pem", KEY)]);
    let lists = volume("lists", &[("client-crl.pem", REVOKED)]);
    let bad_list = volume("bad-list", &[("client-ca.pem", ROOT), ("client-crl.pem", "none\n")]);
    for (which, disk, said) in [
        ("maybe", None, "\"maybe\" is none of require, ask, off"),
        ("ask", None, "neither a disk keys nor the image has client-ca.pem"),
        ("require", Some(&without), "neither a disk keys nor the image has client-ca.pem"),
        ("require", Some(&broken), "client-ca.pem and client-crl.pem: no certificate in the PEM text"),
        ("require", Some(&lists), "client-ca.pem is not there"),
        ("require", Some(&bad_list), "client-ca.pem and client-crl.pem: the revocation list cannot be read"),
    ] {
        let mut params = vec![format!("client-certificates={which}")];
        params.extend(disk.map(|disk| format!("keys.file={}", disk.image())));
        let mut web = Process::start(env!("CARGO_BIN_EXE_web"), params.iter().map(String::as_str));
        web.wait_for(&format!("boot parameter client-certificates: {said}"));
        assert_ne!(web.wait().code(), Some(0), "{which}");
    }
}
