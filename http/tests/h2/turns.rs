//! Streams of one connection beside each other: who is polled, who puts content next, and who waits for whom.

use crate::client::*;
use crate::common::run;
use crate::{router, site};
use fata_http::{Aborted, BodyWriter, Request, Response, Router, Server};
use fata_libos::time::{Duration, sleep, timeout};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// How often each stream has put content, in the order in which it came: at most so far apart were two of them.
fn most_apart(said: &str, streams: &[&str]) -> usize {
    let mut counts = vec![0_usize; streams.len()];
    let mut most = 0;
    for line in said.lines().filter(|line| line.starts_with("DATA ") && !line.ends_with("end")) {
        let stream = line.split(' ').nth(1).unwrap();
        let at = streams.iter().position(|s| *s == stream).unwrap();
        counts[at] += 1;
        most = most.max(counts.iter().max().unwrap() - counts.iter().min().unwrap());
    }
    assert!(counts.iter().all(|&n| n > 10), "{said}");
    most
}

#[test]
fn streams_that_flush_take_turns() {
    run(async {
        let flushing = async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                for _ in 0..50 {
                    body.write(&[b'x'; 600]).await;
                    body.flush().await;
                }
                Ok(())
            })
        };
        let mut client = Client::silent(&Server::new(Router::new().get("/", flushing)), 500);
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        client.send(&[ask(1, "/"), ask(3, "/"), ask(5, "/")].concat()).await;
        let said = client.now().await;
        assert!(most_apart(&said, &["1", "3", "5"]) <= 2, "{said}");
    });
}

#[test]
fn who_came_first_does_not_stay_first() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&[setting(4, 1_000_000), number(WINDOW_UPDATE, 0, 10_000_000)].concat()).await;
        client.send(&(0..5).flat_map(|n| ask(2 * n + 1, "/big")).collect::<Vec<_>>()).await;
        let said = client.now().await;
        assert!(most_apart(&said, &["1", "3", "5", "7", "9"]) <= 2, "{said}");
    });
}

#[test]
fn only_who_was_woken_is_polled() {
    run(async {
        let polls = Rc::new(Cell::new(0));
        let counted = polls.clone();
        let waits = async move |_: Request<'_>| {
            poll_fn(|_| {
                counted.set(counted.get() + 1);
                Poll::<()>::Pending
            })
            .await;
            Response::text("never")
        };
        let mut client = Client::new(&Server::new(router().get("/waits", waits))).await;
        client.send(&ask(1, "/waits")).await;
        for n in 1..100 {
            client.send(&[ask(2 * n + 1, "/"), frame(PING, 0, 0, b"12345678")].concat()).await;
            assert!(client.now().await.contains(" 5 end\n"));
        }
        assert_eq!(polls.get(), 1);
    });
}

#[test]
fn what_a_blocked_stream_can_do_it_does() {
    run(async {
        let impatient = async |_: Request<'_>| {
            Response::stream(async |body: &mut BodyWriter<'_>| {
                match timeout(Duration::from_secs(1), body.write(&[b'x'; 100])).await {
                    Ok(()) => Ok(()),
                    Err(_) => Err(Aborted),
                }
            })
        };
        let mut client = Client::new(&Server::new(Router::new().get("/", impatient))).await;
        client.send(&[setting(4, 5), ask(1, "/")].concat()).await;
        assert_eq!(client.now().await, "HEADERS 1 200\nDATA 1 5\n");
        sleep(Duration::from_millis(1100)).await;
        assert_eq!(client.now().await, "RST_STREAM 1 2\n");
    });
}

#[test]
fn a_stream_whose_window_stays_shut_ends_alone() {
    run(async {
        let site = site();
        let mut client = Client::new(&site).await;
        client.send(&[setting(4, 10), number(WINDOW_UPDATE, 0, 1 << 20), ask(1, "/big")].concat()).await;
        // Neither who waits for time or content nor who gets on at a good rate has to do with it.
        client.send(&[ask(3, "/big"), post(5, "/", &[])].concat()).await;
        let mut said = String::new();
        for n in 0..30 {
            client.send(&number(WINDOW_UPDATE, 3, 2000)).await;
            client.send(&frame(DATA, 0, 5, &[7; 1500])).await;
            sleep(Duration::from_secs(1)).await;
            said += &client.now().await;
            assert_eq!(said.contains("RST_STREAM 1 8\n"), n >= 19, "{n}: {said}");
        }
        client.send(&[ask(7, "/"), frame(DATA, END, 5, b"")].concat()).await;
        client.send(&[number(WINDOW_UPDATE, 3, 1 << 20), number(WINDOW_UPDATE, 5, 100)].concat()).await;
        said += &client.now().await;
        for part in ["DATA 7 5 end\n", "HEADERS 5 200\nDATA 5 5 end\n", " end\n"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("GOAWAY") && said.matches("RST_STREAM").count() == 1, "{said}");
        assert_eq!(site.stats().timeouts(), 1);
    });
}

#[test]
fn where_the_connections_window_stays_shut_those_end_that_wait_for_it() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&[setting(4, 1 << 20), ask(1, "/big"), ask(3, "/big"), post(5, "/", &[])].concat()).await;
        let mut said = client.now().await;
        for _ in 0..100 {
            client.send(&frame(DATA, 0, 5, &[7; 1500])).await;
            sleep(Duration::from_secs(1)).await;
            said += &client.now().await;
        }
        assert!(said.contains("RST_STREAM 1 8\n") && said.contains("RST_STREAM 3 8\n"), "{said}");
        // A stream that comes later has its own time.
        client.send(&ask(7, "/")).await;
        sleep(Duration::from_secs(10)).await;
        client.send(&[number(WINDOW_UPDATE, 0, 100), frame(DATA, END, 5, b"")].concat()).await;
        let said = client.now().await;
        for part in ["HEADERS 7 200\nDATA 7 5 end\n", "HEADERS 5 200\nDATA 5 6 end\n"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    });
}

#[test]
fn an_upload_that_our_window_keeps_back_is_not_late() {
    run(async {
        let mut client = Client::new(&site()).await;
        for stream in [1, 3, 5, 7] {
            client
                .send(
                    &[post(stream, "/unread", &[]), frame(DATA, 0, stream, &[0; 16_000]).repeat(4)].concat(),
                )
                .await;
        }
        client.send(&post(9, "/", &[("content-length", "16000")])).await;
        sleep(Duration::from_secs(99)).await;
        assert_eq!(client.now().await, "", "there is no window for it");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(client.now().await.matches(" 10 end\n").count(), 4, "nobody has read those");
        client.send(&frame(DATA, END, 9, &[0; 16_000])).await;
        assert_eq!(client.now().await, "HEADERS 9 200\nDATA 9 5 end\n");
        // With a window it is late.
        client.send(&post(11, "/", &[("content-length", "16000")])).await;
        sleep(Duration::from_secs(30)).await;
        assert!(client.now().await.starts_with("HEADERS 11 408\n"));
    });
}

#[test]
fn a_hundred_streams_that_we_have_reset_are_known() {
    run(async {
        let mut client = Client::new(&site()).await;
        let streams = (0..100).map(|n| 2 * n + 1);
        for stream in streams.clone() {
            client.send(&post(stream, "/unread", &[("content-length", "1")])).await;
        }
        client.send(&streams.clone().flat_map(|n| frame(DATA, 0, n, b"xx")).collect::<Vec<_>>()).await;
        assert_eq!(client.now().await.matches("RST_STREAM ").count(), 100);
        client.send(&streams.flat_map(|n| frame(HEADERS, END | WHOLE, n, &[])).collect::<Vec<_>>()).await;
        assert_eq!(client.now().await, "", "what the client has sent before it knew");
    });
}

#[test]
fn no_farewell_takes_back_one_before() {
    run(async {
        let site = site();
        let mut client = Client::new(&site).await;
        client.send(&ask(1, "/slow")).await;
        client.now().await;
        let draining = fata_libos::spawn({
            let site = site.clone();
            async move { site.drain().await }
        });
        client.now().await;
        client.send(&frame(PING, END, 0, b"farewell")).await;
        assert_eq!(client.now().await, "GOAWAY 1 0\n");
        client.send(&[ask(3, "/"), frame(PING, 0, 1, b"12345678")].concat()).await;
        assert_eq!(client.now().await, "RST_STREAM 3 7\nGOAWAY 1 1\n");
        draining.await;
    });
}
