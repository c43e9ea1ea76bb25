//! Which of its addresses a host takes for what it sends (RFC 6724, 5).

use super::own::Address;
use core::net::Ipv6Addr;

/// The best source of a flow to an address, by rules 1, 2, 3 and 8; of equals the first.
pub(super) fn best_source(candidates: &mut dyn Iterator<Item = &Address>, to: Ipv6Addr) -> Option<Ipv6Addr> {
    let mut best = candidates.next()?;
    for own in candidates {
        if is_better(own, best, to) {
            best = own;
        }
    }
    Some(best.address)
}

/// Whether `a` is a better source than `b`.
fn is_better(a: &Address, b: &Address, to: Ipv6Addr) -> bool {
    if a.address == to || b.address == to {
        return a.address == to;
    }
    let (scope_a, scope_b, scope_to) = (scope(a.address), scope(b.address), scope(to));
    if scope_a != scope_b {
        // The smaller one, if it is large enough.
        return if scope_a < scope_b { scope_a >= scope_to } else { scope_b < scope_to };
    }
    if a.is_deprecated != b.is_deprecated {
        return b.is_deprecated;
    }
    common(a, to) > common(b, to)
}

/// How far an address is known, in the numbers of multicast scopes (RFC 4291, 2.7). Unique local ones are between the link and
/// everywhere, which does what the labels of RFC 6724 are for.
#[inline(never)]
fn scope(address: Ipv6Addr) -> u8 {
    if address.is_multicast() {
        address.octets()[1] & 15
    } else if address.is_unicast_link_local() {
        2
    } else if address.is_unique_local() {
        8
    } else {
        14
    }
}

/// Bits that an address has in common with another, within its prefix.
fn common(own: &Address, to: Ipv6Addr) -> u32 {
    (own.address.to_bits() ^ to.to_bits()).leading_zeros().min(u32::from(own.prefix_len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::time::Instant;

    fn own(address: &str, is_deprecated: bool) -> Address {
        let address = address.parse().expect("it is an address");
        let mut own = Address::new(Instant::default(), 0, address, 64);
        own.is_deprecated = is_deprecated;
        own
    }

    /// The number of the address that is taken; `!` marks deprecated ones.
    fn best(addresses: &[&str], to: &str) -> String {
        let all: Vec<Address> =
            addresses.iter().map(|a| own(a.trim_start_matches('!'), a.starts_with('!'))).collect();
        let there = best_source(&mut all.iter(), to.parse().expect("it is an address"));
        let back = best_source(&mut all.iter().rev(), to.parse().expect("it is an address"));
        assert_eq!(there, back, "their order does not matter here");
        there.map(|address| address.to_string()).unwrap_or_default()
    }

    #[test]
    fn rule_1_the_same_address() {
        assert_eq!(best(&["2001:db8:1::1", "!2001:db8::1"], "2001:db8::1"), "2001:db8::1");
        assert_eq!(best(&["2001:db8::1", "fe80::1"], "fe80::1"), "fe80::1");
    }

    #[test]
    fn rule_2_the_appropriate_scope() {
        let all = ["fe80::1", "fd00::1", "2001:db8::1"];
        assert_eq!(best(&all, "2001:db8:9::9"), "2001:db8::1");
        assert_eq!(best(&all, "fd77::9"), "fd00::1");
        assert_eq!(best(&all, "fe80::9"), "fe80::1");
        assert_eq!(best(&all, "ff02::9"), "fe80::1");
        assert_eq!(best(&all, "ff05::9"), "fd00::1");
        assert_eq!(best(&all, "ff0e::9"), "2001:db8::1");
        assert_eq!(best(&["fe80::1", "2001:db8::1"], "ff05::9"), "2001:db8::1");
        // Scope counts more than being deprecated.
        assert_eq!(best(&["fe80::1", "!2001:db8::1"], "2001:db8:9::9"), "2001:db8::1");
        assert_eq!(best(&["fe80::1"], "2001:db8:9::9"), "fe80::1", "where there is no other");
    }

    #[test]
    fn rule_3_not_deprecated() {
        assert_eq!(best(&["!2001:db8::1", "2001:db8:8000::1"], "2001:db8::9"), "2001:db8:8000::1");
        assert_eq!(best(&["!2001:db8::1"], "2001:db8::9"), "2001:db8::1", "where there is no other");
    }

    #[test]
    fn rule_8_the_longest_prefix() {
        assert_eq!(best(&["2001:db8::1", "2001:db8:3::1"], "2001:db8:3::9"), "2001:db8:3::1");
        assert_eq!(best(&["2001:db8::1", "2002:db8:3::1"], "2001:db9::9"), "2001:db8::1");
    }

    #[test]
    fn what_is_behind_the_prefix_does_not_count() {
        let (a, b) = (own("2001:db8::9:1", false), own("2001:db8::1", false));
        let to = "2001:db8::9:2".parse().expect("it is an address");
        assert_eq!(best_source(&mut [&b, &a].into_iter(), to), Some(b.address));
        assert_eq!(best_source(&mut [&a, &b].into_iter(), to), Some(a.address));
        assert_eq!(best_source(&mut [].into_iter(), to), None);
    }
}
