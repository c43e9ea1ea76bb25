//! Reads `table.tsv`. Its own file, so that others can include it.

use crate::requests::unescape;

/// A response, and what a client makes of it.
#[derive(Clone)]
pub struct Case {
    /// An error, or status, whether the connection is kept, and the content.
    pub result: &'static str,
    /// `GET`, `HEAD`, or `UPGRADE`: a GET that asks for another protocol.
    pub request: &'static str,
    /// What is special about it.
    pub name: &'static str,
    /// Its octets.
    pub response: Vec<u8>,
}

/// All cases in order.
pub fn cases() -> Vec<Case> {
    let lines = include_str!("table.tsv").lines().filter(|l| !l.starts_with('#'));
    lines.map(|line| case(line).unwrap_or_else(|| panic!("not a case: {line}"))).collect()
}

fn case(line: &'static str) -> Option<Case> {
    let mut parts = line.splitn(4, '\t');
    let (result, request, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Case { result, request, name, response: unescape(parts.next()?.as_bytes())? })
}
