//! One case for each rule of RFC 9113 sections 3 to 8 and RFC 7541 that a client can break, and for what it may do: those of
//! h2spec 2.6, by its sections, and more. Three of them are elsewhere: prefaces (3.5) in `beginnings`, more streams than allowed
//! (5.1.2) in `limits` and `memory`.

mod frames;
mod generic;
mod hpack;
mod messages;

use crate::client::*;
use crate::common::run;
use crate::site;
use fata_libos::task::yield_now;
use fata_libos::time::{Duration, sleep};

/// What a client sends behind preface and settings, and what must come. An empty piece: it waits for an answer.
type Case = (&'static str, Vec<Vec<u8>>, &'static str);

fn all() -> impl Iterator<Item = Case> {
    [frames::cases(), messages::cases(), generic::cases(), hpack::cases()].into_iter().flatten()
}

/// HEADERS with these fields behind those of a GET.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut all = get("/");
    all.extend(fields);
    frame(HEADERS, END | WHOLE, 1, &block(&all))
}

fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, 1, &block(fields))
}

#[test]
fn rules() {
    run(async {
        for (what, sent, expected) in all() {
            let site = site();
            let mut client = Client::new(&site).await;
            let mut said = client.now().await;
            for piece in sent.split(Vec::is_empty) {
                client.send(&piece.concat()).await;
                said += &client.now().await;
            }
            assert_eq!(said, expected, "{what}");
            if expected.contains("GOAWAY") {
                sleep(Duration::from_secs(3)).await;
                assert!(client.is_closed().await, "{what}");
            } else {
                client.send(&ask(1001, "/")).await;
                assert!(client.now().await.starts_with("HEADERS 1001 200\n"), "behind {what}");
            }
        }
    });
}

/// The same rules where every octet comes alone.
#[test]
fn rules_octet_by_octet() {
    run(async {
        for (what, sent, expected) in all() {
            // There, what is answered depends on what has come together.
            if what.starts_with('5')
                || what.starts_with("8.1.1") && what.contains("more content")
                || sent.iter().any(Vec::is_empty)
                || sent.concat().len() > 2000
            {
                continue;
            }
            let site = site();
            let mut client = Client::new(&site).await;
            for octet in sent.concat() {
                client.send(&[octet]).await;
                yield_now().await;
            }
            assert_eq!(client.now().await, expected, "{what}");
        }
    });
}
