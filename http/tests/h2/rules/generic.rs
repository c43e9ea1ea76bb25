//! What every client may do, h2spec's `generic`, and what `frames` leaves of its `http2`.

use super::Case;
use crate::client::*;

/// A PRIORITY by which a stream depends on another.
fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[weight]].concat())
}

pub fn cases() -> Vec<Case> {
    let hello = "HEADERS 1 200\nDATA 1 5 end\n";
    let fields = block(&get("/slow"));
    let (first, second) = fields.split_at(9);
    let rest = |flags| frame(CONTINUATION, flags, 1, second);
    let done = ask(1, "/");
    let slow = ask(1, "/slow");
    let head = || frame(HEADERS, END, 1, first);
    let mut asks_for_head = get("/");
    asks_for_head[0].1 = "HEAD";
    let mut cases = vec![
        (
            "generic 2 WINDOW_UPDATE of a half closed stream",
            vec![setting(4, 1), done.clone(), vec![], number(WINDOW_UPDATE, 1, 100)],
            "HEADERS 1 200\nDATA 1 1\nDATA 1 4 end\n",
        ),
        ("generic 2 PRIORITY of a half closed stream", vec![slow.clone(), priority(1, 0, 9)], ""),
        ("generic 2 RST_STREAM of a half closed stream", vec![slow.clone(), number(RST_STREAM, 1, 8)], ""),
        ("generic 2 PRIORITY of a closed stream", vec![done.clone(), vec![], priority(1, 0, 9)], hello),
        (
            "generic 3.1 content in two frames",
            vec![post(1, "/", &[]), frame(DATA, 0, 1, b"abc"), frame(DATA, END, 1, b"def")],
            "HEADERS 1 200\nDATA 1 1 end\n",
        ),
        (
            "generic 3.2 a block with padding",
            vec![frame(HEADERS, PADDED | END | WHOLE, 1, &[&[3], &block(&get("/"))[..], &[0; 3]].concat())],
            hello,
        ),
        (
            "generic 3.2 a block with a priority",
            vec![frame(
                HEADERS,
                0x20 | END | WHOLE,
                1,
                &[&[0, 0, 0, 0, 255], &block(&get("/"))[..]].concat(),
            )],
            hello,
        ),
        ("generic 3.3 a stream below one with a priority", vec![priority(5, 0, 9), done.clone()], hello),
        ("generic 3.9 a window of the connection", vec![number(WINDOW_UPDATE, 0, 9), done.clone()], hello),
        (
            "generic 3.9 a window of a stream",
            vec![slow.clone(), number(WINDOW_UPDATE, 1, 9), ask(3, "/")],
            "HEADERS 3 200\nDATA 3 5 end\n",
        ),
        (
            "generic 4 HEAD",
            vec![frame(HEADERS, END | WHOLE, 1, &block(&asks_for_head))],
            "HEADERS 1 200 end\n",
        ),
        (
            "4.2 DATA of the largest size",
            vec![post(1, "/", &[]), frame(DATA, END, 1, &[7; 16_384])],
            "HEADERS 1 200\nDATA 1 5 end\n",
        ),
        (
            "5.1 CONTINUATION of a stream that the client has reset",
            vec![slow.clone(), number(RST_STREAM, 1, 8), rest(WHOLE)],
            "GOAWAY 1 1\n",
        ),
        (
            "5.1 CONTINUATION of a closed stream",
            vec![done.clone(), vec![], rest(WHOLE)],
            "HEADERS 1 200\nDATA 1 5 end\nGOAWAY 1 1\n",
        ),
        (
            "5.3.1 of RFC 7540: HEADERS of a stream that depends on itself",
            vec![frame(HEADERS, 0x20 | END | WHOLE, 1, &[&[0, 0, 0, 1, 9], &block(&get("/"))[..]].concat())],
            "RST_STREAM 1 1\n",
        ),
        (
            "5.3.1 of RFC 7540: PRIORITY of a stream that depends on itself",
            vec![slow.clone(), priority(1, 1, 9)],
            "RST_STREAM 1 1\n",
        ),
        (
            "6.5.3 the last value of a setting counts",
            vec![frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 100, 0, 4, 0, 0, 0, 1]), done.clone()],
            "HEADERS 1 200\nDATA 1 1\n",
        ),
        (
            "6.10 a block that another frame than CONTINUATION goes on with",
            vec![head(), rest(0), frame(DATA, END, 1, b"x")],
            "GOAWAY 0 1\n",
        ),
        ("6.10 CONTINUATION behind the last one", vec![head(), rest(WHOLE), rest(WHOLE)], "GOAWAY 1 1\n"),
        (
            "7 GOAWAY with an error that nobody knows",
            vec![frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
            "GOAWAY 0 0\n",
        ),
        (
            "7 RST_STREAM with an error that nobody knows",
            vec![slow.clone(), number(RST_STREAM, 1, 0xff), ask(3, "/")],
            "HEADERS 3 200\nDATA 3 5 end\n",
        ),
        (
            "8.1.1 two frames with more content than announced",
            vec![
                post(1, "/", &[("content-length", "1")]),
                frame(DATA, 0, 1, b"a"),
                frame(DATA, END, 1, b"b"),
            ],
            "RST_STREAM 1 1\n",
        ),
    ];
    for (what, weight, on) in [
        ("generic 3.3 the least weight", 0, 0),
        ("generic 3.3 the greatest weight", 255, 0),
        ("generic 3.3 a dependency", 9, 3),
        ("generic 3.3 a dependency that excludes others", 9, 1 << 31 | 3),
    ] {
        cases.push((what, vec![priority(1, on, weight), done.clone()], hello));
    }
    cases
}
