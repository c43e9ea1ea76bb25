//! The proxy as a process, before servers of the test's own, with curl and clients by hand.

#[path = "../../web/tests/https/alpn.rs"]
mod alpn;
mod common;

use common::*;
use fata::testing::free_port;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

#[test]
fn requests_go_through() {
    let (process, _, tls_port) = proxy(&[server("one")], &[]);
    let url = format!("https://localhost:{tls_port}/a?b=c");
    for version in ["--http1.1", "--http2"] {
        let more = ["-H", "X-Forwarded-For: 1.2.3.4", "-H", "Keep-Alive: x", "-i", version, &url];
        let answer = curl(&more);
        for wanted in [
            "one\n",
            "GET /a?b=c HTTP/1.1\r\n",
            &format!("\r\nHost: localhost:{tls_port}\r\n"),
            "\r\nX-Forwarded-For: 127.0.0.1\r\n",
            "\r\nX-Forwarded-Proto: https\r\n",
            &format!("\r\nVia: {} fata-", if version == "--http2" { "2.0" } else { "1.1" }),
        ] {
            assert!(answer.contains(wanted), "{version}: {wanted:?} in {answer}");
        }
        let lower = answer.to_lowercase();
        assert!(
            !lower.contains("1.2.3.4") && !lower.contains("keep-alive: x") && !lower.contains("x-hop"),
            "{answer}"
        );
        // More than any buffer, with `Expect: 100-continue`.
        let large = ["x".repeat(3_000_000)];
        let file = std::env::temp_dir().join(format!("fata-proxy-{}-{}", std::process::id(), version.len()));
        std::fs::write(&file, &large[0]).unwrap();
        let answer = curl(&[version, "--data-binary", &format!("@{}", file.display()), &url]);
        std::fs::remove_file(file).unwrap();
        assert!(answer.ends_with("3000000 octets\n"), "{answer}");
    }
    assert_eq!(process.leave().code(), Some(0));
}

/// What escapes stand for is the server's to know (RFC 3986 section 2.1), but that they are escapes.
#[test]
fn escapes_go_on_as_they_came() {
    let (process, port, tls_port) = proxy(&[server("one")], &["http=redirect"]);
    let url = format!("https://localhost:{tls_port}");
    for version in ["--http1.1", "--http2"] {
        for target in ["/caf%E9", "/%ff%fe/%2F?%e9%zz", "/%c0%af", "/%C3%A9"] {
            let answer = curl(&[version, &format!("{url}{target}")]);
            assert!(answer.contains(&format!("GET {target} HTTP/1.1\r\n")), "{version} {target}: {answer}");
        }
        for target in ["/%00", "/caf%E9%00", "/%E", "/%zz"] {
            assert_eq!(status(&[version, &format!("{url}{target}")]), "400", "{version} {target}");
        }
    }
    let sent_on = ["-o", "/dev/null", "-w", "%{redirect_url}", &format!("http://localhost:{port}/caf%E9")];
    assert_eq!(curl(&sent_on), format!("{url}/caf%E9"));
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn alpn_is_binding() {
    let (process, _, tls_port) = proxy(&[server("one")], &[]);
    alpn::is_binding(&format!("localhost:{tls_port}"));
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn only_hosts_that_are_named() {
    let (process, _, tls_port) = proxy(&[server("one")], &["hosts=localhost,b.test"]);
    let url = format!("https://localhost:{tls_port}/");
    let of = |host: &str| status(&["-H", &format!("Host: {host}"), &url]);
    assert_eq!([of("localhost"), of("B.test:1"), of("c.test")], ["200", "200", "421"]);
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn a_server_that_is_gone_costs_no_request() {
    let gone = free_port();
    let admin = free_port();
    let (process, port, _) = proxy(&[gone, server("two")], &[&format!("admin-port={admin}")]);
    for _ in 0..10 {
        assert!(curl(&[&format!("http://127.0.0.1:{port}/")]).starts_with("two\n"));
    }
    let metrics = curl(&[&format!("http://127.0.0.1:{admin}/metrics")]);
    let of = |server: u16| format!("proxy_backend_up{{pool=\"backends\",server=\"127.0.0.1:{server}\"}} ");
    assert!(metrics.contains(&(of(gone) + "0\n")), "{metrics}");
    assert_eq!(process.leave().code(), Some(0));
    let (process, port, _) = proxy(&[gone], &[]);
    assert_eq!(status(&[&format!("http://127.0.0.1:{port}/")]), "502");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn nothing_is_smuggled() {
    let (process, port, _) = proxy(&[server("one")], &["idle=1s"]);
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Content-Length: +5\r\n",
        "X: a\r\n Content-Length: 5\r\n",
        "X: a\nContent-Length: 5\r\n",
    ] {
        let answer = raw(
            port,
            &format!(
                "POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
            ),
        );
        assert!(
            answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.1 501"),
            "{fields:?}: {answer}"
        );
        assert!(!answer.contains("/hidden"), "{fields:?}: {answer}");
    }
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn another_protocol_goes_both_ways() {
    let (process, port, _) = proxy(&[server("one")], &["drain=1s"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
        .unwrap();
    let answer = head(&mut stream).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 101 ") && answer.to_lowercase().contains("upgrade: websocket\r\n"),
        "{answer}"
    );
    let mut echo = [0; 5];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"early");
    stream.write_all(b"later").unwrap();
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"later");
    drop(stream);
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn the_protocol_of_load_balancers_is_understood() {
    let (process, port, _) = proxy(&[server("one")], &["proxy-from=127.0.0.0/8"]);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = raw(port, &format!("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n{request}"));
    assert!(answer.contains("\r\nX-Forwarded-For: 192.0.2.7\r\n"), "{answer}");
    assert_eq!(raw(port, request), "", "who owes a header is not heard without one");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn load_balancers_are_understood_where_all_are_sent_away() {
    let (process, port, tls_port) = proxy(&[server("one")], &["proxy-from=127.0.0.0/8", "http=redirect"]);
    for (request, place) in
        [("GET /a?b HTTP/1.1\r\nHost: h:80", "h"), ("GET http://a/a?b HTTP/1.1\r\nHost: h", "a")]
    {
        let request = format!("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n{request}\r\nConnection: close\r\n\r\n");
        let answer = raw(port, &request);
        let location = format!("\r\nLocation: https://{place}:{tls_port}/a?b\r\n");
        assert!(answer.starts_with("HTTP/1.1 308 ") && answer.contains(&location), "{request}: {answer}");
    }
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn what_is_under_way_ends_whole() {
    let (process, _, tls_port) = proxy(&[server("one")], &["drain=15s"]);
    let url = format!("https://localhost:{tls_port}/slow");
    let download = thread::spawn(move || curl(&["-i", &url]));
    thread::sleep(Duration::from_millis(700));
    assert_eq!(process.leave().code(), Some(0));
    let answer = download.join().unwrap();
    assert!(answer.ends_with(&"x".repeat(1000)), "{answer}");
}
