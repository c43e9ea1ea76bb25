//! The types of boot parameters: what a manifest calls them, and what they are in code.

use fata_libos::param::{self, Kind};

/// A type of boot parameters.
#[derive(Debug)]
pub struct ParamKind {
    /// What a manifest calls it.
    pub name: &'static str,
    /// What values it takes.
    pub kind: &'static Kind,
    /// Its constant in `fata::param`.
    pub constant: &'static str,
    /// What `fata::param::Key` is of.
    pub rust: &'static str,
}

/// All there are.
pub static KINDS: [ParamKind; 13] = [
    of("text", &param::TEXT, "TEXT", "str"),
    of("number", &param::NUMBER, "NUMBER", "u64"),
    of("bool", &param::BOOL, "BOOL", "bool"),
    of("port", &param::PORT, "PORT", "u16"),
    of("duration", &param::DURATION, "DURATION", "::core::time::Duration"),
    of("size", &param::SIZE, "SIZE", "::fata::param::Size"),
    of("ipv4", &param::IPV4, "IPV4", "::core::net::Ipv4Addr"),
    of("ipv4-list", &param::IPV4_LIST, "IPV4_LIST", "[::core::net::Ipv4Addr]"),
    of("ipv4-prefix", &param::IPV4_PREFIX, "IPV4_PREFIX", "::fata::param::Ipv4Prefix"),
    of("ipv6", &param::IPV6, "IPV6", "::core::net::Ipv6Addr"),
    of("ipv6-prefix", &param::IPV6_PREFIX, "IPV6_PREFIX", "::fata::param::Ipv6Prefix"),
    of("ip", &param::IP, "IP", "::core::net::IpAddr"),
    of("ip-list", &param::IP_LIST, "IP_LIST", "[::core::net::IpAddr]"),
];

const fn of(
    name: &'static str,
    kind: &'static Kind,
    constant: &'static str,
    rust: &'static str,
) -> ParamKind {
    ParamKind { name, kind, constant, rust }
}

/// The type of that name.
pub fn find(name: &str) -> Option<&'static ParamKind> {
    KINDS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fata_libos::param::{Ipv4Prefix, Ipv6Prefix, Size, Value};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    /// What a kind takes its type must read: no boot parameter that was checked is refused afterwards.
    #[test]
    fn a_type_in_code_reads_what_its_kind_takes() {
        let texts = [
            "",
            "a b",
            "0",
            "1",
            "80",
            "65535",
            "65536",
            "+7",
            "18446744073709551615",
            "18446744073709551616",
            "on",
            "off",
            "true",
            "20s",
            "500ms",
            "4294967295h",
            "4294967296h",
            "64KiB",
            "1 MiB",
            "64kB",
            "17179869184GiB",
            "10.0.0.1",
            "10.0.0.1,10.0.0.2",
            "10.0.0.1,",
            "10.0.0.2/24",
            "0.0.0.0/0",
            "10.0.0.2/33",
            "dhcp",
            "2001:db8::1",
            "2001:db8::1,10.0.0.1",
            "2001:db8::1,",
            "2001:db8::1%eth0",
            "[2001:db8::1]",
            "2001:db8::2/64",
            "2001:db8::2/129",
            "::ffff:10.0.0.1",
            "::",
            "::/0",
            "auto",
        ];
        for kind in &KINDS {
            for text in texts {
                let read = match kind.rust {
                    "str" => str::of(Some(text)).is_some(),
                    "u64" => u64::of(Some(text)).is_some(),
                    "bool" => bool::of(Some(text)).is_some(),
                    // A port is never 0, a u16 may be.
                    "u16" => u16::of(Some(text)).is_some_and(|port| port > 0),
                    "::core::time::Duration" => Duration::of(Some(text)).is_some(),
                    "::fata::param::Size" => Size::of(Some(text)).is_some(),
                    "::core::net::Ipv4Addr" => Ipv4Addr::of(Some(text)).is_some(),
                    "[::core::net::Ipv4Addr]" => <[Ipv4Addr]>::of(Some(text)).is_some(),
                    "::fata::param::Ipv4Prefix" => Ipv4Prefix::of(Some(text)).is_some(),
                    "::core::net::Ipv6Addr" => Ipv6Addr::of(Some(text)).is_some(),
                    "::fata::param::Ipv6Prefix" => Ipv6Prefix::of(Some(text)).is_some(),
                    "::core::net::IpAddr" => IpAddr::of(Some(text)).is_some(),
                    "[::core::net::IpAddr]" => <[IpAddr]>::of(Some(text)).is_some(),
                    other => panic!("no test for {other}"),
                };
                assert_eq!(read, (kind.kind.check)(text), "{} {text:?}", kind.name);
            }
        }
    }
}
