//! The chunked transfer coding, taken apart (RFC 9112 section 7.1).

use crate::body::BodyError;
use crate::octets::Class;
use crate::target::hex;

/// Octets that a body may spend on extensions and trailers, which nobody looks at.
const MAX_ASIDE: u16 = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size, with this many digits seen.
    Size {
        digits: u8,
    },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

/// A decoder that takes octets as they come. Lines end in CRLF and nothing else.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// Octets of this chunk still to come, or its size as far as it was read.
    chunk: u64,
    /// Content octets that may still come.
    allowed: u64,
    aside: u16,
}

impl Decoder {
    /// A decoder that refuses more than `limit` octets of content.
    pub(crate) fn new(limit: u64) -> Self {
        Self { state: State::Size { digits: 0 }, chunk: 0, allowed: limit, aside: 0 }
    }

    /// Whether the last chunk and the trailers were read.
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// Whether content comes next.
    pub(crate) fn is_in_content(&self) -> bool {
        self.state == State::Data
    }

    /// Reads from `input`, puts content into `out`; returns how many octets of each. Stops when either ends or the body
    /// does.
    pub(crate) fn decode(&mut self, input: &[u8], out: &mut [u8]) -> Result<(usize, usize), BodyError> {
        let (mut taken, mut given) = (0, 0);
        while taken < input.len() && self.state != State::End {
            if self.state == State::Data {
                let room = (input.len() - taken).min(out.len() - given);
                let n = usize::try_from(self.chunk).unwrap_or(usize::MAX).min(room);
                if n == 0 {
                    break;
                }
                out[given..given + n].copy_from_slice(&input[taken..taken + n]);
                (taken, given) = (taken + n, given + n);
                self.chunk -= n as u64;
                if self.chunk == 0 {
                    self.state = State::DataCr;
                }
            } else {
                self.state = self.step(input[taken])?;
                taken += 1;
            }
        }
        Ok((taken, given))
    }

    fn step(&mut self, b: u8) -> Result<State, BodyError> {
        Ok(match (self.state, b) {
            (State::Size { digits }, _) => match hex(b) {
                Some(digit) if digits < 16 => {
                    self.chunk = self.chunk << 4 | u64::from(digit);
                    State::Size { digits: digits + 1 }
                }
                None if digits > 0 && b == b'\r' => State::SizeLf,
                None if digits > 0 && b == b';' => State::Extension,
                _ => return Err(BodyError::Malformed),
            },
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => self.aside(b, State::Extension)?,
            (State::SizeLf, b'\n') => self.chunk_starts()?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart, _) if Class::TOKEN.has(b) => self.aside(b, State::TrailerName)?,
            (State::TrailerName, b':') => self.aside(b, State::TrailerValue)?,
            (State::TrailerName, _) if Class::TOKEN.has(b) => self.aside(b, State::TrailerName)?,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, _) => self.aside(b, State::TrailerValue)?,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::End,
            _ => return Err(BodyError::Malformed),
        })
    }

    fn chunk_starts(&mut self) -> Result<State, BodyError> {
        if self.chunk == 0 {
            return Ok(State::TrailerStart);
        }
        self.allowed = self.allowed.checked_sub(self.chunk).ok_or(BodyError::TooLarge)?;
        Ok(State::Data)
    }

    /// An octet of an extension or a trailer: no control characters, not too many.
    fn aside(&mut self, b: u8, next: State) -> Result<State, BodyError> {
        self.aside += 1;
        let good = self.aside < MAX_ASIDE && Class::VALUE.has(b);
        if good { Ok(next) } else { Err(BodyError::Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_in_steps(input: &[u8], step: usize, out_len: usize) -> Result<(Vec<u8>, usize), BodyError> {
        let mut decoder = Decoder::new(100);
        let (mut all, mut at) = (Vec::new(), 0);
        let mut out = vec![0; out_len];
        while at < input.len() && !decoder.is_done() {
            let end = (at + step).min(input.len());
            let (taken, given) = decoder.decode(&input[at..end], &mut out)?;
            all.extend_from_slice(&out[..given]);
            at += taken;
        }
        if decoder.is_done() { Ok((all, at)) } else { Err(BodyError::Closed) }
    }

    #[test]
    fn good_bodies() {
        for (text, content) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\r\nhello\r\n00006\r\n world\r\n000\r\n\r\n", "hello world"),
            ("A;a=b;c=\"d;e\"\r\n0123456789\r\n0;last\r\nX-Sum: 1 2\r\nY:\r\n\r\n", "0123456789"),
            ("a;\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n\r\n\r\n\r\n"),
        ] {
            for step in 1..text.len() + 1 {
                for out_len in [1, 3, 100] {
                    let more = format!("{text}GET / HTTP/1.1");
                    assert_eq!(
                        decode_in_steps(more.as_bytes(), step, out_len),
                        Ok((content.as_bytes().to_vec(), text.len()))
                    );
                }
            }
        }
    }

    #[test]
    fn bad_bodies() {
        for text in [
            "\r\n",
            ";a\r\n",
            "g\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n0\r\n",
            "5\r\nhello0\r\n",
            "5\r\nhelloo\r\n",
            "5\rhello\r\n",
            "5;a\nhello\r\n",
            "5;a\x00\r\nhello",
            "10000000000000000\r\n",
            "00000000000000005\r\n",
            "0\r\n\n",
            "0\r\n \r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: v\r\n\r\n",
            "0\r\na: b\n\r\n",
            "0\r\na : b\r\n\r\n",
            "5,5\r\nhello\r\n",
        ] {
            assert_eq!(decode_in_steps(text.as_bytes(), 100, 100), Err(BodyError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn bounds() {
        assert_eq!(decode_in_steps(b"65\r\n", 9, 9), Err(BodyError::TooLarge));
        assert_eq!(decode_in_steps(b"ffffffffffffffff\r\n", 99, 9), Err(BodyError::TooLarge));
        let two = format!("40\r\n{}\r\n40\r\n", "x".repeat(64));
        assert_eq!(decode_in_steps(two.as_bytes(), 999, 99), Err(BodyError::TooLarge));
        for long in [format!("1;{}", "x".repeat(5000)), format!("0\r\na: {}", "x".repeat(5000))] {
            assert_eq!(decode_in_steps(long.as_bytes(), 9999, 9), Err(BodyError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_read_alike_in_any_steps(
            input in proptest::collection::vec(proptest::sample::select(&b"0123af;:\r\n x"[..]), 0..60),
            step in 1usize..20,
        ) {
            let whole = decode_in_steps(&input, 1000, 1000);
            prop_assert_eq!(decode_in_steps(&input, step, 7), whole);
        }
    }
}
