//! The proxy as a process that is asked to leave, and servers that come back.

mod common;

use common::*;
use fata::testing::free_port;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_upload_and_who_waits_behind_it_end_whole() {
    // The upload is answered with its length; the other request waits for the place.
    let (say, hear) = channel();
    let say = Mutex::new(say);
    let behind = server_that(move |mut stream| {
        while let Some(head) = head(&mut stream) {
            let lower = head.to_lowercase();
            let length: usize = lower
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
            let (mut seen, mut piece) = (0, [0; 10_000]);
            while seen < length {
                match stream.read(&mut piece) {
                    Ok(n @ 1..) => seen += n,
                    _ => return,
                }
                say.lock().unwrap().send(seen).unwrap();
            }
            let text = format!("{seen} octets");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        }
    });
    let (folder, admin) = (Folder::new("leaving"), free_port());
    let config = format!("pool a\n server 127.0.0.1:{behind}\n connections 1\ndefault a\n");
    let params = ["drain=20s", "connect=20s", &format!("admin-port={admin}")];
    let (process, port, tls_port) = configured(&folder, &config, &params);
    let file = folder.file("sent", vec![b'x'; 4_000_000]);
    let url = format!("https://127.0.0.1:{tls_port}/");
    let upload = thread::spawn(move || {
        curl(&["--http2", "-T", file.to_str().unwrap(), "-H", "Expect:", "--limit-rate", "2M", &url])
    });
    while hear.recv_timeout(Duration::from_secs(20)).unwrap() < 500_000 {}
    let mut waits = TcpStream::connect(("127.0.0.1", port)).unwrap();
    waits.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    waits.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    while metric(admin, "proxy_waiting") != 1 {
        thread::sleep(Duration::from_millis(20));
    }
    let so_far = hear.try_iter().last().unwrap_or(0);
    assert!(so_far < 4_000_000, "the upload was over");
    assert_eq!(process.leave().code(), Some(0));
    assert_eq!(upload.join().unwrap(), "4000000 octets");
    let mut answer = String::new();
    waits.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("0 octets"), "{answer}");
    assert!(answer.contains("\r\nConnection: close\r\n"), "{answer}");
}

#[test]
fn tunnels_end_with_the_time_for_leaving() {
    let (process, port, _) = proxy(&[server("one")], &["drain=1s"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        .unwrap();
    assert!(head(&mut stream).unwrap().starts_with("HTTP/1.1 101 "));
    stream.read_exact(&mut [0; 5]).unwrap();
    // Neither side ends it.
    assert_eq!(process.leave().code(), Some(0));
    assert!(matches!(stream.read(&mut [0; 5]), Ok(0) | Err(_)));
}

#[test]
fn a_server_that_is_down_is_tried_again() {
    let (is_well, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(0)));
    let (well, count) = (is_well.clone(), tries.clone());
    let ill = server_that(move |mut stream| {
        while head(&mut stream).is_some() {
            *count.lock().unwrap() += 1;
            if !well.load(Ordering::SeqCst) {
                return;
            }
            stream.write_all(OK).unwrap();
        }
    });
    let admin = free_port();
    let (process, port, _) = proxy(&[ill, server("good")], &[&format!("admin-port={admin}")]);
    let url = format!("http://127.0.0.1:{port}/");
    let up = || metric(admin, &format!("proxy_backend_up{{pool=\"backends\",server=\"127.0.0.1:{ill}\"}}"));
    let end = Instant::now() + Duration::from_secs(60);
    while up() == 1 {
        let answer = status(&[&url]);
        assert!(["200", "502"].contains(&&*answer) && Instant::now() < end, "{answer}");
    }
    let before = *tries.lock().unwrap();
    assert_eq!(before, 3);
    // While it is down all is answered.
    is_well.store(true, Ordering::SeqCst);
    // When its time is over it is tried, and has its turns again.
    while *tries.lock().unwrap() < before + 4 {
        assert_eq!(status(&[&url]), "200");
        thread::sleep(Duration::from_millis(100));
        assert!(Instant::now() < end, "it does not come back");
    }
    assert_eq!(up(), 1);
    assert_eq!(process.leave().code(), Some(0));
}
