//! The proxy as a process, before servers that are slow, silent or hasty, and clients that ask for what they should not.

mod common;

use common::*;
use fata::testing::free_port;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers what it is asked without content, until the other side ends.
fn answer_all(mut stream: TcpStream, answer: impl Fn(&str) -> Vec<u8>) {
    while let Some(whole) = head(&mut stream) {
        // Chunked content has only its end here.
        let is_chunked = whole.to_lowercase().contains("\r\ntransfer-encoding: chunked\r\n");
        assert!(!is_chunked || head(&mut stream).as_deref() == Some("0\r\n\r\n"));
        if stream.write_all(&answer(&whole)).is_err() {
            return;
        }
    }
}

#[test]
fn who_takes_no_more_of_a_request_is_not_waited_for() {
    let server = server_that(|mut stream| {
        let _ = head(&mut stream);
        thread::sleep(Duration::from_secs(60));
    });
    let (process, port, tls_port) = proxy(&[server], &["response=1s"]);
    let folder = Folder::new("stalled");
    let file = folder.file("large", vec![b'x'; 32 << 20]);
    let file = file.to_str().unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    assert_eq!(status(&["-T", file, "-H", "Expect:", &url]), "504");
    let url = format!("https://127.0.0.1:{tls_port}/");
    assert_eq!(status(&["--http2", "-T", file, "-H", "Expect:", &url]), "504");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn content_goes_both_ways_at_once() {
    // Its response begins with the request, and is as long.
    let server = server_that(|mut stream| {
        let Some(head) = head(&mut stream) else { return };
        let length = head.to_lowercase().split("content-length: ").nth(1).unwrap_or("0").to_owned();
        let mut left: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").unwrap();
        let mut piece = [0; 5000];
        while left > 0 {
            let n = stream.read(&mut piece).unwrap();
            stream.write_all(&piece[..n]).unwrap();
            left -= n;
        }
    });
    let (process, port, tls_port) = proxy(&[server], &[]);
    let folder = Folder::new("both");
    let sent: Vec<u8> = (0..20_000_000u32).map(|n| (n / 7) as u8).collect();
    let (file, echo) = (folder.file("sent", &sent), folder.path().join("echo"));
    for (version, url) in [
        ("--http1.1", format!("http://127.0.0.1:{port}/")),
        ("--http2", format!("https://127.0.0.1:{tls_port}/")),
    ] {
        let (file, echo) = (file.to_str().unwrap(), echo.to_str().unwrap());
        curl(&[version, "-T", file, "-H", "Expect:", "-o", echo, &url]);
        assert!(std::fs::read(echo).unwrap() == sent, "{version}");
    }
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn connections_are_kept_behind_answers_without_content() {
    let server = server_that(|stream| {
        answer_all(stream, |head| {
            let fields = match head.split(' ').nth(1).unwrap() {
                "/304" => "304 N\r\nETag: \"a\"\r\nContent-Length: 7\r\n",
                "/204" => "204 N\r\n",
                "/empty" => "200 OK\r\nContent-Length: 0\r\n",
                _ => "200 OK\r\nContent-Length: 1234\r\n",
            };
            format!("HTTP/1.1 {fields}\r\n").into_bytes()
        });
    });
    let admin = free_port();
    let (process, port, _) = proxy(&[server], &[&format!("admin-port={admin}")]);
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    for _ in 0..2 {
        assert_eq!(status(&[&url("/304")]), "304");
        assert_eq!(status(&[&url("/204")]), "204");
        assert_eq!(status(&[&url("/empty")]), "200");
        let head = curl(&["--head", &url("/page")]);
        assert!(head.to_lowercase().contains("\r\ncontent-length: 1234\r\n"), "{head}");
    }
    assert_eq!(metric(admin, "proxy_backend_connections_total"), 1);
    assert_eq!(metric(admin, "proxy_backend_reused_total"), 7);
    assert_eq!(metric(admin, "proxy_backend_connections_kept"), 1);
    let page = curl(&["-i", &format!("http://127.0.0.1:{admin}/")]);
    let row = format!("<tr><td>127.0.0.1:{server}<td><span class=\"up\">up</span><td>0<td>0<td>1<td>8<td>");
    assert!(page.contains(&row) && page.contains("default-src 'none'"), "{page}");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn what_may_be_sent_once_is_sent_once() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    // Each connection serves one request, and ends with the second, which looks as if it had been too late.
    let server = server_that(move |mut stream| {
        for n in 0..2 {
            let Some(head) = head(&mut stream) else { return };
            log.lock().unwrap().push(head.split(' ').next().unwrap().to_owned());
            if n == 0 {
                stream.write_all(OK).unwrap();
            }
        }
    });
    let (process, port, _) = proxy(&[server], &[]);
    let url = format!("http://127.0.0.1:{port}/");
    let all =
        [status(&[&url]), status(&[&url]), status(&["-X", "POST", &url]), status(&["-X", "POST", &url])];
    assert_eq!(all, ["200", "200", "502", "200"]);
    assert_eq!(*seen.lock().unwrap(), ["GET", "GET", "GET", "POST", "POST"]);
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn who_waits_longest_goes_first() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = server_that(move |stream| {
        answer_all(stream, |head| {
            log.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
            thread::sleep(Duration::from_millis(if head.starts_with("GET /0") { 1500 } else { 1 }));
            OK.to_vec()
        });
    });
    let folder = Folder::new("queue");
    let config = format!(
        "pool a\n server 127.0.0.1:{server}\n connections 1\n queue 4\n client-share 100%\ndefault a\n"
    );
    let (process, port, tls_port) = configured(&folder, &config, &[]);
    let ask = |paths: &[&str]| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        for path in paths {
            write!(stream, "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        }
        thread::sleep(Duration::from_millis(100));
        stream
    };
    // The first asks for more as soon as it has its answer: no earlier than those who wait.
    let mut streams = [ask(&["/0", "/again"]), ask(&["/1"]), ask(&["/2"]), ask(&["/3"])];
    // Of unknown length, and it ends while it waits.
    let url = format!("https://127.0.0.1:{tls_port}/4");
    let post = thread::spawn(move || status(&["--http2", "-X", "POST", "-T", "/dev/null", &url]));
    thread::sleep(Duration::from_millis(400));
    let refused = raw(port, "GET /5 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: "), "{refused}");
    for (n, stream) in streams.iter_mut().enumerate() {
        for _ in 0..if n == 0 { 2 } else { 1 } {
            assert!(head(stream).unwrap().starts_with("HTTP/1.1 200 "));
            stream.read_exact(&mut [0; 2]).unwrap();
        }
    }
    assert_eq!(post.join().unwrap(), "200");
    assert_eq!(*seen.lock().unwrap(), ["/0", "/1", "/2", "/3", "/4", "/again"]);
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn who_is_silent_gets_no_more() {
    let silent = server_that(|mut stream| {
        let _ = head(&mut stream);
        thread::sleep(Duration::from_secs(60));
    });
    let (admin, good) = (free_port(), server("good"));
    let (process, port, _) = proxy(&[silent, good], &["response=300ms", &format!("admin-port={admin}")]);
    let url = format!("http://127.0.0.1:{port}/");
    // Two of them go to the server that answers, whose turn it is as well.
    let all: Vec<String> = (0..9).map(|_| status(&[&url])).collect();
    assert_eq!(all.iter().filter(|status| *status == "504").count(), 3, "{all:?}");
    assert_eq!(all[6..], ["200", "200", "200"]);
    let page = curl(&[&format!("http://127.0.0.1:{admin}/")]);
    assert!(page.contains("1 of 2 up") && page.contains("no answer in time"), "{page}");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn fields_that_clients_must_not_send() {
    let (process, port, _) =
        proxy(&[server("one")], &["trust-forwarded=192.0.2.0/24", "proxy-from=127.0.0.0/8"]);
    let fields = "X-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 1.1.1.2\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 1.1.1.3\r\n\
        Forwarded: for=1.1.1.4\r\nProxy: 1.1.1.5\r\nConnection: close, X-Own\r\nX-Own: 1.1.1.6\r\nTE: trailers\r\n\
        Keep-Alive: 1.1.1.7\r\nTransfer_Encoding: chunked\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\nVia: 1.0 before\r\nX-Kept: yes\r\n";
    let asked = |from: &str| {
        let request =
            format!("PROXY TCP4 {from} 192.0.2.8 1 2\r\nGET /a HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let answer = raw(port, &request);
        answer.split("GET /a").nth(1).unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let seen = asked("198.51.100.1");
    for gone in ["1.1.1.", "X-Own", "TE:", "Transfer", "Upgrade", "HTTP2", "Connection", "Port"] {
        assert!(!seen.contains(gone), "{gone} in {seen}");
    }
    for there in [
        "\r\nX-Kept: yes\r\n",
        "\r\nVia: 1.0 before, 1.1 fata-",
        "\r\nX-Forwarded-For: 198.51.100.1\r\n",
        "\r\nX-Forwarded-Proto: http\r\n",
    ] {
        assert!(seen.contains(there), "{there} in {seen}");
    }
    // Who is trusted is continued.
    let seen = asked("192.0.2.7");
    for there in [
        "\r\nX-Forwarded-For: 1.1.1.1, 192.0.2.7\r\n",
        "\r\nForwarded: for=1.1.1.4, for=192.0.2.7;proto=http\r\n",
        "\r\nX-Real-IP: 1.1.1.3\r\n",
    ] {
        assert!(seen.contains(there), "{there} in {seen}");
    }
    assert!(!seen.contains("1.1.1.2"), "{seen}");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn methods_and_forms() {
    let (process, port, _) = proxy(&[server("one")], &[]);
    for (request, wanted) in [
        ("TRACE / HTTP/1.1\r\nHost: h\r\n", &["HTTP/1.1 405 ", "\r\nAllow: GET, "][..]),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n", &["HTTP/1.1 501 "]),
        ("OPTIONS /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n", &["HTTP/1.1 204 ", "\r\nAllow: GET, "]),
        (
            "OPTIONS /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: 5\r\n",
            &["OPTIONS /a ", "\r\nMax-Forwards: 4\r\n"],
        ),
        ("GET /a HTTP/1.1\r\nHost: h\r\nMax-Forwards: 5\r\n", &["\r\nMax-Forwards: 5\r\n"]),
        ("GET http://other/a?b HTTP/1.1\r\nHost: h\r\n", &["GET /a?b HTTP/1.1\r\nHost: other\r\n"]),
        ("PROPFIND /a HTTP/1.1\r\nHost: h\r\n", &["PROPFIND /a HTTP/1.1\r\n"]),
        ("GET /a HTTP/1.0\r\n", &["GET /a HTTP/1.1\r\nHost: \r\n", "\r\nVia: 1.0 fata-"]),
        // Who speaks HTTP/1.0 knows no other protocol.
        ("GET /a HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n", &["GET /a HTTP/1.1\r\n"]),
        ("POST /a HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 0\r\n", &["0 octets\n"]),
    ] {
        let answer = raw(port, &format!("{request}Connection: close\r\n\r\n"));
        for text in wanted {
            assert!(answer.contains(text), "{text:?} of {request:?} in {answer}");
        }
    }
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn other_protocols_as_asked() {
    let answer = |protocol: &'static str| {
        server_that(move |mut stream| {
            let _ = head(&mut stream);
            let _ = write!(stream, "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n");
            let mut all = Vec::new();
            // Its last words come when the client has ended.
            let _ = stream.read_to_end(&mut all);
            let _ = stream.write_all(format!("{} octets", all.len()).as_bytes());
        })
    };
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n";
    for (protocol, wanted) in [("h2c", "HTTP/1.1 502 "), ("WebSocket", "HTTP/1.1 101 ")] {
        let admin = free_port();
        let (process, port, _) = proxy(&[answer(protocol)], &[&format!("admin-port={admin}"), "drain=1s"]);
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(upgrade.as_bytes()).unwrap();
        assert!(head(&mut stream).unwrap().starts_with(wanted), "{protocol}");
        if wanted.contains("101") {
            assert_eq!(metric(admin, "proxy_tunnels_open"), 1);
            stream.write_all(b"twelve words").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut last = String::new();
            stream.read_to_string(&mut last).unwrap();
            assert_eq!(last, "12 octets");
            assert_eq!(metric(admin, "proxy_tunnels_open"), 0);
        }
        assert_eq!(process.leave().code(), Some(0));
    }
}
