//! What who passes requests on needs: content that is read behind the response, interim answers, clients that go away, other protocols.

mod common;

use common::*;
use fata_http::{Aborted, BodyError, BodyWriter, Request, RequestContent, Response, Router, Server, Status};
use fata_libos::time::{Duration, Instant, sleep, timeout};
use std::cell::Cell;
use std::rc::Rc;

/// How much content there is.
async fn octets_of(mut content: RequestContent<'_>) -> Result<usize, Aborted> {
    let (mut piece, mut sum) = ([0; 1000], 0);
    loop {
        match content.read(&mut piece).await.map_err(|_| Aborted)? {
            0 => return Ok(sum),
            n => sum += n,
        }
    }
}

/// Answers at once without content, and reads on: how much came is in the cell.
fn early_answers(seen: &Rc<Cell<usize>>) -> Server {
    let answer = |status: Status| {
        let seen = seen.clone();
        async move |_: Request<'_>| {
            let seen = seen.clone();
            let run = async move |content: RequestContent<'_>, _: &mut BodyWriter<'_>| {
                seen.set(octets_of(content).await?);
                Ok(())
            };
            Response::two_ways(Some(0), run).status(status)
        }
    };
    let router = Router::new()
        .post("/202", answer(Status::ACCEPTED))
        .post("/204", answer(Status::NO_CONTENT))
        .post("/405", answer(Status::METHOD_NOT_ALLOWED));
    server(router)
}

#[test]
fn content_is_read_behind_a_response_without_any() {
    run(async {
        for path in ["202", "204", "405"] {
            let seen = Rc::default();
            let mut client = Client::new(&early_answers(&seen));
            let head = format!("POST /{path} HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
            let answer = client.ask(head).await;
            assert_eq!((status(&answer).to_string().as_str(), field(&answer, "Connection")), (path, None));
            assert_eq!(seen.get(), 0);
            client.send("x".repeat(100_000)).await;
            // The connection goes on.
            let last = "POST /204 HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
            assert!(client.ask(last).await.starts_with("HTTP/1.1 204 "), "{path}");
            assert_eq!(seen.get(), 0, "of the last one");
            client
                .send(format!("POST /{path} HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123456789"))
                .await;
            client.now().await;
            assert_eq!(seen.get(), 9);
        }
    });
}

#[test]
fn who_is_not_asked_for_content_is_told_that_the_connection_ends() {
    run(async {
        let mut client = Client::new(&early_answers(&Rc::default()));
        let post = "POST /405 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        let answer = client.ask(post).await;
        assert_eq!(field(&answer, "Connection"), Some("close"), "{answer}");
    });
}

#[test]
fn content_is_waited_for() {
    run(async {
        let handler = async |mut request: Request<'_>| {
            let began = Instant::now();
            let waited = request.wait_for_content().await;
            let waited = waited.map(|()| began.elapsed().as_secs());
            let octets = request.read_to_end(100).await.map(|content| content.len());
            Response::text(format!("{waited:?} {octets:?}"))
        };
        let server = server(Router::new().post("/", handler));
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sized = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n";
        for (head, parts, said) in [
            (sized, &["hello"][..], "Ok(1) Ok(5)"),
            (chunked, &["5\r\n", "hello\r\n0\r\n\r\n"], "Ok(2) Ok(5)"),
            (chunked, &["5;a", "=b", "\r\nhel", "lo\r\n0\r\n\r\n"], "Ok(3) Ok(5)"),
            (chunked, &["0\r\n", "\r\n"], "Ok(2) Ok(0)"),
            (chunked, &["x"], "Err(Malformed) Err(Malformed)"),
        ] {
            let mut client = Client::new(&server);
            client.send(head).await;
            for part in parts {
                sleep(Duration::from_secs(1)).await;
                assert_eq!(client.now().await, "");
                client.send(part).await;
            }
            let answer = client.now().await;
            assert_eq!(body(&answer), said, "{parts:?}");
        }
        let none = answer(&server, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(body(&none), "Ok(0) Ok(0)");
        let mut late = Client::new(&server);
        late.send(sized).await;
        let answer = late.rest().await;
        assert!(answer.ends_with(&format!("{:?} {0:?}", Err::<(), _>(BodyError::TimedOut))), "{answer}");
    });
}

#[test]
fn interim_answers() {
    run(async {
        let hints = async |request: Request<'_>| {
            let early = request.early();
            let hint = Response::new(Status::EARLY_HINTS).relayed_header("Link", b"</a>; rel=preload");
            early.send(&hint).await;
            early.send(&Response::new(Status::OK)).await;
            early.send(&Response::new(Status::SWITCHING_PROTOCOLS)).await;
            sleep(Duration::from_secs(1)).await;
            early.send(&Response::new(Status::CONTINUE)).await;
            Response::text("x")
        };
        let server = server(Router::new().get("/", hints));
        let mut client = Client::new(&server);
        let first = client.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(first, "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n");
        sleep(Duration::from_secs(1)).await;
        let rest = client.now().await;
        assert!(rest.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{rest}");
        assert_eq!((server.stats().responses(1), server.stats().requests()), (2, 1));
        let old = answer(&server, "GET / HTTP/1.0\r\nHost: h\r\n\r\n").await;
        assert!(old.starts_with("HTTP/1.1 200 OK\r\n"), "who knows none: {old}");
    });
}

/// Says when its handler has ended, however that was.
struct Ends(Rc<Cell<bool>>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// A server whose handler takes five seconds.
fn slow(has_ended: &Rc<Cell<bool>>) -> Server {
    let has_ended = has_ended.clone();
    let handler = async move |_: Request<'_>| {
        let _ends = Ends(has_ended.clone());
        sleep(Duration::from_secs(5)).await;
        Response::text("slow")
    };
    server(Router::new().get("/", handler).get_sync("/quick", |_: &Request<'_>| Response::text("quick")))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_client_that_goes_away_is_noticed_where_that_is_wanted() {
    run(async {
        for (is_watched, expected) in [(true, true), (false, false)] {
            let has_ended = Rc::default();
            let server = slow(&has_ended);
            let server = if is_watched { server.with_client_watch() } else { server };
            let mut client = Client::new(&server);
            assert_eq!(client.ask(GET).await, "");
            sleep(Duration::from_secs(1)).await;
            assert!(!has_ended.get());
            let Client { end, serving, .. } = client;
            drop(end);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(has_ended.get(), expected, "{is_watched}");
            serving.await;
            assert_eq!(server.stats().gone(), u64::from(is_watched));
        }
    });
}

#[test]
fn who_asks_for_more_meanwhile_is_answered_in_order() {
    run(async {
        let server = slow(&Rc::default()).with_client_watch();
        let mut client = Client::new(&server);
        client.ask(GET).await;
        for part in ["GET /quick", " HTTP/1.1\r\nHost: h\r\n\r\n", "GET /quick HTTP/1.1\r\nHost: h\r\n\r\n"] {
            assert_eq!(client.ask(part).await, "");
        }
        sleep(Duration::from_secs(5)).await;
        let answers = client.now().await;
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
        assert!(answers.ends_with("quick") && answers.contains("slow"), "{answers}");
        assert_eq!(server.stats().gone(), 0);
    });
}

#[test]
fn content_that_comes_while_nobody_reads_is_not_lost() {
    run(async {
        let handler = async |mut request: Request<'_>| {
            sleep(Duration::from_secs(5)).await;
            let content = request.read_to_end(100_000).await?;
            Ok::<_, BodyError>(Response::text(content))
        };
        let server = server(Router::new().post("/", handler)).with_client_watch();
        let mut client = Client::new(&server);
        client.ask("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 50005\r\n\r\n").await;
        let content = format!("{}end", "0123456789\n".repeat(4545)) + "1234567";
        for part in [&content[..2], &content[2..10_000], &content[10_000..]] {
            sleep(Duration::from_secs(1)).await;
            client.send(part).await;
        }
        sleep(Duration::from_secs(5)).await;
        assert_eq!(body(&client.now().await), content);
    });
}

/// Goes on with a protocol of which it writes a thousand octets at once, so often.
fn talkative(times: usize) -> Server {
    let handler = async move |_: Request<'_>| {
        Response::upgrade("talk", async move |_: RequestContent<'_>, body: &mut BodyWriter<'_>| {
            for _ in 0..times {
                body.write(&[b'x'; 1000]).await;
                body.flush().await;
            }
            Ok(())
        })
    };
    server(Router::new().get("/", handler)).with_client_watch()
}

#[test]
fn who_takes_another_protocol_slowly_is_not_gone() {
    run(async {
        let server = talkative(3);
        let mut client = Client::with_capacity(&server, 500);
        client.send(GET).await;
        let mut seen = 0;
        // Ten octets a second are a hundredth of what a response must keep up.
        let mut piece = [0; 100];
        while let Ok(n @ 1..) = embedded_io_async::Read::read(&mut client.end, &mut piece).await {
            seen += n;
            sleep(Duration::from_secs(10)).await;
        }
        assert!(seen > 3000, "{seen}");
        assert_eq!(server.stats().timeouts(), 0);
    });
}

#[test]
fn who_takes_nothing_of_another_protocol_is_gone() {
    run(async {
        let server = talkative(10);
        let mut client = Client::with_capacity(&server, 500);
        client.send(GET).await;
        sleep(Duration::from_secs(50)).await;
        assert_eq!(server.stats().connections_open(), 1);
        // What it takes begins the time anew.
        let mut piece = [0; 100];
        embedded_io_async::Read::read(&mut client.end, &mut piece).await.unwrap();
        sleep(Duration::from_secs(50)).await;
        assert_eq!(server.stats().connections_open(), 1);
        sleep(Duration::from_secs(15)).await;
        assert_eq!((server.stats().connections_open(), server.stats().timeouts()), (0, 1));
    });
}

#[test]
fn a_client_that_only_ends_its_half_of_another_protocol_is_not_gone() {
    run(async {
        let handler = async |_: Request<'_>| {
            Response::upgrade("sum", async |content: RequestContent<'_>, body: &mut BodyWriter<'_>| {
                let octets = octets_of(content).await?;
                sleep(Duration::from_secs(3)).await;
                body.write(format!("{octets} octets").as_bytes()).await;
                Ok(())
            })
        };
        let server = server(Router::new().get("/", handler)).with_client_watch();
        let mut client = Client::new(&server);
        client.send(format!("{GET}twelve words")).await;
        client.end.finish();
        let said = timeout(Duration::from_secs(9), client.rest()).await.unwrap();
        assert!(said.starts_with("HTTP/1.1 101 ") && said.ends_with("12 octets"), "{said}");
    });
}

#[test]
fn what_is_required_is_named() {
    run(async {
        let required = async |_: Request<'_>| {
            Response::new(Status::UPGRADE_REQUIRED).relayed_header("Upgrade", b"websocket")
        };
        let server = server(Router::new().get("/", required));
        for (version, more, expected) in [
            ("1.1", "", Some("upgrade")),
            ("1.1", "Connection: close\r\n", Some("upgrade, close")),
            ("1.0", "", Some("close")),
        ] {
            let got = answer(&server, format!("GET / HTTP/{version}\r\nHost: h\r\n{more}\r\n")).await;
            assert_eq!((status(&got), field(&got, "Upgrade")), (426, Some("websocket")), "{got}");
            assert_eq!(field(&got, "Connection"), expected, "{version} {more}");
        }
    });
}
