//! A guest that has little memory left.

use crate::client::*;
use crate::common::guest::{FOR_CONTENT, Guest, MIB, RESERVE, run};
use crate::site;

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
