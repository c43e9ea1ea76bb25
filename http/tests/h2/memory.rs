//! A guest that has little memory left.

use crate::client::*;
use crate::common::guest::{FOR_CONTENT, Guest, MIB, RESERVE, run};
use crate::site;
use embedded_io_async::Read;
use fata_libos::time::{Duration, sleep};

/// What a client hears that sends the second part while so much is free.
async fn hear(guest: &Guest, free: u64, before: &[u8], sent: &[u8]) -> String {
    guest.free.set(4 * MIB);
    let mut client = Client::new(&site()).await;
    client.send(before).await;
    client.now().await;
    guest.free.set(free);
    client.send(sent).await;
    client.now().await
}

#[test]
fn what_there_is_no_memory_for_is_answered_503_or_refused() {
    run(async |guest| {
        let hello = "HEADERS 1 200\nDATA 1 5 end\n";
        let busy = "HEADERS 1 503\nDATA 1 20 end\n";
        let large = |n| frame(HEADERS, END | WHOLE, 1, &block(&[&get("/")[..], &[("x-a", n)]].concat()));
        for (free, sent, expected) in [
            (4 * MIB, ask(1, "/"), hello),
            (RESERVE + 200_000, ask(1, "/"), hello),
            (RESERVE + 5000, ask(1, "/"), busy),
            (1000, ask(1, "/"), "RST_STREAM 1 7\n"),
            (RESERVE + 200_000, large("*7000"), hello),
            (RESERVE + 1000, large("*7000"), "GOAWAY 0 11\n"),
        ] {
            let said = hear(guest, free, b"", &sent).await;
            assert!(said.starts_with(expected), "{free}: {said}");
        }
    });
}

#[test]
fn a_small_guest_allows_fewer_streams() {
    run(async |_| {
        let site = site();
        let mut client = Client::silent(&site, 10_000);
        let mut settings = [0; 15];
        client.end.read_exact(&mut settings).await.unwrap();
        assert_eq!(settings[9..], [0, 3, 0, 0, 0, 64]);
        client.end.read_exact(&mut [0; 12]).await.unwrap();
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        client.send(&(0..65).flat_map(|n| ask(2 * n + 1, "/slow")).collect::<Vec<_>>()).await;
        assert_eq!(client.now().await, "RST_STREAM 129 7\n");
        assert_eq!((site.stats().http2_refused(), site.stats().refused_memory()), (1, 0));
    });
}

#[test]
fn streams_that_there_is_no_memory_for_are_refused_and_counted() {
    run(async |guest| {
        let site = site();
        let mut client = Client::new(&site).await;
        client.send(&ask(1, "/slow")).await;
        client.now().await;
        guest.free.set(RESERVE + 1000);
        client.send(&[ask(3, "/"), ask(5, "/slow")].concat()).await;
        assert_eq!(client.now().await, "RST_STREAM 3 7\nRST_STREAM 5 7\n");
        assert_eq!((site.stats().http2_refused(), site.stats().refused_memory()), (2, 2));
        guest.free.set(4 * MIB);
        client.send(&ask(7, "/")).await;
        assert_eq!(client.now().await, "HEADERS 7 200\nDATA 7 5 end\n");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(client.now().await, "HEADERS 1 200\nDATA 1 4 end\n", "what is under way goes on");
    });
}

#[test]
fn handlers_that_wait_count_with_what_they_may_still_take() {
    run(async |guest| {
        let mut client = Client::new(&site()).await;
        guest.free.set(RESERVE + (128 << 10) + 5 * (8 << 10) + 1000);
        client.send(&(0..8).flat_map(|n| ask(2 * n + 1, "/slow")).collect::<Vec<_>>()).await;
        let said = client.now().await;
        assert!(
            said.starts_with("HEADERS 13 503\nDATA 13 20 end\nHEADERS 15 503\nDATA 15 20 end\n"),
            "{said}"
        );
        sleep(Duration::from_secs(2)).await;
        assert_eq!(client.now().await.matches("DATA").count(), 6);
        let mut client = Client::new(&site()).await;
        client.send(&ask(1, "/slow")).await;
        assert_eq!(client.now().await, "", "there is room for another");
    });
}

#[test]
fn content_that_nobody_has_read_yet_is_refused() {
    run(async |guest| {
        let content = frame(DATA, 0, 1, &[7; 16_000]);
        let sent = [&content[..], &content, &content].concat();
        let said = hear(guest, FOR_CONTENT + 200_000, &post(1, "/", &[]), &sent).await;
        assert!(said.starts_with("WINDOW_UPDATE 1 "), "{said}");
        let said = hear(guest, RESERVE + 200_000, &post(1, "/", &[]), &sent).await;
        assert!(said.starts_with("HEADERS 1 503\nDATA 1 20 end\nRST_STREAM 1 0\n"), "{said}");
    });
}

#[test]
fn a_response_under_way_goes_on_in_small_pieces() {
    run(async |guest| {
        guest.free.set(4 * MIB);
        let mut client = Client::new(&site()).await;
        client.send(&ask(1, "/big")).await;
        client.now().await;
        guest.free.set(1000);
        client
            .send(&[number(WINDOW_UPDATE, 0, 1_000_000), number(WINDOW_UPDATE, 1, 1_000_000)].concat())
            .await;
        let said = client.now().await;
        assert!(
            said.lines().all(|l| l.split(' ').nth(2).is_some_and(|n| n.parse::<usize>().unwrap() < 512)),
            "{said}"
        );
        assert_eq!(client.content.len(), 1_000_000);
    });
}
