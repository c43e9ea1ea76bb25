//! Methods, keep-alive, pipelining, routes.

mod common;

use common::*;
use fata_http::{Request, Response, Router, Server, Status};
use fata_libos::time::{Duration, sleep};

const DATE: &str = "Thu, 01 Jan 2026 00:00:00 GMT";

fn site() -> Server {
    server(
        Router::new()
            .get_sync("/", |_: &Request<'_>| Response::html("<p>hello</p>"))
            .get("/big", async |_: Request<'_>| page(100_000))
            .get("/slow", async |_: Request<'_>| {
                sleep(Duration::from_secs(1)).await;
                Response::text("slow")
            })
            .get("/user/{name}", async |request: Request<'_>| {
                let name = request.param("name").unwrap_or_default();
                Response::text(format!("{name} {:?}", request.query_value("q")))
            })
            .post("/echo", async |mut request: Request<'_>| {
                request.read_to_end(1000).await.map(|body| Response::new(Status::CREATED).body(body))
            }),
    )
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_page() {
    run(async {
        let answer = Client::new(&site()).ask(GET).await;
        assert_eq!(
            answer,
            format!(
                "HTTP/1.1 200 OK\r\nDate: {DATE}\r\nContent-Type: text/html; charset=utf-8\r\n\
                 Content-Length: 12\r\n\r\n<p>hello</p>"
            )
        );
    });
}

/// Also those that no handler makes, or that leave fields out.
#[test]
fn fields_of_the_server_are_in_every_response() {
    run(async {
        let site = site().with_fields("X-A: 1\r\nX-B: 2\r\n");
        for request in [
            GET,
            "GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n",
            "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            let answer = Client::new(&site).ask(request).await;
            assert_eq!(answer.matches("\r\nX-A: 1\r\nX-B: 2\r\n").count(), 1, "{request}: {answer}");
        }
    });
}

#[test]
fn keep_alive_serves_one_request_after_another() {
    run(async {
        let site = site();
        let mut client = Client::new(&site);
        for _ in 0..100 {
            assert!(client.ask(GET).await.ends_with("\r\n\r\n<p>hello</p>"));
        }
        assert!(!client.is_closed().await);
        assert_eq!(site.stats().responses(2), 100);
        assert_eq!(site.stats().connections_total(), 1);
        assert_eq!(site.stats().connections_open(), 1);
        client.end.finish();
        client.serving.await;
        assert_eq!(site.stats().connections_open(), 0);
    });
}

#[test]
fn connections_end_as_the_client_asks() {
    run(async {
        for (request, closes, says) in [
            ("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", true, Some("close")),
            ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", false, None),
            ("GET / HTTP/1.0\r\n\r\n", true, Some("close")),
            ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false, Some("keep-alive")),
        ] {
            let mut client = Client::new(&site());
            let answer = client.ask(request).await;
            assert_eq!(status(&answer), 200);
            assert_eq!(field(&answer, "Connection"), says, "{request}");
            assert_eq!(client.is_closed().await, closes, "{request}");
        }
    });
}

#[test]
fn head_has_the_fields_of_get_and_no_content() {
    run(async {
        let mut client = Client::new(&site());
        let get = client.ask("GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let head = client.ask("HEAD /big HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(get.strip_suffix(body(&get)), Some(&*head));
        assert_eq!(field(&head, "Content-Length"), Some("100000"));
    });
}

#[test]
fn head_that_is_refused_has_no_content_either() {
    run(async {
        for (request, code) in [
            ("HEAD / HTTP/1.1\r\n\r\n", 400),
            ("HEAD /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413),
            ("HEAD / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n", 417),
            ("HEAD / HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        ] {
            let answer = answer(&site(), request).await;
            assert_eq!((status(&answer), body(&answer)), (code, ""), "{request}");
        }
        let after_head = "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
        let answer = answer(&site(), after_head).await;
        assert!(answer.ends_with("Bad Request\n"), "another request's method: {answer}");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_and_together() {
    run(async {
        let mut client = Client::new(&site());
        let requests: String =
            (0..200).map(|n| format!("GET /user/{n} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
        let answers = client.ask(&requests).await;
        let found: Vec<_> = answers.lines().filter(|l| l.contains("None")).collect();
        assert_eq!(found.len(), 200);
        for (n, line) in found.iter().enumerate() {
            assert!(line.starts_with(&format!("{n} None")), "{line}");
        }
    });
}

#[test]
fn an_answer_does_not_wait_for_a_slow_one_behind_it() {
    run(async {
        let mut client = Client::new(&site());
        let first = client.ask(format!("{GET}GET /slow HTTP/1.1\r\nHost: h\r\n\r\n{GET}")).await;
        assert_eq!(first.matches("200 OK").count(), 1);
        sleep(Duration::from_secs(1)).await;
        let then = client.now().await;
        assert_eq!(then.matches("200 OK").count(), 2);
        assert_eq!(body(&then).get(..4), Some("slow"));
    });
}

#[test]
fn statuses_of_the_router() {
    run(async {
        for (line, code, allow) in [
            ("GET /nothing", 404, None),
            ("GET /user/", 404, None),
            ("POST /", 405, Some("GET, HEAD, OPTIONS")),
            ("GET /echo", 405, Some("POST, OPTIONS")),
            ("HEAD /echo", 405, Some("POST, OPTIONS")),
            ("OPTIONS /echo", 204, Some("POST, OPTIONS")),
            ("OPTIONS *", 204, Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")),
            ("BREW /", 501, None),
            ("TRACE /", 501, None),
            ("CONNECT h:443", 501, None),
        ] {
            let answer = answer(&site(), format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!(status(&answer), code, "{line}");
            assert_eq!(field(&answer, "Allow"), allow, "{line}");
        }
    });
}

#[test]
fn parameters_and_queries_are_decoded() {
    run(async {
        for (target, text) in [
            ("/user/jo", "jo None"),
            ("/user/j%C3%B6%2F?q=a%20b+c", "jö/ Some(\"a b c\")"),
            ("http://h/user/jo?x=1&q=&q=2", "jo Some(\"\")"),
        ] {
            let answer = answer(&site(), format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
            assert_eq!(body(&answer), text);
        }
    });
}

#[test]
fn large_content_goes_through_a_small_window() {
    run(async {
        let mut client = Client::with_capacity(&site(), 100);
        client.send("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        let answer = client.rest().await;
        assert_eq!(body(&answer), &"0123456789".repeat(10_000));
    });
}

#[test]
fn content_of_requests() {
    run(async {
        let mut client = Client::new(&site());
        for request in [
            "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
            "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
        ] {
            let answer = client.ask(request).await;
            assert_eq!((status(&answer), body(&answer)), (201, "hello"));
        }
        let answer = client.ask("POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!((status(&answer), body(&answer)), (201, ""));
        assert!(!client.is_closed().await);
    });
}
