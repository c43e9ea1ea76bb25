//! How connections begin (RFC 9113 section 3): prefaces, and who speaks HTTP/1.1 instead.

use crate::client::*;
use crate::common::{self, End, PEER, duplex, run};
use crate::{router, site};
use embedded_io_async::{Read, Write};
use fata_http::{Limits, Server};
use fata_libos::channel::{Sender, bounded};
use fata_libos::task::{Task, yield_now};
use fata_libos::time::{Duration, Instant, sleep, timeout};

#[test]
fn a_connection_begins_as_it_must() {
    run(async {
        let settings = frame(SETTINGS, 0, 0, &[]);
        for (what, sent, expected) in [
            ("3.4 another preface", b"PRI * HTTP/2.0\r\n\r\nSMOKE\r\n\r\n".to_vec(), "GOAWAY 0 1\n"),
            ("3.4 HTTP/1.1", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), "GOAWAY 0 1\n"),
            ("3.4 no settings", [PREFACE, &ask(1, "/")].concat(), "GOAWAY 0 1\n"),
            (
                "3.4 an acknowledgement first",
                [PREFACE, &frame(SETTINGS, END, 0, &[])].concat(),
                "GOAWAY 0 1\n",
            ),
            ("3.4 as it must", [PREFACE, &settings, &ask(1, "/")].concat(), "HEADERS 1 200\nDATA 1 5 end\n"),
        ] {
            let mut client = Client::silent(&site(), 10_000);
            client.send(&sent).await;
            assert_eq!(client.now().await, expected, "{what}");
        }
    });
}

#[test]
fn each_frame_of_settings_is_acknowledged() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.now().await;
        assert_eq!(client.acknowledged, 1);
        client.send(&[setting(4, 100), setting(0xff, 1)].concat()).await;
        client.now().await;
        assert_eq!(client.acknowledged, 3);
    });
}

#[test]
fn prior_knowledge_and_http_1_on_one_port() {
    run(async {
        let site = site().with_http2();
        let mut old = common::Client::new(&site);
        assert!(old.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        let mut new = common::Client::new(&site);
        for octet in [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat() {
            new.send([octet]).await;
            yield_now().await;
        }
        assert!(!new.ask(ask(1, "/")).await.is_empty());
        assert_eq!(site.stats().http2_streams(), 1);
        let mut neither = common::Client::new(&site);
        assert!(neither.ask("PRI / HTTP/1.1\r\nHost: h\r\n\r\n").await.starts_with("HTTP/1.1 501 "));
        // Without being asked to, the server knows no preface.
        let mut old = common::Client::new(&crate::site());
        assert!(old.ask(PREFACE).await.starts_with("HTTP/1.1 505 "));
    });
}

/// What is spoken is what TLS has agreed upon, whatever a client begins with (RFC 9113 sections 3.2 and 3.4).
#[test]
fn what_is_agreed_upon_is_spoken() {
    run(async {
        let new = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &ask(1, "/")].concat();
        let old = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec();
        let protocol_error = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 1]);
        // The streams that were opened, and what stands at the start or the end of the answer.
        for (agreed, sent, streams, expected) in [
            (Some("h2"), &new, 1, &b"hello"[..]),
            (Some("h2"), &old, 0, &protocol_error),
            (Some("http/1.1"), &old, 0, b"HTTP/1.1 200 "),
            (Some("http/1.1"), &new, 0, b"HTTP/1.1 505 "),
            (Some("other"), &new, 0, b"HTTP/1.1 505 "),
            (None, &old, 0, b"HTTP/1.1 200 "),
            (None, &new, 0, b"HTTP/1.1 505 "),
        ] {
            for site in [site(), site().with_http2()] {
                let (accept, accepted) = bounded::<End>(1);
                let serving = site.clone();
                let _serving = fata_libos::spawn(async move {
                    let listener = async || accepted.recv().await.map(|stream| (stream, PEER));
                    let _ = serving.serve_by_alpn(listener, move |_| agreed.map(str::as_bytes)).await;
                });
                let (mut client, other) = duplex(10_000);
                assert!(accept.send(other).await.is_ok());
                let mut said = Vec::new();
                for octets in sent.chunks(3) {
                    let _ = client.write_all(octets).await;
                    yield_now().await;
                }
                let mut piece = [0; 1000];
                while let Ok(Ok(n @ 1..)) = timeout(Duration::from_millis(10), client.read(&mut piece)).await
                {
                    said.extend_from_slice(&piece[..n]);
                }
                let as_text = String::from_utf8_lossy(&said);
                assert!(
                    said.starts_with(expected) || said.ends_with(expected),
                    "{agreed:?}, {streams}: {as_text}"
                );
                assert_eq!(site.stats().http2_streams(), streams, "{agreed:?}: {as_text}");
            }
        }
    });
}

/// A server that lets `connections` in at once, and where its listener takes them from.
fn listening(connections: usize) -> (Sender<End>, Task<()>) {
    let (accept, accepted) = bounded::<End>(1);
    let limits = Limits { connections, ..Limits::default() };
    let site = Server::with(router(), limits, Default::default()).with_http2();
    let serving = fata_libos::spawn(async move {
        let _ = site.serve(async || accepted.recv().await.map(|stream| (stream, PEER))).await;
    });
    (accept, serving)
}

#[test]
fn who_has_sent_no_more_than_the_preface_gives_way() {
    run(async {
        let (accept, _serving) = listening(1);
        let (mut first, other) = duplex(10_000);
        assert!(accept.send(other).await.is_ok());
        first.write_all(b"PRI * ").await.unwrap();
        sleep(Duration::from_millis(1)).await;
        first.write_all(&[&PREFACE[6..], &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        let (mut second, other) = duplex(10_000);
        assert!(accept.send(other).await.is_ok());
        second.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let mut said = [0; 12];
        let read = timeout(Duration::from_secs(1), second.read_exact(&mut said)).await;
        assert_eq!((read, &said), (Ok(Ok(())), b"HTTP/1.1 200"));
    });
}

#[test]
fn a_preface_has_no_more_time_than_a_head() {
    run(async {
        for (sent, expected, from, to) in
            [("", "", 59, 62), ("PRI", "HTTP/1.1 408 ", 9, 14), ("PRI * HTTP/2.0\r\n\r\nSM\r\n", "", 9, 14)]
        {
            let mut client = common::Client::new(&site().with_http2());
            client.send(sent).await;
            let start = Instant::now();
            assert!(client.rest().await.starts_with(expected), "{sent}");
            assert!((from..to).contains(&start.elapsed().as_secs()), "{sent}: {:?}", start.elapsed());
        }
    });
}
