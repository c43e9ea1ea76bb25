//! Which variant a client wants: `Accept-Encoding` (RFC 9110 section 12.5.3).

/// Whether content in gzip suits a client that sent these `Accept-Encoding` fields at least as well as plain content.
pub fn prefers_gzip<'a>(fields: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut wishes = Wishes::default();
    for element in fields.flat_map(|f| f.split(|&b| b == b',')) {
        wishes.element(element);
    }
    let gzip = wishes.gzip.or(wishes.any).unwrap_or(0);
    // Plain content need not be named; then anything that is beats it.
    let plain = wishes.identity.or(wishes.any).unwrap_or(1);
    gzip > 0 && gzip >= plain
}

/// Weights in thousandths, of what was named.
#[derive(Default)]
struct Wishes {
    gzip: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

impl Wishes {
    /// One element: a coding, perhaps with `;q=`. What cannot be read names nothing.
    fn element(&mut self, element: &[u8]) {
        let mut parts = element.split(|&b| b == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let Some(weight) = parts.next().map_or(Some(1000), weight) else { return };
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        if is("gzip") || is("x-gzip") {
            self.gzip = Some(weight);
        } else if is("identity") {
            self.identity = Some(weight);
        } else if coding == b"*" {
            self.any = Some(weight);
        }
    }
}

/// `q=0.5`: at most three digits behind the point, at most 1.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (b'q' | b'Q', value) = parameter.split_first()? else { return None };
    let digits = value.strip_prefix(b"=")?;
    let (whole, fraction) = match digits {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = fraction.iter().chain(b"000").take(3).fold(0, |n, d| n * 10 + u16::from(d - b'0'));
    let weight = u16::from(whole - b'0') * 1000 + thousandths;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes() {
        for (field, gzip) in [
            ("", false),
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br", false),
            ("deflate;q=1, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.0", false),
            ("gzip; q=0.001", true),
            ("gzip;q=0.5, identity", false),
            ("gzip;q=0.5, identity;q=0.4", true),
            ("identity", false),
            ("identity;q=0", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0, gzip", true),
            ("gzip;q=2", false),
            ("gzip;q=0.1234", false),
            ("gzip;q=1.001", false),
            ("gzip;quality", false),
            ("gzip;level=9", false),
            ("gzipped", false),
            (",, gzip ,", true),
        ] {
            assert_eq!(prefers_gzip([field.as_bytes()].into_iter()), gzip, "{field}");
        }
        assert!(!prefers_gzip(core::iter::empty()));
        assert!(prefers_gzip([&b"br"[..], b"gzip"].into_iter()));
    }
}
