//! Takes commands out of what a client has sent, without copying them.

use super::{Args, split};
use crate::number::parse_int;
use crate::server::hub::has_memory;
use alloc::vec::Vec;

/// The longest line, an inline command or a length, octets.
const MAX_LINE: usize = 64 << 10;

/// Arguments that are few enough to need no look at the guest's memory.
const CHECKED: usize = 1 << 10;

/// How large commands may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most arguments.
    pub arguments: usize,
    /// The longest argument, octets.
    pub bulk: usize,
    /// The longest of those that become names, keys, fields and members, octets.
    pub name: usize,
}

impl Limits {
    /// For who has not said the password.
    pub const STRANGER: Self = Self { arguments: 10, bulk: 16 << 10, name: 16 << 10 };
}

/// What is no RESP. The connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A line without an end.
    #[error("too big inline request")]
    Line,
    /// The number of arguments has no end.
    #[error("too big mbulk count string")]
    CountLine,
    /// The length of an argument has no end.
    #[error("too big bulk count string")]
    LengthLine,
    /// Quotes.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// No number of arguments, or too large a one.
    #[error("invalid multibulk length")]
    Count,
    /// Too many for a stranger.
    #[error("unauthenticated multibulk length")]
    StrangerCount,
    /// No length, or too large a one.
    #[error("invalid bulk length")]
    Length,
    /// Too long for a stranger.
    #[error("unauthenticated bulk length")]
    StrangerLength,
    /// There is no memory for more arguments than so many.
    #[error("no memory for more than {0} arguments")]
    Memory(usize),
    /// Something else than an argument.
    #[error("expected '$', got '{}'", char::from(*.0))]
    Marker(u8),
}

/// What there is at the front of some octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command, of so many octets. One without arguments is none.
    Command(usize),
    /// The beginning of one.
    More,
}

/// Reads commands. Of one that has not come in full it remembers what it has seen.
#[derive(Default)]
pub struct Parser {
    /// Arguments that are still to come.
    left: usize,
    /// Where to go on, from the beginning of the command.
    at: usize,
    ranges: Vec<(u32, u32)>,
    /// The words of an inline command.
    words: Vec<u8>,
    is_inline: bool,
}

impl Parser {
    /// Looks for a command at the front of `octets`; after [`Step::More`] they must be the same ones, and more.
    pub fn step(&mut self, octets: &[u8], limits: Limits) -> Result<Step, ProtocolError> {
        if self.at == 0 {
            match octets.first() {
                None => return Ok(Step::More),
                Some(b'*') => {
                    let Some((count, at)) = number(octets, 1, ProtocolError::CountLine)? else {
                        return Ok(Step::More);
                    };
                    self.begin(count, at, limits)?;
                }
                Some(_) => return self.line(octets),
            }
        }
        while self.left > 0 {
            let Some((from, to)) = bulk(octets, self.at, limits)? else { return Ok(Step::More) };
            self.make_room()?;
            self.ranges.push((from as u32, to as u32));
            self.at = to + 2;
            self.left -= 1;
        }
        Ok(Step::Command(core::mem::take(&mut self.at)))
    }

    /// Room for one more argument.
    fn make_room(&mut self) -> Result<(), ProtocolError> {
        let count = self.ranges.len();
        if count < CHECKED || count < self.ranges.capacity() {
            return Ok(());
        }
        let is_there =
            has_memory(2 * count * size_of::<(u32, u32)>()) && self.ranges.try_reserve(count).is_ok();
        if is_there { Ok(()) } else { Err(ProtocolError::Memory(count)) }
    }

    /// How many octets the argument that has not come in full still needs, as far as is known.
    pub fn missing(&self, octets: &[u8], limits: Limits) -> usize {
        if self.at == 0 {
            return 0;
        }
        match number(octets, self.at + 1, ProtocolError::LengthLine) {
            Ok(Some((len, at))) if len >= 0 => {
                let end = at.saturating_add((len as usize).min(limits.bulk)).saturating_add(2);
                end.saturating_sub(octets.len())
            }
            _ => 0,
        }
    }

    /// The arguments of the command that was found.
    pub fn args<'a>(&'a self, octets: &'a [u8]) -> Args<'a> {
        Args::new(if self.is_inline { &self.words } else { octets }, &self.ranges)
    }

    fn begin(&mut self, count: i64, at: usize, limits: Limits) -> Result<(), ProtocolError> {
        self.ranges.clear();
        self.ranges.shrink_to(CHECKED);
        self.is_inline = false;
        if count > limits.arguments as i64 {
            let is_stranger = limits.arguments == Limits::STRANGER.arguments && count <= 1 << 20;
            return Err(if is_stranger { ProtocolError::StrangerCount } else { ProtocolError::Count });
        }
        self.left = usize::try_from(count).unwrap_or(0);
        self.at = at;
        Ok(())
    }

    fn line(&mut self, octets: &[u8]) -> Result<Step, ProtocolError> {
        let Some(end) = octets.iter().take(MAX_LINE).position(|octet| *octet == b'\n') else {
            return if octets.len() >= MAX_LINE { Err(ProtocolError::Line) } else { Ok(Step::More) };
        };
        self.ranges.clear();
        self.words.clear();
        self.is_inline = true;
        let line = octets.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        split(line, &mut self.words, &mut self.ranges).ok_or(ProtocolError::Quotes)?;
        Ok(Step::Command(end + 1))
    }
}

/// The number on the line that begins at `at`, and what is behind the line.
fn number(octets: &[u8], at: usize, too_long: ProtocolError) -> Result<Option<(i64, usize)>, ProtocolError> {
    let rest = octets.get(at..).unwrap_or_default();
    // A number has at most 20 digits: what is longer is none, and its end need not be waited for.
    let Some(end) = rest.iter().position(|octet| *octet == b'\r') else {
        return if rest.len() > MAX_LINE { Err(too_long) } else { Ok(None) };
    };
    if rest.len() < end + 2 {
        return Ok(None);
    }
    let wrong =
        if too_long == ProtocolError::CountLine { ProtocolError::Count } else { ProtocolError::Length };
    let number = parse_int(rest.get(..end).unwrap_or_default()).ok_or(wrong)?;
    Ok(Some((number, at + end + 2)))
}

/// Where the argument that begins at `at` lies.
fn bulk(octets: &[u8], at: usize, limits: Limits) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some(marker) = octets.get(at) else { return Ok(None) };
    let number = number(octets, at + 1, ProtocolError::LengthLine);
    // As soon as the line is there, whatever it says.
    if *marker != b'$' && number != Ok(None) {
        return Err(ProtocolError::Marker(*marker));
    }
    let Some((len, from)) = number? else { return Ok(None) };
    let len = usize::try_from(len).map_err(|_| ProtocolError::Length)?;
    if len > limits.bulk {
        let is_stranger = limits.bulk == Limits::STRANGER.bulk && len <= 512 << 20;
        return Err(if is_stranger { ProtocolError::StrangerLength } else { ProtocolError::Length });
    }
    let to = from + len;
    Ok((octets.len() >= to + 2).then_some((from, to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { arguments: 100, bulk: 1000, name: 1000 };

    fn all(octets: &[u8]) -> Result<Vec<Vec<Vec<u8>>>, ProtocolError> {
        // Octet by octet: the same as in one piece.
        let (mut parser, mut start, mut found) = (Parser::default(), 0, Vec::new());
        for end in 0..=octets.len() {
            while let Step::Command(len) = parser.step(&octets[start..end], LIMITS)? {
                let args = parser.args(&octets[start..end]);
                found.push(args.from(0).map(<[u8]>::to_vec).collect());
                start += len;
            }
        }
        assert_eq!(start, octets.len());
        Ok(found)
    }

    #[test]
    fn commands_are_found_however_they_are_cut() {
        let found = all(b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*0\r\nset a 'b c'\r\n*-1\r\n\n*1\r\n$4\r\na\r\nb\r\n")
            .unwrap();
        let said: Vec<Vec<&[u8]>> =
            found.iter().map(|command| command.iter().map(|arg| &arg[..]).collect()).collect();
        assert_eq!(said, [&[b"GET", &b""[..]][..], &[], &[b"set", b"a", b"b c"], &[], &[], &[b"a\r\nb"]]);
    }

    #[test]
    fn what_is_no_resp_has_a_name() {
        for (octets, error) in [
            (&b"*x\r\n"[..], ProtocolError::Count),
            (b"*101\r\n", ProtocolError::Count),
            (b"*1\r\n+OK\r\n", ProtocolError::Marker(b'+')),
            (b"*1\r\n$-1\r\n", ProtocolError::Length),
            (b"*1\r\n$1001\r\n", ProtocolError::Length),
            (b"get 'a\r\n", ProtocolError::Quotes),
            (&[b'a'; MAX_LINE], ProtocolError::Line),
            (&[b'*'; MAX_LINE + 2], ProtocolError::CountLine),
        ] {
            assert_eq!(Parser::default().step(octets, LIMITS), Err(error));
        }
    }
}
