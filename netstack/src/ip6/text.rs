//! Addresses as text (RFC 5952, 4), for the log.
//!
//! What `core` has for that pads too, and is nearly four times as much code; an image that shows no address of IPv6 elsewhere has
//! this alone.

use core::fmt;
use core::net::Ipv6Addr;

/// Writes an address that stands for none of IPv4.
pub(super) struct Text(pub(super) Ipv6Addr);

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.0.segments();
        // The longest run of zeros, of equals the first: one group alone is none.
        let (mut gap, mut len, mut run) = (0, 1, 0);
        for (n, group) in groups.iter().enumerate() {
            run = if *group == 0 { run + 1 } else { 0 };
            if run > len {
                (gap, len) = (n + 1 - run, run);
            }
        }
        let mut mark = "";
        for (n, group) in groups.iter().enumerate() {
            if len > 1 && (gap..gap + len).contains(&n) {
                mark = "::";
                continue;
            }
            write!(f, "{mark}{group:x}")?;
            mark = ":";
        }
        f.write_str(if mark == "::" { mark } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip6::message::tests::Random;

    #[test]
    fn addresses_are_written_as_the_library_writes_them() {
        let mut random = Random(5);
        for _ in 0..20_000 {
            let groups = [0; 8].map(|_: u16| [0, 0, 0, 1, 0xab, 0xffff][random.below(6)]);
            let address = Ipv6Addr::from(groups);
            if address.to_ipv4_mapped().is_none() {
                assert_eq!(Text(address).to_string(), address.to_string());
            }
        }
    }
}
