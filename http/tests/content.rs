//! Content both ways: conditions, ranges, streams, expectations, limits of size.

mod common;

use common::*;
use fata_http::{
    Aborted, BodyWriter, HttpDate, Limits, Request, RequestContent, Response, Router, Server, Status, Version,
};
use fata_libos::time::{Duration, sleep};

const PAGE: &str = "0123456789abcdef";
const OLD: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn site() -> Server {
    server(
        Router::new()
            .get("/", async |_: Request<'_>| {
                let date = HttpDate::from_unix_seconds(784_111_777);
                Response::text(PAGE)
                    .header("Vary", "Accept")
                    .header("content-language", "en")
                    .etag("\"v1\"")
                    .last_modified(date)
            })
            .get("/owned", async |_: Request<'_>| page(5000).etag("\"o\""))
            .get("/plain", async |_: Request<'_>| Response::text(PAGE))
            .get("/stream", async |_: Request<'_>| {
                Response::stream(async |body: &mut BodyWriter<'_>| {
                    body.write(b"one ").await;
                    sleep(Duration::from_secs(1)).await;
                    body.write(b"").await;
                    body.write(&[b'x'; 5000]).await;
                    body.trailer("X-Sum", "1\r\nX-Evil: 1");
                    Ok(())
                })
            })
            .get("/sized", async |request: Request<'_>| {
                let short = request.query() == Some("short");
                Response::sized_stream(4, async move |body: &mut BodyWriter<'_>| {
                    body.write(if short { b"one" } else { b"four" }).await;
                    Ok(())
                })
            })
            .get("/broken", async |_: Request<'_>| {
                Response::stream(async |body: &mut BodyWriter<'_>| {
                    body.write(b"half").await;
                    Err(Aborted)
                })
            })
            .put("/", async |mut request: Request<'_>| -> Result<Response, Response> {
                let body = request.read_to_end(100).await?;
                Ok(Response::new(Status::CREATED).body(body))
            })
            .post("/echo", async |_: Request<'_>| {
                Response::two_ways(
                    None,
                    async |mut request: RequestContent<'_>, body: &mut BodyWriter<'_>| {
                        let mut piece = [0; 1000];
                        loop {
                            match request.read(&mut piece).await.map_err(|_| Aborted)? {
                                0 => return Ok(()),
                                n => body.write(&piece[..n]).await,
                            }
                        }
                    },
                )
            })
            .post("/ignore", async |_: Request<'_>| Status::FORBIDDEN)
            .post("/count", async |mut request: Request<'_>| -> Result<Response, Response> {
                let (mut buf, mut sum) = ([0; 100], 0);
                loop {
                    match request.read(&mut buf).await? {
                        0 => return Ok(Response::text(format!("{sum}"))),
                        n => sum += n,
                    }
                }
            }),
    )
}

async fn get(path: &str, fields: &str) -> String {
    answer(&site(), format!("GET {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).await
}

#[test]
fn content_goes_both_ways_at_once() {
    run(async {
        let mut client = Client::new(&site());
        client.send("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
        let first = client.now().await;
        assert!(first.starts_with("HTTP/1.1 200 OK\r\n") && first.contains("one"), "{first}");
        client.send("3\r\ntwo\r\n").await;
        assert!(client.now().await.contains("two"));
        client.send("0\r\n\r\nGET /plain HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let last = client.now().await;
        assert!(last.starts_with("0\r\n\r\nHTTP/1.1 200 OK\r\n"), "{last}");
    });
}

#[test]
fn versions() {
    run(async {
        let say = async |request: Request<'_>| Response::text(format!("{:?}", request.version()));
        let server = server(Router::new().get("/", say));
        for (version, said) in [("1.0", Version::Http10), ("1.1", Version::Http11)] {
            let got = answer(&server, format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n")).await;
            assert!(got.ends_with(&format!("{said:?}")), "{got}");
        }
    });
}

#[test]
fn content_that_ends_with_the_connection_is_reset_where_it_is_not_whole() {
    run(async {
        for (path, version, code, is_reset) in
            [("/broken", "1.0", 200, true), ("/broken", "1.1", 200, false), ("/stream", "1.0", 200, false)]
        {
            let mut client = Client::new(&site());
            client.send(format!("GET {path} HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n")).await;
            assert_eq!(status(&client.rest().await), code);
            assert_eq!(client.end.is_reset(), is_reset, "{path} {version}");
        }
    });
}

/// A server of an endless stream, and a client of HTTP/1.0 that does not read it.
async fn endless(limits: Limits) -> (Server, Client) {
    let stream = async |_: Request<'_>| {
        Response::stream(async |body: &mut BodyWriter<'_>| {
            loop {
                body.write(&[b'x'; 1000]).await;
            }
        })
    };
    let server = limited(Router::new().get("/", stream), limits);
    let mut client = Client::with_capacity(&server, 2000);
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    sleep(Duration::from_millis(1)).await;
    (server, client)
}

#[test]
fn so_it_is_however_else_it_ends() {
    run(async {
        let (_server, client) = endless(Limits::default()).await;
        assert!(!client.end.is_reset());
        let Client { end, serving, .. } = client;
        drop(serving);
        sleep(Duration::from_millis(1)).await;
        assert!(end.is_reset(), "dropped");

        let (server, client) = endless(Limits::default()).await;
        server.drain().await;
        sleep(Duration::from_millis(1)).await;
        assert!(client.end.is_reset(), "out of time for leaving");

        let write_time = Duration::from_secs(3);
        let (_server, client) = endless(Limits { write_time, ..Limits::default() }).await;
        sleep(Duration::from_secs(30)).await;
        assert!(client.end.is_reset(), "out of time for writing");
    });
}

#[test]
fn conditions() {
    run(async {
        let whole = get("/", "").await;
        assert_eq!(field(&whole, "ETag"), Some("\"v1\""));
        assert_eq!(field(&whole, "Last-Modified"), Some(SAME));
        assert_eq!(field(&whole, "Accept-Ranges"), Some("bytes"));
        for (fields, code) in [
            ("If-None-Match: \"v1\"\r\n", 304),
            ("If-None-Match: W/\"v1\"\r\n", 304),
            ("If-None-Match: \"v0\"\r\n", 200),
            (&*format!("If-Modified-Since: {SAME}\r\n"), 304),
            (&format!("If-Modified-Since: {OLD}\r\n"), 200),
            (&format!("If-None-Match: \"v0\"\r\nIf-Modified-Since: {SAME}\r\n"), 200),
            ("If-Match: \"v0\"\r\n", 412),
            (&format!("If-Unmodified-Since: {OLD}\r\n"), 412),
        ] {
            assert_eq!(status(&get("/", fields).await), code, "{fields}");
        }
        let not_modified = get("/", "If-None-Match: *\r\n").await;
        assert_eq!(field(&not_modified, "ETag"), Some("\"v1\""));
        assert_eq!(field(&not_modified, "Vary"), Some("Accept"));
        for name in ["Content-Type", "Content-Language", "Content-Length"] {
            assert_eq!(field(&not_modified, name), None);
        }
        assert_eq!(body(&not_modified), "");
        assert_eq!(status(&get("/plain", "If-None-Match: *\r\n").await), 200, "no validator, no condition");
    });
}

#[test]
fn ranges() {
    run(async {
        for (fields, code, content_range, content) in [
            ("Range: bytes=0-3\r\n", 206, Some("bytes 0-3/16"), "0123"),
            ("Range: bytes=10-\r\n", 206, Some("bytes 10-15/16"), "abcdef"),
            ("Range: bytes=-4\r\n", 206, Some("bytes 12-15/16"), "cdef"),
            ("Range: bytes=0-0,5-6\r\n", 200, None, PAGE),
            ("Range: bytes=x\r\n", 200, None, PAGE),
            ("Range: bytes=16-\r\n", 416, Some("bytes */16"), "Range Not Satisfiable\n"),
            ("Range: bytes=0-3\r\nIf-Range: \"v1\"\r\n", 206, Some("bytes 0-3/16"), "0123"),
            ("Range: bytes=0-3\r\nIf-Range: \"v0\"\r\n", 200, None, PAGE),
            ("Range: bytes=16-\r\nIf-Range: \"v0\"\r\n", 200, None, PAGE),
            ("Range: bytes=0-3\r\nIf-None-Match: \"v1\"\r\n", 304, None, ""),
        ] {
            let answer = get("/", fields).await;
            assert_eq!((status(&answer), body(&answer)), (code, content), "{fields}");
            assert_eq!(field(&answer, "Content-Range"), content_range, "{fields}");
        }
        let owned = get("/owned", "Range: bytes=4000-\r\n").await;
        assert_eq!((status(&owned), body(&owned).len()), (206, 1000));
        assert_eq!(status(&get("/plain", "Range: bytes=0-3\r\n").await), 200);
        let head = answer(&site(), "HEAD / HTTP/1.1\r\nHost: h\r\nRange: bytes=0-3\r\n\r\n").await;
        assert_eq!((status(&head), field(&head, "Content-Length")), (200, Some("16")));
    });
}

#[test]
fn streams_are_chunks_or_end_with_the_connection() {
    run(async {
        let chunks = get("/stream", "").await;
        assert_eq!(field(&chunks, "Transfer-Encoding"), Some("chunked"));
        assert_eq!(field(&chunks, "Content-Length"), None);
        let x = |n| "x".repeat(n);
        let expected = format!(
            "4\r\none \r\n1000\r\n{}\r\n388\r\n{}\r\n0\r\nX-Sum: 1  X-Evil: 1\r\n\r\n",
            x(4096),
            x(904)
        );
        assert_eq!(body(&chunks), expected);
        let old = answer(&site(), "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(field(&old, "Transfer-Encoding"), None);
        assert_eq!(field(&old, "Connection"), Some("close"));
        assert_eq!(body(&old), format!("one {}", x(5000)));
        let head = answer(&site(), "HEAD /stream HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!((field(&head, "Transfer-Encoding"), body(&head)), (Some("chunked"), ""));
    });
}

#[test]
fn what_a_stream_has_written_does_not_wait_for_the_rest() {
    run(async {
        let mut client = Client::new(&site());
        let first = client.ask("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(body(&first), "4\r\none \r\n");
        sleep(Duration::from_secs(1)).await;
        assert!(client.now().await.ends_with("0\r\nX-Sum: 1  X-Evil: 1\r\n\r\n"));
        assert!(!client.is_closed().await);
    });
}

#[test]
fn content_that_is_not_whole_cuts_the_connection() {
    run(async {
        let broken = get("/broken", "").await;
        assert_eq!(body(&broken), "4\r\nhalf\r\n");
        assert_eq!(body(&get("/sized", "").await), "four");
        let mut client = Client::new(&site());
        assert!(client.ask("GET /sized?short HTTP/1.1\r\nHost: h\r\n\r\n").await.ends_with("one"));
        assert!(client.is_closed().await);
    });
}

#[test]
fn a_client_that_waits_for_100_gets_it_when_the_handler_reads() {
    run(async {
        let mut client = Client::new(&site());
        let put = "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        assert_eq!(client.ask(put).await, "HTTP/1.1 100 Continue\r\n\r\n");
        let answer = client.ask("hi").await;
        assert_eq!((status(&answer), body(&answer)), (201, "hi"));
        // With the content already there nobody waits.
        assert_eq!(status(&client.ask(format!("{put}hi")).await), 201);
        assert!(!client.is_closed().await);
        // A handler that does not read: no 100, and the connection cannot go on.
        let refused = client.ask(put.replace("PUT /", "POST /ignore")).await;
        assert_eq!((status(&refused), field(&refused, "Connection")), (403, Some("close")));
        client.end.finish();
        assert!(client.is_closed().await);
        let wrong = answer_to("PUT / HTTP/1.1\r\nHost: h\r\nExpect: tea\r\nContent-Length: 2\r\n\r\n").await;
        assert_eq!(wrong, 417);
    });
}

async fn answer_to(request: &str) -> u16 {
    status(&answer(&site(), request).await)
}

#[test]
fn content_nobody_reads_is_skipped_if_it_is_short() {
    run(async {
        let mut client = Client::new(&site());
        let post = |n: usize| {
            format!("POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: {n}\r\n\r\n{}", "x".repeat(n))
        };
        let two = client.ask(post(50_000) + &post(10)).await;
        assert_eq!(two.matches("403 Forbidden").count(), 2);
        let large = client.ask(post(100_000)).await;
        assert_eq!((status(&large), field(&large, "Connection")), (403, Some("close")));
    });
}

#[test]
fn too_much_content() {
    run(async {
        let long = "Content-Length: 1048577\r\n\r\n";
        assert_eq!(answer_to(&format!("POST /count HTTP/1.1\r\nHost: h\r\n{long}")).await, 413);
        let with_expect = format!("POST /count HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{long}");
        assert_eq!(answer_to(&with_expect).await, 413, "before the client sends it");
        assert_eq!(answer_to("PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n").await, 413);
        let chunk = format!("{:x}\r\n{}\r\n", 101, "x".repeat(101));
        let chunked = "HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(answer_to(&format!("PUT / {chunked}{chunk}0\r\n\r\n")).await, 413);
        assert_eq!(answer_to(&format!("POST /count {chunked}100001\r\nx")).await, 413);
        let small = limited(
            Router::new().post("/", async |mut r: Request<'_>| r.read_to_end(1000).await.map(|_| Status::OK)),
            Limits { body_size: 10, ..Limits::default() },
        );
        for (text, code) in
            [("a\r\n0123456789\r\n0\r\n\r\n", 200), ("a\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", 413)]
        {
            assert_eq!(status(&answer(&small, format!("POST / {chunked}{text}")).await), code);
        }
    });
}

#[test]
fn malformed_chunks() {
    run(async {
        let chunked = "POST /count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (text, code) in [
            ("5\r\nhello\r\n0\r\n\r\n", 200),
            ("5 \r\nhello\r\n0\r\n\r\n", 400),
            ("5\nhello\n0\n\n", 400),
            ("x\r\n", 400),
            ("\r\n", 400),
            ("-5\r\nhello\r\n0\r\n\r\n", 400),
            ("5\r\nhello0\r\n\r\n", 400),
            ("5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", 400),
            ("ffffffffffffffffff\r\n", 400),
            ("5\r\nhel", 400),
        ] {
            let site = site();
            let answer = answer(&site, format!("{chunked}{text}")).await;
            assert_eq!(status(&answer), code, "{text:?}");
            assert_eq!(answer.matches("HTTP/1.1").count(), 1);
        }
    });
}
