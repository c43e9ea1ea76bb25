//! What is wrong is answered as it should be, however it arrives, and the server goes on.

#[path = "../common/mod.rs"]
mod common;
mod table;

use common::*;
use fata_http::{Request, Response, Router, Server, Status};
use fata_libos::task::yield_now;
use proptest::prelude::*;
use table::cases;

fn site() -> Server {
    server(
        Router::new()
            .get("/", async |_: Request<'_>| Response::text("hello").etag("\"v\""))
            .get("/{*path}", async |_: Request<'_>| Status::NOT_FOUND)
            .post("/echo", async |mut r: Request<'_>| r.read_to_end(10_000).await.map(Response::text)),
    )
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// The statuses of all answers. Content here never looks like a status line.
fn statuses(answers: &str) -> Vec<u16> {
    answers.split("HTTP/1.1 ").skip(1).map(|a| a[..3].parse().unwrap()).collect()
}

#[test]
fn the_table() {
    let cases = cases();
    assert!(cases.len() >= 200, "{} cases", cases.len());
    run(async move {
        let site = site();
        for case in cases {
            let answer = answer(&site, &case.request).await;
            let expected: Vec<u16> = case.status.into_iter().collect();
            assert_eq!(statuses(&answer), expected, "{}", case.name);
            assert_eq!(status(&Client::new(&site).ask(GET).await), 200, "alive after {}", case.name);
        }
    });
}

/// Sends in pieces, each of which the server sees alone.
async fn answer_in_pieces(server: &Server, request: &[u8], cuts: &[usize]) -> String {
    let mut client = Client::new(server);
    let mut at = 0;
    for &cut in cuts.iter().chain([&request.len()]) {
        client.send(&request[at..cut]).await;
        at = cut;
        for _ in 0..4 {
            yield_now().await;
        }
    }
    client.end.finish();
    client.rest().await
}

#[test]
fn the_table_cut_in_two_at_every_octet() {
    run(async {
        let site = site();
        for case in cases() {
            let step = (case.request.len() / 300).max(1);
            for cut in (0..=case.request.len()).step_by(step) {
                let answer = answer_in_pieces(&site, &case.request, &[cut]).await;
                let expected: Vec<u16> = case.status.into_iter().collect();
                assert_eq!(statuses(&answer), expected, "{} cut at {cut}", case.name);
            }
        }
    });
}

const GOOD: [&str; 6] = [
    GET,
    "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    "\r\nGET /nothing HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n1234567",
    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x\r\ndefg\r\n0\r\nT: u\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2\r\nIf-Range: \"v\"\r\n\r\n",
];

#[test]
fn good_requests_octet_by_octet() {
    run(async {
        let site = site();
        let all = GOOD.concat();
        let cuts: Vec<_> = (0..all.len()).collect();
        let whole = answer(&site, &all).await;
        assert_eq!(statuses(&whole), [200, 200, 404, 200, 200, 206]);
        assert_eq!(answer_in_pieces(&site, all.as_bytes(), &cuts).await, whole);
    });
}

/// Pieces of requests, and octets that are none.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let words: &[&str] = &[
        "GET ",
        "POST ",
        "/ ",
        "/echo ",
        "/nothing ",
        "HTTP/1.1\r\n",
        "HTTP/1.0\r\n",
        "Host: h\r\n",
        "\r\n",
        "\r\n\r\n",
        "Content-Length: ",
        "Transfer-Encoding: ",
        "chunked\r\n",
        "5\r\n",
        "hello",
        "0\r\n\r\n",
        "Connection: close\r\n",
        ":",
        " ",
        "\r",
        "\n",
        "Expect: 100-continue\r\n",
        "Range: bytes=0-1\r\n",
        "%2",
        "?a#",
        "*",
        "http://h/ ",
    ];
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(|w| w.as_bytes().to_vec()),
        2 => proptest::sample::select(&GOOD[..]).prop_map(|w| w.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 1..20),
    ]
}

proptest! {
    #[test]
    fn pipelines_are_answered_alike_however_they_arrive(
        which in proptest::collection::vec(0..GOOD.len(), 1..12),
        mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let all: String = which.iter().map(|&n| GOOD[n]).collect();
        cuts.sort_by_key(|c| c.index(all.len()));
        let cuts: Vec<_> = cuts.iter().map(|c| c.index(all.len())).collect();
        run_apart(move || async move {
            let site = site();
            let whole = answer(&site, &all).await;
            assert_eq!(statuses(&whole).len(), which.len());
            assert_eq!(answer_in_pieces(&site, all.as_bytes(), &cuts).await, whole);
        });
    }

    #[test]
    fn nothing_that_arrives_harms_the_server(
        fragments in proptest::collection::vec(fragment(), 0..30),
        mut cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let all = fragments.concat();
        cuts.sort_by_key(|c| c.index(all.len() + 1));
        let cuts: Vec<_> = cuts.iter().map(|c| c.index(all.len() + 1)).collect();
        run_apart(move || async move {
            let site = site();
            let whole = answer(&site, &all).await;
            let pieces = answer_in_pieces(&site, &all, &cuts).await;
            // An interim answer may come or not: it depends on whether the content has arrived.
            let finals = |a: &str| statuses(a).into_iter().filter(|&s| s != 100).collect::<Vec<_>>();
            assert_eq!(finals(&pieces), finals(&whole));
            assert_eq!(status(&Client::new(&site).ask(GET).await), 200);
        });
    }
}
