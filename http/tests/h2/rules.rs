//! One case for each rule of RFC 9113 sections 3 to 8 that a client can break, after those of h2spec.

use crate::client::*;
use crate::common::run;
use crate::site;
use fata_libos::task::yield_now;
use fata_libos::time::{Duration, sleep};

/// What a client sends behind preface and settings, and what must come.
type Case = (&'static str, Vec<Vec<u8>>, &'static str);

/// HEADERS with these fields behind those of a GET.
fn with(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut all = get("/");
    all.extend(fields);
    frame(HEADERS, END | WHOLE, 1, &block(&all))
}

fn only(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, 1, &block(fields))
}

const M: (&str, &str) = (":method", "GET");
const S: (&str, &str) = (":scheme", "http");
const P: (&str, &str) = (":path", "/");
const A: (&str, &str) = (":authority", "h");

fn frames() -> Vec<Case> {
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

fn messages() -> Vec<Case> {
    let (hello, malformed) = ("HEADERS 1 200\nDATA 1 5 end\n", "RST_STREAM 1 1\n");
    let trailers = |flags, fields: &[(&str, &str)]| {
        vec![post(1, "/", &[]), frame(DATA, 0, 1, b"abc"), frame(HEADERS, flags, 1, &block(fields))]
    };
    let content = |length, octets: &[u8]| {
        vec![post(1, "/", &[("content-length", length)]), frame(DATA, END, 1, octets)]
    };
    let counted = "HEADERS 1 200\nDATA 1 1 end\n";
    let mut cases = vec![
        ("8.1 trailers", trailers(END | WHOLE, &[("x-sum", "1")]), counted),
        ("8.1 trailers that do not end", trailers(WHOLE, &[("x-sum", "1")]), malformed),
        ("8.1 trailers with a pseudo-header field", trailers(END | WHOLE, &[M]), malformed),
        ("8.1 trailers in capitals", trailers(END | WHOLE, &[("X-Sum", "1")]), malformed),
        ("8.1.1 content as announced", content("3", b"abc"), counted),
        ("8.1.1 less content", content("4", b"abc"), malformed),
        ("8.1.1 more content", content("2", b"abc"), malformed),
        ("8.1.1 no content", vec![with(&[("content-length", "1")])], malformed),
        ("8.1.1 a length that is none", content("x", b"abc"), malformed),
        (
            "8.1.1 two lengths",
            vec![post(1, "/", &[("content-length", "1"), ("content-length", "1")])],
            malformed,
        ),
        (
            "8.1 too much content",
            vec![post(1, "/", &[("content-length", "2000000")]), vec![]],
            "HEADERS 1 413\nDATA 1 18 end\nRST_STREAM 1 0\n",
        ),
        ("8.2 a name in capitals", vec![with(&[("X-a", "b")])], malformed),
        ("8.2 a name that is none", vec![with(&[("x a", "b")])], malformed),
        ("8.2 no name", vec![with(&[("", "b")])], malformed),
        ("8.2 a line feed in a value", vec![with(&[("x-a", "b\nc")])], malformed),
        ("8.2 NUL in a value", vec![with(&[("x-a", "b\0")])], malformed),
        ("8.2 a blank before a value", vec![with(&[("x-a", " b")])], malformed),
        ("8.2 a blank behind a value", vec![with(&[("x-a", "b\t")])], malformed),
        ("8.2.2 TE of trailers", vec![with(&[("te", "trailers")])], hello),
        ("8.2.2 TE of anything else", vec![with(&[("te", "trailers, deflate")])], malformed),
        ("8.3 a field that is not of requests", vec![with(&[(":status", "200")])], malformed),
        (
            "8.3 a pseudo-header field that nobody knows",
            vec![only(&[M, S, P, A, (":protocol", "x")])],
            malformed,
        ),
        ("8.3 a pseudo-header field behind another", vec![only(&[M, S, ("x-a", "b"), P, A])], malformed),
        ("8.3.1 no method", vec![only(&[S, P, A])], malformed),
        ("8.3.1 no scheme", vec![only(&[M, P, A])], malformed),
        ("8.3.1 no path", vec![only(&[M, S, A])], malformed),
        ("8.3.1 an empty path", vec![only(&[M, S, (":path", ""), A])], malformed),
        ("8.3.1 a path that does not begin with a slash", vec![only(&[M, S, (":path", "a"), A])], malformed),
        ("8.3.1 a whole URI as a path", vec![only(&[M, S, (":path", "http://h/"), A])], malformed),
        ("8.3.1 an asterisk", vec![only(&[M, S, (":path", "*"), A])], malformed),
        (
            "8.3.1 an asterisk of OPTIONS",
            vec![only(&[(":method", "OPTIONS"), S, (":path", "*"), A])],
            "HEADERS 1 204 end\n",
        ),
        ("8.3.1 a blank in the path", vec![only(&[M, S, (":path", "/ a"), A])], malformed),
        (
            "8.3.1 a path with half an escape",
            vec![only(&[M, S, (":path", "/%1"), A])],
            "HEADERS 1 400\nDATA 1 12 end\n",
        ),
        ("8.3.1 two methods", vec![only(&[M, M, S, P, A])], malformed),
        ("8.3.1 two schemes", vec![only(&[M, S, S, P, A])], malformed),
        ("8.3.1 two paths", vec![only(&[M, S, P, P, A])], malformed),
        ("8.3.1 two authorities", vec![only(&[M, S, P, A, A])], malformed),
        ("8.3.1 user information", vec![only(&[M, S, P, (":authority", "u@h")])], malformed),
        ("8.3.1 Host as the authority", vec![with(&[("host", "H")])], hello),
        ("8.3.1 Host other than the authority", vec![with(&[("host", "i")])], malformed),
        ("8.3.1 Host alone", vec![only(&[M, S, P, ("host", "h")])], hello),
        ("8.3.1 two Hosts", vec![only(&[M, S, P, ("host", "h"), ("host", "h")])], malformed),
        ("8.3.1 neither", vec![only(&[M, S, P])], "HEADERS 1 400\nDATA 1 12 end\n"),
        (
            "8.3.1 a method that nobody knows",
            vec![only(&[(":method", "BREW"), S, P, A])],
            "HEADERS 1 501\nDATA 1 16 end\n",
        ),
        ("8.3.1 a method that is none", vec![only(&[(":method", "G T"), S, P, A])], malformed),
        (
            "8.5 CONNECT",
            vec![only(&[(":method", "CONNECT"), (":authority", "h:1")])],
            "HEADERS 1 501\nDATA 1 16 end\n",
        ),
        ("8.5 CONNECT with a path", vec![only(&[(":method", "CONNECT"), S, P, A])], malformed),
        (
            "an expectation that nobody knows",
            vec![with(&[("expect", "more")])],
            "HEADERS 1 417\nDATA 1 19 end\n",
        ),
        ("fields that are too large", vec![with(&[("x-a", "*9000")])], "HEADERS 1 431\nDATA 1 32 end\n"),
        ("too many fields", vec![with(&[("a", "b"); 65])], "HEADERS 1 431\nDATA 1 32 end\n"),
        ("many fields", vec![with(&[("a", "b"); 64])], hello),
    ];
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        cases.push(("8.2.2 a field of the connection", vec![with(&[(name, "x")])], malformed));
    }
    cases
}

#[test]
fn rules() {
    run(async {
        for (what, sent, expected) in frames().into_iter().chain(messages()) {
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
                client.send(&ask(101, "/")).await;
                assert!(client.now().await.starts_with("HEADERS 101 200\n"), "behind {what}");
            }
        }
    });
}

/// The same rules where every octet comes alone.
#[test]
fn rules_octet_by_octet() {
    run(async {
        for (what, sent, expected) in frames().into_iter().chain(messages()) {
            // There, what is answered depends on what has come together.
            if what.starts_with('5')
                || what == "8.1.1 more content"
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
