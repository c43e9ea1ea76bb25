//! What an appliance would say to a command line, from its manifest: read as the guest reads it.

use crate::manifest::{BLOCK_KEYS, Manifest, NETWORK_KEYS, NETWORK_KEYS_WITH_IPV6, Network};
use fata_libos::param::{
    BOOL, DISK, HOSTNAME, IP_LIST, IPV4, IPV4_DHCP_OR_NONE, IPV4_LIST, IPV4_OR_DHCP, IPV6, IPV6_OR_AUTO,
    Kind, LOG, MTU, Param, ParamError, Params, QUEUES,
};

/// The kinds of [`NETWORK_KEYS`], in their order.
static NETWORK_KINDS: [&Kind; NETWORK_KEYS.len()] =
    [&IPV4_OR_DHCP, &IPV4, &IPV4_LIST, &HOSTNAME, &MTU, &QUEUES, &BOOL];

/// The kinds of [`NETWORK_KEYS_WITH_IPV6`], in their order.
static KINDS_WITH_IPV6: [&Kind; NETWORK_KEYS_WITH_IPV6.len()] =
    [&IPV4_DHCP_OR_NONE, &IPV4, &IPV6_OR_AUTO, &IPV6, &IP_LIST, &HOSTNAME, &MTU, &QUEUES, &BOOL];

/// The kinds of an interface's parameters, in the order of its keys.
fn kinds(network: &Network) -> &'static [&'static Kind] {
    if network.has_ipv6() { &KINDS_WITH_IPV6 } else { &NETWORK_KINDS }
}

/// The kinds of a guest's [`BLOCK_KEYS`], in their order: without the last, which is a process's.
static BLOCK_KINDS: [&Kind; BLOCK_KEYS.len() - 1] = [&DISK, &BOOL, &QUEUES];

/// Whether an image with this manifest takes a command line: each name is one that it knows, each value of the name's
/// type. That the parameters of an interface fit together, a gateway and its network, is not looked at.
pub fn check(manifest: &Manifest, line: &str) -> Result<(), ParamError> {
    Params::parse(line, &[declared(manifest)]).map(drop)
}

/// All parameters of a guest, in the guest's order. They live as long as the program, which checks a few lines.
fn declared(manifest: &Manifest) -> &'static [Param] {
    let of = |name: String, kind| Param { name: name.leak(), kind, default: None, help: "" };
    let own = manifest.params.iter().map(|param| of(param.name.clone(), param.kind.kind));
    let of_networks = manifest.networks.iter().flat_map(|network| {
        let each = network.keys().iter().copied().zip(kinds(network).iter().copied());
        each.map(move |(key, kind)| of(format!("{}.{key}", network.name), kind))
    });
    let of_blocks = manifest.blocks.iter().flat_map(|block| {
        let each = BLOCK_KEYS.into_iter().zip(BLOCK_KINDS);
        each.map(move |(key, kind)| of(format!("{}.{key}", block.name), kind))
    });
    let all = std::iter::once(of("log".to_owned(), &LOG)).chain(own).chain(of_networks).chain(of_blocks);
    all.collect::<Vec<_>>().leak()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_with_ipv6_has_parameters_of_it() {
        let text = "[image]\nname = \"x\"\n[network.main]\n[network.back]\nipv6 = \"auto\"\n";
        let manifest = crate::read::manifest("x", text).unwrap();
        for good in [
            "ipv6=2001:db8::2/64 gateway6=fe80::1 back.ipv4=none back.dns=10.0.0.3,2001:db8::53",
            "back.ipv6=none",
        ] {
            assert_eq!(check(&manifest, good), Ok(()), "{good}");
        }
        for (bad, said) in [
            (
                "main.ipv6=auto",
                "boot parameter \"main.ipv6\" is unknown: did you mean \"main.ipv4\"?; known are: log,",
            ),
            ("ipv4=none", "boot parameter ipv4: \"none\" is not dhcp or an IPv4 address"),
            ("dns=2001:db8::53", "boot parameter dns: \"2001:db8::53\" is not a list of IPv4 addresses"),
            ("back.ipv4=no", "boot parameter back.ipv4: \"no\" is not dhcp, none or an IPv4 address"),
            ("back.ipv6=dhcp", "boot parameter back.ipv6: \"dhcp\" is not auto, none or an IPv6 address"),
            ("gateway6=10.0.0.1", "boot parameter gateway6: \"10.0.0.1\" is not an IPv6 address, such as"),
        ] {
            let error = check(&manifest, bad).unwrap_err().to_string();
            assert!(error.starts_with(said), "{bad}: {error}");
        }
    }

    #[test]
    fn values_are_of_their_names_types() {
        let text = "[image]\nname = \"x\"\n[network.main]\n[network.back]\n[block.data]\n\
                    [params.port]\ntype = \"port\"\nhelp = \"the port\"\n[params.greeting]\nhelp = \"what to say\"\n";
        let manifest = crate::read::manifest("x", text).unwrap();
        for good in [
            "",
            "help",
            "port=80 log=warn,x=debug greeting=\"a b\" ipv4=dhcp back.mtu=1400 back.queues=8",
            "disk=xvdc data.read-only=on queues=2 data.queues=8",
        ] {
            assert_eq!(check(&manifest, good), Ok(()), "{good}");
        }
        for (bad, said) in [
            ("port=banana", "boot parameter port: \"banana\" is not a port from 1 to 65535"),
            ("port=0", "boot parameter port: \"0\" is not a port from 1 to 65535"),
            ("back.ipv4=10.0.0.1", "boot parameter back.ipv4: \"10.0.0.1\" is not dhcp or an IPv4 address"),
            ("mtu=9", "boot parameter mtu: \"9\" is not a number of octets from 576 to 65535"),
            ("queues=9", "boot parameter queues: \"9\" is not a number from 1 to 8"),
            ("data.disk=sda", "boot parameter data.disk: \"sda\" is not a disk, such as xvdb"),
            ("read-only=yes", "boot parameter read-only: \"yes\" is not on or off"),
            ("data.queues=0", "boot parameter data.queues: \"0\" is not a number from 1 to 8"),
            (
                "data.file=x",
                "boot parameter \"data.file\" is unknown; known are: log, port, greeting, main.ipv4",
            ),
            ("prot=80", "boot parameter \"prot\" is unknown: did you mean \"port\"?"),
            ("port=80 port=81", "boot parameter port is given twice"),
        ] {
            let error = check(&manifest, bad).unwrap_err().to_string();
            assert!(error.starts_with(said), "{bad}: {error}");
        }
    }
}
