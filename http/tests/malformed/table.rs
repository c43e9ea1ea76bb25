//! Reads `table.tsv`. Its own file, so that whoever sends the table elsewhere (through real sockets, say) can include
//! it with `#[path]`.

/// A request, and what comes of it.
pub struct Case {
    /// The status; `None` if the connection is closed without an answer.
    pub status: Option<u16>,
    /// What is wrong with it.
    pub name: &'static str,
    /// Its octets.
    pub request: Vec<u8>,
}

/// All cases in order.
pub fn cases() -> Vec<Case> {
    let lines = include_str!("table.tsv").lines().filter(|l| !l.starts_with('#'));
    lines.map(|line| case(line).unwrap_or_else(|| panic!("not a case: {line}"))).collect()
}

fn case(line: &'static str) -> Option<Case> {
    let mut parts = line.splitn(3, '\t');
    let status = match parts.next()? {
        "close" => None,
        code => Some(code.parse().ok()?),
    };
    Some(Case { status, name: parts.next()?, request: unescape(parts.next()?.as_bytes())? })
}

/// The octets that a text stands for.
pub fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let (octet, used): (u8, usize) = match (first, after) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', hex @ ..]) => {
                (u8::from_str_radix(core::str::from_utf8(hex.get(..2)?).ok()?, 16).ok()?, 4)
            }
            (b'\\', [b'{', repeated @ ..]) => {
                let end = repeated.iter().position(|&b| b == b'}')?;
                let star = repeated.iter().position(|&b| b == b'*')?;
                let times: usize = core::str::from_utf8(&repeated[..star]).ok()?.parse().ok()?;
                octets.extend(unescape(&repeated[star + 1..end])?.repeat(times));
                rest = &repeated[end + 1..];
                continue;
            }
            (b'\\', _) => return None,
            (plain, _) => (*plain, 1),
        };
        octets.push(octet);
        rest = &rest[used..];
    }
    Some(octets)
}
