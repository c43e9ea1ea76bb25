//! What connections take of the heap: idle ones, and those of clients that want as much as they can have.

#[path = "h2/client.rs"]
mod client;
mod common;
#[path = "common/heap.rs"]
mod heap;

use client::*;
use common::run;
use fata_http::{Request, Response, Router, Server};
use fata_libos::time::{Duration, sleep};
use heap::{HELD, MOST};
use std::sync::atomic::Ordering::Relaxed;

fn site() -> Server {
    let router = Router::new()
        .get_sync("/", |_: &Request<'_>| Response::text("hello"))
        .get("/big", async |_: Request<'_>| Response::text(&[b'x'; 1_000_000][..]))
        .post("/", async |_: Request<'_>| {
            sleep(Duration::from_secs(1000)).await;
            Response::text("never read")
        });
    Server::new(router).with_http2()
}

/// What is held after `attack` beyond what was before the client came, and the most in between, octets.
async fn taken(attack: impl AsyncFn(&mut Client)) -> (usize, usize) {
    let site = site();
    // What the server keeps for all is there.
    let mut first = Client::new(&site).await;
    first.send(&ask(1, "/")).await;
    first.now().await;
    drop(first);
    sleep(Duration::from_millis(1)).await;
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    let mut client = Client::silent(&site, 5000);
    client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, END, 0, &[])].concat()).await;
    client.now().await;
    attack(&mut client).await;
    client.now().await;
    client.content = Vec::new();
    let held = (HELD.load(Relaxed).saturating_sub(before), MOST.load(Relaxed) - before);
    drop(client);
    sleep(Duration::from_secs(5)).await;
    let left = HELD.load(Relaxed).saturating_sub(before);
    assert!(left < 10_000, "all comes back, but for spare buffers: {left}");
    held
}

/// One test: the allocator counts what the whole process takes.
#[test]
fn what_a_connection_takes() {
    run(async {
        let long = "*1900";
        let post_long = |n: u32| {
            let fields = [("x-a", long), ("x-b", long), ("x-c", long), ("x-d", long)];
            post(2 * n + 1, "/", &fields)
        };
        let idle = taken(async |_| ()).await;
        let asked = taken(async |client| {
            for n in 0..50 {
                client.send(&ask(2 * n + 1, "/")).await;
                client.now().await;
            }
        })
        .await;
        let downloads = taken(async |client| {
            client.send(&[setting(4, 1 << 20), number(WINDOW_UPDATE, 0, 1 << 20)].concat()).await;
            for n in 0..100 {
                client.send(&ask(2 * n + 1, "/big")).await;
                client.now_little().await;
                client.content.clear();
            }
            for _ in 0..600 {
                client.now_little().await;
                client.content.clear();
            }
        })
        .await;
        let heads = taken(async |client| {
            for n in 0..100 {
                client.send(&post_long(n)).await;
                client.now().await;
            }
        })
        .await;
        let content = taken(async |client| {
            for n in 0..4 {
                client.send(&post(2 * n + 1, "/", &[])).await;
                for _ in 0..4 {
                    client.send(&frame(DATA, 0, 2 * n + 1, &[7; 16_000])).await;
                    client.now().await;
                }
            }
        })
        .await;
        eprintln!(
            "idle {idle:?}, asked {asked:?}, downloads {downloads:?}, heads {heads:?}, content {content:?}"
        );
        // The client's end of it takes some 4 KiB of all these.
        assert!(idle.0 < 10_000 && asked.0 < 12_000, "{idle:?} {asked:?}");
        assert!(downloads.0 > 100_000 && downloads.1 < 350_000, "{downloads:?}");
        assert!(heads.1 < 400_000, "{heads:?}");
        assert!(content.1 < 800_000, "{content:?}");
    });
}
