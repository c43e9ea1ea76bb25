//! Clients that are slow, silent, or too many, in virtual time; and leaving in order.

mod common;

use common::*;
use fata_http::{BodyWriter, Limits, Request, Response, Router, Server, Status};
use fata_libos::platform::Leave;
use fata_libos::time::{Duration, Instant, sleep};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fn router() -> Router {
    Router::new()
        .get("/", async |_: Request<'_>| Response::text("hello"))
        .get("/big", async |_: Request<'_>| page(1_000_000))
        .get("/slow", async |_: Request<'_>| {
            sleep(Duration::from_secs(2)).await;
            Response::text("slow")
        })
        .get("/forever", async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                loop {
                    body.write(b"tick").await;
                    sleep(Duration::from_secs(1)).await;
                }
            })
        })
        .post("/", async |mut r: Request<'_>| r.read_to_end(1_000_000).await.map(|_| Status::NO_CONTENT))
}

fn site() -> Server {
    server(router())
}

fn within(took: Duration, from: u64, to: u64) -> bool {
    took >= Duration::from_secs(from) && took <= Duration::from_secs(to)
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    run(async {
        for first in ["", GET] {
            let mut client = Client::new(&site());
            client.ask(first).await;
            let start = Instant::now();
            assert_eq!(client.rest().await, "");
            assert!(within(start.elapsed(), 59, 61), "{:?}", start.elapsed());
        }
    });
}

#[test]
fn a_head_that_dribbles_is_answered_408() {
    run(async {
        let site = site();
        let mut client = Client::new(&site);
        client.ask(GET).await;
        let start = Instant::now();
        let mut answer = String::new();
        for octet in GET.bytes().cycle().filter(|b| !b"\r\n".contains(b)) {
            client.send([octet]).await;
            sleep(Duration::from_millis(500)).await;
            answer = client.now().await;
            if !answer.is_empty() {
                break;
            }
        }
        assert_eq!(status(&answer), 400, "that is no request line");
        let mut client = Client::new(&site);
        client.send("GET / HTTP/1.1\r\nHost: ").await;
        for _ in 0..18 {
            client.send("h").await;
            sleep(Duration::from_millis(500)).await;
            assert_eq!(client.now().await, "");
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(status(&client.now().await), 408);
        sleep(Duration::from_secs(3)).await;
        assert!(client.is_closed().await, "after {:?}", start.elapsed());
        assert_eq!(site.stats().timeouts(), 1);
    });
}

#[test]
fn content_that_dribbles_is_answered_408() {
    run(async {
        let site = site();
        let mut client = Client::new(&site);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n").await;
        let start = Instant::now();
        while client.now().await.is_empty() {
            client.send("x").await;
            sleep(Duration::from_secs(1)).await;
        }
        assert!(within(start.elapsed(), 20, 23), "{:?}", start.elapsed());
        assert_eq!(site.stats().timeouts(), 1);
    });
}

#[test]
fn content_that_keeps_up_the_rate_may_take_long() {
    run(async {
        let mut client = Client::new(&site());
        client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n").await;
        for _ in 0..100 {
            assert_eq!(client.now().await, "");
            client.send([b'x'; 2000]).await;
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(status(&client.now().await), 204);
    });
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    run(async {
        for path in ["/big", "/forever"] {
            let site = site();
            let mut client = Client::with_capacity(&site, 100);
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            let start = Instant::now();
            (&mut client.serving).await;
            assert!(within(start.elapsed(), 20, 50), "{path} {:?}", start.elapsed());
            assert_eq!((site.stats().timeouts(), site.stats().connections_open()), (1, 0));
        }
    });
}

#[test]
fn a_client_that_reads_slowly_but_steadily_gets_all() {
    run(async {
        let mut client = Client::with_capacity(&site(), 10_000);
        client.send("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let mut all = String::new();
        while !client.is_closed().await {
            all += &client.now().await;
            sleep(Duration::from_secs(2)).await;
        }
        assert!(body(&(all + &client.now().await)).len() == 1_000_000);
    });
}

#[test]
fn a_stream_that_has_little_to_say_is_not_a_slow_client() {
    run(async {
        let site = site();
        let mut client = Client::with_capacity(&site, 100);
        client.send("GET /forever HTTP/1.1\r\nHost: h\r\n\r\n").await;
        for _ in 0..2 {
            for _ in 0..3600 {
                assert!(!client.now().await.is_empty());
                sleep(Duration::from_secs(1)).await;
            }
            // Long enough that we wait for the client, but not too long.
            sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(site.stats().timeouts(), 0);
    });
}

#[test]
fn a_client_that_goes_away_ends_its_handler() {
    run(async {
        let client = Client::new(&site());
        let Client { mut end, serving, .. } = client;
        embedded_io_async::Write::write_all(&mut end, b"GET /forever HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        sleep(Duration::from_secs(3)).await;
        drop(end);
        let start = Instant::now();
        serving.await;
        assert!(within(start.elapsed(), 0, 2));
    });
}

#[test]
fn requests_per_connection() {
    run(async {
        let site = limited(router(), Limits { requests_per_connection: 3, ..Limits::default() });
        let mut client = Client::new(&site);
        let answers = client.ask(GET.repeat(5)).await;
        assert_eq!(answers.matches("200 OK").count(), 3);
        assert_eq!(answers.matches("Connection: close").count(), 1);
    });
}

/// Hands out connections that a test makes.
#[derive(Clone, Default)]
struct Listener(Rc<RefCell<VecDeque<End>>>);

impl Listener {
    fn connect(&self) -> End {
        let (mine, other) = duplex(10_000);
        self.0.borrow_mut().push_back(other);
        mine
    }

    async fn accept(&self) -> Result<(End, std::net::SocketAddr), ()> {
        loop {
            if let Some(end) = self.0.borrow_mut().pop_front() {
                return Ok((end, PEER));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn ask(end: &mut End, request: &str) -> String {
    use embedded_io_async::{Read, Write};
    end.write_all(request.as_bytes()).await.unwrap();
    let mut all = vec![0; 10_000];
    let n = fata_libos::time::timeout(Duration::from_millis(500), end.read(&mut all)).await.unwrap_or(Ok(0));
    all.truncate(n.unwrap_or(0));
    String::from_utf8(all).unwrap()
}

#[test]
fn when_all_connections_are_taken_the_longest_idle_gives_way() {
    run(async {
        let site = limited(router(), Limits { connections: 3, ..Limits::default() });
        let listener = Listener::default();
        let (served, accepting) = (site.clone(), listener.clone());
        let task =
            fata_libos::spawn(async move { served.serve(async || accepting.accept().await).await.unwrap() });
        let mut ends: Vec<_> = (0..3).map(|_| listener.connect()).collect();
        for n in [1, 0, 2] {
            assert_eq!(status(&ask(&mut ends[n], GET).await), 200);
        }
        let mut fourth = listener.connect();
        assert_eq!(status(&ask(&mut fourth, GET).await), 200);
        assert_eq!(ask(&mut ends[1], "").await, "");
        assert_eq!((site.stats().connections_open(), site.stats().connections_evicted()), (3, 1));
        assert_eq!(status(&ask(&mut ends[0], GET).await), 200);
        // None is idle: the next waits until one is done.
        for end in [&mut ends[0], &mut fourth] {
            ask(end, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
        }
        let mut last = ends.pop().unwrap();
        ask(&mut last, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut fifth = listener.connect();
        assert_eq!(ask(&mut fifth, GET).await, "", "not served yet");
        drop((ends, last, fourth));
        sleep(Duration::from_secs(3)).await;
        assert_eq!(status(&ask(&mut fifth, "").await), 200);
        assert_eq!(site.stats().connections_open(), 1);
        drop(task);
    });
}

#[test]
fn leaving_in_order() {
    run(async {
        let site = limited(router(), Limits { drain_time: Duration::from_secs(5), ..Limits::default() });
        let listener = Listener::default();
        let (served, accepting) = (site.clone(), listener.clone());
        let task =
            fata_libos::spawn(
                async move { served.serve(async move || accepting.accept().await).await.unwrap() },
            );
        let (mut idle, mut busy, mut endless) = (listener.connect(), listener.connect(), listener.connect());
        assert_eq!(status(&ask(&mut idle, GET).await), 200);
        assert_eq!(status(&ask(&mut endless, "GET /forever HTTP/1.1\r\nHost: h\r\n\r\n").await), 200);
        assert_eq!(ask(&mut busy, "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await, "");
        let start = Instant::now();
        fata_libos::shutdown::request(Leave::PowerOff);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(Rc::strong_count(&listener.0), 1, "nobody listens any more");
        assert_eq!(site.stats().connections_open(), 1, "the idle one has gone, the busy one is done");
        let last = ask(&mut busy, "").await;
        assert_eq!((body(&last), field(&last, "Connection")), ("slow", Some("close")));
        task.await;
        assert!(within(start.elapsed(), 5, 6), "{:?}", start.elapsed());
        sleep(Duration::from_millis(1)).await;
        assert_eq!(site.stats().connections_open(), 0, "what does not end is ended");
    });
}
