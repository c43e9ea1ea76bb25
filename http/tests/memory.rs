//! A guest that has little memory left: clients are refused, and let in when there is memory again.

mod common;

use common::guest::{FOR_CONTENT, MIB, RESERVE, run};
use common::{Client, answer, limited, status};
use fata_http::{BodyWriter, Limits, Request, Response, Router, Server};
use fata_libos::time::{Duration, sleep};

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
fn handlers_that_wait_count_with_what_they_may_still_take() {
    run(async |guest| {
        let slow = async |_: Request<'_>| {
            sleep(Duration::from_secs(2)).await;
            Response::text("slow")
        };
        let site = limited(Router::new().get("/", slow), Limits::default());
        guest.free.set(RESERVE + (128 << 10) + 5 * (8 << 10) + 1000);
        let mut clients: Vec<_> = (0..8).map(|_| Client::new(&site)).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.ask(get(1)).await.is_empty(), n < 6, "{n}");
        }
        sleep(Duration::from_secs(2)).await;
        assert_eq!(status(&clients[0].now().await), 200);
        assert!(Client::new(&site).ask(get(1)).await.is_empty(), "there is room for another");
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
