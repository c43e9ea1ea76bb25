//! More manifests that are refused: values of every type that are none, too large, given twice, or at odds with another.
//! `bad_manifests.rs` has keys and tables.

use fata_build::package;

fn refused(text: &str) -> String {
    match package::read("unikernel.toml", None, text) {
        Ok(manifest) => panic!("not refused: {text}\n{manifest:?}"),
        Err(error) => error.to_string(),
    }
}

/// What is said of lines after `[image]` and its name, the third line on; without `unikernel.toml:`.
fn check(cases: &[(&str, &str)]) {
    for (lines, said) in cases {
        let error = refused(&format!("[image]\nname = \"web\"\n{lines}"));
        assert_eq!(error.strip_prefix("unikernel.toml:"), Some(*said), "{lines}");
    }
}

#[test]
fn of_an_image() {
    check(&[
        ("name = \"web\"", "3: duplicate key"),
        ("[image]\nmemory = \"8 MiB\"", "3: duplicate key"),
        ("memory = \"16 MiB", "3: invalid basic string, expected `\"`"),
        ("memory = 0", "3: image.memory: 0 is less than the 4 MiB that the smallest image boots in"),
        ("memory = \"\"", r#"3: image.memory: "" is not a size, such as 16 MiB or 512 KiB"#),
        (
            "memory = \"16\"",
            "3: image.memory: 16 is not a whole number of MiB, which is how guests are given memory",
        ),
        ("memory = \"1 TiB\"", r#"3: image.memory: "1 TiB" is not a size, such as 16 MiB or 512 KiB"#),
        ("memory = \"513 GiB\"", "3: image.memory: 513 GiB is more than the 512 GiB that a guest can have"),
        (
            "memory = \"17179869184 GiB\"",
            r#"3: image.memory: "17179869184 GiB" is not a size, such as 16 MiB or 512 KiB"#,
        ),
        ("max-size = \"64 KB\"", r#"3: image.max-size: "64 KB" is not a size, such as 16 MiB or 512 KiB"#),
        ("max-size = true", "3: image.max-size: expected a text in quotes, found a boolean"),
        (
            "max-size = 99999999999999999999",
            "3: image.max-size: 99999999999999999999 is not a whole number from 0 up",
        ),
    ]);
    for (text, said) in [
        (
            "params = 7\n[image]\nname = \"web\"",
            "1: params: expected a table, as in [params], found an integer",
        ),
        ("[[image]]\nname = \"web\"", "1: image: expected a table, as in [image], found an array"),
        ("[image\nname = \"web\"", "1: unclosed table, expected `]`"),
        ("[image]\nname = \"../web\"", r#"2: image.name: "../web" is not the name of a binary or example"#),
    ] {
        assert_eq!(refused(text), format!("unikernel.toml:{said}"), "{text}");
    }
}

/// What IPv6 takes, and what of IPv4 is otherwise with it; at line 4 is `[network.main]`, at line 5 its `ipv6`.
#[test]
fn of_an_interface_with_ipv6() {
    const PREFIX: &str = "auto, none or an IPv6 address with its prefix length, such as 2001:db8::2/64";
    const LIST: &str = "a list of IP addresses with commas between, such as 10.0.0.1,2001:db8::1";
    for (ipv6, lines, said) in [
        ("", "", format!("5: network.main.ipv6: \"\" is not {PREFIX}")),
        ("dhcp", "", format!("5: network.main.ipv6: \"dhcp\" is not {PREFIX}")),
        ("2001:db8::2", "", format!("5: network.main.ipv6: \"2001:db8::2\" is not {PREFIX}")),
        ("2001:db8::2/0", "", format!("5: network.main.ipv6: \"2001:db8::2/0\" is not {PREFIX}")),
        ("2001:db8::2/129", "", format!("5: network.main.ipv6: \"2001:db8::2/129\" is not {PREFIX}")),
        ("::/64", "", format!("5: network.main.ipv6: \"::/64\" is not {PREFIX}")),
        ("ff02::1/64", "", format!("5: network.main.ipv6: \"ff02::1/64\" is not {PREFIX}")),
        ("10.0.0.2/24", "", format!("5: network.main.ipv6: \"10.0.0.2/24\" is not {PREFIX}")),
        ("::1/128", "", "5: network.main.ipv6: ::1/128 is the loopback address, not an interface's".into()),
        (
            "fe80::2/64",
            "",
            "5: network.main.ipv6: fe80::2/64 is link-local: the interface makes that address of its own".into(),
        ),
        (
            "::ffff:10.0.0.2/112",
            "",
            "5: network.main.ipv6: ::ffff:10.0.0.2/112 stands for an IPv4 address, and is no interface's".into(),
        ),
        (
            "2001:db8::/64",
            "",
            "5: network.main.ipv6: 2001:db8::/64 is the anycast address of the subnet's routers, not a host's".into(),
        ),
        (
            "2001:db8::2/64",
            "gateway6 = \"router\"",
            "6: network.main.gateway6: \"router\" is not an IPv6 address, such as 2001:db8::1".into(),
        ),
        (
            "2001:db8::2/64",
            "gateway6 = \"2001:db8::2\"",
            "6: network.main.gateway6: 2001:db8::2 is neither link-local nor another host in the network of 2001:db8::2/64"
                .into(),
        ),
        (
            "2001:db8::2/64",
            "gateway6 = \"2001:db8:0:1::1\"",
            "6: network.main.gateway6: 2001:db8:0:1::1 is neither link-local nor another host in the network of 2001:db8::2/64"
                .into(),
        ),
        ("none", "gateway6 = \"fe80::1\"", "6: network.main.gateway6: has no use with ipv6 = \"none\"".into()),
        (
            "none",
            "ipv4 = \"none\"",
            "6: network.main.ipv4: \"none\" with ipv6 = \"none\" leaves the interface without an address".into(),
        ),
        (
            "auto",
            "ipv4 = \"no\"",
            "6: network.main.ipv4: \"no\" is not dhcp, none or an IPv4 address with its prefix length, such as 10.0.0.2/24"
                .into(),
        ),
        (
            "auto",
            "ipv4 = \"none\"\ngateway = \"10.0.0.1\"",
            "7: network.main.gateway: has no use with ipv4 = \"none\"".into(),
        ),
        ("auto", "mtu = 1279", "6: network.main.mtu: 1279 is less than the 1280 octets that IPv6 needs".into()),
        ("auto", "dns = [\"::1\", \"ns\"]", format!("6: network.main.dns: \"::1,ns\" is not {LIST}")),
    ] {
        check(&[(&format!("[network.back]\n[network.main]\nipv6 = \"{ipv6}\"\n{lines}"), &said)]);
    }
}

/// Of the second interface, which is at line 4: the first one is good.
#[test]
fn of_an_interface() {
    const PREFIX: &str = "dhcp or an IPv4 address with its prefix length, such as 10.0.0.2/24";
    const LIST: &str = "a list of IPv4 addresses with commas between, such as 10.0.0.1,10.0.0.2";
    const HOSTNAME: &str = "a host name: 1 to 63 of a-z, A-Z, 0-9, - and .";
    let long = "x".repeat(64);
    for (lines, said) in [
        ("ipv4 = \"\"", format!("5: network.back.ipv4: \"\" is not {PREFIX}")),
        ("ipv4 = \"10.0.0.2/33\"", format!("5: network.back.ipv4: \"10.0.0.2/33\" is not {PREFIX}")),
        ("ipv4 = \"224.0.0.1/24\"", format!("5: network.back.ipv4: \"224.0.0.1/24\" is not {PREFIX}")),
        ("[network.back.ipv4]", "5: network.back.ipv4: expected a text in quotes, found a table".into()),
        ("ipv4 = \"dhcp\"\nipv4 = \"dhcp\"", "6: duplicate key".into()),
        (
            "ipv4 = \"10.0.0.2/24\"\ngateway = \"10.0.0.255\"",
            "6: network.back.gateway: 10.0.0.255 is not another host in the network of 10.0.0.2/24".into(),
        ),
        (
            "gateway = \"10.0.0.1\"",
            "5: network.back.gateway: has no use with ipv4 = \"dhcp\", which brings its own".into(),
        ),
        ("dns = [\"2001:db8::53\"]", format!("5: network.back.dns: \"2001:db8::53\" is not {LIST}")),
        ("dns = \"10.0.0.1,\"", format!("5: network.back.dns: \"10.0.0.1,\" is not {LIST}")),
        ("dns = [\"10.0.0.1\", \"ns\"]", format!("5: network.back.dns: \"10.0.0.1,ns\" is not {LIST}")),
        ("mtu = -1", "5: network.back.mtu: -1 is not a whole number from 0 up".into()),
        ("mtu = 575", "5: network.back.mtu: 575 is not a number of octets from 576 to 65535".into()),
        ("mtu = 65536", "5: network.back.mtu: 65536 is not a number of octets from 576 to 65535".into()),
        ("mtu = 1500.0", "5: network.back.mtu: expected a whole number, found a float".into()),
        ("queues = 0", "5: network.back.queues: 0 is not a number from 1 to 8".into()),
        ("queues = 9", "5: network.back.queues: 9 is not a number from 1 to 8".into()),
        ("ecn = \"on\"", "5: network.back.ecn: expected true or false, found a string".into()),
        ("queues = \"2\"", "5: network.back.queues: expected a whole number, found a string".into()),
        ("hostname = 7", "5: network.back.hostname: expected a text in quotes, found an integer".into()),
        ("hostname = \"\"", format!("5: network.back.hostname: \"\" is not {HOSTNAME}")),
        ("hostname = \"my host\"", format!("5: network.back.hostname: \"my host\" is not {HOSTNAME}")),
        (
            &format!("hostname = \"{long}\""),
            format!("5: network.back.hostname: \"{long}\" is not {HOSTNAME}"),
        ),
        (
            "tap = \"tap0\"",
            "5: unknown key \"tap\" in [network.back]; known are: ipv4, gateway, ipv6, gateway6, dns, hostname, mtu, queues, ecn"
                .into(),
        ),
        (
            "[network.2nd]",
            "5: network.2nd: the name \"2nd\" is not made of a-z, 0-9 and -, a letter first".into(),
        ),
    ] {
        check(&[(&format!("[network.main]\n[network.back]\n{lines}"), &said)]);
    }
}

#[test]
fn of_a_parameter() {
    for (lines, said) in [
        ("help = \"x\"\n[params.n]\nhelp = \"y\"", "5: duplicate key"),
        ("help = \"x\"\nhelp = \"y\"", "5: duplicate key"),
        (
            "help = \"x\"\nhepl = \"y\"",
            r#"5: unknown key "hepl" in [params.n]: did you mean "help"?; known are: type, default, help"#,
        ),
        ("help = 7", "4: params.n.help: expected a text in quotes, found an integer"),
        ("type = 7", "4: params.n.type: expected a text in quotes, found an integer"),
        ("default = [\"a\"]", "4: params.n.default: expected a text in quotes, found an array"),
        ("default = \"a\\nb\"", "4: params.n.default: a boot parameter cannot hold quotes or line ends"),
        (
            "default = 99999999999999999999",
            "4: params.n.default: 99999999999999999999 is not a whole number from 0 up",
        ),
        ("type = \"number\"\ndefault = \"seven\"", r#"5: params.n.default: "seven" is not a whole number"#),
        (
            "type = \"number\"\ndefault = true",
            "5: params.n.default: expected a text in quotes, found a boolean",
        ),
        ("type = \"bool\"\ndefault = 1", "5: params.n.default: expected a text in quotes, found an integer"),
        (
            "type = \"port\"\ndefault = \"http\"",
            r#"5: params.n.default: "http" is not a port from 1 to 65535"#,
        ),
        (
            "type = \"duration\"\ndefault = 4294967296",
            r#"5: params.n.default: "4294967296" is not a time, such as 90s, 500ms, 5min or 2h"#,
        ),
        (
            "type = \"duration\"\ndefault = true",
            "5: params.n.default: expected a text in quotes, found a boolean",
        ),
        (
            "type = \"ipv4\"\ndefault = \"10.0.0.256\"",
            r#"5: params.n.default: "10.0.0.256" is not an IPv4 address, such as 10.0.0.1"#,
        ),
        (
            "type = \"ipv4-list\"\ndefault = []",
            r#"5: params.n.default: "" is not a list of IPv4 addresses with commas between, such as 10.0.0.1,10.0.0.2"#,
        ),
        (
            "type = \"ipv4-list\"\ndefault = [\"10.0.0.1\", \"x\"]",
            r#"5: params.n.default: "10.0.0.1,x" is not a list of IPv4 addresses with commas between, such as 10.0.0.1,10.0.0.2"#,
        ),
        ("type = \"ipv4-list\"\ndefault = [1]", "5: params.n.default: expected a list of texts in quotes"),
        (
            "type = \"ipv4-prefix\"\ndefault = \"10.0.0.1\"",
            r#"5: params.n.default: "10.0.0.1" is not an IPv4 address with its prefix length, such as 10.0.0.2/24"#,
        ),
        (
            "type = \"ipv4-prefix\"\ndefault = \"10.0.0.1/0\"",
            r#"5: params.n.default: "10.0.0.1/0" is not an IPv4 address with its prefix length, such as 10.0.0.2/24"#,
        ),
    ] {
        check(&[(&format!("[params.n]\n{lines}"), said)]);
    }
    check(&[
        (
            "[params.N]\nhelp = \"x\"",
            r#"3: params.N: the name "N" is not made of a-z, 0-9 and -, a letter first"#,
        ),
        (
            "[network.main]\n[params.mtu]\nhelp = \"x\"",
            r#"4: params.mtu: the boot parameter "mtu" is there already, Fata's own"#,
        ),
        // Only a process has it, but the same source is one.
        (
            "[network.main]\n[params.tap]\nhelp = \"x\"",
            r#"4: params.tap: the boot parameter "tap" is there already, Fata's own"#,
        ),
    ]);
}
