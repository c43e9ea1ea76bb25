//! What a server of HTTP/2 and HTTP/1.1 speaks is what TLS has agreed upon, whatever its client begins with (RFC 9113 sections 3.2 and 3.4):
//! with openssl as client.

use fata::testing::run_tool;

const GET: &str = r"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
/// The preface and empty SETTINGS.
const PREFACE: &str = r"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
/// GOAWAY before any stream, with PROTOCOL_ERROR.
const PROTOCOL_ERROR: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// All that a client is answered that offers these protocols and sends this, until the server closes.
fn answer(place: &str, offers: &str, sends: &str) -> Vec<u8> {
    let client = format!("printf '{sends}' | timeout 20 openssl s_client -quiet {offers} -connect {place}");
    let output = run_tool("sh", ["-c", &client]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{client}: {said}");
    output.stdout
}

/// Looks at the server that is at `HOST:PORT`.
pub fn is_binding(place: &str) {
    for (offers, sends, begin) in [
        ("-alpn http/1.1", GET, "HTTP/1.1 200 "),
        ("", GET, "HTTP/1.1 200 "),
        ("-alpn http/1.1", PREFACE, "HTTP/1.1 505 "),
        ("", PREFACE, "HTTP/1.1 505 "),
    ] {
        let answer = String::from_utf8_lossy(&answer(place, offers, sends)).into_owned();
        assert!(answer.starts_with(begin), "{offers:?} {sends}: {answer}");
    }
    let answer = answer(place, "-alpn h2", GET);
    let as_text = String::from_utf8_lossy(&answer);
    assert!(answer.ends_with(&PROTOCOL_ERROR) && !as_text.contains("HTTP/1.1"), "{answer:?}");
}
