//! The table `commands.txt`: commands, and what redis-server 7.0.15 answers, octet by octet.

use std::iter::Peekable;
use std::str::Lines;

/// What a line of the table has happen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// A client says a command, and is answered.
    Say,
    /// A client says a command that waits.
    Wait,
    /// A client is sent something unasked.
    Hear,
}

/// A line of the table, and the answer below it.
pub struct Entry {
    pub line: &'static str,
    pub client: u64,
    pub act: Act,
    pub command: &'static str,
    pub answer: Option<Vec<u8>>,
}

pub struct Table(Peekable<Lines<'static>>);

/// The table from its beginning.
pub fn table() -> Table {
    Table(include_str!("../commands.txt").lines().peekable())
}

impl Iterator for Table {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let is_entry = |line: &&str| !line.starts_with('#') && line.contains(['>', '<', '-']);
        let line = self.0.find(is_entry)?;
        let command = line.trim_start_matches('~');
        let at = command.find(['>', '<', '-']).expect("one of them is there");
        let client = if at == 0 { 0 } else { command[..at].parse().expect("the number of a client") };
        let act = match &command[at..=at] {
            ">" => Act::Say,
            "-" => Act::Wait,
            _ => Act::Hear,
        };
        let answer = self.0.next_if(|line| line.starts_with('=')).map(|line| octets(&line[2..]));
        assert!(answer.is_none() || !line.starts_with('~'), "{line}: is its answer its own or not");
        Some(Entry { line, client, act, command: &command[at + 1..], answer })
    }
}

/// The octets that a line of the table stands for.
fn octets(text: &str) -> Vec<u8> {
    let (mut octets, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        octets.push(match (first, behind) {
            (b'\\', [b'r', ..]) => b'\r',
            (b'\\', [b'n', ..]) => b'\n',
            (b'\\', [b'\\', ..]) => b'\\',
            (b'\\', [b'x', a, b, ..]) => {
                rest = &behind[2..];
                u8::from_str_radix(std::str::from_utf8(&[*a, *b]).expect("digits"), 16).expect("digits")
            }
            _ => first,
        });
        if first == b'\\' {
            rest = &rest[1..];
        }
    }
    octets
}
