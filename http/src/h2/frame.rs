//! Frames (RFC 9113 sections 4 and 6): their headers, which rules a header alone can break, and those that we send.

use super::error::{Code, Error};
use alloc::vec::Vec;

/// Octets of a frame's header.
pub(crate) const HEADER: usize = 9;
/// The longest payload: we never allow more than every client knows.
pub(crate) const MAX_PAYLOAD: usize = 16_384;
/// Stream identifiers and windows have 31 bits.
pub(crate) const MAX_31: u32 = 0x7fff_ffff;
/// What a client sends first (section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Headers,
    Priority,
    ResetStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// To be overlooked (section 5.5).
    Unknown,
}

/// In the order of their numbers.
const KINDS: [Kind; 10] = [
    Kind::Data,
    Kind::Headers,
    Kind::Priority,
    Kind::ResetStream,
    Kind::Settings,
    Kind::PushPromise,
    Kind::Ping,
    Kind::GoAway,
    Kind::WindowUpdate,
    Kind::Continuation,
];

/// Flags of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(pub(crate) u8);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// Of SETTINGS and PING.
    pub(crate) const ACK: Self = Self(1);
    /// Of DATA and HEADERS.
    pub(crate) const END_STREAM: Self = Self(1);
    /// Of HEADERS and CONTINUATION.
    pub(crate) const END_HEADERS: Self = Self(4);
    /// Of DATA and HEADERS.
    pub(crate) const PADDED: Self = Self(8);
    /// Of HEADERS.
    pub(crate) const PRIORITY: Self = Self(0x20);

    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Octets of the payload.
    pub(crate) len: usize,
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) stream: u32,
}

impl Header {
    /// Reads the header at the start of `input`; `None` while it is not whole.
    pub(crate) fn read(input: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, e, f, g, h] = input.first_chunk::<HEADER>()?;
        Some(Self {
            len: u32::from_be_bytes([0, a, b, c]) as usize,
            kind: KINDS.get(usize::from(kind)).copied().unwrap_or(Kind::Unknown),
            flags: Flags(flags),
            stream: u32::from_be_bytes([e, f, g, h]) & MAX_31,
        })
    }

    /// What the header breaks of the rules for its type. A frame that is too long ends the connection, whatever its type
    /// is: nobody who heeds our settings sends one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let size = if self.len > MAX_PAYLOAD { Err(Error::Connection(Code::FrameSize)) } else { Ok(()) };
        let protocol = Error::Connection(Code::Protocol);
        let of_stream = if self.stream == 0 { Err(protocol) } else { Ok(()) };
        let of_connection = if self.stream != 0 { Err(protocol) } else { Ok(()) };
        let len = |fits: bool| if fits { Ok(()) } else { Err(Error::Connection(Code::FrameSize)) };
        size?;
        match self.kind {
            Kind::Data | Kind::Headers => of_stream.and(len(self.prelude() <= self.len)),
            Kind::Continuation => of_stream,
            Kind::Priority => {
                of_stream.and(if self.len == 5 { Ok(()) } else { Err(Error::Stream(Code::FrameSize)) })
            }
            Kind::ResetStream => of_stream.and(len(self.len == 4)),
            Kind::Settings if self.flags.has(Flags::ACK) => of_connection.and(len(self.len == 0)),
            Kind::Settings => of_connection.and(len(self.len.is_multiple_of(6))),
            Kind::PushPromise => Err(protocol),
            Kind::Ping => of_connection.and(len(self.len == 8)),
            Kind::GoAway => of_connection.and(len(self.len >= 8)),
            Kind::WindowUpdate => len(self.len == 4),
            Kind::Unknown => Ok(()),
        }
    }

    /// Octets of the payload before its content: the length of the padding, and a priority.
    pub(crate) fn prelude(&self) -> usize {
        let padded = matches!(self.kind, Kind::Data | Kind::Headers) && self.flags.has(Flags::PADDED);
        let priority = self.kind == Kind::Headers && self.flags.has(Flags::PRIORITY);
        usize::from(padded) + if priority { 5 } else { 0 }
    }

    /// Octets of content and of padding behind it, with the payload's `prelude` read.
    pub(crate) fn split(&self, prelude: &[u8]) -> Result<(usize, usize), Error> {
        let padded = self.prelude() % 5 == 1;
        let padding = if padded { prelude.first().copied().unwrap_or(0).into() } else { 0 };
        let rest = self.len.saturating_sub(self.prelude());
        let content = rest.checked_sub(padding).ok_or(Error::Connection(Code::Protocol))?;
        Ok((content, padding))
    }
}

/// Puts a frame's header; `len` is at most [`MAX_PAYLOAD`].
pub(crate) fn put_header(out: &mut Vec<u8>, kind: Kind, flags: Flags, stream: u32, len: usize) {
    let number = KINDS.iter().position(|&k| k == kind).unwrap_or_default() as u8;
    let [_, a, b, c] = (len as u32).to_be_bytes();
    out.extend_from_slice(&[a, b, c, number, flags.0]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Gives a frame whose header stands at `start` another length, and more flags.
pub(crate) fn change_header(out: &mut [u8], start: usize, flags: Flags, len: usize) {
    if let Some([a, b, c, _, own, ..]) = out.get_mut(start..) {
        let [_, x, y, z] = (len as u32).to_be_bytes();
        (*a, *b, *c, *own) = (x, y, z, *own | flags.0);
    }
}

/// Puts a frame whose payload is one number: RST_STREAM or WINDOW_UPDATE.
pub(crate) fn put_number(out: &mut Vec<u8>, kind: Kind, stream: u32, number: u32) {
    put_header(out, kind, Flags::NONE, stream, 4);
    out.extend_from_slice(&number.to_be_bytes());
}

/// Puts a PING.
pub(crate) fn put_ping(out: &mut Vec<u8>, flags: Flags, data: &[u8; 8]) {
    put_header(out, Kind::Ping, flags, 0, data.len());
    out.extend_from_slice(data);
}

/// Puts a GOAWAY: streams above `last` are not answered.
pub(crate) fn put_go_away(out: &mut Vec<u8>, last: u32, code: Code) {
    put_header(out, Kind::GoAway, Flags::NONE, 0, 8);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&(code as u32).to_be_bytes());
}

/// Puts SETTINGS.
pub(crate) fn put_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    put_header(out, Kind::Settings, Flags::NONE, 0, settings.len() * 6);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Puts a block of header fields: HEADERS, and CONTINUATIONs as needed.
pub(crate) fn put_block(out: &mut Vec<u8>, stream: u32, flags: Flags, block: &[u8]) {
    let (mut kind, mut flags, mut rest) = (Kind::Headers, flags, block);
    loop {
        let (piece, more) = rest.split_at(rest.len().min(MAX_PAYLOAD));
        let end = if more.is_empty() { Flags::END_HEADERS } else { Flags::NONE };
        put_header(out, kind, flags.and(end), stream, piece.len());
        out.extend_from_slice(piece);
        if more.is_empty() {
            return;
        }
        (kind, flags, rest) = (Kind::Continuation, Flags::NONE, more);
    }
}

/// A number of four octets, without its highest bit.
pub(crate) fn number(octets: &[u8]) -> u32 {
    octets.first_chunk().map_or(0, |&four| u32::from_be_bytes(four)) & MAX_31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(len: usize, kind: u8, flags: u8, stream: u32) -> Header {
        let mut octets = (len as u32).to_be_bytes()[1..].to_vec();
        octets.extend([kind, flags]);
        octets.extend(stream.to_be_bytes());
        Header::read(&octets).unwrap()
    }

    #[test]
    fn rules_that_headers_break() {
        let size = Err(Error::Connection(Code::FrameSize));
        let protocol = Err(Error::Connection(Code::Protocol));
        for (what, expected, header) in [
            ("DATA", Ok(()), header(0, 0, 1, 1)),
            ("DATA of the largest size", Ok(()), header(16_384, 0, 0, 1)),
            ("DATA larger than that", size, header(16_385, 0, 0, 1)),
            ("DATA of no stream", protocol, header(1, 0, 0, 0)),
            ("DATA with padding but no length of it", size, header(0, 0, 8, 1)),
            ("HEADERS", Ok(()), header(1, 1, 4, 1)),
            ("HEADERS of no stream", protocol, header(1, 1, 4, 0)),
            ("HEADERS larger than allowed", size, header(16_385, 1, 4, 1)),
            ("HEADERS with half a priority", size, header(4, 1, 0x24, 1)),
            ("HEADERS with a priority but no length of the padding", size, header(5, 1, 0x2c, 1)),
            ("HEADERS with a priority and padding", Ok(()), header(6, 1, 0x2c, 1)),
            ("PRIORITY", Ok(()), header(5, 2, 0, 1)),
            ("PRIORITY of no stream", protocol, header(5, 2, 0, 0)),
            ("PRIORITY too short", Err(Error::Stream(Code::FrameSize)), header(4, 2, 0, 1)),
            ("RST_STREAM", Ok(()), header(4, 3, 0, 1)),
            ("RST_STREAM of no stream", protocol, header(4, 3, 0, 0)),
            ("RST_STREAM too short", size, header(3, 3, 0, 1)),
            ("SETTINGS", Ok(()), header(12, 4, 0, 0)),
            ("SETTINGS of a stream", protocol, header(6, 4, 0, 1)),
            ("SETTINGS of five octets", size, header(5, 4, 0, 0)),
            ("SETTINGS that acknowledge and set", size, header(6, 4, 1, 0)),
            ("SETTINGS that acknowledge", Ok(()), header(0, 4, 1, 0)),
            ("PUSH_PROMISE", protocol, header(4, 5, 4, 1)),
            ("PING", Ok(()), header(8, 6, 0, 0)),
            ("PING of a stream", protocol, header(8, 6, 0, 1)),
            ("PING too short", size, header(6, 6, 0, 0)),
            ("GOAWAY", Ok(()), header(8, 7, 0, 0)),
            ("GOAWAY of a stream", protocol, header(8, 7, 0, 1)),
            ("GOAWAY too short", size, header(7, 7, 0, 0)),
            ("WINDOW_UPDATE", Ok(()), header(4, 8, 0, 0)),
            ("WINDOW_UPDATE too short", size, header(3, 8, 0, 1)),
            ("CONTINUATION", Ok(()), header(1, 9, 4, 1)),
            ("CONTINUATION of no stream", protocol, header(1, 9, 4, 0)),
            ("a type that nobody knows", Ok(()), header(100, 22, 0xff, 0)),
            ("the same, too large", size, header(16_385, 22, 0xff, 7)),
        ] {
            assert_eq!(header.check(), expected, "{what}");
        }
    }

    #[test]
    fn the_highest_bit_of_a_stream_means_nothing() {
        assert_eq!(header(0, 0, 0, 0x8000_0001).stream, 1);
        assert_eq!(number(&[0x80, 0, 0, 5]), 5);
        assert_eq!(Header::read(&[0; 8]), None);
    }

    #[test]
    fn padding() {
        for (flags, len, prelude, expected) in [
            (0, 10, &[][..], Ok((10, 0))),
            (8, 10, &[0], Ok((9, 0))),
            (8, 10, &[9], Ok((0, 9))),
            (8, 10, &[10], Err(Error::Connection(Code::Protocol))),
            (0x28, 10, &[4, 0, 0, 0, 0, 0], Ok((0, 4))),
            (0x28, 10, &[5, 0, 0, 0, 0, 0], Err(Error::Connection(Code::Protocol))),
            (0x20, 10, &[0; 5], Ok((5, 0))),
        ] {
            let header = header(len, 1, flags, 1);
            assert_eq!(header.prelude(), prelude.len());
            assert_eq!(header.split(prelude), expected, "{flags:x} {prelude:?}");
        }
        assert_eq!(header(10, 0, 0x20, 1).prelude(), 0, "DATA has no priority");
        assert_eq!(header(10, 9, 0x28, 1).prelude(), 0, "nor has CONTINUATION");
    }

    #[test]
    fn large_blocks_are_continued() {
        let mut out = Vec::new();
        put_block(&mut out, 5, Flags::END_STREAM, &[7; 40_000]);
        let (mut rest, mut seen) = (&out[..], Vec::new());
        while let Some(header) = Header::read(rest) {
            assert_eq!((header.stream, header.check()), (5, Ok(())));
            seen.push((header.kind, header.flags.0, header.len));
            rest = &rest[HEADER + header.len..];
        }
        let expected =
            [(Kind::Headers, 1, 16_384), (Kind::Continuation, 0, 16_384), (Kind::Continuation, 4, 7232)];
        assert_eq!(seen, expected);
    }
}
