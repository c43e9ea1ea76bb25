//! The static table (RFC 7541 appendix A).

/// How many entries it has. They count from 1.
pub(crate) const LEN: usize = 61;

/// The entries in order: name, a bar, value.
const TEXT: &str = "\
    :authority|\n\
    :method|GET\n\
    :method|POST\n\
    :path|/\n\
    :path|/index.html\n\
    :scheme|http\n\
    :scheme|https\n\
    :status|200\n\
    :status|204\n\
    :status|206\n\
    :status|304\n\
    :status|400\n\
    :status|404\n\
    :status|500\n\
    accept-charset|\n\
    accept-encoding|gzip, deflate\n\
    accept-language|\n\
    accept-ranges|\n\
    accept|\n\
    access-control-allow-origin|\n\
    age|\n\
    allow|\n\
    authorization|\n\
    cache-control|\n\
    content-disposition|\n\
    content-encoding|\n\
    content-language|\n\
    content-length|\n\
    content-location|\n\
    content-range|\n\
    content-type|\n\
    cookie|\n\
    date|\n\
    etag|\n\
    expect|\n\
    expires|\n\
    from|\n\
    host|\n\
    if-match|\n\
    if-modified-since|\n\
    if-none-match|\n\
    if-range|\n\
    if-unmodified-since|\n\
    last-modified|\n\
    link|\n\
    location|\n\
    max-forwards|\n\
    proxy-authenticate|\n\
    proxy-authorization|\n\
    range|\n\
    referer|\n\
    refresh|\n\
    retry-after|\n\
    server|\n\
    set-cookie|\n\
    strict-transport-security|\n\
    transfer-encoding|\n\
    user-agent|\n\
    vary|\n\
    via|\n\
    www-authenticate|\n";

/// Where each entry starts, where its value does, and behind the last where the text ends.
static STARTS: [(u16, u16); LEN + 1] = {
    let text = TEXT.as_bytes();
    let mut starts = [(0, 0); LEN + 1];
    let (mut entry, mut at) = (0, 0);
    while at < text.len() {
        match text[at] {
            b'|' => starts[entry].1 = at as u16 + 1,
            b'\n' => {
                entry += 1;
                starts[entry].0 = at as u16 + 1;
            }
            _ => {}
        }
        at += 1;
    }
    assert!(entry == LEN);
    starts
};

/// Name and value of the entry with that index.
pub(crate) fn get(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let (start, value) = *STARTS.get(index.checked_sub(1)?)?;
    let (end, _) = *STARTS.get(index)?;
    let part = |from: u16, to: u16| TEXT.as_bytes().get(usize::from(from)..usize::from(to));
    Some((part(start, value.checked_sub(1)?)?, part(value, end.checked_sub(1)?)?))
}

/// Entries up to this are of pseudo-header fields.
const PSEUDO: usize = 14;

/// The first entry with that name, in any case; none of a pseudo-header field.
pub(crate) fn find(name: &[u8]) -> Option<usize> {
    let has_len = |index: usize| {
        STARTS.get(index - 1).is_some_and(|&(start, value)| usize::from(value - start) == name.len() + 1)
    };
    let is_name = |index| get(index).is_some_and(|(own, _)| own.eq_ignore_ascii_case(name));
    (PSEUDO + 1..=LEN).find(|&index| has_len(index) && is_name(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let entry = |index| get(index).map(|(n, v)| [n, v].map(|t| core::str::from_utf8(t).unwrap()));
        for (index, expected) in [
            (0, None),
            (1, Some([":authority", ""])),
            (2, Some([":method", "GET"])),
            (8, Some([":status", "200"])),
            (16, Some(["accept-encoding", "gzip, deflate"])),
            (28, Some(["content-length", ""])),
            (61, Some(["www-authenticate", ""])),
            (62, None),
            (usize::MAX, None),
        ] {
            assert_eq!(entry(index), expected, "{index}");
        }
        for index in 1..=LEN {
            let (name, _) = get(index).unwrap();
            assert_eq!(find(name), (index > PSEUDO).then_some(index), "the others come once each");
        }
        assert_eq!((find(b"Content-Type"), find(b"x-other")), (Some(31), None));
    }
}
