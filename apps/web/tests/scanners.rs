//! What `testssl.sh` says of the web server with TLS, as a process with a certificate of an authority: all of its checks, and the grade.
//! They take three minutes: `cargo fata test --long check::web_scanners`.

#[path = "../../../tls/tests/common/testssl.rs"]
mod testssl;

use fata::testing::{Process, free_port, run_tool};
use std::fs;
use std::path::Path;
use testssl::{check, findings, grade, worse_than_low};

const EXTENSIONS: &str = "subjectAltName=DNS:localhost\n\
    basicConstraints=critical,CA:FALSE\n\
    keyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth\n\
    crlDistributionPoints=URI:http://crl.test/list\n";

fn tool(name: &str, arguments: &str) {
    let output = run_tool(name, arguments.split_ascii_whitespace());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments}: {said}");
}

/// A root, and an archive with a key and a certificate for `localhost` as authorities make them, in a folder.
fn make_keys(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("extensions"), EXTENSIONS).unwrap();
    let at = folder.display();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let of_root = "-addext keyUsage=critical,keyCertSign,cRLSign -addext basicConstraints=critical,CA:TRUE";
    tool(
        "openssl",
        &format!(
            "req -x509 {key} -keyout {at}/root-key.pem -out {at}/root.pem -days 90 -subj /CN=test {of_root}"
        ),
    );
    tool("openssl", &format!("req -new {key} -keyout {at}/key.pem -out {at}/request -subj /CN=localhost"));
    tool(
        "openssl",
        &format!(
            "x509 -req -in {at}/request -CA {at}/root.pem -CAkey {at}/root-key.pem -days 80 \
             -extfile {at}/extensions -out {at}/chain.pem"
        ),
    );
    tool("tar", &format!("-cf {at}/keys.tar -C {at} chain.pem key.pem"));
}

#[test]
fn testssl_grades_it_a_plus() {
    let folder = std::env::temp_dir().join(format!("fata-web-scanners-{}", std::process::id()));
    make_keys(&folder);
    let (port, tls_port) = (free_port(), free_port());
    let params = [
        format!("port={port}"),
        format!("tls-port={tls_port}"),
        format!("keys.file={}", folder.join("keys.tar").display()),
    ];
    let web = Process::start(env!("CARGO_BIN_EXE_web"), params.iter().map(String::as_str));
    web.wait_for(&format!("HTTPS on port {tls_port}"));
    let all = findings(&format!("localhost:{tls_port}"), &folder.join("root.pem").display().to_string(), &[]);
    assert_eq!(web.leave().code(), Some(0));
    let _ = fs::remove_dir_all(&folder);

    let bad = worse_than_low(&all, &[]);
    assert!(bad.is_empty(), "{bad:#?}");
    for (id, wanted) in [
        ("TLS1_1", "not offered"),
        ("TLS1_2", "offered"),
        ("TLS1_3", "offered with final"),
        ("ALPN_HTTP2", "h2"),
        ("cipherlist_AVERAGE", "not offered"),
        ("cert_trust", "Ok"),
        ("HSTS_time", "365 days"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'self'"),
    ] {
        check(&all, id, wanted);
    }
    assert_eq!(grade(&all), ("A+", [100, 90, 90]), "{all:#?}");
    // The rules are not so that anything passes.
    let without = |id: &str| {
        let mut all = all.clone();
        all.remove(id);
        grade(&all).0
    };
    assert_eq!([without("HSTS_time"), without("cert_trust"), without("heartbleed")], ["A", "T", "F"]);
}
