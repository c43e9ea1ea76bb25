//! Frames to an HTTP/2 connection, nearly good ones and bad ones, in any order and in pieces, with time between them.

#[path = "../../http/tests/h2/client.rs"]
mod client;
#[path = "../../http/tests/common/mod.rs"]
mod common;
#[path = "h2/windows.rs"]
mod windows;

use client::*;
use common::{page, run};
use fata_fuzz::{Changes, changes, fuzz, fuzz_for};
use fata_http::{Aborted, BodyWriter, Request, Response, Router, Server};
use fata_libos::time::{Duration, sleep};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;
use windows::Windows;

fn site() -> Server {
    let streamed = async |_: Request<'_>| {
        Response::stream(async |body: &mut BodyWriter<'_>| {
            for _ in 0..3 {
                body.write(&[b'x'; 500]).await;
                body.flush().await;
                sleep(Duration::from_millis(20)).await;
            }
            body.trailer("x-end", "1");
            Ok(())
        })
    };
    let broken = async |_: Request<'_>| {
        Response::stream(async |body: &mut BodyWriter<'_>| {
            body.write(b"so far").await;
            Err(Aborted)
        })
    };
    let slow = async |_: Request<'_>| {
        sleep(Duration::from_secs(1)).await;
        Response::text("slow")
    };
    let router = Router::new()
        .get_sync("/", |_: &Request<'_>| Response::text("hello"))
        .get("/big", async |_: Request<'_>| page(100_000).etag("\"1\""))
        .get("/slow", slow)
        .get("/streamed", streamed)
        .get("/broken", broken)
        .post("/", async |mut r: Request<'_>| {
            r.read_to_end(50_000).await.map(|c| Response::text(c.len().to_string()))
        })
        .post("/slow", slow);
    Server::new(router)
}

/// What a client does next.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Wait(u64),
}

fn stream() -> impl Strategy<Value = u32> {
    prop_oneof![8 => (0_u32..8).prop_map(|n| 2 * n + 1), 1 => 0_u32..20, 1 => any::<u32>()]
}

/// A frame as it should be.
fn right() -> impl Strategy<Value = Vec<u8>> {
    let path = select(vec!["/", "/big", "/slow", "/streamed", "/broken", "/nowhere", "*"]);
    let fields = select(vec![
        vec![],
        vec![("content-length", "5")],
        vec![("expect", "100-continue")],
        vec![("cookie", "a=1"), ("cookie", "b=2")],
        vec![("range", "bytes=5-14"), ("if-none-match", "\"1\"")],
        vec![("te", "trailers"), ("x-large", "*3000")],
        vec![("x-large", "*9000")],
        vec![("connection", "close")],
    ]);
    let window = prop_oneof![0_u32..100_000, any::<u32>()];
    let whole = (stream(), path, fields.clone()).prop_map(|(stream, path, more)| {
        let mut all = get(path);
        all.extend(more);
        frame(HEADERS, END | WHOLE, stream, &block(&all))
    });
    // Fields that go into the table and come out of it, in any state that it has.
    let indexed = (stream(), vec(any::<u8>(), 0..30)).prop_map(|(stream, more)| {
        let good = [0x82, 0x86, 0x84, 0x41, 1, b'h', 0x40, 3, b'x', b'-', b'a', 2, b'b', b'c', 0xbe];
        frame(HEADERS, END | WHOLE, stream, &[&good[..], &more].concat())
    });
    let halves = (stream(), any::<bool>()).prop_map(|(stream, is_whole)| {
        let fields = block(&get("/streamed"));
        let (first, second) = fields.split_at(7);
        let rest = frame(CONTINUATION, WHOLE, stream, second);
        [&frame(HEADERS, END, stream, first)[..], if is_whole { &rest } else { &[] }].concat()
    });
    // Much on one stream: what its handler takes, and what nobody takes.
    let upload = (stream(), select(vec!["/", "/slow"]), 1_usize..9, 1_usize..=16_384);
    let upload = upload.prop_map(|(stream, path, frames, len)| {
        let content = frame(DATA, 0, stream, &vec![b'y'; len]).repeat(frames);
        [post(stream, path, &[]), content].concat()
    });
    let end = select(vec![0, END, PADDED, PADDED | END]);
    prop_oneof![
        8 => whole,
        4 => (stream(), fields).prop_map(|(stream, more)| post(stream, "/", &more)),
        3 => upload,
        6 => (stream(), end.clone(), 0_usize..12_000).prop_map(|(s, flags, len)| frame(DATA, flags, s, &vec![3; len])),
        2 => (stream(), end).prop_map(|(s, flags)| frame(DATA, flags, s, b"\x02abc\0\0")),
        2 => stream().prop_map(|s| frame(HEADERS, END | WHOLE, s, &block(&[("x-trailer", "1")]))),
        3 => indexed,
        2 => halves,
        4 => (stream(), window.clone()).prop_map(|(s, n)| number(WINDOW_UPDATE, s, n)),
        2 => window.clone().prop_map(|n| number(WINDOW_UPDATE, 0, n)),
        2 => (1_u16..8, window).prop_map(|(id, n)| setting(id, n)),
        3 => (stream(), 0_u32..14).prop_map(|(s, code)| number(RST_STREAM, s, code)),
        1 => Just(frame(PING, 0, 0, b"12345678")),
        1 => Just(frame(PING, END, 0, b"farewell")),
        1 => Just(frame(GOAWAY, 0, 0, &[0; 8])),
        1 => stream().prop_map(|s| frame(PRIORITY, 0, s, &[0, 0, 0, 1, 5])),
        1 => Just(frame(SETTINGS, END, 0, &[])),
        1 => (any::<u8>(), any::<u8>(), stream(), vec(any::<u8>(), 0..20)).prop_map(|(k, f, s, p)| frame(k, f, s, &p)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let changed = (right(), changes()).prop_map(|(mut octets, changes): (Vec<u8>, Changes)| {
        changes.apply(&mut octets);
        octets
    });
    prop_oneof![
        16 => right().prop_map(Step::Send),
        2 => changed.prop_map(Step::Send),
        2 => vec(right(), 1..12).prop_map(|frames| Step::Send(frames.concat())),
        2 => select(vec![1_u64, 30, 1000, 25_000]).prop_map(Step::Wait),
    ]
}

/// What the server must keep to, whatever it hears.
struct Said {
    lines: String,
    /// Streams that the server has ended or reset.
    ended: BTreeSet<u32>,
    last_stream: Option<u32>,
    windows: Windows,
}

impl Said {
    fn new() -> Self {
        Self { lines: String::new(), ended: BTreeSet::new(), last_stream: None, windows: Windows::new() }
    }

    /// Hears what there is now.
    async fn hear(&mut self, client: &mut Client) {
        let lines = client.now().await;
        for frame in client.heard.as_mut().map(std::mem::take).unwrap_or_default() {
            self.windows.hear(&frame);
        }
        self.keep(&lines);
    }

    fn keep(&mut self, lines: &str) {
        for line in lines.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let stream: u32 = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
            match words[0] {
                "DATA" | "HEADERS" => {
                    assert!(!self.ended.contains(&stream), "{line} behind its end: {}{lines}", self.lines);
                    assert!(
                        self.last_stream.is_none_or(|last| stream <= last),
                        "{line} behind GOAWAY: {}{lines}",
                        self.lines
                    );
                    if line.ends_with(" end") {
                        self.ended.insert(stream);
                    }
                }
                "RST_STREAM" => {
                    self.ended.insert(stream);
                }
                "GOAWAY" => {
                    assert!(
                        self.last_stream.is_none_or(|last| stream <= last),
                        "{line} takes one back: {}",
                        self.lines
                    );
                    self.last_stream = Some(stream);
                }
                "PING" | "WINDOW_UPDATE" => {}
                _ => panic!("a server does not send {line}"),
            }
        }
        self.lines += lines;
    }
}

#[test]
fn h2_frames() {
    // Ten minutes with `--long`.
    fuzz_for(
        10,
        &(vec(step(), 1..40), 1_usize..3000, select(vec![300_usize, 1 << 20])),
        |(steps, cut, capacity)| {
            run(async {
                let site = site();
                let (mut client, mut said) = (Client::silent(&site, capacity), Said::new());
                client.heard = Some(Vec::new());
                let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, END, 0, &[])].concat();
                for step in [Step::Send(begin)].into_iter().chain(steps) {
                    match step {
                        Step::Wait(millis) => sleep(Duration::from_millis(millis)).await,
                        Step::Send(octets) => {
                            for piece in octets.chunks(cut) {
                                // Who sends more than the network holds reads meanwhile.
                                for some in piece.chunks(capacity) {
                                    said.windows.send(some);
                                    client.send(some).await;
                                    said.hear(&mut client).await;
                                }
                            }
                        }
                    }
                    said.hear(&mut client).await;
                    // Who has been sent away, or cut off, is owed no answer.
                    if said.last_stream.is_none() && site.stats().connections_open() > 0 {
                        said.windows.check(&said.ended);
                    }
                }
                client.end.finish();
                said.hear(&mut client).await;
                drop(client.end);
                client.serving.await;
                assert_eq!(site.stats().connections_open(), 0);
                let mut next = Client::new(&site).await;
                next.send(&ask(1, "/")).await;
                assert_eq!(next.now().await, "HEADERS 1 200\nDATA 1 5 end\n", "alive");
            });
        },
    );
}

/// Octets that are no frames at all, to a server that takes both versions.
#[test]
fn h2_beginnings() {
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &ask(1, "/")].concat();
    let http_1 = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    fuzz(&(fata_fuzz::mutated(vec![begin, http_1]), 1_usize..60), |(octets, cut)| {
        run(async {
            let site = site().with_http2();
            let mut client = common::Client::new(&site);
            for piece in octets.chunks(cut) {
                client.send(piece).await;
                client.now().await;
            }
            client.end.finish();
            client.rest().await;
            drop(client.end);
            client.serving.await;
            assert_eq!(site.stats().connections_open(), 0);
        });
    });
}
