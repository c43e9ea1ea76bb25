//! The names, the order and the values of what interfaces have are netstack's.

use fata_build::{command_line, read};
use fata_libos::param::Param;
use fata_netstack::{Ipv6Config, PARAMS};

fn names(params: &[Param]) -> Vec<&str> {
    params.iter().map(|param| param.name).collect()
}

#[test]
fn network_keys_are_those_of_netstack() {
    assert_eq!(names(&PARAMS), fata_build::NETWORK_KEYS);
    assert_eq!(names(&Ipv6Config::PARAMS), fata_build::NETWORK_KEYS_WITH_IPV6);
}

/// Word by word the tool takes what the guest takes, of an interface without IPv6 and of one that has it.
#[test]
fn values_are_those_of_netstack() {
    let values = [
        "",
        "dhcp",
        "auto",
        "none",
        "10.0.0.2/24",
        "10.0.0.2",
        "10.0.0.1,10.0.0.2",
        "2001:db8::2/64",
        "2001:db8::2",
        "10.0.0.1,2001:db8::2",
        "fe80::1",
        "a.b-c",
        "1",
        "9",
        "1280",
        "on",
        "off",
        "yes",
    ];
    let text = "[image]\nname = \"x\"\n[network.main]\n[network.back]\nipv6 = \"none\"\n";
    let manifest = read::manifest("x", text).unwrap();
    for (interface, params) in [("main", &PARAMS[..]), ("back", &Ipv6Config::PARAMS[..])] {
        for (param, value) in params.iter().flat_map(|param| values.map(|value| (param, value))) {
            let line = format!("{interface}.{}={value}", param.name);
            let taken = command_line::check(&manifest, &line).is_ok();
            assert_eq!(taken, (param.kind.check)(value), "{line}");
        }
    }
}
