//! The proxy as a process: what of an exchange both sides must see as it is said, and what no client may take from others.

mod common;

use common::*;
use fata::testing::{Process, free_port, run_tool};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client's connection.
fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Head and content of a response whose length is said.
fn response(stream: &mut TcpStream) -> (String, String) {
    let head = head(stream).expect("a response");
    let lower = head.to_lowercase();
    let length =
        lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut content = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut content).unwrap();
    (head, String::from_utf8(content).unwrap())
}

fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    response(stream).0
}

/// Waits until a value of the metrics is so.
fn until(admin: u16, name: &str, value: u64) {
    let end = Instant::now() + Duration::from_secs(30);
    while metric(admin, name) != value {
        assert!(Instant::now() < end, "{name} is {}, not {value}", metric(admin, name));
        thread::sleep(Duration::from_millis(20));
    }
}

/// A door that stays shut until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let is_open = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(is_open, Duration::from_secs(60), |is_open| !*is_open);
        assert!(!waited.unwrap().1.timed_out());
    }
}

/// A server that has `/held` wait for the door, and answers all else at once.
fn held_server(door: &Door) -> u16 {
    let door = door.clone();
    server_that(move |mut stream| {
        while let Some(head) = head(&mut stream) {
            if head.starts_with("GET /held") {
                door.wait();
            }
            let _ = stream.write_all(OK);
        }
    })
}

/// The proxy before a pool of one server.
fn pool(folder: &Folder, server: u16, rules: &str, params: &[&str]) -> (Process, u16) {
    let config = format!("pool a\n server 127.0.0.1:{server}\n{rules}default a\n");
    let (process, port, _) = configured(folder, &config, params);
    (process, port)
}

#[test]
fn content_that_does_not_come_takes_no_place() {
    let (folder, admin) = (Folder::new("waits"), free_port());
    let params = ["drain=1s", &format!("admin-port={admin}")];
    let (process, port) = pool(&folder, server("one"), " connections 1\n queue 0\n", &params);
    let get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let post = "POST / HTTP/1.1\r\nHost: h\r\n";
    let mut slow: Vec<TcpStream> = (0..3).map(|_| connect(port)).collect();
    slow[0].write_all(format!("{post}Content-Length: 5\r\n\r\n").as_bytes()).unwrap();
    slow[1].write_all(format!("{post}Transfer-Encoding: chunked\r\n\r\n5\r\n").as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(metric(admin, "proxy_backend_requests_under_way"), 0);
    assert!(ask(&mut slow[2], get).starts_with("HTTP/1.1 200 "));
    slow[0].write_all(b"hello").unwrap();
    assert!(response(&mut slow[0]).1.ends_with("5 octets\n"));
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn nobody_has_all_places() {
    let (folder, door, admin) = (Folder::new("shares"), Door::default(), free_port());
    let params = [
        "proxy-from=127.0.0.0/8",
        "trust-forwarded=192.0.2.9",
        &format!("admin-port={admin}"),
        "connect=30s",
    ];
    let rules = " connections 4\n queue 2\n client-share 75%\n";
    let (process, port) = pool(&folder, held_server(&door), rules, &params);
    let from = |source: &str, path: &str| {
        let mut stream = connect(port);
        write!(stream, "PROXY TCP4 {source} 192.0.2.8 1 2\r\nGET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        stream
    };
    let mut held: Vec<TcpStream> = (0..3).map(|_| from("192.0.2.1", "/held")).collect();
    until(admin, "proxy_backend_requests_under_way", 3);
    held.push(from("192.0.2.1", "/held"));
    until(admin, "proxy_waiting", 1);
    // The queue is not all his either.
    assert!(response(&mut from("192.0.2.1", "/")).0.starts_with("HTTP/1.1 503 "));
    // He who comes later goes first, as there is a place for him.
    assert!(response(&mut from("192.0.2.2", "/")).0.starts_with("HTTP/1.1 200 "));
    // Who speaks for others may have what is left.
    held.push(from("192.0.2.9", "/held"));
    until(admin, "proxy_backend_requests_under_way", 4);
    door.open();
    assert!(held.iter_mut().all(|stream| response(stream).0.starts_with("HTTP/1.1 200 ")));
    until(admin, "proxy_clients", 0);
    assert_eq!(process.leave().code(), Some(0));
}

/// A server that answers each request before its content, and says how much of that has come then.
fn hasty_server(answer: &'static str, say: Sender<usize>) -> u16 {
    let say = Mutex::new(say);
    server_that(move |mut stream| {
        while let Some(head) = head(&mut stream) {
            stream.write_all(answer.as_bytes()).unwrap();
            let lower = head.to_lowercase();
            let length: usize = lower
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
            let (mut seen, mut piece) = (0, [0; 10_000]);
            while seen < length {
                match stream.read(&mut piece) {
                    Ok(n @ 1..) => seen += n,
                    _ => break,
                }
            }
            say.lock().unwrap().send(seen).unwrap();
        }
    })
}

fn heard(hear: &Receiver<usize>) -> usize {
    hear.recv_timeout(Duration::from_secs(20)).unwrap()
}

#[test]
fn who_answers_early_may_read_on() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "200"),
        ("HTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n", "202"),
        ("HTTP/1.1 204 N\r\n\r\n", "204"),
        ("HTTP/1.1 409 C\r\nContent-Length: 2\r\n\r\nno", "409"),
    ] {
        let (say, hear) = channel();
        let admin = free_port();
        let (process, port, tls_port) =
            proxy(&[hasty_server(answer, say)], &[&format!("admin-port={admin}")]);
        let mut stream = connect(port);
        stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\nfirst").unwrap();
        let head = response(&mut stream).0;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && !head.contains("Connection"), "{head}");
        stream.write_all(&[b'x'; 299_995]).unwrap();
        assert_eq!(heard(&hear), 300_000, "{status}");
        // Both connections go on.
        assert!(ask(&mut stream, "GET / HTTP/1.1\r\nHost: h\r\n\r\n").contains(status));
        assert_eq!((heard(&hear), metric(admin, "proxy_backend_connections_total")), (0, 1), "{status}");
        let (folder, url) =
            (Folder::new(&format!("early{status}")), format!("https://127.0.0.1:{tls_port}/"));
        let file = folder.file("sent", vec![b'x'; 3_000_000]);
        let output = run_tool("nghttp", ["-n", "-d", file.to_str().unwrap(), &url]);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(heard(&hear), 3_000_000, "{status}");
        assert_eq!(metric(admin, "proxy_backend_failed_total"), 0, "{status}");
        assert_eq!(process.leave().code(), Some(0));
    }
}

#[test]
fn who_refuses_and_closes_gets_no_more() {
    let (say, hear) = channel();
    let answer = "HTTP/1.1 413 C\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let (process, port, _) = proxy(&[hasty_server(answer, say)], &[]);
    let mut stream = connect(port);
    stream.write_all(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\nfirst").unwrap();
    let head = response(&mut stream).0;
    assert!(head.starts_with("HTTP/1.1 413 ") && head.contains("\r\nConnection: close\r\n"), "{head}");
    let _ = stream.write_all(&[b'x'; 299_995]);
    assert!(heard(&hear) < 300_000);
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn a_client_that_goes_away_gives_its_place_back() {
    let (door, admin) = (Door::default(), free_port());
    let (tell, told) = channel();
    let (shut, tell) = (door.clone(), Mutex::new(tell));
    let server = server_that(move |mut stream| {
        let Some(head) = head(&mut stream) else { return };
        if !head.starts_with("GET /held") {
            stream.write_all(OK).unwrap();
            return;
        }
        // Its end is told here, without an answer.
        let end = stream.read(&mut [0]).map_or(0, |n| n);
        tell.lock().unwrap().send(end).unwrap();
        shut.open();
    });
    let folder = Folder::new("gone");
    let rules = " connections 1\n queue 0\n";
    let (process, port) = pool(&folder, server, rules, &[&format!("admin-port={admin}")]);
    let mut stream = connect(port);
    stream.write_all(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    until(admin, "proxy_backend_requests_under_way", 1);
    drop(stream);
    assert_eq!(heard(&told), 0);
    door.wait();
    until(admin, "proxy_backend_requests_under_way", 0);
    assert_eq!(metric(admin, "proxy_client_gone_total"), 1);
    assert!(ask(&mut connect(port), "GET / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn servers_are_not_blamed_for_slow_clients() {
    // It waits a moment for each piece of content, and then closes.
    let impatient = server_that(|mut stream| {
        let Some(head) = head(&mut stream) else { return };
        if head.starts_with("GET") {
            stream.write_all(OK).unwrap();
            return;
        }
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        while let Ok(1..) = stream.read(&mut [0; 100]) {}
    });
    let admin = free_port();
    let (process, port, _) = proxy(&[impatient, impatient], &[&format!("admin-port={admin}")]);
    for _ in 0..8 {
        let mut stream = connect(port);
        let head = ask(&mut stream, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\nfirst");
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
    }
    assert_eq!(metric(admin, "proxy_backend_up{pool=\"backends\""), 2);
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn interim_answers_are_passed_on() {
    let server = server_that(|mut stream| {
        while let Some(head) = head(&mut stream) {
            let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";
            let many = head.split(' ').nth(1).unwrap()[1..].parse().unwrap();
            stream.write_all(hint.repeat(many).as_bytes()).unwrap();
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            stream.write_all(OK).unwrap();
        }
    });
    let (process, port, tls_port) = proxy(&[server], &[]);
    let answer = raw(port, "GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(answer.starts_with(expected), "{answer}");
    // Who knows none gets none.
    let answer = raw(port, "GET /1 HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let answer = curl(&["--http2", "-i", &format!("https://127.0.0.1:{tls_port}/2")]).to_lowercase();
    assert_eq!(answer.matches("http/2 103").count(), 2, "{answer}");
    assert_eq!(answer.matches("link: </a>; rel=preload").count(), 2, "{answer}");
    assert!(!answer.contains("x-hop") && answer.contains("http/2 200") && answer.ends_with("ok"), "{answer}");
    // As many as one can bear.
    let answer = raw(port, "GET /9 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(
        (answer.matches(" 103 ").count(), answer.matches("\r\nHTTP/1.1 502 ").count()),
        (8, 1),
        "{answer}"
    );
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn tunnels_take_no_places_of_requests() {
    let (folder, admin) = (Folder::new("tunnels"), free_port());
    let rules = " connections 1\n queue 0\n tunnels 2\n client-share 50%\n";
    let params = ["proxy-from=127.0.0.0/8", &format!("admin-port={admin}"), "drain=1s"];
    let (process, port) = pool(&folder, server("one"), rules, &params);
    let upgrade = |source: &str| {
        let mut stream = connect(port);
        let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        write!(stream, "PROXY TCP4 {source} 192.0.2.8 1 2\r\n{request}").unwrap();
        let head = head(&mut stream).unwrap();
        (stream, head.split(' ').nth(1).unwrap().to_owned())
    };
    let (first, status) = upgrade("192.0.2.1");
    assert_eq!(status, "101");
    let get = "PROXY TCP4 192.0.2.1 192.0.2.8 1 2\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(ask(&mut connect(port), get).starts_with("HTTP/1.1 200 "));
    // They are bounded for themselves, for one client and for all.
    assert_eq!(upgrade("192.0.2.1").1, "503");
    let (_second, status) = upgrade("192.0.2.2");
    assert_eq!((&*status, &*upgrade("192.0.2.3").1), ("101", "503"));
    assert_eq!(metric(admin, "proxy_backend_tunnels"), 2);
    drop(first);
    until(admin, "proxy_backend_tunnels", 1);
    assert_eq!(upgrade("192.0.2.3").1, "101");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn what_any_connection_field_names_stays_behind() {
    let server = server_that(|mut stream| {
        while let Some(head) = head(&mut stream) {
            let fields =
                "Connection: x-one\r\nX-One: 1\r\nX-Two: 1\r\nX-Three: 1\r\nConnection: a, X-Two\r\n";
            let length = head.len();
            write!(stream, "HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n{head}").unwrap();
        }
    });
    let (process, port, _) = proxy(&[server], &[]);
    let fields = "X-One: 1\r\nConnection: close\r\nX-Two: 1\r\nConnection: x-two ,X-One\r\nX-Three: 1\r\n";
    let answer = raw(port, &format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
    assert_eq!(
        (answer.matches("X-Three: 1\r\n").count(), answer.matches("X-One").count()),
        (2, 0),
        "{answer}"
    );
    assert!(!answer.contains("X-Two"), "{answer}");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn what_a_server_requires_is_said() {
    let answer = "HTTP/1.1 426 U\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n";
    let server = server_that(move |mut stream| {
        while head(&mut stream).is_some() {
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let (process, port, tls_port) = proxy(&[server], &[]);
    let head = ask(&mut connect(port), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{head}");
    assert!(
        head.contains("\r\nUpgrade: websocket\r\n") && head.contains("\r\nConnection: upgrade\r\n"),
        "{head}"
    );
    // In HTTP/2 there is no such field.
    let answer = curl(&["--http2", "-i", &format!("https://127.0.0.1:{tls_port}/")]).to_lowercase();
    assert!(answer.starts_with("http/2 426") && !answer.contains("\nupgrade"), "{answer}");
    assert_eq!(process.leave().code(), Some(0));
}

#[test]
fn what_has_been_here_goes_round_no_more() {
    let admin = free_port();
    let (process, port, _) = proxy(&[server("one")], &[&format!("admin-port={admin}")]);
    let (other, second, _) = proxy(&[port], &[]);
    // Through both, each of which has a name of its own.
    let seen = raw(second, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let via = seen.split("\r\nVia: ").nth(2).and_then(|rest| rest.split("\r\n").next()).unwrap().to_owned();
    let names: Vec<&str> =
        via.split(", ").map(|element| element.strip_prefix("1.1 fata-").unwrap()).collect();
    assert!(names.len() == 2 && names[0] != names[1] && names[0].len() == 8, "{via}");
    for (via, status) in [(&*via, "508"), ("1.1 fata", "200"), (via.split(", ").next().unwrap(), "200")] {
        let head = ask(&mut connect(port), &format!("GET / HTTP/1.1\r\nHost: h\r\nVia: {via}\r\n\r\n"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{via}: {head}");
    }
    assert_eq!(metric(admin, "proxy_loops_total"), 1);
    assert_eq!((process.leave().code(), other.leave().code()), (Some(0), Some(0)));
}

#[test]
fn slow_content_goes_on_as_it_comes_without_what_follows_it() {
    let (say, hear) = channel();
    let say = Mutex::new(say);
    let server = server_that(move |mut stream| {
        while head(&mut stream).is_some() {
            // Chunks, each told when it has come; behind the last one nothing.
            loop {
                let (mut line, mut octet) = (Vec::new(), [0]);
                while !line.ends_with(b"\r\n") {
                    stream.read_exact(&mut octet).unwrap();
                    line.push(octet[0]);
                }
                let length = usize::from_str_radix(String::from_utf8(line).unwrap().trim(), 16).unwrap();
                let mut chunk = vec![0; length + 2];
                stream.read_exact(&mut chunk).unwrap();
                assert!(chunk.ends_with(b"\r\n"));
                say.lock().unwrap().send(length).unwrap();
                if length == 0 {
                    break;
                }
            }
            let answer =
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nX-Sum: 1\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let admin = free_port();
    let (process, port, tls_port) = proxy(&[server], &[&format!("admin-port={admin}")]);
    let mut stream = connect(port);
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Own\r\n\r\n")
        .unwrap();
    for n in 1..6 {
        write!(stream, "{n:x}\r\n{}\r\n", "x".repeat(n)).unwrap();
        assert_eq!(heard(&hear), n);
    }
    stream.write_all(b"0\r\nX-Own: 1\r\n\r\n").unwrap();
    assert_eq!(heard(&hear), 0);
    let answer = head(&mut stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let mut content = [0; 13];
    stream.read_exact(&mut content).unwrap();
    assert_eq!(&content, b"3\r\none\r\n0\r\n\r\n");
    // Nothing is left of it on either connection.
    let url = format!("https://127.0.0.1:{tls_port}/");
    assert_eq!(curl(&["--http2", "-H", "Transfer-Encoding: chunked", "-d", "four", &url]), "one");
    assert_eq!((heard(&hear), heard(&hear), metric(admin, "proxy_backend_connections_total")), (4, 0, 1));
    assert_eq!(process.leave().code(), Some(0));
}
