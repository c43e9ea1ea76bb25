//! Requests to an HTTP server, nearly good ones and bad ones, in pieces.

#[path = "../../http/tests/common/mod.rs"]
mod common;
#[allow(dead_code, reason = "what the answers should be is tested elsewhere")]
#[path = "../../http/tests/malformed/table.rs"]
mod table;

use common::*;
use fata_fuzz::{fuzz, mutated};
use fata_http::{Request, Response, Router, Server, Status};
use fata_libos::task::yield_now;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

const GOOD: [&str; 6] = [
    GET,
    "HEAD /a/b?c=d HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n1234567",
    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=\"y\"\r\ndefg\r\n0\r\nT: u\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\nRange: bytes=1-2,-3\r\nIf-Range: \"v\"\r\nIf-None-Match: W/\"v\", \"w\"\r\n\r\n",
    "GET http://h/ HTTP/1.0\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
];

fn site() -> Server {
    server(
        Router::new()
            .get("/", async |_: Request<'_>| Response::text("hello").etag("\"v\""))
            .get("/{*path}", async |_: Request<'_>| Status::NOT_FOUND)
            .post("/echo", async |mut r: Request<'_>| r.read_to_end(10_000).await.map(Response::text)),
    )
}

/// What the server answers to octets that come in pieces; interim answers, which depend on what has come, left out.
async fn answers(server: &Server, request: &[u8], cuts: &[usize]) -> usize {
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
    let said = client.rest().await;
    said.matches("HTTP/1.1 ").count() - said.matches("HTTP/1.1 100 ").count()
}

#[test]
fn requests() {
    let table = table::cases().into_iter().map(|case| case.request).filter(|request| request.len() < 4096);
    let corpus = GOOD.iter().map(|request| request.as_bytes().to_vec()).chain(table).collect();
    let inputs = (vec(mutated(corpus), 1..4), vec(any::<Index>(), 0..6));
    fuzz(&inputs, |(requests, cuts)| {
        let request = requests.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(request.len() + 1)).collect();
        cuts.sort();
        run(async {
            let site = site();
            let whole = answers(&site, &request, &[]).await;
            assert_eq!(answers(&site, &request, &cuts).await, whole, "it matters how they come: {cuts:?}");
            assert_eq!(status(&Client::new(&site).ask(GET).await), 200, "alive");
        });
    });
}
