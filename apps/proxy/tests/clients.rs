//! Certificates that clients show, and what servers are told of them (RFC 9440).

mod common;
mod volume;

use common::{curl, server};
use fata::testing::{Process, free_port, run_tool};
use volume::{Volume, tool};

const ROOT: &str = include_str!("../../../tls/tests/certificates/root.pem");
const OTHER: &str = include_str!("../../../tls/tests/certificates/other.pem");

fn file(name: &str) -> String {
    format!("../../tls/tests/certificates/{name}.pem")
}

/// The arguments of curl or `openssl s_client` that show a certificate.
fn own(options: [&str; 2], name: &str) -> [String; 4] {
    [options[0].into(), file(name), options[1].into(), file(&format!("{name}-key"))]
}

/// The proxy before a server that says what it was asked; its ports of HTTP and HTTPS.
fn proxy(volume: &Volume, params: &[&str]) -> (Process, u16, u16) {
    let (port, tls_port) = (free_port(), free_port());
    let backends = format!("backends=127.0.0.1:{}", server("one"));
    let disk = format!("config.file={}", volume.image());
    let own = [&*format!("port={port}"), &format!("tls-port={tls_port}"), &backends, &disk];
    let process = Process::start(env!("CARGO_BIN_EXE_proxy"), [&own[..], params].concat());
    process.wait_for(&format!("HTTPS on port {tls_port}"));
    (process, port, tls_port)
}

/// The fields of a request, as the server has them, that begin so.
fn fields<'a>(said: &'a str, name: &str) -> Vec<&'a str> {
    said.lines().filter(|line| line.to_lowercase().starts_with(name)).collect()
}

/// A certificate as RFC 9440 section 2.1 has it, of the lines of its PEM text.
fn field_of(name: &str) -> String {
    let text = std::fs::read_to_string(file(name)).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    format!("Client-Cert: :{base64}:")
}

/// What a client says of certificates is nobody's word but its own.
const FORGED: [&str; 8] = [
    "-H",
    "Client-Cert: :Zm9yZ2Vk:",
    "-H",
    "client_cert: :Zm9yZ2Vk:",
    "-H",
    "Client-Cert-Chain: :Zm9yZ2Vk:",
    "-H",
    "CLIENT_CERT-CHAIN: :Zm9yZ2Vk:",
];

#[test]
fn servers_are_told_which_certificate_was_shown() {
    let volume = Volume::new("told", &[]);
    volume.put("client-ca.pem", ROOT);
    let params = ["http=serve", "client-certificates=ask", "trust-forwarded=127.0.0.1"];
    let (proxy, port, tls_port) = self::proxy(&volume, &params);
    proxy.wait_for("clients show certificates that client-ca.pem of the disk config has signed");
    let (plain, tls) = (format!("http://localhost:{port}/"), format!("https://localhost:{tls_port}/"));
    let certificate = own(["--cert", "--key"], "client");
    let certificate = certificate.each_ref().map(String::as_str);
    for version in ["--http1.1", "--http2"] {
        let said = curl(&[&certificate[..], &FORGED, &[version, &tls]].concat());
        assert_eq!(fields(&said, "client"), [field_of("client")], "{version}: {said}");
        let said = curl(&[&FORGED[..], &[version, &tls]].concat());
        assert!(fields(&said, "client").is_empty() && said.contains("GET / "), "{version}: {said}");
    }
    let said = curl(&[&FORGED[..], &[&plain]].concat());
    assert!(fields(&said, "client").is_empty() && said.contains("GET / "), "HTTP: {said}");

    // A session that is resumed has the certificate that it began with.
    let (place, session) = (format!("localhost:{tls_port}"), volume.file("session"));
    for (how, kind) in [("-sess_out", "New, TLSv1.2"), ("-sess_in", "Reused, TLSv1.2")] {
        let shown = own(["-cert", "-key"], "client").join(" ");
        let script = format!(
            "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect {place} -tls1_2 -ign_eof {shown} {how} {session}"
        );
        let said = tool("sh", &["-c", &script]);
        assert!(said.contains(kind) && said.contains(&field_of("client")), "{how}: {said}");
    }
    assert_eq!(proxy.leave().code(), Some(0));
}

#[test]
fn who_shows_none_or_a_wrong_one_is_refused() {
    let volume = Volume::new("refused", &[]);
    volume.put("client-ca.pem", ROOT);
    let (proxy, port, tls_port) =
        self::proxy(&volume, &["client-certificates=require", "hosts=localhost", "reload=100ms"]);
    let tls = format!("https://localhost:{tls_port}/");
    let says = |name: Option<&str>| {
        let own = name.map(|name| own(["--cert", "--key"], name)).unwrap_or_default();
        let own = own.iter().map(String::as_str).filter(|word| !word.is_empty());
        let arguments = ["-sSk", "--http1.1", "--max-time", "20", &tls].into_iter().chain(own);
        let output = run_tool("curl", arguments);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let expect = |rows: &[(Option<&str>, &str)]| {
        for (name, wanted) in rows {
            let said = says(*name);
            assert!(said.contains(wanted), "{name:?}: not {wanted}, but {said}");
        }
    };
    expect(&[
        (Some("client"), "GET / "),
        (None, "certificate required"),
        (Some("stranger"), "unknown ca"),
        (Some("expired"), "certificate expired"),
    ]);
    volume.put("client-ca.pem", OTHER);
    proxy.wait_for("clients' certificates are held against others from now on");
    expect(&[(Some("client"), "unknown ca"), (Some("stranger"), "GET / ")]);
    // Who comes by plain HTTP gets no further than to where a certificate is asked for.
    let plain = format!("http://localhost:{port}/");
    assert_eq!(
        curl(&["-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", &plain]),
        format!("308 {tls}")
    );
    assert_eq!(proxy.leave().code(), Some(0));
}

#[test]
fn what_makes_no_sense_stops_the_start() {
    let volume = Volume::new("senseless", &[]);
    let disk = format!("config.file={}", volume.image());
    let other = Volume::new("senseless-too", &[]);
    other.put("client-ca.pem", ROOT);
    let with_authority = format!("config.file={}", other.image());
    let none = "boot parameter client-certificates: there is no disk config with client-ca.pem";
    let both = "boot parameters client-certificates=require and http=serve: over HTTP nobody shows a certificate; leave http at redirect, or off";
    for (params, said) in [
        (
            &["client-certificates=yes"][..],
            "boot parameter client-certificates: \"yes\" is none of require, ask, off",
        ),
        (&["client-certificates=require"], none),
        (&["client-certificates=require", "http=off"], none),
        (&["client-certificates=require", &disk], none),
        (&["client-certificates=require", "http=serve", &with_authority], both),
        (&["client-certificates=require", "http=serve"], both),
    ] {
        let mut proxy =
            Process::start(env!("CARGO_BIN_EXE_proxy"), [&["backends=127.0.0.1:9"], params].concat());
        proxy.wait_for(said);
        assert_ne!(proxy.wait().code(), Some(0));
    }
}

/// By what is left of the ways the authority cannot be answered where clients have to show certificates, or nobody listens for HTTP.
#[cfg(feature = "acme")]
#[test]
fn an_authority_that_could_not_be_answered_stops_the_start() {
    let volume = Volume::new("unanswered", &[]);
    volume.put("client-ca.pem", ROOT);
    let kept = volume.file("acme.img");
    std::fs::File::create(&kept).unwrap().set_len(262_144).unwrap();
    let disks = [format!("config.file={}", volume.image()), format!("acme.file={kept}")];
    let tls = "client-certificates=require rules tls-alpn-01 out";
    let http = "http=off rules http-01 out";
    for (params, said) in [
        (
            &["acme-ways=tls-alpn-01", "client-certificates=require"][..],
            format!("no way is left of acme-ways=tls-alpn-01: {tls}"),
        ),
        (&["acme-ways=http-01", "http=off"], format!("no way is left of acme-ways=http-01: {http}")),
        (
            &["client-certificates=require", "http=off"],
            format!("no way is left of acme-ways=tls-alpn-01,http-01: {http}, {tls}"),
        ),
    ] {
        let own = ["backends=127.0.0.1:9", "hosts=a.test", "acme=https://localhost:1/dir", "acme-terms=on"];
        let own = own.into_iter().chain(disks.iter().map(|disk| &**disk));
        let mut proxy = Process::start(env!("CARGO_BIN_EXE_proxy"), own.chain(params.iter().copied()));
        proxy.wait_for(&format!("acme: {said}"));
        assert_ne!(proxy.wait().code(), Some(0), "{params:?}");
    }
}
