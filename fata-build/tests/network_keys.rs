//! The names and the order of what interfaces have are netstack's.

#[test]
fn network_keys_are_those_of_netstack() {
    let names: Vec<&str> = fata_netstack::PARAMS.iter().map(|param| param.name).collect();
    assert_eq!(names, fata_build::NETWORK_KEYS);
    let names: Vec<&str> = fata_netstack::Ipv6Config::PARAMS.iter().map(|param| param.name).collect();
    assert_eq!(names, fata_build::NETWORK_KEYS_WITH_IPV6);
}
