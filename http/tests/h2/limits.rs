//! Clients that mean harm, in virtual time.

use crate::client::*;
use crate::common::{End, run};
use crate::site;
use fata_http::Server;
use fata_libos::time::{Duration, Instant, sleep};

/// Sends what `attack` makes of numbers until the server has had enough; how often it was sent.
async fn until_enough(site: &Server, begin: &[u8], attack: impl Fn(u32) -> Vec<u8>) -> u32 {
    let mut client = Client::new(site).await;
    client.send(begin).await;
    for n in 0..5000 {
        client.send(&attack(n)).await;
        let said = client.now().await;
        if let Some(at) = said.find("GOAWAY") {
            assert!(said[at..].ends_with(" 11\n"), "{said}");
            assert_eq!(site.stats().http2_calmed(), 1);
            return n;
        }
    }
    panic!("never enough");
}

#[test]
fn floods() {
    run(async {
        let open = post(1, "/", &[]);
        let large = block(&[("x-a", "*9000")]);
        let mut brew = get("/");
        brew[0].1 = "BREW";
        let block = frame(HEADERS, END, 1, &block(&get("/")));
        for (what, begin, attack, least, most) in [
            (
                "rapid reset",
                vec![],
                &(|n: u32| [ask(2 * n + 1, "/slow"), number(RST_STREAM, 2 * n + 1, 8)].concat())
                    as &dyn Fn(u32) -> Vec<u8>,
                150,
                250,
            ),
            (
                "streams that we are made to reset",
                vec![],
                &|n| [ask(2 * n + 1, "/slow"), number(WINDOW_UPDATE, 2 * n + 1, 0)].concat(),
                150,
                250,
            ),
            (
                "malformed requests",
                vec![],
                &|n| frame(HEADERS, END | WHOLE, 2 * n + 1, &crate::client::block(&[("A", "b")])),
                150,
                250,
            ),
            (
                "heads that are too large",
                vec![],
                &|n| {
                    frame(
                        HEADERS,
                        END | WHOLE,
                        2 * n + 1,
                        &[&crate::client::block(&get("/"))[..], &large].concat(),
                    )
                },
                150,
                250,
            ),
            (
                "methods that nobody knows",
                vec![],
                &|n| frame(HEADERS, END | WHOLE, 2 * n + 1, &crate::client::block(&brew)),
                150,
                250,
            ),
            (
                "blocks of pointers to much",
                vec![],
                &|n| frame(HEADERS, END | WHOLE, 2 * n + 1, &bomb(4000)),
                1,
                4,
            ),
            ("the same to little", vec![], &|n| frame(HEADERS, END | WHOLE, 2 * n + 1, &bomb(1)), 80, 150),
            ("settings", vec![], &|_| setting(4, 100), 900, 1200),
            ("acknowledgements that nobody waits for", vec![], &|_| frame(SETTINGS, END, 0, b""), 900, 1200),
            ("answers to no ping", vec![], &|_| frame(PING, END, 0, b"12345678"), 900, 1200),
            ("pings", vec![], &|_| frame(PING, 0, 0, b"12345678"), 900, 1200),
            ("priorities", vec![], &|_| frame(PRIORITY, 0, 1, &[0; 5]), 900, 1200),
            ("unknown frames", vec![], &|_| frame(0x44, 0, 0, b"what"), 900, 1200),
            ("content of nothing", open.clone(), &|_| frame(DATA, 0, 1, b""), 900, 1200),
            ("content of padding", open, &|_| frame(DATA, PADDED, 1, b"\x03\0\0\0"), 900, 1200),
            ("continuations of nothing", block.clone(), &|_| frame(CONTINUATION, 0, 1, b""), 900, 1200),
            ("continuations", block, &|_| frame(CONTINUATION, 0, 1, &[0; 1000]), 14, 18),
            (
                "streams above the limit",
                (0..100).flat_map(|n| ask(2 * n + 1, "/slow")).collect(),
                &|n| ask(2 * n + 201, "/"),
                900,
                1200,
            ),
            ("windows by an octet", vec![], &|_| number(WINDOW_UPDATE, 0, 1), 900, 1200),
        ] {
            let n = until_enough(&site(), &begin, attack).await;
            assert!((least..most).contains(&n), "{what}: {n}");
        }
    });
}

#[test]
fn useful_work_is_no_flood() {
    run(async {
        let site = site();
        let mut client = Client::new(&site).await;
        for n in 0..5000 {
            client.send(&[ask(2 * n + 1, "/"), number(WINDOW_UPDATE, 0, 5)].concat()).await;
            assert!(client.now().await.ends_with(" 5 end\n"), "{n}");
        }
        assert_eq!((site.stats().http2_streams(), site.stats().responses(2)), (5000, 5000));
    });
}

/// A GET with a field of so many octets, and four thousand octets that stand for it again.
fn bomb(len: usize) -> Vec<u8> {
    let mut bomb = block(&get("/"));
    bomb.extend(&block(&[("a", &format!("*{len}"))]));
    let at = block(&get("/")).len();
    bomb[at] = 0x40;
    bomb.extend([0xbe; 4000]);
    bomb
}

#[test]
fn a_block_of_pointers_to_much_is_refused() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&frame(HEADERS, END | WHOLE, 1, &bomb(4000))).await;
        assert!(client.now().await.starts_with("HEADERS 1 431\n"));
        client.send(&frame(HEADERS, END | WHOLE, 3, &[&block(&get("/"))[..], &[0xbe]].concat())).await;
        assert!(client.now().await.starts_with("HEADERS 3 200\n"), "the table is as it should be");
    });
}

#[test]
fn what_is_above_the_limit_is_not_looked_at() {
    run(async {
        let mut client = Client::new(&site()).await;
        let mut fields = get("/");
        fields.extend([("x-a", "*9000"), ("Capitals", "b\n"), (":path", "again")]);
        client.send(&frame(HEADERS, END | WHOLE, 1, &block(&fields))).await;
        assert_eq!(client.now().await, "HEADERS 1 431\nDATA 1 32 end\n");
    });
}

#[test]
fn more_content_than_windows_allow() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&post(1, "/unread", &[])).await;
        for _ in 0..4 {
            client.send(&frame(DATA, 0, 1, &[0; 16_000])).await;
            assert_eq!(client.now().await, "");
        }
        client.send(&frame(DATA, 0, 1, &[0; 2000])).await;
        assert_eq!(client.now().await, "RST_STREAM 1 3\n");
        for stream in [3, 5, 7] {
            client.send(&post(stream, "/unread", &[])).await;
            client.send(&frame(DATA, 0, stream, &[0; 16_000]).repeat(4)).await;
        }
        assert_eq!(client.now().await, "");
        client.send(&[post(9, "/unread", &[]), frame(DATA, 0, 9, &[0; 16_000])].concat()).await;
        assert_eq!(client.now().await, "GOAWAY 9 3\n");
    });
}

/// What a client hears in so many seconds, and when the connection ended.
async fn hear(client: &mut Client, seconds: u64) -> (String, Option<u64>) {
    let (start, mut said) = (Instant::now(), String::new());
    for _ in 0..seconds {
        said += &client.now().await;
        if client.is_closed().await {
            return (said, Some(start.elapsed().as_secs()));
        }
        sleep(Duration::from_secs(1)).await;
    }
    (said, None)
}

#[test]
fn clients_that_take_too_long() {
    run(async {
        let settings = frame(SETTINGS, 0, 0, &[]);
        let acknowledged = [PREFACE, &settings, &frame(SETTINGS, END, 0, &[])].concat();
        let with = |more: &[u8]| [&acknowledged[..], more].concat();
        for (what, sent, expected, from, to) in [
            ("no preface", vec![], "GOAWAY 0 4\n", 10, 14),
            ("no acknowledgement", [PREFACE, &settings].concat(), "GOAWAY 0 4\n", 10, 14),
            ("no request", acknowledged.clone(), "GOAWAY 0 0\n", 59, 62),
            ("half a frame", with(b"\0\0"), "GOAWAY 0 0\n", 59, 62),
            ("half a block", with(&frame(HEADERS, END, 1, &block(&get("/")))), "GOAWAY 0 0\n", 10, 14),
            (
                "half the content",
                with(&[post(1, "/", &[]), frame(DATA, 0, 1, b"x")].concat()),
                "HEADERS 1 408\nDATA 1 16 end\nRST_STREAM 1 0\nGOAWAY 1 0\n",
                79,
                83,
            ),
            (
                "a window that is never opened",
                with(&[setting(4, 0), ask(1, "/")].concat()),
                "HEADERS 1 200\nRST_STREAM 1 8\nGOAWAY 1 0\n",
                79,
                86,
            ),
        ] {
            let site = site();
            let mut client = Client::silent(&site, 10_000);
            client.send(&sent).await;
            let (said, took) = hear(&mut client, 200).await;
            assert_eq!(said, expected, "{what}");
            assert!(took.is_some_and(|took| (from..to).contains(&took)), "{what}: {took:?}");
            assert_eq!(site.stats().connections_open(), 0, "{what}");
        }
    });
}

#[test]
fn a_window_that_opens_by_octets_is_given_up() {
    run(async {
        let site = site();
        let mut client = Client::new(&site).await;
        client.send(&[setting(4, 0), ask(1, "/big")].concat()).await;
        let start = Instant::now();
        while !client.now().await.contains("RST_STREAM 1 8") {
            client.send(&number(WINDOW_UPDATE, 1, 1)).await;
            sleep(Duration::from_millis(500)).await;
        }
        assert!((19..25).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        assert_eq!(site.stats().timeouts(), 1);
    });
}

#[test]
fn a_client_that_never_reads_is_given_up() {
    run(async {
        for sent in [ask(1, "/big"), frame(PING, 0, 0, b"12345678").repeat(900)] {
            let site = site();
            let mut client = Client::silent(&site, 1000);
            let start = Instant::now();
            client
                .send(&[PREFACE, &setting(4, 10_000_000), &number(WINDOW_UPDATE, 0, 10_000_000)].concat())
                .await;
            let Client { end, serving, .. } = client;
            let flood = fata_libos::spawn(send(end, sent));
            serving.await;
            assert!((19..50).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
            assert_eq!((site.stats().timeouts(), site.stats().connections_open()), (1, 0));
            drop(flood);
        }
    });
}

async fn send(mut end: End, octets: Vec<u8>) -> End {
    let _ = embedded_io_async::Write::write_all(&mut end, &octets).await;
    end
}

#[test]
fn a_slow_client_that_keeps_up_the_rate_gets_all() {
    run(async {
        let mut client = Client::new(&site()).await;
        client.send(&ask(1, "/big")).await;
        for _ in 0..500 {
            assert!(!client.now().await.contains("GOAWAY"));
            client.send(&[number(WINDOW_UPDATE, 0, 2000), number(WINDOW_UPDATE, 1, 2000)].concat()).await;
            sleep(Duration::from_secs(1)).await;
        }
        client.now().await;
        assert_eq!(client.content.len(), 1_000_000);
    });
}
