//! Fetching: connections that are kept, redirections, a second try, what takes too long, what is too much.

use crate::common::run;
use crate::net::{Both, client_of_site, client_of_task};
use embedded_io_async::Write;
use fata_http::client::{Error, FetchError, InvalidRequest, Malformed, Policy, UrlError, Waiting};
use fata_http::{BodyError, Method, Request, Response, Router, Status};
use fata_libos::spawn_detached;
use fata_libos::time::{Duration, Instant, sleep};
use std::cell::RefCell;
use std::rc::Rc;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Says which method came, with what content and which of the fields that matter.
async fn show(mut request: Request<'_>) -> Result<Response, BodyError> {
    let content = request.read_to_end(100_000).await?;
    let text = |value| String::from_utf8_lossy(value);
    let has =
        |name: &str| request.header(name).map(|value| format!(" {name}={}", text(value))).unwrap_or_default();
    let fields = ["authorization", "cookie", "accept", "content-type"].map(has).concat();
    let content = String::from_utf8_lossy(&content).into_owned();
    let host = text(request.header("host").unwrap_or_default());
    Ok(Response::text(format!("{:?} {host}{fields} {content}", request.method())))
}

fn to(status: Status, location: &'static str) -> Response {
    Response::new(status).header("Location", location).body("look there")
}

fn site() -> Router {
    let any = |router: Router, path: &'static str, status: Status, location: &'static str| {
        let go = async move |_: Request<'_>| to(status, location);
        router.get(path, go).post(path, go).route(Method::Put, path, go)
    };
    let mut router = Router::new()
        .get("/show", show)
        .post("/show", show)
        .route(Method::Put, "/show", show)
        .get("/hello", async |_: Request<'_>| Response::text("hello"))
        .get("/long", async |_: Request<'_>| Response::text("x".repeat(20_000)));
    for (path, status, location) in [
        ("/301", Status::MOVED_PERMANENTLY, "/show"),
        ("/302", Status::FOUND, "show"),
        ("/303", Status::SEE_OTHER, "/show"),
        ("/307", Status::TEMPORARY_REDIRECT, "/show"),
        ("/308", Status::PERMANENT_REDIRECT, "/show"),
        ("/other", Status::FOUND, "http://other.test/show"),
        ("/other-307", Status::TEMPORARY_REDIRECT, "https://a.test/show"),
        ("/back", Status::FOUND, "http://other.test/and-back"),
        ("/and-back", Status::FOUND, "http://a.test/show"),
        ("/circle", Status::FOUND, "/circle-2"),
        ("/circle-2", Status::FOUND, "/circle"),
        ("/self", Status::SEE_OTHER, "/self"),
        ("/down", Status::FOUND, "http://a.test/hello"),
        ("/bad", Status::FOUND, "ftp://a.test/"),
        ("/user", Status::FOUND, "//u:p@a.test/"),
        ("/304", Status::new(304).unwrap(), "/show"),
    ] {
        router = any(router, path, status, location);
    }
    router.get("/n/{n}", async |r: Request<'_>| {
        let n: u32 = r.param("n").unwrap_or_default().parse().unwrap_or(0);
        match n {
            0 => Response::text("there"),
            n => Response::new(Status::FOUND).header("Location", &format!("{}", n - 1)),
        }
    })
}

#[test]
fn one_connection_serves_many_requests() {
    run(async {
        let (client, seen) = client_of_site(site(), Policy::default());
        for _ in 0..3 {
            let response = client.get("http://a.test/hello").send().await.unwrap();
            assert_eq!((response.status(), response.field("content-type").is_some()), (Status::OK, true));
            assert_eq!(client.connections(), (0, 1));
            assert_eq!(response.text(100).await.unwrap(), "hello");
            assert_eq!(client.connections(), (1, 0));
        }
        client.get("http://b.test/hello").send().await.unwrap().bytes(5).await.unwrap();
        assert_eq!(*seen.borrow(), ["http:a.test", "http:b.test"]);
        let stats = client.stats();
        assert_eq!((stats.requests(), stats.connections(), stats.reused(), stats.responses(2)), (4, 2, 2, 4));
        // One whose content nobody has read is not kept.
        drop(client.get("http://a.test/long").send().await.unwrap());
        assert_eq!(client.connections(), (1, 0));
        sleep(secs(31)).await;
        assert_eq!(client.connections(), (0, 0), "half a minute later all are closed");
    });
}

#[test]
fn redirections() {
    run(async {
        let (client, _) = client_of_site(site(), Policy::default());
        for (method, path, expected) in [
            ("GET", "/301", "Get a.test accept=x "),
            ("GET", "/302", "Get a.test accept=x "),
            ("GET", "/303", "Get a.test accept=x "),
            ("GET", "/307", "Get a.test accept=x "),
            ("POST", "/301", "Get a.test accept=x "),
            ("POST", "/302", "Get a.test accept=x "),
            ("POST", "/303", "Get a.test accept=x "),
            ("POST", "/307", "Post a.test accept=x content-type=a/b data"),
            ("POST", "/308", "Post a.test accept=x content-type=a/b data"),
            ("PUT", "/301", "Put a.test accept=x content-type=a/b data"),
            ("PUT", "/303", "Get a.test accept=x "),
        ] {
            let mut request = client.request(method, &format!("http://a.test{path}")).field("Accept", "x");
            if method != "GET" {
                request = request.field("Content-Type", "a/b").body("data");
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.url().to_string(), "http://a.test/show");
            assert_eq!(response.text(1000).await.unwrap(), expected, "{method} {path}");
        }
        assert_eq!(client.stats().connections(), 1, "all on one connection");
        assert_eq!(client.stats().redirects(), 11);
        let response = client.get("http://a.test/304").send().await.unwrap();
        assert_eq!(response.status().code(), 304, "not one to follow");
    });
}

#[test]
fn credentials_stay_with_their_origin() {
    run(async {
        let (client, _) = client_of_site(site(), Policy::default());
        for (path, expected) in [
            ("/302", "Get a.test authorization=secret cookie=c accept=x "),
            ("/other", "Get other.test accept=x "),
            ("/other-307", "Get a.test accept=x "),
            ("/back", "Get a.test accept=x "),
        ] {
            let request = client.get(&format!("http://a.test{path}")).field("Authorization", "secret");
            let response = request.field("Cookie", "c").field("Accept", "x").send().await.unwrap();
            assert_eq!(response.text(1000).await.unwrap(), expected, "{path}");
        }
    });
}

#[test]
fn redirections_that_are_not_followed() {
    run(async {
        let (client, _) = client_of_site(site(), Policy::default());
        for (url, error) in [
            ("http://a.test/circle", FetchError::RedirectLoop),
            ("http://a.test/self", FetchError::RedirectLoop),
            ("http://a.test/n/11", FetchError::TooManyRedirects(10)),
            ("https://a.test/down", FetchError::Downgrade),
            ("http://a.test/bad", FetchError::BadLocation(UrlError::Scheme)),
            ("http://a.test/user", FetchError::BadLocation(UrlError::UserInfo)),
            ("http://refused/", FetchError::Connect("refused")),
            ("ftp://a.test/", FetchError::Url(UrlError::Scheme)),
            ("http://u@a.test/", FetchError::Url(UrlError::UserInfo)),
        ] {
            assert_eq!(client.get(url).send().await.unwrap_err(), error, "{url}");
        }
        let bad = client.get("http://a.test/").field("a\r\nb", "c").send().await.unwrap_err();
        assert_eq!(bad, FetchError::Request(InvalidRequest::FieldName));
        let ten = client.get("http://a.test/n/10").send().await.unwrap();
        assert_eq!(ten.text(100).await.unwrap(), "there");
        assert_eq!(client.connections().1, 0);

        let policy = Policy { redirects: 0, ..Policy::default() };
        let (client, _) = client_of_site(site(), policy);
        let response = client.get("http://a.test/302").send().await.unwrap();
        assert_eq!((response.status(), response.field("Location")), (Status::FOUND, Some("show")));
        let policy = Policy { allow_downgrade: true, ..Policy::default() };
        let (client, _) = client_of_site(site(), policy);
        let response = client.get("https://a.test/down").send().await.unwrap();
        assert_eq!(response.url().to_string(), "http://a.test/hello");
    });
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers one request and ends the connection, though it has not said so.
async fn once(mut end: Both) {
    end.head().await;
    end.write_all(OK).await.unwrap();
}

#[test]
fn a_connection_that_has_ended_meanwhile() {
    run(async {
        let (client, seen) = client_of_task(once, None, Policy::default());
        for n in 1..4 {
            let response = client.get("http://a/").send().await.unwrap();
            assert_eq!(response.text(9).await.unwrap(), "ok");
            assert_eq!((seen.borrow().len(), client.stats().retried()), (n, n as u64 - 1));
        }
        // Nobody knows whether it was done: one that need not be guessed about is taken.
        let response = client.post("http://a/").body("x").send().await.unwrap();
        assert_eq!((response.status(), client.stats().retried(), seen.borrow().len()), (Status::OK, 2, 4));

        // Where it is said to live, and does not.
        let (client, seen) = client_of_task(once, Some(false), Policy::default());
        client.get("http://a/").send().await.unwrap().bytes(9).await.unwrap();
        let error = client.post("http://a/").send().await.unwrap_err();
        assert!(matches!(error, FetchError::Http(Error::Closed | Error::Io(_))), "{error}");
        assert_eq!((seen.borrow().len(), client.stats().retried()), (1, 0));
        // Where it can be seen.
        let (client, seen) = client_of_task(once, Some(true), Policy::default());
        for _ in 0..2 {
            client.get("http://a/").send().await.unwrap().bytes(9).await.unwrap();
        }
        assert_eq!((seen.borrow().len(), client.stats().retried()), (2, 0));
    });
}

#[test]
fn a_fresh_connection_that_ends_is_not_tried_again() {
    run(async {
        let nothing = async |mut end: Both| drop(end.head().await);
        let (client, seen) = client_of_task(nothing, None, Policy::default());
        assert_eq!(client.get("http://a/").send().await.unwrap_err(), FetchError::Http(Error::Closed));
        let half = async |mut end: Both| {
            end.head().await;
            end.write_all(b"HTTP/1.1 2").await.unwrap();
        };
        assert_eq!((seen.borrow().len(), client.connections()), (1, (0, 0)));
        let (client, _) = client_of_task(half, None, Policy::default());
        assert_eq!(client.get("http://a/").send().await.unwrap_err(), FetchError::Http(Error::Incomplete));
        let other = async |mut end: Both| end.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        let (client, _) = client_of_task(other, None, Policy::default());
        let error = client.get("http://a/").send().await.unwrap_err();
        assert_eq!(error, FetchError::Http(Error::Malformed(Malformed::StatusLine)));
        assert_eq!(client.stats().malformed(), 1);
    });
}

#[test]
fn what_takes_too_long() {
    run(async {
        let (client, _) = client_of_task(
            async |mut end: Both| {
                let head = end.head().await;
                if head.contains("/silent") {
                    sleep(secs(1000)).await;
                }
                end.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n").await.unwrap();
                for n in 0..100 {
                    sleep(secs(if head.contains("/pause") && n == 5 { 100 } else { 10 })).await;
                    if end.write_all(b"x").await.is_err() {
                        return;
                    }
                }
            },
            None,
            Policy { total_time: Some(secs(300)), ..Policy::default() },
        );
        let began = Instant::now();
        let error = client.get("http://silent/").send().await.unwrap_err();
        assert_eq!((error, began.elapsed().as_secs()), (FetchError::TimedOut(Waiting::Connection), 15));
        let began = Instant::now();
        let error = client.get("http://a/silent").send().await.unwrap_err();
        assert_eq!((error, began.elapsed().as_secs()), (FetchError::TimedOut(Waiting::Head), 30));
        let began = Instant::now();
        let response = client.get("http://a/pause").send().await.unwrap();
        let error = response.bytes(1000).await.unwrap_err();
        assert_eq!((error, began.elapsed().as_secs()), (FetchError::TimedOut(Waiting::Content), 80));
        let began = Instant::now();
        let response = client.get("http://a/slow").send().await.unwrap();
        let error = response.bytes(1000).await.unwrap_err();
        assert_eq!((error, began.elapsed().as_secs()), (FetchError::TimedOut(Waiting::All), 300));
        assert_eq!((client.connections(), client.stats().timeouts()), ((0, 0), 4));
    });
}

#[test]
fn more_than_is_wanted() {
    run(async {
        let (client, _) = client_of_site(site(), Policy::default());
        let get = async |limit| client.get("http://a.test/long").send().await.unwrap().bytes(limit).await;
        assert_eq!(get(20_000).await.unwrap().len(), 20_000);
        assert_eq!(get(19_999).await.unwrap_err(), FetchError::TooLarge(19_999));
        assert_eq!(get(0).await.unwrap_err(), FetchError::TooLarge(0));
        assert_eq!(client.stats().too_large(), 2);
        let endless = async |mut end: Both| {
            end.head().await;
            end.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            while end.write_all(b"\xff and so on").await.is_ok() {}
        };
        let (client, _) = client_of_task(endless, None, Policy::default());
        let response = client.get("http://a/").send().await.unwrap();
        assert_eq!(response.bytes(100_000).await.unwrap_err(), FetchError::TooLarge(100_000));
        let short = async |mut end: Both| {
            end.head().await;
            end.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\xff").await.unwrap();
        };
        let (client, _) = client_of_task(short, None, Policy::default());
        let response = client.get("http://a/").send().await.unwrap();
        assert_eq!(response.text(100).await.unwrap_err(), FetchError::NotText);
    });
}

#[test]
fn not_too_many_connections() {
    run(async {
        let policy = Policy { connections: 3, connections_per_origin: 2, waiting: 0, ..Policy::default() };
        let (client, _) = client_of_site(site(), policy);
        let get = async |host: &str| client.get(&format!("http://{host}/long")).send().await;
        let first = get("a").await.unwrap();
        let second = get("a").await.unwrap();
        assert_eq!(get("a").await.unwrap_err(), FetchError::TooManyConnections);
        let third = get("b").await.unwrap();
        assert_eq!(get("c").await.unwrap_err(), FetchError::TooManyConnections);
        drop(first);
        get("c").await.unwrap().bytes(20_000).await.unwrap();
        assert_eq!(client.connections(), (1, 2));
        // One that waits gives way.
        let fourth = get("b").await.unwrap();
        assert_eq!(client.connections(), (0, 3));
        drop((second, third, fourth));
        assert_eq!((client.connections(), client.stats().turned_away()), ((0, 0), 2));
    });
}

#[test]
fn who_finds_all_connections_in_use_waits() {
    run(async {
        let policy = Policy { connections_per_origin: 2, waiting: 3, ..Policy::default() };
        let (client, seen) = client_of_site(site(), policy);
        let get = |host: &str| client.get(&format!("http://{host}/hello")).send();
        let held = [get("a").await.unwrap(), get("a").await.unwrap()];
        let done = Rc::<RefCell<Vec<u32>>>::default();
        for n in 0..5 {
            let (request, done) = (get("a"), done.clone());
            spawn_detached(async move {
                match request.await {
                    Ok(response) => {
                        assert_eq!(response.text(9).await.unwrap(), "hello");
                        done.borrow_mut().push(n);
                    }
                    Err(FetchError::TooManyConnections) => done.borrow_mut().push(100 + n),
                    Err(error) => panic!("{error}"),
                }
            });
        }
        sleep(secs(1)).await;
        assert_eq!(*done.borrow(), [103, 104], "three wait");
        assert_eq!((client.stats().waited(), client.stats().turned_away()), (3, 2));
        // Another origin has room.
        assert_eq!(get("b").await.unwrap().text(9).await.unwrap(), "hello");
        for response in held {
            assert_eq!(response.text(9).await.unwrap(), "hello");
        }
        sleep(secs(1)).await;
        assert_eq!(*done.borrow(), [103, 104, 0, 1, 2], "in the order in which they came");
        assert_eq!(seen.borrow().iter().filter(|origin| **origin == "http:a").count(), 2);

        // Not for ever, and who has given up stands in nobody's way.
        let held = [get("a").await.unwrap(), get("a").await.unwrap()];
        let began = Instant::now();
        assert_eq!(get("a").await.unwrap_err(), FetchError::TimedOut(Waiting::Connection));
        assert_eq!(began.elapsed().as_secs(), 15);
        drop(held);
        assert_eq!(get("a").await.unwrap().text(9).await.unwrap(), "hello");
        assert_eq!(client.connections().1, 0);
    });
}

#[test]
fn content_of_each_kind() {
    run(async {
        let (client, _) = client_of_site(site(), Policy::default());
        let long = "y".repeat(50_000);
        let response = client.post("http://a.test/show").body(long.clone()).send().await.unwrap();
        assert_eq!(response.text(60_000).await.unwrap(), format!("Post a.test {long}"));
        for length in [None, Some(6)] {
            let request = client.post("http://a.test/show").stream(length, async |body| {
                body.write(b"abc").await?;
                body.write(b"def").await
            });
            assert_eq!(request.send().await.unwrap().text(100).await.unwrap(), "Post a.test abcdef");
        }
        let request = client.post("http://a.test/show").body("asked").expect_continue();
        assert_eq!(request.send().await.unwrap().text(100).await.unwrap(), "Post a.test asked");
        let stream = || client.post("http://a.test/307").stream(None, async |body| body.write(b"abc").await);
        let response = stream().send().await.unwrap();
        assert_eq!(response.status(), Status::TEMPORARY_REDIRECT, "it cannot be made again");
        drop(response);
        let request =
            client.post("http://a.test/show").stream(Some(9), async |body| body.write(b"abc").await);
        assert_eq!(request.send().await.unwrap_err(), FetchError::Http(Error::ContentLength));
        let request = client.post("http://a.test/show").stream(None, async |_| Err(fata_http::Aborted));
        assert_eq!(request.send().await.unwrap_err(), FetchError::Aborted);
        assert_eq!(client.connections().1, 0);
    });
}

#[test]
fn an_answer_before_the_end_of_a_request() {
    run(async {
        // It takes no more than the head, says no, and closes or stays.
        for stays in [false, true] {
            let refuse = move |mut end: Both| async move {
                end.head().await;
                end.write_all(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
                if stays {
                    sleep(secs(1000)).await;
                }
            };
            let (client, _) = client_of_task(refuse, None, Policy::default());
            let began = Instant::now();
            let response = client.post("http://a/").body(vec![b'x'; 1_000_000]).send().await.unwrap();
            assert_eq!(response.status(), Status::CONTENT_TOO_LARGE);
            assert_eq!(response.text(9).await.unwrap(), "no");
            assert_eq!(
                (client.connections(), began.elapsed().as_secs()),
                ((0, 0), 0),
                "it is not used again"
            );
        }
        let deaf = async |_end: Both| {
            sleep(secs(1000)).await;
            drop(_end);
        };
        let (client, _) = client_of_task(deaf, None, Policy::default());
        let began = Instant::now();
        let error = client.post("http://a/").body(vec![b'x'; 1_000_000]).send().await.unwrap_err();
        assert_eq!((error, began.elapsed().as_secs()), (FetchError::TimedOut(Waiting::Request), 30));
    });
}
