//! HTTP/2 in virtual time: what the RFC demands, and clients that mean harm.

mod beginnings;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod exchanges;
mod limits;
mod memory;
mod random;
mod relaying;
mod rules;
mod turns;

use common::page;
use fata_http::{Aborted, BodyError, BodyWriter, Request, Response, Router, Server};
use fata_libos::time::{Duration, sleep};

fn router() -> Router {
    Router::new()
        .get_sync("/", |_: &Request<'_>| Response::text("hello"))
        .get("/big", async |_: Request<'_>| page(1_000_000).etag("\"1\""))
        .get("/slow", async |_: Request<'_>| {
            sleep(Duration::from_secs(2)).await;
            Response::text("slow")
        })
        .get("/broken", async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                body.write(b"so far").await;
                Err(Aborted)
            })
        })
        .get("/lines", async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                for _ in 0..3 {
                    body.write(b"line\n").await;
                }
                sleep(Duration::from_secs(1)).await;
                body.write(b"last\n").await;
                body.trailer("X-Lines", "4");
                Ok(())
            })
        })
        .get("/head", async |request: Request<'_>| {
            let line = |(n, v): (&str, &[u8])| format!("{n}={} ", String::from_utf8_lossy(v));
            let fields: String = request.headers().map(line).collect();
            Response::text(format!("{} {:?} {fields}", request.path(), request.query()))
        })
        .post("/", async |mut request: Request<'_>| {
            let content = request.read_to_end(500_000).await?;
            Ok::<_, BodyError>(Response::text(content.len().to_string()))
        })
        .post("/unread", async |_: Request<'_>| {
            sleep(Duration::from_secs(100)).await;
            Response::text("never read")
        })
}

fn site() -> Server {
    Server::new(router())
}
