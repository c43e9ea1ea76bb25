//! The PROXY protocol, versions 1 and 2: a header before all else on a connection, by which a load balancer says whose it is
//! (<https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt>). No input and output here.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header of version 2 begins with (section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// And one of version 1 (section 2.1).
const WORD: &[u8; 6] = b"PROXY ";
/// The longest line of version 1, with its end, octets (section 2.1).
const LONGEST_LINE: usize = 107;
/// The longest header of version 2 that is taken, what is added to its addresses with it, octets.
const LONGEST: usize = 4096;
/// Signature, command, family, length.
const FIXED: usize = 16;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    One,
    /// Binary.
    Two,
}

/// Both ends of the connection that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What it has connected to.
    pub destination: SocketAddr,
}

/// What the octets so far are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Nothing wrong yet; the end is still missing.
    Partial,
    /// A header of so many octets. Without ends the connection is the sender's own, a check of its health say, or of a kind that is not known here.
    Header(usize, Option<Ends>),
}

/// It is no header, or one that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a header of the PROXY protocol")]
pub struct Malformed;

/// The most octets of a header.
pub const MOST: usize = LONGEST;

/// Reads the header that `input` begins with.
pub fn parse(input: &[u8]) -> Result<Parsed, Malformed> {
    let begins = |with: &[u8]| input.iter().zip(with).all(|(seen, wanted)| seen == wanted);
    if begins(&SIGNATURE) {
        return if input.len() < FIXED { Ok(Parsed::Partial) } else { two(input) };
    }
    if begins(WORD) { one(input) } else { Err(Malformed) }
}

fn one(input: &[u8]) -> Result<Parsed, Malformed> {
    let Some(end) = input.iter().take(LONGEST_LINE).position(|&b| b == b'\n') else {
        return if input.len() < LONGEST_LINE { Ok(Parsed::Partial) } else { Err(Malformed) };
    };
    let line = input.get(WORD.len()..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed)?;
    let line = core::str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ');
    let kind = words.next();
    if kind == Some("UNKNOWN") {
        return Ok(Parsed::Header(end + 1, None));
    }
    let mut word = || words.next().ok_or(Malformed);
    let (source, destination, from, to) = (word()?, word()?, word()?, word()?);
    if words.next().is_some() {
        return Err(Malformed);
    }
    let address = |text: &str| -> Result<IpAddr, Malformed> {
        match kind {
            Some("TCP4") => text.parse::<Ipv4Addr>().map(Into::into).map_err(|_| Malformed),
            Some("TCP6") => text.parse::<Ipv6Addr>().map(Into::into).map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    };
    let ends = Ends {
        source: SocketAddr::new(address(source)?, port(from)?),
        destination: SocketAddr::new(address(destination)?, port(to)?),
    };
    Ok(Parsed::Header(end + 1, Some(ends)))
}

/// Digits alone, without zeros before them.
fn port(text: &str) -> Result<u16, Malformed> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(Malformed)
}

/// Of at least the octets that are always there.
fn two(input: &[u8]) -> Result<Parsed, Malformed> {
    let (command, family) = (input[12], input[13]);
    let len = usize::from(u16::from_be_bytes([input[14], input[15]]));
    if command >> 4 != 2 || FIXED + len > LONGEST {
        return Err(Malformed);
    }
    let Some(rest) = input.get(FIXED..FIXED + len) else { return Ok(Parsed::Partial) };
    let ends = match (command & 15, family) {
        // LOCAL
        (0, _) => None,
        // TCP over IPv4, and over IPv6; of others nothing is said that could be of use.
        (1, 0x11) => Some(ends::<4>(rest)?),
        (1, 0x21) => Some(ends::<16>(rest)?),
        (1, _) => None,
        _ => return Err(Malformed),
    };
    Ok(Parsed::Header(FIXED + len, ends))
}

fn ends<const N: usize>(rest: &[u8]) -> Result<Ends, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(Malformed)?;
    let (from, rest) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let (to, _) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
    let end = |address: &[u8; N], port: &[u8; 2]| {
        SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes(*port))
    };
    Ok(Ends { source: end(source, from), destination: end(destination, to) })
}

/// The header that says these ends; without them, that the connection is the sender's own.
pub fn header(version: Version, ends: Option<Ends>) -> Vec<u8> {
    match version {
        Version::One => line(ends),
        Version::Two => binary(ends),
    }
}

fn line(ends: Option<Ends>) -> Vec<u8> {
    let Some(ends) = ends else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let (source, destination, kind) = match same_family(ends) {
        Both::Four(source, destination) => (source.to_string(), destination.to_string(), "TCP4"),
        Both::Six(source, destination) => (source.to_string(), destination.to_string(), "TCP6"),
    };
    let (from, to) = (ends.source.port(), ends.destination.port());
    alloc::format!("PROXY {kind} {source} {destination} {from} {to}\r\n").into_bytes()
}

fn binary(ends: Option<Ends>) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let Some(ends) = ends else {
        out.extend_from_slice(&[0x20, 0, 0, 0]);
        return out;
    };
    match same_family(ends) {
        Both::Four(source, destination) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
        Both::Six(source, destination) => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&source.octets());
            out.extend_from_slice(&destination.octets());
        }
    }
    out.extend_from_slice(&ends.source.port().to_be_bytes());
    out.extend_from_slice(&ends.destination.port().to_be_bytes());
    out
}

/// A header has addresses of one version.
enum Both {
    Four(Ipv4Addr, Ipv4Addr),
    Six(Ipv6Addr, Ipv6Addr),
}

fn same_family(ends: Ends) -> Both {
    match (ends.source.ip().to_canonical(), ends.destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Both::Four(source, destination),
        (source, destination) => Both::Six(six(source), six(destination)),
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str, destination: &str) -> Option<Ends> {
        Some(Ends { source: source.parse().unwrap(), destination: destination.parse().unwrap() })
    }

    #[test]
    fn lines() {
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
        assert_eq!(long.len(), 107);
        for (text, ends) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", of("192.0.2.1:56324", "192.0.2.2:443")),
            ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", of("255.255.255.255:65535", "0.0.0.0:0")),
            ("PROXY TCP6 2001:db8::1 ::1 1 2\r\n", of("[2001:db8::1]:1", "[::1]:2")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 whatever\r\n", None),
            (&long, None),
        ] {
            let whole = [text.as_bytes(), b"GET / HTTP/1.1"].concat();
            assert_eq!(parse(&whole), Ok(Parsed::Header(text.len(), ends)), "{text}");
            for end in 0..text.len() {
                assert_eq!(parse(&whole[..end]), Ok(Parsed::Partial), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_is_no_line() {
        let long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
        for text in [
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY \r\n",
            "\r\n\r\n\0\r\nQUIT\r",
            &long,
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Malformed), "{text:?}");
        }
    }

    fn two(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        [&SIGNATURE[..], &[command, family], &(rest.len() as u16).to_be_bytes(), rest].concat()
    }

    #[test]
    fn binary_ones() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb];
        let with_more = [&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        let six = [[0u8; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 1, 0, 2]].concat();
        for (octets, ends) in [
            (two(0x21, 0x11, &four), of("192.0.2.1:56324", "192.0.2.2:443")),
            (two(0x21, 0x11, &with_more), of("192.0.2.1:56324", "192.0.2.2:443")),
            (two(0x21, 0x21, &six), of("[::1]:1", "[::2]:2")),
            (two(0x20, 0, &[]), None),
            (two(0x20, 0x11, &four), None),
            // Of sockets in the file system, and of nothing that is known.
            (two(0x21, 0x31, &[0; 216]), None),
            (two(0x21, 0, &[]), None),
        ] {
            let whole = [&octets[..], b"more"].concat();
            assert_eq!(parse(&whole), Ok(Parsed::Header(octets.len(), ends)), "{octets:?}");
            for end in 0..octets.len() {
                assert_eq!(parse(&octets[..end]), Ok(Parsed::Partial), "{end} of {octets:?}");
            }
        }
        for octets in [
            two(0x11, 0x11, &four),
            two(0x22, 0x11, &four),
            two(0x21, 0x11, &four[..11]),
            two(0x21, 0x21, &six[..35]),
            two(0x20, 0, &[0; LONGEST]),
        ] {
            assert_eq!(parse(&octets), Err(Malformed), "{octets:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for version in [Version::One, Version::Two] {
            for ends in [None, of("192.0.2.1:1", "192.0.2.2:65535"), of("[2001:db8::1]:80", "[::1]:1")] {
                let octets = header(version, ends);
                assert_eq!(parse(&octets), Ok(Parsed::Header(octets.len(), ends)));
            }
            // Mapped ones are of version 4, and two of different versions are both of version 6.
            let read = |ends| match parse(&header(version, ends)) {
                Ok(Parsed::Header(_, ends)) => ends,
                other => panic!("{other:?}"),
            };
            assert_eq!(read(of("[::ffff:192.0.2.1]:1", "192.0.2.2:2")), of("192.0.2.1:1", "192.0.2.2:2"));
            assert_eq!(read(of("[::1]:1", "192.0.2.2:2")), of("[::1]:1", "[::ffff:192.0.2.2]:2"));
        }
    }
}
