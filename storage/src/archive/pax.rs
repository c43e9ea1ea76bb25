//! Records of pax: `LENGTH KEY=VALUE\n`, the length with all of them (POSIX.1-2017, "pax Extended Header").

/// What records say of the next entry. Others than these are passed over.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Records<'a> {
    pub path: Option<&'a [u8]>,
    pub link: Option<&'a [u8]>,
    pub len: Option<u64>,
    /// Seconds since 1970; those before are 0.
    pub modified: Option<u64>,
    /// GNU's words about holes were there.
    pub is_sparse: bool,
}

/// Reads records; `None` if they are none.
pub fn parse(mut octets: &[u8]) -> Option<Records<'_>> {
    let mut records = Records::default();
    while !octets.is_empty() {
        let blank = octets.iter().position(|octet| *octet == b' ')?;
        let len = usize::try_from(digits(&octets[..blank])?).ok()?;
        let record = octets.get(blank + 1..len)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|octet| *octet == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => records.path = Some(value),
            b"linkpath" => records.link = Some(value),
            b"size" => records.len = Some(digits(value)?),
            b"mtime" => records.modified = Some(seconds(value)?),
            _ => records.is_sparse |= key.starts_with(b"GNU.sparse."),
        }
        octets = &octets[len..];
    }
    Some(records)
}

fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Whole seconds of a decimal number.
fn seconds(text: &[u8]) -> Option<u64> {
    let whole = text.split(|octet| *octet == b'.').next()?;
    match whole.strip_prefix(b"-") {
        Some(before) => digits(before).map(|_| 0),
        None => digits(whole),
    }
}
