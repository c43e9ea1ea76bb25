//! A guest of 8 MiB whose clients open as many streams as they are let, and take nothing.

#[path = "h2/client.rs"]
mod client;
mod common;
#[path = "common/heap.rs"]
mod heap;

use client::*;
use common::duplex;
use common::guest::{MIB, RESERVE, memory};
use fata_http::{Request, Response, Router, Server};
use fata_libos::testing::run_with_memory;
use fata_libos::time::{Duration, sleep};
use heap::{HELD, MOST};
use std::sync::atomic::Ordering::Relaxed;

fn site() -> Server {
    let router = Router::new().get_sync("/", |_: &Request<'_>| Response::text("hello")).get(
        "/slow",
        async |_: Request<'_>| {
            sleep(Duration::from_secs(5)).await;
            Response::text(vec![b'x'; 6000])
        },
    );
    Server::new(router)
}

/// One test: the allocator counts what the whole process takes.
#[test]
fn streams_leave_a_small_guest_what_it_keeps_free() {
    let free = || memory((8 * MIB).saturating_sub(HELD.load(Relaxed) as u64));
    run_with_memory(free, async {
        for (path, least_refused) in [("/nowhere", 1000), ("/slow", 0)] {
            let site = site();
            let fields = block(&get(path));
            let begin = [PREFACE, &setting(4, 0), &frame(SETTINGS, END, 0, &[])].concat();
            let mut clients = Vec::new();
            for _ in 0..150 {
                let (mut end, other) = duplex(4096);
                let server = site.clone();
                let serving =
                    fata_libos::spawn(async move { server.serve_connection_h2(other, common::PEER).await });
                embedded_io_async::Write::write_all(&mut end, &begin).await.unwrap();
                clients.push((end, serving));
            }
            for n in 0..100 {
                for (end, _) in &mut clients {
                    let ask = frame(HEADERS, END | WHOLE, 2 * n + 1, &fields);
                    let _ = embedded_io_async::Write::write_all(end, &ask).await;
                }
                sleep(Duration::from_millis(1)).await;
            }
            sleep(Duration::from_secs(6)).await;
            let most = MOST.load(Relaxed) as u64;
            let stats = site.stats();
            eprintln!(
                "{path}: {most} octets at most, {} streams refused, {} for want of memory, {} answered 503",
                stats.http2_refused(),
                stats.refused_memory(),
                stats.responses(5)
            );
            assert!(most < 8 * MIB - RESERVE / 2, "{path}: {most} octets at most");
            assert!(stats.http2_refused() >= least_refused && stats.refused_memory() > 1000, "{path}");
            drop(clients);
            sleep(Duration::from_secs(1)).await;
            let mut client = Client::new(&site).await;
            client.send(&ask(1, "/")).await;
            assert_eq!(client.now().await, "HEADERS 1 200\nDATA 1 5 end\n", "{path}: alive");
            MOST.store(HELD.load(Relaxed), Relaxed);
        }
    });
}
