//! A guest that has little memory left: clients are refused, and let in when there is memory again.

mod common;

use common::{Client, answer, limited, status};
use fata_http::{BodyWriter, Limits, Request, Response, Router, Server};
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::task::block_on;
use fata_libos::time::{Duration, Instant, SystemTime, sleep};
use std::cell::Cell;
use std::future::Future;

const MIB: u64 = 1 << 20;
/// What is kept free of 8 MiB.
const RESERVE: u64 = MIB / 2;
/// The same when content is sent.
const FOR_CONTENT: u64 = 3 * MIB;

/// Virtual time in a guest of 8 MiB.
struct Guest {
    now: Cell<u64>,
    free: Cell<u64>,
}

impl Platform for Guest {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.get())
    }
    fn wall_clock(&self, _: Instant) -> SystemTime {
        SystemTime::from_unix(Duration::ZERO)
    }
    fn wait(&self, deadline: Option<Instant>) {
        let deadline = deadline.expect("every task waits for something that can never happen");
        self.now.set(self.now.get().max(deadline.as_nanos()));
    }
    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        *seed = [7; 32];
        true
    }
    fn memory(&self) -> MemoryStats {
        let mut stats = MemoryStats::default();
        (stats.total, stats.free) = (8 * MIB, self.free.get());
        stats
    }
    fn leave(&self, how: Leave) -> ! {
        panic!("the guest leaves: {how:?}")
    }
}

fn run<F: Future<Output = ()>>(test: impl FnOnce(&'static Guest) -> F) {
    let guest: &Guest = Box::leak(Box::new(Guest { now: Cell::new(1), free: Cell::new(4 * MIB) }));
    block_on(guest, test(guest));
}

fn site() -> Server {
    let router = Router::new()
        .get("/", async |_: Request<'_>| Response::text("hello"))
        .get("/stream", async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                body.write(&[b'x'; 10_000]).await;
                Ok(())
            })
        })
        .post("/", async |mut r: Request<'_>| {
            r.read_to_end(1_000_000).await.map(|body| Response::text(body.len().to_string()))
        });
    limited(router, Limits::default())
}

fn get(field: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: {}\r\n\r\n", "x".repeat(field))
}

fn post(len: usize) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{}",
        "x".repeat(len)
    )
}

#[test]
fn what_there_is_no_memory_for_is_answered_503() {
    run(async |guest| {
        let site = site();
        let cases = [
            (4 * MIB, get(7000), 200),
            (4 * MIB, post(300_000), 200),
            (RESERVE + 200_000, get(7000), 200),
            (FOR_CONTENT + 400_000, post(300_000), 200),
            (FOR_CONTENT + 200_000, post(300_000), 503),
            (RESERVE + 200_000, post(300_000), 503),
            (RESERVE + 200_000, post(1000), 200),
            (RESERVE + 5000, get(7000), 503),
            (RESERVE + 5000, get(1), 503),
            (RESERVE + 5000, "nonsense\r\n\r\n".into(), 400),
            (1000, get(7000), 503),
            (1000, get(1), 503),
            (4 * MIB, get(7000), 200),
        ];
        for (n, (free, request, wanted)) in cases.into_iter().enumerate() {
            guest.free.set(free);
            let said = answer(&site, request).await;
            assert_eq!(status(&said), wanted, "{n}: {said}");
        }
        assert_eq!(site.stats().refused_memory(), 6);
    });
}

#[test]
fn a_response_under_way_goes_on_in_small_pieces() {
    run(async |guest| {
        let mut client = Client::with_capacity(&site(), 1000);
        client.send("GET /stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        sleep(Duration::from_millis(1)).await;
        guest.free.set(1000);
        let said = client.rest().await;
        assert!(said.ends_with("\r\n0\r\n\r\n") && said.len() > 10_000, "{} octets", said.len());
    });
}

/// Clients that come to a guest of 8 MiB.
const MANY: u64 = 800;

#[test]
fn a_small_guest_has_fewer_connections() {
    run(async |_| {
        let (site, (accept, accepted)) = (site(), fata_libos::channel::bounded(1));
        let mut ends = Vec::new();
        let serving = fata_libos::spawn({
            let site = site.clone();
            async move {
                let next = async || accepted.recv().await.map(|stream| (stream, common::PEER));
                let _ = site.serve(next).await;
            }
        });
        for _ in 0..MANY {
            let (end, other) = common::duplex(1000);
            assert!(accept.send(other).await.is_ok());
            ends.push(end);
        }
        sleep(Duration::from_millis(1)).await;
        let most = 8 * MIB / (12 << 10);
        assert_eq!(
            (site.stats().connections_open(), site.stats().connections_evicted()),
            (most as usize, MANY - most)
        );
        drop(serving);
    });
}
