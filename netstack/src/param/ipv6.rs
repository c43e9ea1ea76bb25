//! Boot parameters of an interface that has IPv6: `ipv6=2001:db8::2/64 gateway6=fe80::1 ipv4=none`.

use super::{ConfigError, PARAMS, gateway, value};
use crate::config::{Config, Ipv4Config, Ipv6Config};
use crate::version::LEAST_MTU;
use core::fmt;
use core::net::Ipv6Addr;
use fata_libos::param::{IP_LIST, IPV4_DHCP_OR_NONE, IPV6, IPV6_OR_AUTO, Ipv6Prefix, Param, Params, Value};

impl Config {
    /// The configuration that the boot parameters give to an interface, whichever of the two tables its own are from. An
    /// interface without `ipv6` has none; what names this function links IPv6 all the same.
    pub fn from_params_with_ipv6(params: &Params, interface: &str) -> Result<Self, ConfigError> {
        let ipv6 = Ipv6Config::from_params(params, interface)?;
        let mut otherwise = Ipv4Config::Dhcp;
        if value(params, interface, "ipv4") == Some("none") {
            otherwise = Ipv4Config::None;
            if ipv6.is_none() {
                return Err(wrong(format_args!(
                    "s {interface}.ipv4 and {interface}.ipv6: both are none, which leaves the interface without an address"
                )));
            }
            if let Some(gateway) = gateway(params, interface, ["ipv4", "gateway"]) {
                return Err(wrong(format_args!(" {interface}.gateway: {gateway} has no use with ipv4=none")));
            }
        }
        let mtu = value(params, interface, "mtu").filter(|_| ipv6.is_some());
        if let Some(mtu) =
            mtu.filter(|mtu| u16::of(Some(mtu)).is_some_and(|mtu| usize::from(mtu) < LEAST_MTU))
        {
            return Err(wrong(format_args!(
                " {interface}.mtu: {mtu} is less than the 1280 octets that IPv6 needs"
            )));
        }
        let mut config = Self::read(params, interface, |server| server.parse().ok(), otherwise)?;
        config.ipv6 = ipv6;
        Ok(config)
    }
}

impl Ipv6Config {
    /// What a network interface with IPv6 knows: what all know, with more values, and what is IPv6's own.
    pub const PARAMS: [Param; 9] = [
        Param {
            kind: &IPV4_DHCP_OR_NONE,
            help: "the interface's IPv4 address and prefix length, dhcp, or none for IPv6 alone",
            ..PARAMS[0]
        },
        Param { ..PARAMS[1] },
        Param {
            name: "ipv6",
            kind: &IPV6_OR_AUTO,
            default: Some("auto"),
            help: "the interface's IPv6 address and prefix length, auto for those that routers advertise, or none",
        },
        Param {
            name: "gateway6",
            kind: &IPV6,
            default: None,
            help: "the router of IPv6, where the address is given; without it those that advertise themselves",
        },
        Param {
            kind: &IP_LIST,
            help: "name servers, with commas between; asked before those of DHCP and of routers",
            ..PARAMS[2]
        },
        Param { ..PARAMS[3] },
        Param { ..PARAMS[4] },
        Param { ..PARAMS[5] },
        Param { ..PARAMS[6] },
    ];

    /// What the boot parameters `ipv6` and `gateway6` of an interface say; `None` without IPv6.
    pub fn from_params(params: &Params, interface: &str) -> Result<Option<Self>, ConfigError> {
        let gateway = gateway(params, interface, ["ipv6", "gateway6"]);
        let gateway = gateway.and_then(|text| Some((text, text.parse::<Ipv6Addr>().ok()?)));
        let value = value(params, interface, "ipv6").unwrap_or("none");
        let Ok(prefix) = value.parse::<Ipv6Prefix>() else {
            if let Some((gateway, _)) = gateway {
                return Err(wrong(format_args!(
                    " {interface}.gateway6: {gateway} has no use with ipv6={value}; give the address too"
                )));
            }
            return Ok((value == "auto").then(Self::auto));
        };
        if let Some(why) = prefix.why_not_a_host() {
            return Err(wrong(format_args!(" {interface}.ipv6: {value} {why}")));
        }
        if let Some((gateway, _)) = gateway.filter(|(_, gateway)| !prefix.reaches_gateway(*gateway)) {
            return Err(wrong(format_args!(
                " {interface}.gateway6: {gateway} is neither link-local nor another host in the network of {value}"
            )));
        }
        Ok(Some(Self::fixed(prefix.address, prefix.prefix_len, gateway.map(|(_, gateway)| gateway))))
    }
}

/// The line has values as they were given: without what writes addresses it takes less of the image.
#[inline(never)]
fn wrong(line: fmt::Arguments<'_>) -> ConfigError {
    ConfigError::Ipv6(alloc::format!("boot parameter{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};

    /// The interface `main`, with defaults of its own for `ipv4`, `ipv6`, `gateway6`, `dns` and `mtu`.
    const fn main_with([ipv4, ipv6, gateway6, dns, mtu]: [Option<&'static str>; 5]) -> [Param; 9] {
        let all = &Ipv6Config::PARAMS;
        [
            Param { name: "main.ipv4", default: ipv4, ..all[0] },
            Param { name: "main.gateway", ..all[1] },
            Param { name: "main.ipv6", default: ipv6, ..all[2] },
            Param { name: "main.gateway6", default: gateway6, ..all[3] },
            Param { name: "main.dns", default: dns, ..all[4] },
            Param { name: "main.hostname", ..all[5] },
            Param { name: "main.mtu", default: mtu, ..all[6] },
            Param { name: "main.queues", ..all[7] },
            Param { name: "main.ecn", ..all[8] },
        ]
    }

    static AUTO: [Param; 9] = main_with([Some("dhcp"), Some("auto"), None, None, None]);
    static FIXED: [Param; 9] = main_with([
        Some("none"),
        Some("2001:db8::2/64"),
        Some("fe80::1"),
        Some("2001:db8::53,10.0.0.3"),
        Some("1400"),
    ]);

    fn config_of(declared: &'static [Param], line: &str) -> Result<Config, String> {
        let params = Params::parse(line, &[declared]).map_err(|e| e.to_string())?;
        Config::from_params_with_ipv6(&params, "main").map_err(|e| e.to_string())
    }

    fn address(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn fixed(of: &str, prefix_len: u8, gateway: Option<&str>) -> Option<Ipv6Config> {
        Some(Ipv6Config::fixed(address(of), prefix_len, gateway.map(address)))
    }

    #[test]
    fn nothing_given_is_what_the_image_says() {
        let both = Config { ipv6: Some(Ipv6Config::auto()), ..Config::default() };
        assert_eq!(config_of(&AUTO, ""), Ok(both));
        let dns = vec![IpAddr::V6(address("2001:db8::53")), IpAddr::from([10, 0, 0, 3])];
        let ipv6 = fixed("2001:db8::2", 64, Some("fe80::1"));
        let alone = Config { ipv4: Ipv4Config::None, ipv6, dns, mtu: Some(1400), ..Config::default() };
        assert_eq!(config_of(&FIXED, ""), Ok(alone));
    }

    #[test]
    fn an_address_at_boot_replaces_the_images_own_with_its_gateway() {
        let ipv6 = |line| config_of(&FIXED, line).unwrap().ipv6;
        assert_eq!(ipv6("gateway6=2001:db8::1"), fixed("2001:db8::2", 64, Some("2001:db8::1")));
        assert_eq!(ipv6("ipv6=2001:db8:0:1::2/64"), fixed("2001:db8:0:1::2", 64, None));
        assert_eq!(
            ipv6("ipv6=2001:db8:0:1::2/128 gateway6=fe80::7"),
            fixed("2001:db8:0:1::2", 128, Some("fe80::7"))
        );
        assert_eq!(ipv6("ipv6=auto"), Some(Ipv6Config::auto()));
        assert_eq!(ipv6("ipv6=none ipv4=dhcp"), None);
        assert_eq!(
            config_of(&FIXED, "ipv4=10.0.0.2/24 gateway=10.0.0.1").unwrap().ipv4,
            Ipv4Config::Static {
                address: Ipv4Addr::new(10, 0, 0, 2),
                prefix_len: 24,
                gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
            }
        );
        assert_eq!(config_of(&AUTO, "ipv4=none").unwrap().ipv4, Ipv4Config::None);
    }

    #[test]
    fn an_interface_without_the_parameters_has_no_ipv6() {
        static PLAIN: [Param; 2] =
            [Param { name: "main.ipv4", ..PARAMS[0] }, Param { name: "main.dns", ..PARAMS[2] }];
        assert_eq!(config_of(&PLAIN, ""), Ok(Config::default()));
        assert_eq!(config_of(&PLAIN, "dns=10.0.0.3").unwrap().dns, [IpAddr::from([10, 0, 0, 3])]);
        for line in ["ipv6=auto", "ipv4=none", "dns=2001:db8::53"] {
            assert!(config_of(&PLAIN, line).is_err(), "{line}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_one_clear_line() {
        for (declared, line, said) in [
            (
                &AUTO,
                "gateway6=fe80::1",
                "boot parameter main.gateway6: fe80::1 has no use with ipv6=auto; give the address too",
            ),
            (
                &FIXED,
                "ipv6=none ipv4=dhcp gateway6=fe80::1",
                "boot parameter main.gateway6: fe80::1 has no use with ipv6=none; give the address too",
            ),
            (
                &FIXED,
                "gateway6=2001:db8:0:1::1",
                "boot parameter main.gateway6: 2001:db8:0:1::1 is neither link-local nor another host in the network of 2001:db8::2/64",
            ),
            (
                &FIXED,
                "gateway6=2001:db8::2",
                "boot parameter main.gateway6: 2001:db8::2 is neither link-local nor another host in the network of 2001:db8::2/64",
            ),
            (
                &FIXED,
                "gateway6=ff02::2",
                "boot parameter main.gateway6: ff02::2 is neither link-local nor another host in the network of 2001:db8::2/64",
            ),
            (
                &AUTO,
                "ipv6=2001:db8::/64",
                "boot parameter main.ipv6: 2001:db8::/64 is the anycast address of the subnet's routers, not a host's",
            ),
            (
                &AUTO,
                "ipv6=fe80::2/64",
                "boot parameter main.ipv6: fe80::2/64 is link-local: the interface makes that address of its own",
            ),
            (
                &AUTO,
                "ipv6=::1/128",
                "boot parameter main.ipv6: ::1/128 is the loopback address, not an interface's",
            ),
            (
                &AUTO,
                "ipv6=2001:db8::2",
                "boot parameter ipv6: \"2001:db8::2\" is not auto, none or an IPv6 address with its prefix length, such as 2001:db8::2/64",
            ),
            (
                &FIXED,
                "ipv6=none",
                "boot parameters main.ipv4 and main.ipv6: both are none, which leaves the interface without an address",
            ),
            (&FIXED, "gateway=10.0.0.1", "boot parameter main.gateway: 10.0.0.1 has no use with ipv4=none"),
            (
                &AUTO,
                "gateway=10.0.0.1",
                "boot parameter main.gateway: 10.0.0.1 has no use with ipv4=dhcp, which brings its own; give the address too",
            ),
            (&AUTO, "mtu=1279", "boot parameter main.mtu: 1279 is less than the 1280 octets that IPv6 needs"),
        ] {
            assert_eq!(config_of(declared, line).unwrap_err(), said);
        }
        assert!(config_of(&AUTO, "mtu=1280").is_ok());
        assert!(config_of(&AUTO, "mtu=576 ipv6=none").is_ok());
    }
}
