//! Boot parameters of an interface: `ipv4=10.0.2.15/24 gateway=10.0.2.2 dns=10.0.2.3`.
//!
//! [`PARAMS`] and [`Config::from_params`] are of an interface that has IPv4 alone; [`Ipv6Config::PARAMS`] and
//! [`Config::from_params_with_ipv6`] of one that has IPv6 too, `ipv6=2001:db8::2/64 gateway6=fe80::1 ipv4=none`. Only what names
//! the second two links IPv6.

use crate::config::{Config, Ipv4Config, Ipv6Config};
use crate::ip6::LEAST_MTU;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use fata_libos::param::{
    HOSTNAME, IP_LIST, IPV4, IPV4_DHCP_OR_NONE, IPV4_LIST, IPV4_OR_DHCP, IPV6, IPV6_OR_AUTO, Ipv4Prefix,
    Ipv6Prefix, MTU, Param, Params, QUEUES, Value,
};

/// What a network interface without IPv6 knows. Those of `main` are declared as `main.ipv4` and so on, with defaults of its own.
pub static PARAMS: [Param; 6] = [
    Param {
        name: "ipv4",
        kind: &IPV4_OR_DHCP,
        default: Some("dhcp"),
        help: "the interface's address and prefix length, or dhcp",
    },
    Param { name: "gateway", kind: &IPV4, default: None, help: "the router, where the address is given" },
    Param {
        name: "dns",
        kind: &IPV4_LIST,
        default: None,
        help: "name servers, with commas between; with dhcp asked before the server's",
    },
    Param { name: "hostname", kind: &HOSTNAME, default: None, help: "the name that the DHCP server is told" },
    Param {
        name: "mtu",
        kind: &MTU,
        default: None,
        help: "the largest IP packet, where less than the link's",
    },
    // Whoever opens the device reads it.
    Param {
        name: "queues",
        kind: &QUEUES,
        default: Some("1"),
        help: "pairs of queues to share with the device's back end, if it offers so many",
    },
];

/// Parameters that do not fit together. Its `Display` is the one line that stops the boot.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A gateway, and DHCP which brings its own.
    #[error(
        "boot parameter {0}.gateway: {1} has no use with ipv4=dhcp, which brings its own; give the address too"
    )]
    GatewayWithDhcp(String, Ipv4Addr),
    /// A gateway that is not on the link.
    #[error("boot parameter {interface}.gateway: {gateway} is not in the network of {address}/{prefix_len}")]
    GatewayElsewhere {
        /// The interface.
        interface: String,
        /// The gateway.
        gateway: Ipv4Addr,
        /// The interface's address.
        address: Ipv4Addr,
        /// Bits of its network part.
        prefix_len: u8,
    },
    /// The gateway is the interface itself.
    #[error("boot parameter {0}.gateway: {1} is the interface's own address")]
    GatewayIsSelf(String, Ipv4Addr),
    /// The parameter's address, or a gateway, names all hosts of the network, or the network.
    #[error("boot parameter {0}: {1}/{2} is the network's own or broadcast address, not a host's")]
    NotAHost(String, Ipv4Addr, u8),
    /// What is wrong with IPv6, the line itself: an image without IPv6 has no code that writes its addresses.
    #[error("{0}")]
    Ipv6(String),
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Config {
    /// The configuration that the boot parameters give to an interface.
    pub fn from_params(params: &Params, interface: &str) -> Result<Self, ConfigError> {
        Self::read(params, interface, |server| server.parse().ok().map(IpAddr::V4), Ipv4Config::Dhcp)
    }

    /// The same, with what reads the address of a name server, and where the address comes from if none is given.
    fn read(
        params: &Params,
        interface: &str,
        server: fn(&str) -> Option<IpAddr>,
        otherwise: Ipv4Config,
    ) -> Result<Self, ConfigError> {
        let get = |name| value(params, interface, name);
        let gateway = gateway(params, interface, ["ipv4", "gateway"]);
        let gateway = gateway.and_then(|v| v.parse::<Ipv4Addr>().ok());
        let mut dns = Vec::new();
        for text in get("dns").unwrap_or("").split(',') {
            if let Some(server) = server(text) {
                dns.push(server);
            }
        }
        let ipv4 = match get("ipv4").and_then(|v| v.parse::<Ipv4Prefix>().ok()) {
            Some(prefix) => fixed(interface, prefix, gateway)?,
            None => match gateway {
                Some(gateway) if otherwise == Ipv4Config::Dhcp => {
                    return Err(ConfigError::GatewayWithDhcp(interface.into(), gateway));
                }
                _ => otherwise,
            },
        };
        let hostname = get("hostname").map(String::from);
        Ok(Self { ipv4, ipv6: None, dns, hostname, mtu: u16::of(get("mtu")) })
    }
}

fn fixed(interface: &str, prefix: Ipv4Prefix, gateway: Option<Ipv4Addr>) -> Result<Ipv4Config, ConfigError> {
    let Ipv4Prefix { address, prefix_len } = prefix;
    let not_a_host =
        |key, address| Err(ConfigError::NotAHost(alloc::format!("{interface}.{key}"), address, prefix_len));
    if !prefix.is_host() {
        return not_a_host("ipv4", address);
    }
    if let Some(gateway) = gateway {
        if gateway == address {
            return Err(ConfigError::GatewayIsSelf(interface.into(), gateway));
        }
        if !prefix.contains(gateway) {
            let interface = interface.into();
            return Err(ConfigError::GatewayElsewhere { interface, gateway, address, prefix_len });
        }
        if !(Ipv4Prefix { address: gateway, prefix_len }).is_host() {
            return not_a_host("gateway", gateway);
        }
    }
    Ok(Ipv4Config::Static { address, prefix_len, gateway })
}

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
    pub const PARAMS: [Param; 8] = [
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

/// The name of an interface's parameter.
#[inline(never)]
fn full(interface: &str, key: &str) -> String {
    let mut name = String::from(interface);
    name.push('.');
    name.push_str(key);
    name
}

/// The gateway that goes with an address. They belong together: an address given at boot does not keep the gateway that the
/// image has for another.
#[inline(never)]
fn gateway<'p>(params: &'p Params, interface: &str, [address, gateway]: [&str; 2]) -> Option<&'p str> {
    match params.get_given(&full(interface, address)) {
        Some(_) => params.get_given(&full(interface, gateway)),
        None => value(params, interface, gateway),
    }
}

#[inline(never)]
fn value<'p>(params: &'p Params, interface: &str, key: &str) -> Option<&'p str> {
    params.get(&full(interface, key))
}

/// The line has values as they were given: without what writes addresses it takes less of the image.
#[inline(never)]
fn wrong(line: fmt::Arguments<'_>) -> ConfigError {
    ConfigError::Ipv6(alloc::format!("boot parameter{line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(line: &str) -> Result<Config, String> {
        static DECLARED: [Param; 6] = main_with([None; 5]);
        config_of(&DECLARED, line)
    }

    fn config_of(declared: &'static [Param], line: &str) -> Result<Config, String> {
        let params = Params::parse(line, &[declared]).map_err(|e| e.to_string())?;
        Config::from_params(&params, "main").map_err(|e| e.to_string())
    }

    /// The interface `main`, with defaults of its own.
    const fn main_with([ipv4, gateway, dns, hostname, mtu]: [Option<&'static str>; 5]) -> [Param; 6] {
        [
            Param {
                name: "main.ipv4",
                default: if ipv4.is_some() { ipv4 } else { PARAMS[0].default },
                ..PARAMS[0]
            },
            Param { name: "main.gateway", default: gateway, ..PARAMS[1] },
            Param { name: "main.dns", default: dns, ..PARAMS[2] },
            Param { name: "main.hostname", default: hostname, ..PARAMS[3] },
            Param { name: "main.mtu", default: mtu, ..PARAMS[4] },
            Param { name: "main.queues", ..PARAMS[5] },
        ]
    }

    #[test]
    fn nothing_given_is_dhcp() {
        assert_eq!(config(""), Ok(Config::default()));
        let dns = vec![IpAddr::from([10, 0, 0, 3])];
        let hostname = Some("web".to_string());
        assert_eq!(config("dns=10.0.0.3 hostname=web"), Ok(Config { dns, hostname, ..Config::default() }));
    }

    #[test]
    fn an_address_at_boot_replaces_the_images_own_with_its_gateway() {
        static FIXED: [Param; 6] =
            main_with([Some("10.0.2.15/24"), Some("10.0.2.2"), Some("10.0.2.3"), None, None]);
        let config = |line| config_of(&FIXED, line).unwrap();
        let fixed = |address: [u8; 4], gateway: Option<[u8; 4]>| Ipv4Config::Static {
            address: address.into(),
            prefix_len: 24,
            gateway: gateway.map(Ipv4Addr::from),
        };
        assert_eq!(config("").ipv4, fixed([10, 0, 2, 15], Some([10, 0, 2, 2])));
        assert_eq!(config("gateway=10.0.2.9").ipv4, fixed([10, 0, 2, 15], Some([10, 0, 2, 9])));
        assert_eq!(config("ipv4=10.7.0.1/24").ipv4, fixed([10, 7, 0, 1], None));
        assert_eq!(config("ipv4=dhcp").ipv4, Ipv4Config::Dhcp);
        assert_eq!(config("ipv4=dhcp").dns, [IpAddr::from([10, 0, 2, 3])]);
    }

    #[test]
    fn an_address() {
        let address = Ipv4Addr::new(10, 0, 2, 15);
        let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: Some(Ipv4Addr::new(10, 0, 2, 2)) };
        let dns = vec![IpAddr::from([1, 1, 1, 1]), IpAddr::from([9, 9, 9, 9])];
        let mtu = Some(1400);
        assert_eq!(
            config("main.ipv4=10.0.2.15/24 gateway=10.0.2.2 dns=1.1.1.1,9.9.9.9 mtu=1400"),
            Ok(Config { ipv4, ipv6: None, dns, hostname: None, mtu })
        );
        assert!(config("ipv4=10.0.0.0/31 gateway=10.0.0.1").is_ok());
        assert!(config("ipv4=10.0.0.0/32").is_ok());
    }

    #[test]
    fn what_does_not_fit_together_is_one_clear_line() {
        for (line, said) in [
            (
                "gateway=10.0.0.1",
                "boot parameter main.gateway: 10.0.0.1 has no use with ipv4=dhcp, which brings its own; give the address too",
            ),
            (
                "ipv4=10.0.2.15/24 gateway=10.0.3.2",
                "boot parameter main.gateway: 10.0.3.2 is not in the network of 10.0.2.15/24",
            ),
            (
                "ipv4=10.0.2.15/24 gateway=10.0.2.15",
                "boot parameter main.gateway: 10.0.2.15 is the interface's own address",
            ),
            (
                "ipv4=10.0.2.0/24",
                "boot parameter main.ipv4: 10.0.2.0/24 is the network's own or broadcast address, not a host's",
            ),
            (
                "ipv4=10.0.2.255/24",
                "boot parameter main.ipv4: 10.0.2.255/24 is the network's own or broadcast address, not a host's",
            ),
            (
                "ipv4=10.0.2.15/24 gateway=10.0.2.255",
                "boot parameter main.gateway: 10.0.2.255/24 is the network's own or broadcast address, not a host's",
            ),
            ("queues=0", "boot parameter queues: \"0\" is not a number from 1 to 8"),
            ("queues=9", "boot parameter queues: \"9\" is not a number from 1 to 8"),
            ("mtu=500", "boot parameter mtu: \"500\" is not a number of octets from 576 to 65535"),
        ] {
            assert_eq!(config(line).unwrap_err(), said);
        }
    }
}

#[cfg(test)]
mod ipv6_tests {
    use super::*;

    /// The interface `main`, with defaults of its own for `ipv4`, `ipv6`, `gateway6`, `dns` and `mtu`.
    const fn main_with([ipv4, ipv6, gateway6, dns, mtu]: [Option<&'static str>; 5]) -> [Param; 8] {
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
        ]
    }

    static AUTO: [Param; 8] = main_with([Some("dhcp"), Some("auto"), None, None, None]);
    static FIXED: [Param; 8] = main_with([
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
