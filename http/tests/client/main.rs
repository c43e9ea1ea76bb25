//! A client's connection: what it makes of responses, whole and in pieces, and what it sends.

#[path = "../common/mod.rs"]
mod common;
mod fetching;
mod net;
#[allow(dead_code, reason = "only how it is written is of use here")]
#[path = "../malformed/table.rs"]
mod requests;
mod server;
mod table;
mod uploads;

use common::{duplex, run};
use embedded_io_async::{Read, Write};
use fata_http::client::{Connection, Content, Error, RequestHead, RequestWriter};
use server::{Script, Sink, result_of};
use table::cases;

/// A result without what depends on how the octets came: what follows a response is seen when it came with it.
fn lasting(result: &str) -> String {
    result.replace(" keep ", " ").replace(" close ", " ")
}

#[test]
fn the_table() {
    let cases = cases();
    assert!(cases.len() >= 130, "{} cases", cases.len());
    run(async move {
        for case in cases {
            let result = result_of(case.request, &case.response, &[], 4096).await;
            assert_eq!(result, case.result, "{}", case.name);
        }
    });
}

#[test]
fn the_table_cut_in_two_at_every_octet() {
    run(async move {
        for case in cases().into_iter().filter(|case| case.response.len() < 2000) {
            for cut in 1..case.response.len() {
                let result = result_of(case.request, &case.response, &[cut], 3).await;
                assert_eq!(lasting(&result), lasting(case.result), "{} cut at {cut}", case.name);
            }
        }
    });
}

#[test]
fn the_table_octet_by_octet() {
    run(async move {
        for case in cases().into_iter().filter(|case| case.response.len() < 6000) {
            let every: Vec<usize> = (1..case.response.len()).collect();
            let result = result_of(case.request, &case.response, &every, 4096).await;
            assert_eq!(lasting(&result), lasting(case.result), "{}", case.name);
        }
    });
}

fn head(method: &str, content: Content) -> RequestHead {
    let mut head = RequestHead::new(method, "/").unwrap();
    head.field("Host", "h").unwrap().content(content);
    head
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What is sent when `write` writes the content.
fn sent(
    content: Content,
    write: impl AsyncFnOnce(&mut RequestWriter<Sink>) -> Result<(), Error>,
) -> (Result<(), Error>, String, bool) {
    fata_libos::testing::run(async move {
        let sink = Sink::default();
        let mut connection = Connection::new(Script::new(OK, &[]), sink.clone());
        connection.send(&head("PUT", content)).await.unwrap();
        let result = write(connection.halves().0).await;
        connection.reader().head().await.unwrap();
        connection.reader().read(&mut [0; 9]).await.unwrap();
        let octets = String::from_utf8(sink.0.borrow().clone()).unwrap();
        (result, octets, connection.is_reusable())
    })
}

#[test]
fn content_goes_out_as_announced() {
    let put = "PUT / HTTP/1.1\r\nHost: h\r\n";
    let (result, octets, reusable) = sent(Content::Length(5), async |to| {
        to.write(b"hel").await?;
        to.write(b"lo").await?;
        to.finish().await
    });
    assert_eq!((result, reusable), (Ok(()), true));
    assert_eq!(octets, format!("{put}Content-Length: 5\r\n\r\nhello"));

    let long = "x".repeat(5000);
    let (result, octets, reusable) = sent(Content::Chunked, async |to| {
        to.write(b"").await?;
        to.write_all(b"hello world").await?;
        to.write(long.as_bytes()).await?;
        to.finish().await
    });
    assert_eq!((result, reusable), (Ok(()), true));
    let chunks =
        format!("b\r\nhello world\r\n1000\r\n{}\r\n388\r\n{}\r\n0\r\n\r\n", &long[..4096], &long[4096..]);
    assert_eq!(octets, format!("{put}Transfer-Encoding: chunked\r\n\r\n{chunks}"));

    let (result, octets, reusable) = sent(Content::None, async |to| to.finish().await);
    assert_eq!((result, reusable), (Ok(()), true));
    assert_eq!(octets, format!("{put}Content-Length: 0\r\n\r\n"));
}

#[test]
fn content_other_than_announced_is_an_error_and_ends_the_connection() {
    let (result, octets, reusable) = sent(Content::Length(5), async |to| {
        to.write(b"hel").await?;
        to.finish().await
    });
    assert_eq!((result, reusable), (Err(Error::ContentLength), false));
    assert!(octets.ends_with("hel"));
    let (result, octets, reusable) = sent(Content::Length(5), async |to| {
        to.write(b"hel").await?;
        to.write(b"low").await
    });
    assert_eq!((result, reusable), (Err(Error::ContentLength), false));
    assert!(octets.ends_with("hel"));
    let (result, _, reusable) = sent(Content::None, async |to| to.write(b"x").await);
    assert_eq!((result, reusable), (Err(Error::OutOfTurn), true));
    let (result, _, reusable) = sent(Content::Chunked, async |to| to.write(b"x").await);
    assert_eq!((result, reusable), (Ok(()), false), "no end yet");
}

#[test]
fn one_request_after_the_other() {
    run(async {
        let (end, mut server) = duplex(64 * 1024);
        let mut connection = Connection::new(end, Sink::default());
        for _ in 0..3 {
            assert!(connection.is_reusable());
            connection.send(&head("GET", Content::None)).await.unwrap();
            assert_eq!(connection.send(&head("GET", Content::None)).await, Err(Error::OutOfTurn));
            assert!(connection.reader().is_unanswered());
            server.write_all(OK).await.unwrap();
            let response = connection.reader().head().await.unwrap();
            assert_eq!(response.status().code(), 200);
            assert!(!connection.is_reusable(), "its content waits");
            assert!(!connection.reader().is_unanswered());
            let mut content = [0; 9];
            assert_eq!(connection.reader().read(&mut content).await, Ok(2));
            assert_eq!(connection.reader().read(&mut content).await, Ok(0));
        }
        connection.send(&head("GET", Content::None)).await.unwrap();
        drop(server);
        assert_eq!(connection.reader().head().await.unwrap_err(), Error::Closed);
        assert!(connection.reader().is_unanswered());
        assert_eq!(connection.reader().head().await.unwrap_err(), Error::Closed);
        assert!(!connection.is_reusable());
    });
}

#[test]
fn a_head_that_is_not_whole_yet_can_be_waited_for_again() {
    run(async {
        let (end, mut server) = duplex(64 * 1024);
        let mut connection = Connection::new(end, Sink::default());
        connection.send(&head("GET", Content::None)).await.unwrap();
        for piece in OK.chunks(5) {
            let short = core::time::Duration::from_millis(1);
            assert!(fata_libos::time::timeout(short, connection.reader().head()).await.is_err());
            server.write_all(piece).await.unwrap();
            if piece.starts_with(b"ok") {
                break;
            }
        }
        assert_eq!(connection.reader().head().await.unwrap().status().code(), 200);
    });
}

#[test]
fn a_server_is_asked_before_it_gets_content() {
    run(async {
        for (answer, asked_for) in [
            (&b"HTTP/1.1 103 E\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"[..], true),
            (b"HTTP/1.1 413 Too much\r\nContent-Length: 0\r\n\r\n", false),
        ] {
            let (end, mut server) = duplex(64 * 1024);
            let sink = Sink::default();
            let mut connection = Connection::new(end, sink.clone());
            let mut head = head("POST", Content::Length(5));
            connection.send(head.expect_continue()).await.unwrap();
            let asked = String::from_utf8(sink.0.borrow().clone()).unwrap();
            assert!(asked.ends_with("Expect: 100-continue\r\n\r\n"), "{asked}");
            server.write_all(answer).await.unwrap();
            let response = connection.reader().wait_for_continue().await.unwrap();
            assert_eq!(response.is_none(), asked_for);
            if asked_for {
                let (to, from) = connection.halves();
                to.write(b"hello").await.unwrap();
                to.finish().await.unwrap();
                server.write_all(OK).await.unwrap();
                from.head().await.unwrap();
                from.read(&mut [0; 9]).await.unwrap();
            }
            assert_eq!(
                connection.is_reusable(),
                asked_for,
                "content that is owed would be taken for a request"
            );
        }
    });
}

#[test]
fn both_ways_at_once() {
    run(async {
        // Neither side takes more than a few octets before it has given some: one way after the other would stand still.
        let (mut up, up_server) = duplex(16);
        let (down, mut down_server) = duplex(16);
        let echoing = fata_libos::spawn(async move {
            down_server.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            let mut octets = up_server;
            let mut piece = [0; 7];
            loop {
                let n = octets.read(&mut piece).await.unwrap();
                if n == 0 {
                    break;
                }
                down_server.write_all(format!("{n:x}\r\n").as_bytes()).await.unwrap();
                down_server.write_all(&piece[..n]).await.unwrap();
                down_server.write_all(b"\r\n").await.unwrap();
            }
            down_server.write_all(b"0\r\n\r\n").await.unwrap();
        });
        up.flush().await.unwrap();
        let mut connection = Connection::new(down, up);
        connection.send(&head("POST", Content::Length(1000))).await.unwrap();
        let (to, from) = connection.halves();
        let writing = async {
            to.write(&[b'x'; 1000]).await.unwrap();
            to.finish().await.unwrap();
        };
        let reading = async {
            from.head().await.unwrap();
            let (mut seen, mut piece) = (Vec::new(), [0; 64]);
            while seen.iter().filter(|&&b| b == b'x').count() < 1000 {
                let n = from.read(&mut piece).await.unwrap();
                assert!(n > 0);
                seen.extend_from_slice(&piece[..n]);
            }
        };
        futures_util::future::join(writing, reading).await;
        drop(echoing);
    });
}

#[test]
fn after_an_upgrade_the_stream_is_the_callers() {
    run(async {
        let response = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nfirst, then more";
        let sink = Sink::default();
        let mut connection = Connection::new(Script::new(response, &[response.len() - 4]), sink.clone());
        let mut head = head("GET", Content::None);
        let response = connection.exchange(head.upgrade("x").unwrap(), &[]).await.unwrap();
        assert_eq!(response.field("upgrade"), Some("x"));
        assert!(!connection.is_reusable());
        let mut upgraded = connection.into_upgraded().unwrap();
        upgraded.writer.write_all(b"hello").await.unwrap();
        assert!(sink.0.borrow().ends_with(b"\r\n\r\nhello"));
        let mut seen = [0; 16];
        upgraded.reader.read_exact(&mut seen).await.unwrap();
        assert_eq!(&seen, b"first, then more");

        let mut connection = Connection::new(Script::new(OK, &[]), Sink::default());
        connection.exchange(&head, &[]).await.unwrap();
        assert!(connection.into_upgraded().is_none());
    });
}
