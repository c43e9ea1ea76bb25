//! Frames: RFC 9113 sections 4 to 6.

use super::Case;
use crate::client::*;

pub fn cases() -> Vec<Case> {
    let hello = "HEADERS 1 200\nDATA 1 5 end\n";
    let fields = block(&get("/"));
    let (first, second) = fields.split_at(9);
    let head = |flags| frame(HEADERS, flags, 1, first);
    let more = |flags| frame(CONTINUATION, flags, 1, second);
    let done = ask(1, "/");
    vec![
        ("a request", vec![done.clone()], hello),
        ("4.1 a frame of unknown type", vec![frame(0x16, 0xff, 9, b"what"), done.clone()], hello),
        ("4.1 flags that mean nothing", vec![frame(PING, 0xfe, 0, b"12345678")], "PING end 12345678\n"),
        ("4.1 the reserved bit", vec![frame(PING, 0, 1 << 31, b"12345678")], "PING end 12345678\n"),
        ("4.2 DATA too large", vec![post(1, "/slow", &[]), frame(DATA, 0, 1, &[0; 16_385])], "GOAWAY 1 6\n"),
        ("4.2 HEADERS too large", vec![frame(HEADERS, END | WHOLE, 1, &[0; 16_385])], "GOAWAY 0 6\n"),
        ("4.3 a block that is none", vec![frame(HEADERS, END | WHOLE, 1, &[0xff; 9])], "GOAWAY 0 9\n"),
        ("4.3 PRIORITY within a block", vec![head(END), frame(PRIORITY, 0, 1, &[0; 5])], "GOAWAY 0 1\n"),
        ("4.3 HEADERS within a block", vec![head(END), ask(3, "/")], "GOAWAY 0 1\n"),
        ("4.3 an unknown frame within a block", vec![head(END), frame(0x16, 0, 0, b"")], "GOAWAY 0 1\n"),
        ("5.1 DATA of an idle stream", vec![frame(DATA, END, 1, b"x")], "GOAWAY 0 1\n"),
        ("5.1 RST_STREAM of an idle stream", vec![number(RST_STREAM, 1, 8)], "GOAWAY 0 1\n"),
        ("5.1 WINDOW_UPDATE of an idle stream", vec![number(WINDOW_UPDATE, 1, 8)], "GOAWAY 0 1\n"),
        ("5.1 CONTINUATION of an idle stream", vec![frame(CONTINUATION, WHOLE, 1, &fields)], "GOAWAY 0 1\n"),
        ("5.1 PRIORITY of an idle stream", vec![frame(PRIORITY, 0, 3, &[0; 5]), done.clone()], hello),
        (
            "5.1 DATA of a half closed stream",
            vec![ask(1, "/slow"), frame(DATA, 0, 1, b"x")],
            "RST_STREAM 1 5\n",
        ),
        ("5.1 HEADERS of a half closed stream", vec![ask(1, "/slow"), ask(1, "/")], "RST_STREAM 1 5\n"),
        (
            "5.1 DATA of a closed stream",
            vec![done.clone(), vec![], frame(DATA, 0, 1, b"x")],
            "HEADERS 1 200\nDATA 1 5 end\nRST_STREAM 1 5\n",
        ),
        (
            "5.1 HEADERS of a closed stream",
            vec![done.clone(), vec![], done.clone()],
            "HEADERS 1 200\nDATA 1 5 end\nGOAWAY 1 5\n",
        ),
        (
            "5.1 DATA of a stream that the client has reset",
            vec![post(1, "/", &[]), number(RST_STREAM, 1, 8), frame(DATA, 0, 1, b"x")],
            "RST_STREAM 1 5\n",
        ),
        (
            "5.1 HEADERS of a stream that the client has reset",
            vec![ask(1, "/slow"), number(RST_STREAM, 1, 8), ask(1, "/")],
            "GOAWAY 1 5\n",
        ),
        (
            "5.1 frames for a stream that we have reset",
            vec![
                post(1, "/", &[("content-length", "1")]),
                frame(DATA, 0, 1, b"xx"),
                frame(DATA, 0, 1, b"x"),
                number(WINDOW_UPDATE, 1, 1),
                frame(HEADERS, END | WHOLE, 1, &[]),
                ask(3, "/"),
            ],
            "RST_STREAM 1 1\nHEADERS 3 200\nDATA 3 5 end\n",
        ),
        ("5.1.1 a stream with an even number", vec![ask(2, "/")], "GOAWAY 0 1\n"),
        (
            "5.1.1 a stream with a smaller number",
            vec![ask(5, "/"), vec![], ask(3, "/")],
            "HEADERS 5 200\nDATA 5 5 end\nGOAWAY 5 1\n",
        ),
        (
            "6.1 padding as long as the payload",
            vec![post(1, "/", &[]), frame(DATA, PADDED | END, 1, &[5, 0, 0, 0, 0])],
            "GOAWAY 1 1\n",
        ),
        (
            "6.1 content with padding",
            vec![post(1, "/", &[]), frame(DATA, PADDED | END, 1, b"\x03abcde\0\0\0")],
            "HEADERS 1 200\nDATA 1 1 end\n",
        ),
        ("6.1 DATA of stream 0", vec![frame(DATA, END, 0, b"x")], "GOAWAY 0 1\n"),
        ("6.2 HEADERS of stream 0", vec![ask(0, "/")], "GOAWAY 0 1\n"),
        (
            "6.2 padding as long as the block",
            vec![frame(HEADERS, PADDED | END | WHOLE, 1, &[&[200], &fields[..]].concat())],
            "GOAWAY 0 1\n",
        ),
        (
            "6.2 a block with priority and padding",
            vec![frame(
                HEADERS,
                0x28 | END | WHOLE,
                1,
                &[&[2, 0, 0, 0, 3, 9], &fields[..], &[0, 0]].concat(),
            )],
            hello,
        ),
        ("6.3 PRIORITY of stream 0", vec![frame(PRIORITY, 0, 0, &[0; 5])], "GOAWAY 0 1\n"),
        (
            "6.3 PRIORITY too short",
            vec![frame(PRIORITY, 0, 1, &[0; 4]), ask(3, "/")],
            "RST_STREAM 1 6\nHEADERS 3 200\nDATA 3 5 end\n",
        ),
        ("6.4 RST_STREAM of stream 0", vec![number(RST_STREAM, 0, 8)], "GOAWAY 0 1\n"),
        ("6.4 RST_STREAM too short", vec![ask(1, "/slow"), frame(RST_STREAM, 0, 1, &[0; 3])], "GOAWAY 1 6\n"),
        ("6.5 SETTINGS with an acknowledgement", vec![frame(SETTINGS, END, 0, &[0; 6])], "GOAWAY 0 6\n"),
        ("6.5 SETTINGS of a stream", vec![frame(SETTINGS, 0, 1, &[])], "GOAWAY 0 1\n"),
        ("6.5 SETTINGS of seven octets", vec![frame(SETTINGS, 0, 0, &[0; 7])], "GOAWAY 0 6\n"),
        ("6.5.2 push that is neither on nor off", vec![setting(2, 2)], "GOAWAY 0 1\n"),
        ("6.5.2 a window that is too large", vec![setting(4, 1 << 31)], "GOAWAY 0 3\n"),
        ("6.5.2 frames that are too small", vec![setting(5, 16_383)], "GOAWAY 0 1\n"),
        ("6.5.2 frames that are too large", vec![setting(5, 1 << 24)], "GOAWAY 0 1\n"),
        ("6.5.2 a setting that nobody knows", vec![setting(0xff, 7), done.clone()], hello),
        ("6.6 PUSH_PROMISE", vec![frame(PUSH_PROMISE, WHOLE, 1, &[0; 4])], "GOAWAY 0 1\n"),
        ("6.7 PING", vec![frame(PING, 0, 0, b"87654321")], "PING end 87654321\n"),
        ("6.7 PING that answers nothing", vec![frame(PING, END, 0, b"87654321"), done.clone()], hello),
        ("6.7 PING of a stream", vec![frame(PING, 0, 1, &[0; 8])], "GOAWAY 0 1\n"),
        ("6.7 PING of six octets", vec![frame(PING, 0, 0, &[0; 6])], "GOAWAY 0 6\n"),
        ("6.8 GOAWAY of a stream", vec![frame(GOAWAY, 0, 1, &[0; 8])], "GOAWAY 0 1\n"),
        ("6.8 GOAWAY", vec![frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0bye")], "GOAWAY 0 0\n"),
        ("6.9 a window opened by nothing", vec![number(WINDOW_UPDATE, 0, 0)], "GOAWAY 0 1\n"),
        (
            "6.9 a stream's window opened by nothing",
            vec![ask(1, "/slow"), number(WINDOW_UPDATE, 1, 0)],
            "RST_STREAM 1 1\n",
        ),
        ("6.9 WINDOW_UPDATE too short", vec![frame(WINDOW_UPDATE, 0, 0, &[0; 3])], "GOAWAY 0 6\n"),
        ("6.9.1 a window opened too far", vec![number(WINDOW_UPDATE, 0, 0x7fff_ffff)], "GOAWAY 0 3\n"),
        (
            "6.9.1 a stream's window opened too far",
            vec![ask(1, "/slow"), number(WINDOW_UPDATE, 1, 0x7fff_ffff)],
            "RST_STREAM 1 3\n",
        ),
        ("6.9.1 a window of an octet", vec![setting(4, 1), done.clone()], "HEADERS 1 200\nDATA 1 1\n"),
        (
            "6.9.2 windows change with the setting",
            vec![setting(4, 2), done.clone(), vec![], setting(4, 4)],
            "HEADERS 1 200\nDATA 1 2\nDATA 1 2\n",
        ),
        (
            "6.9.2 windows below nothing",
            vec![setting(4, 3), done.clone(), vec![], setting(4, 1), number(WINDOW_UPDATE, 1, 3)],
            "HEADERS 1 200\nDATA 1 3\nDATA 1 1\n",
        ),
        (
            "6.9.2 a setting that opens a window too far",
            vec![ask(1, "/slow"), number(WINDOW_UPDATE, 1, 100_000), setting(4, 0x7fff_ffff)],
            "GOAWAY 1 3\n",
        ),
        ("6.10 a block in two frames", vec![head(END), more(WHOLE)], hello),
        ("6.10 a block in three frames", vec![head(END), more(0), frame(CONTINUATION, WHOLE, 1, &[])], hello),
        (
            "6.10 CONTINUATION of another stream",
            vec![head(END), frame(CONTINUATION, WHOLE, 3, second)],
            "GOAWAY 0 1\n",
        ),
        (
            "6.10 CONTINUATION of stream 0",
            vec![head(END), frame(CONTINUATION, WHOLE, 0, second)],
            "GOAWAY 0 1\n",
        ),
        ("6.10 CONTINUATION behind the end", vec![ask(1, "/slow"), more(WHOLE)], "GOAWAY 1 1\n"),
        (
            "6.10 CONTINUATION behind DATA",
            vec![post(1, "/", &[]), frame(DATA, 0, 1, b"x"), more(WHOLE)],
            "GOAWAY 1 1\n",
        ),
    ]
}
