//! The kinds of values that parameters have.

use super::{Ipv4Prefix, Ipv6Prefix, Kind, Size};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

/// Any text.
pub static TEXT: Kind = Kind { what: "a text", check: |_| true };

/// `on` or `off`.
pub static BOOL: Kind = Kind { what: "on or off", check: |v| matches!(v, "on" | "off") };

/// A number from 0 up.
pub static NUMBER: Kind = Kind { what: "a whole number", check: |v| number(v).is_some() };

/// A time: whole seconds, or a whole number of another unit.
pub static DURATION: Kind =
    Kind { what: "a time, such as 90s, 500ms, 5min or 2h", check: |v| parse_duration(v).is_some() };

/// A number of octets.
pub static SIZE: Kind =
    Kind { what: "a size, such as 65536, 256KiB or 1MiB", check: |v| v.parse::<Size>().is_ok() };

/// A TCP or UDP port.
pub static PORT: Kind = Kind { what: "a port from 1 to 65535", check: |v| is_from(v, 1, u16::MAX) };

/// An IPv4 address.
pub static IPV4: Kind =
    Kind { what: "an IPv4 address, such as 10.0.0.1", check: |v| v.parse::<Ipv4Addr>().is_ok() };

/// IPv4 addresses with commas between.
pub static IPV4_LIST: Kind = Kind {
    what: "a list of IPv4 addresses with commas between, such as 10.0.0.1,10.0.0.2",
    check: |v| v.split(',').all(|a| a.parse::<Ipv4Addr>().is_ok()),
};

/// An interface's IPv4 address.
pub static IPV4_PREFIX: Kind = Kind {
    what: "an IPv4 address with its prefix length, such as 10.0.0.2/24",
    check: |v| v.parse::<Ipv4Prefix>().is_ok(),
};

/// How an interface gets its IPv4 address.
pub static IPV4_OR_DHCP: Kind = Kind {
    what: "dhcp or an IPv4 address with its prefix length, such as 10.0.0.2/24",
    check: |v| v == "dhcp" || v.parse::<Ipv4Prefix>().is_ok(),
};

/// The same, of an interface that may do without: it has IPv6 too.
pub static IPV4_DHCP_OR_NONE: Kind = Kind {
    what: "dhcp, none or an IPv4 address with its prefix length, such as 10.0.0.2/24",
    check: |v| v == "none" || (IPV4_OR_DHCP.check)(v),
};

/// An IPv6 address, without a zone.
pub static IPV6: Kind =
    Kind { what: "an IPv6 address, such as 2001:db8::1", check: |v| v.parse::<Ipv6Addr>().is_ok() };

/// An interface's IPv6 address.
pub static IPV6_PREFIX: Kind = Kind {
    what: "an IPv6 address with its prefix length, such as 2001:db8::2/64",
    check: |v| v.parse::<Ipv6Prefix>().is_ok(),
};

/// How an interface gets its IPv6 addresses.
pub static IPV6_OR_AUTO: Kind = Kind {
    what: "auto, none or an IPv6 address with its prefix length, such as 2001:db8::2/64",
    check: |v| matches!(v, "auto" | "none") || v.parse::<Ipv6Prefix>().is_ok(),
};

/// An address of either protocol.
pub static IP: Kind =
    Kind { what: "an IP address, such as 10.0.0.1 or 2001:db8::1", check: |v| v.parse::<IpAddr>().is_ok() };

/// Addresses of either protocol with commas between.
pub static IP_LIST: Kind = Kind {
    what: "a list of IP addresses with commas between, such as 10.0.0.1,2001:db8::1",
    check: |v| v.split(',').all(|a| a.parse::<IpAddr>().is_ok()),
};

/// What a DHCP server may be told that a host is called: a label of RFC 1123, or several.
pub static HOSTNAME: Kind = Kind {
    what: "a host name: 1 to 63 of a-z, A-Z, 0-9, - and .",
    check: |v| {
        let is_of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        (1..=63).contains(&v.len()) && v.bytes().all(is_of_name)
    },
};

/// The largest IP packet of an interface, octets: from the least that every host takes (RFC 1122, 3.3.2) on.
pub static MTU: Kind =
    Kind { what: "a number of octets from 576 to 65535", check: |v| is_from(v, 576, u16::MAX) };

/// Pairs of queues of an interface.
pub static QUEUES: Kind = Kind { what: "a number from 1 to 8", check: |v| is_from(v, 1, 8) };

/// Which disk of the guest: a name of one letter, as Xen's toolstacks and Linux have them, or a place.
pub static DISK: Kind = Kind { what: "a disk, such as xvdb, or its place from 0", check: is_disk };

fn is_disk(text: &str) -> bool {
    let letter = text.strip_prefix("xvd").or_else(|| text.strip_prefix("vd"));
    match letter.map(str::as_bytes) {
        Some([letter]) => letter.is_ascii_lowercase(),
        _ => (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// A log filter.
pub static LOG: Kind = Kind {
    what: "a log filter, such as info or warn,fata_xen=debug",
    check: |v| v.parse::<crate::logging::Filter>().is_ok(),
};

/// A time as a [`DURATION`] writes it; a number alone is of seconds.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let number = u32::try_from(self::number(number)?).ok()?;
    Some(Duration::from_millis(u64::from(number) * milliseconds))
}

/// A whole number, as `str::parse` reads it: in one function for numbers of all widths.
#[inline(never)]
pub(super) fn number(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let mut number = if digits.is_empty() { None } else { Some(0_u64) };
    for octet in digits.bytes() {
        let digit = octet.wrapping_sub(b'0');
        number = number?.checked_mul(10)?.checked_add(digit.into()).filter(|_| digit <= 9);
    }
    number
}

fn is_from(text: &str, least: u16, most: u16) -> bool {
    number(text).is_some_and(|number| (least.into()..=most.into()).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::{DISK, number};

    #[test]
    fn numbers_are_what_the_library_takes_for_such() {
        for text in [
            "",
            "+",
            "-",
            "0",
            "7",
            "+7",
            "-7",
            "007",
            "++7",
            "7+",
            " 7",
            "7 ",
            "1_0",
            "0x7",
            "7.",
            ":",
            "/",
            "\u{663}",
            "65535",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551620",
            "99999999999999999999999",
        ] {
            assert_eq!(number(text), text.parse().ok(), "{text:?}");
        }
    }

    #[test]
    fn disks_are_named_or_counted() {
        for good in ["xvda", "xvdz", "vdb", "0", "15"] {
            assert!((DISK.check)(good), "{good}");
        }
        for bad in ["", "xvd", "xvdA", "xvda1", "sda", "100", "-1", "a"] {
            assert!(!(DISK.check)(bad), "{bad}");
        }
    }
}
