//! A client that speaks raw frames.
#![allow(dead_code, reason = "each test file uses its part")]

use crate::common::{End, PEER, duplex};
use embedded_io_async::{Read, Write};
use fata_http::Server;
use fata_libos::task::Task;
use fata_libos::time::{Duration, timeout};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// END_STREAM, or ACK.
pub const END: u8 = 1;
/// END_HEADERS.
pub const WHOLE: u8 = 4;
pub const PADDED: u8 = 8;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut octets = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    octets.extend([kind, flags]);
    octets.extend(stream.to_be_bytes());
    octets.extend(payload);
    octets
}

/// A frame whose payload is a number.
pub fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

pub fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// A block of header fields, all literals; values shorter than 127 octets, or `x` so often as `*n` says.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut octets = Vec::new();
    for (name, value) in fields {
        octets.push(0);
        for text in [name, value] {
            let text = text
                .strip_prefix('*')
                .and_then(|n| n.parse().ok())
                .map_or((*text).to_owned(), |n| "x".repeat(n));
            match text.len().checked_sub(127) {
                None => octets.push(text.len() as u8),
                Some(more) => octets.extend([127, 0x80 | (more & 0x7f) as u8, (more >> 7) as u8]),
            }
            octets.extend(text.as_bytes());
        }
    }
    octets
}

pub fn get(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "h")]
}

/// HEADERS of a GET without content.
pub fn ask(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END | WHOLE, stream, &block(&get(path)))
}

/// HEADERS of a POST whose content follows.
pub fn post(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut all = get(path);
    all[0].1 = "POST";
    all.extend(fields);
    frame(HEADERS, WHOLE, stream, &block(&all))
}

pub struct Client {
    pub end: End,
    pub serving: Task<()>,
    seen: Vec<u8>,
    /// All content that has come.
    pub content: Vec<u8>,
    /// All header fields that have come, a line each.
    pub fields: String,
    /// How many of our SETTINGS were acknowledged.
    pub acknowledged: usize,
    /// All frames that have come, those of which there is no line too, for who takes them away.
    pub heard: Option<Vec<Heard>>,
}

/// A frame that has come.
#[derive(Debug)]
pub struct Heard {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Client {
    /// One that has sent the preface and empty settings.
    pub async fn new(server: &Server) -> Self {
        let mut client = Self::silent(server, 1 << 20);
        client.send(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, END, 0, &[])].concat()).await;
        client
    }

    /// One that has said nothing.
    pub fn silent(server: &Server, capacity: usize) -> Self {
        let (end, other) = duplex(capacity);
        let server = server.clone();
        let serving = fata_libos::spawn(async move { server.serve_connection_h2(other, PEER).await });
        let (seen, content, fields) = Default::default();
        Self { end, serving, seen, content, fields, acknowledged: 0, heard: None }
    }

    pub async fn send(&mut self, octets: &[u8]) {
        let _ = self.end.write_all(octets).await;
    }

    /// What comes within a moment, a line for each frame but SETTINGS and updates of the connection's window.
    pub async fn now(&mut self) -> String {
        while self.more().await {}
        self.lines()
    }

    /// What one read gives.
    pub async fn now_little(&mut self) -> String {
        self.more().await;
        self.lines()
    }

    async fn more(&mut self) -> bool {
        let mut buf = [0; 20_000];
        let n =
            timeout(Duration::from_millis(1), self.end.read(&mut buf)).await.unwrap_or(Ok(0)).unwrap_or(0);
        self.seen.extend_from_slice(&buf[..n]);
        n > 0
    }

    fn lines(&mut self) -> String {
        let (mut lines, mut at) = (String::new(), 0);
        while let Some(header) = self.seen.get(at..at + 9) {
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let (kind, flags) = (header[3], header[4]);
            let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
            let Some(payload) = self.seen.get(at + 9..at + 9 + len).map(<[u8]>::to_vec) else { break };
            at += 9 + len;
            if let Some(heard) = &mut self.heard {
                heard.push(Heard { kind, flags, stream, payload: payload.clone() });
            }
            lines += &self.line(kind, flags, stream, &payload);
        }
        self.seen.drain(..at);
        lines
    }

    fn line(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> String {
        let n = |at: usize| payload.get(at..at + 4).map_or(0, |p| u32::from_be_bytes(p.try_into().unwrap()));
        let end = if flags & END != 0 { " end" } else { "" };
        match kind {
            DATA => {
                self.content.extend_from_slice(payload);
                format!("DATA {stream} {}{end}\n", payload.len())
            }
            HEADERS => {
                assert_ne!(flags & WHOLE, 0, "short blocks are whole");
                format!("HEADERS {stream} {}{end}\n", self.decode(payload))
            }
            RST_STREAM => format!("RST_STREAM {stream} {}\n", n(0)),
            PING => format!("PING{end} {}\n", String::from_utf8_lossy(payload)),
            GOAWAY => format!("GOAWAY {} {}\n", n(0), n(4)),
            WINDOW_UPDATE if stream > 0 => format!("WINDOW_UPDATE {stream} {}\n", n(0)),
            SETTINGS | WINDOW_UPDATE => {
                self.acknowledged += usize::from(kind == SETTINGS && flags & END != 0);
                String::new()
            }
            _ => format!("frame {kind} {flags} {stream}\n"),
        }
    }

    /// The status of a block as our encoder makes them.
    fn decode(&mut self, mut block: &[u8]) -> String {
        const NAMES: &[(u8, &str)] = &[
            (18, "accept-ranges"),
            (22, "allow"),
            (28, "content-length"),
            (30, "content-range"),
            (31, "content-type"),
            (33, "date"),
            (34, "etag"),
        ];
        const STATUSES: [&str; 7] = ["200", "204", "206", "304", "400", "404", "500"];
        let mut status = String::new();
        let octet = |block: &mut &[u8]| {
            let first = block[0];
            *block = &block[1..];
            first
        };
        let text = |block: &mut &[u8]| {
            let (len, rest) = block.split_first().unwrap();
            let (text, rest) = rest.split_at(usize::from(*len));
            *block = rest;
            String::from_utf8(text.to_vec()).unwrap()
        };
        while !block.is_empty() {
            match octet(&mut block) {
                0x20 => {}
                n @ 0x88..=0x8e => status = STATUSES[usize::from(n - 0x88)].into(),
                0x08 => status = text(&mut block),
                0 => {
                    let name = text(&mut block);
                    self.fields += &format!("{name}: {}\n", text(&mut block));
                }
                index => {
                    let more = if index == 15 { octet(&mut block) + 15 } else { index };
                    let name = NAMES.iter().find(|(n, _)| *n == more).map_or("?", |(_, name)| name);
                    self.fields += &format!("{name}: {}\n", text(&mut block));
                }
            }
        }
        if status.is_empty() { "trailers".into() } else { status }
    }

    /// Whether the server has closed.
    pub async fn is_closed(&mut self) -> bool {
        timeout(Duration::from_millis(1), self.end.read(&mut [0; 1])).await.is_ok_and(|n| n == Ok(0))
    }
}
