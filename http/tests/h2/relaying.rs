//! What who passes requests on needs: content that is read behind the response, interim answers, content that is waited for.

use crate::client::*;
use crate::common::run;
use fata_http::{Aborted, BodyError, BodyWriter, Request, RequestContent, Response, Router, Server, Status};
use fata_libos::time::{Duration, Instant, sleep};
use std::cell::Cell;
use std::rc::Rc;

#[test]
fn content_is_read_behind_a_response_without_any() {
    run(async {
        for (status, said) in [(Status::ACCEPTED, "202"), (Status::NO_CONTENT, "204")] {
            let seen = Rc::new(Cell::new(0));
            let count = seen.clone();
            let handler = async move |_: Request<'_>| {
                let seen = count.clone();
                let run = async move |mut content: RequestContent<'_>, _: &mut BodyWriter<'_>| {
                    let mut piece = [0; 1000];
                    loop {
                        match content.read(&mut piece).await.map_err(|_| Aborted)? {
                            0 => return Ok(()),
                            n => seen.set(seen.get() + n),
                        }
                    }
                };
                Response::two_ways(Some(0), run).status(status)
            };
            let mut client = Client::new(&Server::new(Router::new().post("/", handler))).await;
            client.send(&post(1, "/", &[])).await;
            assert_eq!(client.now().await, format!("HEADERS 1 {said}\n"));
            for n in 1..21 {
                client.send(&frame(DATA, if n == 20 { END } else { 0 }, 1, &[7; 10_000])).await;
                let heard = client.now().await;
                let is_end = |line: &str| n == 20 && line == "DATA 1 0 end";
                assert!(
                    heard.lines().all(|line| line.starts_with("WINDOW_UPDATE 1 ") || is_end(line)),
                    "{heard}"
                );
                assert_eq!(heard.contains(" end"), n == 20, "{heard}");
                assert_eq!(seen.get(), n * 10_000);
            }
        }
    });
}

#[test]
fn interim_answers() {
    run(async {
        let hints = async |mut request: Request<'_>| {
            let early = request.early();
            early.send(&Response::new(Status::EARLY_HINTS).relayed_header("X-Hint", b"a")).await;
            early.send(&Response::new(Status::OK)).await;
            early.send(&Response::new(Status::CONTINUE)).await;
            request.read_to_end(10).await?;
            Ok::<_, BodyError>(Response::text("x"))
        };
        let mut client = Client::new(&Server::new(Router::new().post("/", hints))).await;
        client.send(&post(1, "/", &[("expect", "100-continue"), ("content-length", "2")])).await;
        assert_eq!(client.now().await, "HEADERS 1 103\nHEADERS 1 100\n", "asked once");
        assert_eq!(client.fields, "x-hint: a\n");
        client.send(&frame(DATA, END, 1, b"ab")).await;
        assert_eq!(client.now().await, "HEADERS 1 200\nDATA 1 1 end\n");
    });
}

#[test]
fn content_is_waited_for() {
    run(async {
        let handler = async |mut request: Request<'_>| {
            let began = Instant::now();
            let waited = request.wait_for_content().await.map(|()| began.elapsed().as_secs());
            let octets = request.read_to_end(100).await.map(|content| content.len());
            Response::text(format!("{waited:?} {octets:?}"))
        };
        let server = Server::new(Router::new().post("/", handler));
        for (content, said) in [(&b"hello"[..], "Ok(2) Ok(5)"), (b"", "Ok(2) Ok(0)")] {
            let mut client = Client::new(&server).await;
            client.send(&post(1, "/", &[])).await;
            sleep(Duration::from_secs(2)).await;
            assert_eq!(client.now().await, "");
            client.send(&frame(DATA, END, 1, content)).await;
            client.now().await;
            assert_eq!(String::from_utf8_lossy(&client.content), said);
        }
    });
}

/// A server that reads all, and how often in `seconds` each of `streams` sends so many octets, which says who is refused.
async fn uploads(streams: &[usize], seconds: u64) -> Vec<u32> {
    let server =
        Server::new(Router::new().post("/", async |mut request: Request<'_>| {
            request.read_to_end(500_000).await.map(|_| Status::OK)
        }));
    let mut client = Client::new(&server).await;
    let ids = || (0..streams.len() as u32).map(|n| 2 * n + 1);
    for id in ids() {
        client.send(&post(id, "/", &[])).await;
    }
    let mut refused = Vec::new();
    for _ in 0..seconds {
        for (id, &octets) in ids().zip(streams) {
            if octets > 0 && !refused.contains(&id) {
                client.send(&frame(DATA, 0, id, &vec![7; octets])).await;
            }
        }
        let said = client.now().await;
        refused.extend(ids().filter(|id| said.contains(&format!("HEADERS {id} 408"))));
        sleep(Duration::from_secs(1)).await;
    }
    refused
}

#[test]
fn streams_that_send_do_not_excuse_those_that_do_not() {
    run(async {
        assert_eq!(uploads(&[2000, 0, 2000, 1], 60).await, [3, 7]);
    });
}

#[test]
fn streams_share_the_rate() {
    run(async {
        assert_eq!(uploads(&[200; 8], 200).await, []);
        assert_eq!(uploads(&[200; 3], 200).await, [1, 3, 5]);
    });
}
