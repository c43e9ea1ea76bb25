//! What the tool says to boot parameters before a guest has them: the same table as guests and processes are given, and
//! types that are fata-build's and those of the libraries at once.

use std::fs;
use std::path::Path;

use fata_build::{Manifest, command_line};

#[path = "../bad_parameters/table.rs"]
mod table;

fn manifest(image: &str) -> Manifest {
    let file = if image == "probe" { "unikernel.toml" } else { &format!("src/bin/{image}.toml") };
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    fata_build::read::manifest(file, &text).unwrap()
}

#[test]
fn each_is_said_as_the_guest_says_it() {
    // Lines that are good word by word are the guest's own to judge.
    let of_several = [
        "has no use with ipv4=",
        "is not in the network of",
        "own address",
        "or broadcast address",
        "has no use with ipv6=",
        "neither link-local nor",
        "is link-local",
        "is the anycast address",
        "is the loopback address",
        "stands for an IPv4 address",
        "that IPv6 needs",
        "both are none",
    ];
    let mut judged = 0;
    for table::Case { image, parameters, said } in table::cases() {
        if let Err(error) = command_line::check(&manifest(image), parameters) {
            assert_eq!(error.to_string(), said, "{parameters}");
            judged += 1;
        } else {
            let is_of_several = of_several.iter().any(|line| said.contains(line));
            assert!(is_of_several, "{parameters} was not refused: {said}");
        }
    }
    assert!(judged > 70, "only {judged} were refused");
}

/// A device's parameters take what the libraries that read them take.
#[test]
fn devices_have_the_types_of_the_libraries() {
    let values = [
        "",
        "dhcp",
        "10.0.0.2/24",
        "10.0.0.2",
        "10.0.0.1,10.0.0.2",
        "a.b-c",
        "0",
        "1",
        "8",
        "9",
        "99",
        "100",
        "575",
        "576",
        "65535",
        "65536",
        "on",
        "off",
        "yes",
        "xvda",
        "xvdaa",
        "vdz",
        "sda",
        "auto",
        "none",
        "2001:db8::2",
        "2001:db8::2/64",
        "10.0.0.1,2001:db8::1",
    ];
    let devices = [
        ("manifest", "main", &fata::net::PARAMS[..]),
        ("manifest", "back", &fata::net::Ipv6Config::PARAMS[..]),
        ("block", "data", &fata::block::PARAMS[..]),
    ];
    for (image, device, params) in devices {
        for (param, value) in params.iter().flat_map(|param| values.map(|value| (param, value))) {
            let line = format!("{device}.{}={value}", param.name);
            let taken = command_line::check(&manifest(image), &line).is_ok();
            assert_eq!(taken, (param.kind.check)(value), "{line}");
        }
    }
}
