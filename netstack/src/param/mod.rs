//! Boot parameters of an interface: `ipv4=10.0.2.15/24 gateway=10.0.2.2 dns=10.0.2.3`.
//!
//! [`PARAMS`] and [`Config::from_params`] are of an interface that has IPv4 alone; [`Ipv6Config::PARAMS`](crate::Ipv6Config::PARAMS) and
//! [`Config::from_params_with_ipv6`] of one that has IPv6 too, `ipv6=2001:db8::2/64 gateway6=fe80::1 ipv4=none`. Only what names
//! the second two links IPv6.

mod ipv6;

use crate::config::{Config, Ipv4Config};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use fata_libos::param::{
    BOOL, HOSTNAME, IPV4, IPV4_LIST, IPV4_OR_DHCP, Ipv4Prefix, MTU, Param, Params, QUEUES, Value,
};

/// What a network interface without IPv6 knows. Those of `main` are declared as `main.ipv4` and so on, with defaults of its own.
pub static PARAMS: [Param; 7] = [
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
    Param {
        name: "ecn",
        kind: &BOOL,
        default: Some("off"),
        help: "offers peers to mark packets for congestion; of peers it is taken in any case",
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
        Ok(Self { ipv4, ipv6: None, dns, hostname, mtu: u16::of(get("mtu")), ecn: get("ecn") == Some("on") })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn config(line: &str) -> Result<Config, String> {
        static DECLARED: [Param; 7] = main_with([None; 5]);
        config_of(&DECLARED, line)
    }

    fn config_of(declared: &'static [Param], line: &str) -> Result<Config, String> {
        let params = Params::parse(line, &[declared]).map_err(|e| e.to_string())?;
        Config::from_params(&params, "main").map_err(|e| e.to_string())
    }

    /// The interface `main`, with defaults of its own.
    const fn main_with([ipv4, gateway, dns, hostname, mtu]: [Option<&'static str>; 5]) -> [Param; 7] {
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
            Param { name: "main.ecn", ..PARAMS[6] },
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
        static FIXED: [Param; 7] =
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
            Ok(Config { ipv4, dns, mtu, ..Config::default() })
        );
        assert_eq!(config("ecn=on"), Ok(Config { ecn: true, ..Config::default() }));
        assert_eq!(config("main.ecn=off"), Ok(Config::default()));
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
            ("ecn=yes", "boot parameter ecn: \"yes\" is not on or off"),
            ("queues=9", "boot parameter queues: \"9\" is not a number from 1 to 8"),
            ("mtu=500", "boot parameter mtu: \"500\" is not a number of octets from 576 to 65535"),
        ] {
            assert_eq!(config(line).unwrap_err(), said);
        }
    }
}
