//! Answers that come before the end of a request: what becomes of the rest (RFC 9110 section 10.1.1, RFC 9112 section 9.3).

use crate::common::run;
use crate::net::{Both, client_of_task};
use embedded_io_async::{Read, Write};
use fata_http::client::{FetchError, Policy, Waiting};
use fata_libos::time::{Duration, Instant, sleep};
use std::cell::Cell;
use std::rc::Rc;

const LONG: usize = 300_000;

fn content() -> Vec<u8> {
    (0..LONG).map(|n| b'a' + (n % 23) as u8).collect()
}

/// Answers at once, then gives back each piece as it comes, then serves one request more.
async fn echo(mut end: Both) {
    end.head().await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
    end.write_all(head.as_bytes()).await.unwrap();
    let (mut left, mut piece) = (LONG, [0; 1000]);
    while left > 0 {
        let n = end.read(&mut piece).await.unwrap();
        assert!(n > 0, "the rest of the content is missing: {left}");
        end.write_all(&piece[..n]).await.unwrap();
        left -= n;
    }
    end.head().await;
    end.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore").await.unwrap();
}

#[test]
fn an_upload_goes_on_while_its_answer_is_read() {
    run(async {
        let (client, seen) = client_of_task(echo, Some(false), Policy::default());
        let response = client.post("http://a/").body(content()).send().await.unwrap();
        assert!(response.bytes(LONG).await.unwrap() == content());
        assert_eq!(client.connections(), (1, 0), "both ways have come to their end");
        assert_eq!(client.get("http://a/").send().await.unwrap().text(9).await.unwrap(), "more");
        assert_eq!(seen.borrow().len(), 1);
    });
}

/// Takes all of the content, having answered before, and says how much it was.
fn takes_all(answer: &'static str, taken: Rc<Cell<usize>>) -> impl Fn(Both) -> Taking {
    move |mut end| {
        let taken = taken.clone();
        Box::pin(async move {
            end.head().await;
            end.write_all(answer.as_bytes()).await.unwrap();
            let mut piece = [0; 1000];
            loop {
                sleep(Duration::from_millis(10)).await;
                match end.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(n) => taken.set(taken.get() + n),
                }
            }
        })
    }
}

type Taking = std::pin::Pin<Box<dyn Future<Output = ()>>>;

#[test]
fn who_says_yes_early_has_all_of_it_in_the_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ] {
        run(async {
            let taken = Rc::<Cell<usize>>::default();
            let (client, _) =
                client_of_task(takes_all(answer, taken.clone()), Some(false), Policy::default());
            let response = client.post("http://a/").body(content()).send().await.unwrap();
            let is_empty = response.field("Content-Length") == Some("0") || response.status().code() == 204;
            // With no content there may be nobody who reads.
            let text = if is_empty {
                drop(response);
                "".into()
            } else {
                response.text(9).await.unwrap()
            };
            assert_eq!(text, if is_empty { "" } else { "ok" });
            sleep(Duration::from_secs(60)).await;
            assert_eq!(taken.get(), LONG, "{answer}");
        });
    }
}

#[test]
fn who_says_no_or_elsewhere_gets_no_more() {
    for answer in [
        "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 307 There\r\nLocation: ftp://b/\r\nContent-Length: 2\r\n\r\nok",
    ] {
        run(async {
            let taken = Rc::<Cell<usize>>::default();
            let (client, _) =
                client_of_task(takes_all(answer, taken.clone()), Some(false), Policy::default());
            if let Ok(response) = client.post("http://a/").body(content()).send().await {
                assert_eq!(response.text(9).await.unwrap(), "ok");
            }
            sleep(Duration::from_secs(60)).await;
            assert!(taken.get() < LONG, "{answer}");
            assert_eq!(client.connections(), (0, 0), "what was cut off is not used again");
        });
    }
}

/// A server that answers and does not take the rest: its answer counts, and the connection ends.
#[test]
fn who_says_yes_and_takes_no_more_has_answered() {
    run(async {
        for stays in [true, false] {
            let deaf = move |mut end: Both| async move {
                end.head().await;
                end.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                if stays {
                    sleep(Duration::from_secs(1000)).await;
                }
            };
            let (client, _) = client_of_task(deaf, Some(false), Policy::default());
            let began = Instant::now();
            let response = client.post("http://a/").body(content()).send().await.unwrap();
            assert_eq!(response.text(9).await.unwrap(), "ok");
            assert_eq!(
                (client.connections(), began.elapsed().as_secs()),
                ((0, 0), if stays { 30 } else { 0 })
            );
        }
    });
}

#[test]
fn who_makes_the_content_and_fails_is_told() {
    run(async {
        let (client, _) = client_of_task(echo, Some(false), Policy::default());
        let request = client.post("http://a/").stream(Some(LONG as u64), async |body| {
            body.write(b"abc").await?;
            sleep(Duration::from_secs(1)).await;
            Err(fata_http::Aborted)
        });
        let response = request.send().await.unwrap();
        assert_eq!(response.bytes(LONG).await.unwrap_err(), FetchError::Aborted);
        assert_eq!(client.connections(), (0, 0));
    });
}

/// The time for all bounds each part: the question whether content is wanted, content that is not made, a redirection's own content.
#[test]
fn the_time_for_all_is_for_all() {
    run(async {
        let total_time = Some(Duration::from_secs(5));
        let policy = Policy { total_time, continue_time: Duration::from_secs(60), ..Policy::default() };
        let silent = async |mut end: Both| {
            end.head().await;
            sleep(Duration::from_secs(1000)).await;
        };
        let redirects = async |mut end: Both| {
            end.head().await;
            let head = "HTTP/1.1 302 There\r\nLocation: http://b/\r\nContent-Length: 100\r\n\r\n";
            end.write_all(head.as_bytes()).await.unwrap();
            sleep(Duration::from_secs(1000)).await;
        };
        let late = Err(FetchError::TimedOut(Waiting::All));
        let (client, _) = client_of_task(silent, Some(false), policy.clone());
        let began = Instant::now();
        let asked = client.post("http://a/").body("x").expect_continue().send().await.map(drop);
        assert_eq!((asked, began.elapsed().as_secs()), (late.clone(), 5));
        let began = Instant::now();
        let never = client.post("http://a/").stream(None, async |_| core::future::pending().await);
        assert_eq!((never.send().await.map(drop), began.elapsed().as_secs()), (late.clone(), 5));
        let (client, _) = client_of_task(redirects, Some(false), policy);
        let began = Instant::now();
        assert_eq!((client.get("http://a/").send().await.map(drop), began.elapsed().as_secs()), (late, 5));
    });
}
