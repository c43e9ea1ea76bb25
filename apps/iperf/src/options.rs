//! Boot parameters that are texts: amounts with K, M, G.

use alloc::format;
use alloc::string::String;

/// An amount such as `100M`, in thousands (`unit` 1000, for rates) or 1024s (for octets), as iperf3 has it.
pub fn amount(text: &str, unit: u64) -> Result<u64, String> {
    let bad = || format!("{text:?} is no amount, such as 500, 64K, 10M, 1G");
    let (digits, factor) = match text.as_bytes().last().ok_or_else(bad)? {
        b'K' | b'k' => (&text[..text.len() - 1], unit),
        b'M' | b'm' => (&text[..text.len() - 1], unit * unit),
        b'G' | b'g' => (&text[..text.len() - 1], unit * unit * unit),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        assert_eq!(amount("500", 1000), Ok(500));
        assert_eq!(amount("64K", 1024), Ok(65_536));
        assert_eq!(amount("10m", 1000), Ok(10_000_000));
        assert_eq!(amount("1G", 1024), Ok(1 << 30));
        for bad in ["", "K", "1.5M", "-1", "10T", "99999999999999999999", "99999999999G", "1é"] {
            assert!(amount(bad, 1024).is_err(), "{bad}");
        }
    }
}
