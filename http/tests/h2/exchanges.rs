//! Requests and responses of all kinds.

use crate::client::*;
use crate::common::run;
use crate::{router, site};
use fata_http::{Limits, Server};
use fata_libos::time::{Duration, sleep};

#[test]
fn what_a_handler_sees() {
    run(async {
        let mut client = Client::new(&site()).await;
        let mut fields = get("/head?a=b");
        fields.extend([("cookie", "a=1"), ("x-a", "b"), ("cookie", "b=2")]);
        client.send(&frame(HEADERS, END | WHOLE, 1, &block(&fields))).await;
        assert!(client.now().await.starts_with("HEADERS 1 200\n"));
        let said = String::from_utf8(client.content.clone()).unwrap();
        assert_eq!(said, "/head Some(\"a=b\") x-a=b host=h cookie=a=1; b=2 ");
    });
}

#[test]
fn crumbs_of_a_cookie_are_one_field() {
    run(async {
        let mut client = Client::new(&site()).await;
        let crumbs: Vec<String> = (0..100).map(|n| format!("{n}={}", "x".repeat(30))).collect();
        let mut fields = get("/head");
        fields.extend(crumbs.iter().map(|crumb| ("cookie", crumb.as_str())));
        fields.extend([("a", "b"); 61]);
        client.send(&frame(HEADERS, END | WHOLE, 1, &block(&fields))).await;
        assert!(client.now().await.starts_with("HEADERS 1 200\n"));
        let said = String::from_utf8(client.content.clone()).unwrap();
        assert!(said.ends_with(&format!(" host=h cookie={} ", crumbs.join("; "))), "{said}");
        // Together they are bounded like any field.
        fields.extend(crumbs.iter().cycle().take(200).map(|crumb| ("cookie", crumb.as_str())));
        client.send(&frame(HEADERS, END | WHOLE, 3, &block(&fields))).await;
        assert!(client.now().await.starts_with("HEADERS 3 431\n"));
    });
}

#[test]
fn fields_of_a_response() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&ask(1, "/")).await;
        client.now().await;
        let expected = "date: Thu, 01 Jan 2026 00:00:00 GMT\ncontent-type: text/plain; charset=utf-8\ncontent-length: 5\n";
        assert_eq!(client.fields, expected);
    });
}

/// A request with a method and one more field.
fn request(stream: u32, method: &str, path: &str, field: (&str, &str)) -> Vec<u8> {
    let mut fields = get(path);
    fields[0].1 = method;
    fields.push(field);
    frame(HEADERS, END | WHOLE, stream, &block(&fields))
}

#[test]
fn what_happens_by_itself() {
    run(async {
        let none = ("x-none", "");
        for (method, path, field, expected) in [
            ("HEAD", "/", none, "HEADERS 1 200 end\n"),
            ("HEAD", "/nowhere", none, "HEADERS 1 404 end\n"),
            ("GET", "/big", ("if-none-match", "\"1\""), "HEADERS 1 304 end\n"),
            ("GET", "/big", ("range", "bytes=5-14"), "HEADERS 1 206\nDATA 1 10 end\n"),
            ("GET", "/big", ("range", "bytes=2000000-"), "HEADERS 1 416\nDATA 1 22 end\n"),
            ("DELETE", "/", none, "HEADERS 1 405\nDATA 1 19 end\n"),
            ("OPTIONS", "/", none, "HEADERS 1 204 end\n"),
            ("GET", "/broken", none, "HEADERS 1 200\nDATA 1 6\nRST_STREAM 1 2\n"),
        ] {
            let mut client = Client::new(&site()).await;
            client.send(&request(1, method, path, field)).await;
            assert_eq!(client.now().await, expected, "{method} {path} {field:?}");
        }
    });
}

#[test]
fn content_that_is_made_while_it_is_sent() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&ask(1, "/lines")).await;
        assert_eq!(
            client.now().await,
            "HEADERS 1 200\nDATA 1 15\n",
            "small pieces go as one, and do not wait"
        );
        sleep(Duration::from_secs(1)).await;
        assert_eq!(client.now().await, "DATA 1 5\nHEADERS 1 trailers end\n");
        assert!(client.fields.ends_with("x-lines: 4\n"), "{}", client.fields);
    });
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&post(1, "/", &[("expect", "100-continue"), ("content-length", "2")])).await;
        assert_eq!(client.now().await, "HEADERS 1 100\n");
        client.send(&frame(DATA, END, 1, b"ab")).await;
        assert_eq!(client.now().await, "HEADERS 1 200\nDATA 1 1 end\n");
        // Whose content nobody wants is told so, when it has had time to see the answer.
        client.send(&post(3, "/nowhere", &[("expect", "100-continue"), ("content-length", "2")])).await;
        assert_eq!(client.now().await, "HEADERS 3 404\nDATA 3 10 end\n");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(client.now().await, "RST_STREAM 3 0\n");
    });
}

#[test]
fn who_sends_much_that_nobody_wants_sees_the_answer_first() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&post(1, "/nowhere", &[("content-length", "1000000")])).await;
        assert_eq!(client.now().await, "HEADERS 1 404\nDATA 1 10 end\n");
        // The connection's window opens again, the stream's does not.
        for _ in 0..3 {
            client.send(&frame(DATA, 0, 1, &[7; 16_000])).await;
        }
        let said = client.now().await;
        assert!(!said.contains("WINDOW_UPDATE 1") && !said.contains("RST"), "{said}");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(client.now().await, "RST_STREAM 1 0\n");
    });
}

#[test]
fn content_in_both_directions_is_held_back_by_windows() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&ask(1, "/big")).await;
        let said = client.now().await;
        assert!(said.ends_with("\n") && client.content.len() == 65_535, "{said}");
        client.send(&number(WINDOW_UPDATE, 1, 1_000_000)).await;
        assert_eq!(client.now().await, "", "the connection has a window too");
        client.send(&number(WINDOW_UPDATE, 0, 1_000_000)).await;
        assert!(client.now().await.ends_with(" end\n"));
        assert_eq!(client.content.len(), 1_000_000);
        client.send(&post(3, "/", &[])).await;
        for n in 0..20 {
            client.send(&frame(DATA, 0, 3, &[7; 16_000])).await;
            let said = client.now().await;
            assert!(said.lines().all(|l| l.starts_with("WINDOW_UPDATE 3 ")), "{n}: {said}");
        }
        client.send(&frame(DATA, END, 3, b"")).await;
        client.content.clear();
        assert_eq!(client.now().await, "HEADERS 3 200\nDATA 3 6 end\n");
        assert_eq!(client.content, b"320000");
    });
}

#[test]
fn streams_take_turns() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&[setting(4, 1_000_000), number(WINDOW_UPDATE, 0, 10_000_000)].concat()).await;
        client.send(&(0..3).flat_map(|n| ask(2 * n + 1, "/big")).collect::<Vec<_>>()).await;
        let said = client.now().await;
        let data: Vec<_> = said.lines().filter(|l| l.starts_with("DATA")).map(|l| &l[5..6]).collect();
        assert!(data.len() > 180, "{}", data.len());
        for turn in data[..150].chunks(6) {
            assert!(["1", "3", "5"].iter().all(|s| turn.contains(s)), "{data:?}");
        }
        client.send(&[ask(7, "/"), ask(9, "/slow"), ask(11, "/")].concat()).await;
        let said = client.now().await;
        assert!(said.contains("DATA 7 5 end") && said.contains("DATA 11 5 end") && !said.contains("DATA 9"));
        sleep(Duration::from_secs(2)).await;
        assert_eq!(client.now().await, "HEADERS 9 200\nDATA 9 4 end\n");
    });
}

#[test]
fn a_request_is_heard_while_much_is_sent() {
    run(async {
        let mut client = Client::silent(&site(), 1000);
        client
            .send(&[PREFACE, &setting(4, 10_000_000), &number(WINDOW_UPDATE, 0, 10_000_000)].concat())
            .await;
        client.send(&ask(1, "/big")).await;
        client.now_little().await;
        client.send(&frame(PING, 0, 0, b"all ears")).await;
        let mut said = String::new();
        for _ in 0..60 {
            said += &client.now_little().await;
        }
        assert!(said.contains("PING end all ears") && !said.contains("DATA 1 0 end"), "{said}");
        assert!(client.content.len() < 900_000, "long before the end: {}", client.content.len());
    });
}

#[test]
fn leaving_in_two_steps() {
    run(async {
        let site = site();
        let mut busy = Client::new(&site).await;
        let mut idle = Client::new(&site).await;
        busy.send(&ask(1, "/slow")).await;
        idle.now().await;
        busy.now().await;
        let draining = fata_libos::spawn({
            let site = site.clone();
            async move { site.drain().await }
        });
        assert_eq!(idle.now().await, "GOAWAY 0 0\n");
        assert!(idle.is_closed().await);
        assert_eq!(busy.now().await, "GOAWAY 2147483647 0\nPING farewell\n");
        busy.send(&[ask(3, "/"), frame(PING, END, 0, b"farewell"), ask(5, "/")].concat()).await;
        assert_eq!(busy.now().await, "GOAWAY 3 0\nRST_STREAM 5 7\nHEADERS 3 200\nDATA 3 5 end\n");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(busy.now().await, "HEADERS 1 200\nDATA 1 4 end\n");
        draining.await;
        assert!(busy.is_closed().await);
        assert_eq!((site.stats().http2_refused(), site.stats().connections_open()), (1, 0));
    });
}

#[test]
fn requests_per_connection() {
    run(async {
        let site = Server::with(
            router(),
            Limits { requests_per_connection: 3, ..Limits::default() },
            Default::default(),
        );
        let mut client = Client::new(&site).await;
        for stream in [1, 3] {
            client.send(&ask(stream, "/")).await;
            assert!(client.now().await.ends_with(" 5 end\n"));
        }
        client.send(&ask(5, "/")).await;
        assert_eq!(client.now().await, "HEADERS 5 200\nDATA 5 5 end\nGOAWAY 5 0\n");
    });
}

#[test]
fn a_client_that_goes_away_ends_its_handlers() {
    run(async {
        let client = Client::new(&site()).await;
        let Client { mut end, serving, .. } = client;
        embedded_io_async::Write::write_all(&mut end, &ask(1, "/slow")).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        drop(end);
        let start = fata_libos::time::Instant::now();
        serving.await;
        assert!(start.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_stream_whose_content_ends_in_a_frame_of_its_own_ends_in_order() {
    run(async {
        for path in ["/", "/nowhere"] {
            let mut client = Client::new(&site()).await;
            client
                .send(&[post(1, path, &[("content-length", "3")]), frame(DATA, 0, 1, b"abc")].concat())
                .await;
            assert!(client.now().await.ends_with(" end\n"), "{path}");
            client.send(&frame(DATA, END, 1, b"")).await;
            assert_eq!(client.now().await, "", "{path}");
        }
    });
}

#[test]
fn too_much_content_without_a_length() {
    run(async {
        let limits = Limits { body_size: 1000, ..Limits::default() };
        let mut client = Client::new(&Server::with(router(), limits, Default::default())).await;
        client.send(&[post(1, "/", &[]), frame(DATA, 0, 1, &[7; 1001])].concat()).await;
        assert_eq!(client.now().await, "HEADERS 1 413\nDATA 1 18 end\nRST_STREAM 1 0\n");
        client.send(&[post(3, "/", &[]), frame(DATA, END, 3, &[7; 1000])].concat()).await;
        assert_eq!(client.now().await, "HEADERS 3 200\nDATA 3 4 end\n");
    });
}
