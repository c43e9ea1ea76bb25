//! Requests: RFC 9113 section 8.

use super::{Case, only, with};
use crate::client::*;

const M: (&str, &str) = (":method", "GET");
const S: (&str, &str) = (":scheme", "http");
const P: (&str, &str) = (":path", "/");
const A: (&str, &str) = (":authority", "h");

pub fn cases() -> Vec<Case> {
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
