//! Manifests that are refused, and the line that says why.

use fata_build::package;

const IMAGE: &str = "[image]\nname = \"web\"\n";

/// The first line of a text after [`IMAGE`] is line 3.
fn refused(text: &str) -> String {
    match package::read("unikernel.toml", None, text) {
        Ok(manifest) => panic!("not refused: {text}\n{manifest:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_with_an_image() {
    for (text, said) in [
        ("", "unikernel.toml: it has no [image], which names the image"),
        (
            "[imag]\nname = \"web\"",
            r#"unikernel.toml:1: unknown key "imag" at the top: did you mean "image"?; known are: image, network, block, params"#,
        ),
        ("image = \"web\"", "unikernel.toml:1: image: expected a table, as in [image], found a string"),
        ("[image]", r#"unikernel.toml:1: [image] has no "name""#),
        ("[image]\nmemory = \"16 MiB\"", r#"unikernel.toml:1: [image] has no "name""#),
        ("[image]\nname = 7", "unikernel.toml:2: image.name: expected a text in quotes, found an integer"),
        (
            "[image]\nname = \"\"",
            r#"unikernel.toml:2: image.name: "" is not the name of a binary or example"#,
        ),
        (
            "[image]\nname = \"a b\"",
            r#"unikernel.toml:2: image.name: "a b" is not the name of a binary or example"#,
        ),
        ("[image]\nname = web", "unikernel.toml:2: string values must be quoted, expected literal string"),
        ("[image]\nname = \"web\"\nname = \"web\"", "unikernel.toml:3: duplicate key"),
    ] {
        assert_eq!(refused(text), said, "{text}");
    }
    for (line, said) in [
        (
            "memroy = \"16 MiB\"",
            r#"unikernel.toml:3: unknown key "memroy" in [image]: did you mean "memory"?; known are: name, memory, max-size"#,
        ),
        (
            "max_size = 1",
            r#"unikernel.toml:3: unknown key "max_size" in [image]: did you mean "max-size"?; known are: name, memory, max-size"#,
        ),
        (
            "vcpus = 2",
            r#"unikernel.toml:3: unknown key "vcpus" in [image]; known are: name, memory, max-size"#,
        ),
        (
            "memory = \"16 MB\"",
            r#"unikernel.toml:3: image.memory: "16 MB" is not a size, such as 16 MiB or 512 KiB"#,
        ),
        (
            "memory = \"1 MiB\"",
            "unikernel.toml:3: image.memory: 1 MiB is less than the 4 MiB that the smallest image boots in",
        ),
        (
            "memory = \"5000 KiB\"",
            "unikernel.toml:3: image.memory: 5000 KiB is not a whole number of MiB, which is how guests are given memory",
        ),
        ("memory = 1.5", "unikernel.toml:3: image.memory: expected a text in quotes, found a float"),
        ("max-size = -1", "unikernel.toml:3: image.max-size: -1 is not a whole number from 0 up"),
    ] {
        assert_eq!(refused(&format!("{IMAGE}{line}")), said, "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_device() {
    for (lines, said) in [
        (
            "[network]\nipv4 = \"dhcp\"",
            "unikernel.toml:4: network.ipv4: expected a table, as in [network.ipv4], found a string",
        ),
        (
            "[networks.main]",
            r#"unikernel.toml:3: unknown key "networks" at the top: did you mean "network"?; known are: image, network, block, params"#,
        ),
        (
            "[network.Main]",
            r#"unikernel.toml:3: network.Main: the name "Main" is not made of a-z, 0-9 and -, a letter first"#,
        ),
        (
            "[network.main]\nipv5 = \"dhcp\"",
            r#"unikernel.toml:4: unknown key "ipv5" in [network.main]: did you mean "ipv4"?; known are: ipv4, gateway, ipv6, gateway6, dns, hostname, mtu, queues, ecn"#,
        ),
        (
            "[network.main]\nipv6 = \"yes\"",
            r#"unikernel.toml:4: network.main.ipv6: "yes" is not auto, none or an IPv6 address with its prefix length, such as 2001:db8::2/64"#,
        ),
        (
            "[network.main]\nipv4 = \"none\"",
            "unikernel.toml:4: network.main.ipv4: \"none\" without ipv6 leaves the interface without an address",
        ),
        (
            "[network.main]\ngateway6 = \"fe80::1\"",
            "unikernel.toml:4: network.main.gateway6: has no use without ipv6",
        ),
        (
            "[network.main]\nipv6 = \"auto\"\ngateway6 = \"fe80::1\"",
            r#"unikernel.toml:5: network.main.gateway6: has no use with ipv6 = "auto", whose routers advertise themselves"#,
        ),
        (
            "[network.main]\nipv4 = \"10.0.0.1\"",
            r#"unikernel.toml:4: network.main.ipv4: "10.0.0.1" is not dhcp or an IPv4 address with its prefix length, such as 10.0.0.2/24"#,
        ),
        (
            "[network.main]\nipv4 = true",
            "unikernel.toml:4: network.main.ipv4: expected a text in quotes, found a boolean",
        ),
        (
            "[network.main]\nipv4 = \"10.0.0.0/24\"",
            "unikernel.toml:4: network.main.ipv4: 10.0.0.0/24 is the network's own or broadcast address, not a host's",
        ),
        (
            "[network.main]\ngateway = \"10.0.0.1\"",
            r#"unikernel.toml:4: network.main.gateway: has no use with ipv4 = "dhcp", which brings its own"#,
        ),
        (
            "[network.main]\nipv4 = \"10.0.0.2/24\"\ngateway = \"10.0.1.1\"",
            "unikernel.toml:5: network.main.gateway: 10.0.1.1 is not another host in the network of 10.0.0.2/24",
        ),
        (
            "[network.main]\nipv4 = \"10.0.0.2/24\"\ngateway = \"10.0.0.2\"",
            "unikernel.toml:5: network.main.gateway: 10.0.0.2 is not another host in the network of 10.0.0.2/24",
        ),
        (
            "[network.main]\nipv4 = \"10.0.0.2/24\"\ngateway = \"router\"",
            r#"unikernel.toml:5: network.main.gateway: "router" is not an IPv4 address, such as 10.0.0.1"#,
        ),
        (
            "[network.main]\ndns = [1]",
            "unikernel.toml:4: network.main.dns: expected a list of texts in quotes",
        ),
        (
            "[network.main]\ndns = []",
            r#"unikernel.toml:4: network.main.dns: "" is not a list of IPv4 addresses with commas between, such as 10.0.0.1,10.0.0.2"#,
        ),
        (
            "[network.main]\nmtu = 500",
            "unikernel.toml:4: network.main.mtu: 500 is not a number of octets from 576 to 65535",
        ),
        (
            "[network.main]\nmtu = \"1400\"",
            "unikernel.toml:4: network.main.mtu: expected a whole number, found a string",
        ),
        (
            "[network.main]\nhostname = \"a\\nb\"",
            r#"unikernel.toml:4: network.main.hostname: "a\nb" is not a host name: 1 to 63 of a-z, A-Z, 0-9, - and ."#,
        ),
        ("[network.main]\n[network.main]", "unikernel.toml:4: duplicate key"),
        (
            "[block.data]\nsize = \"1 GB\"",
            r#"unikernel.toml:4: block.data.size: "1 GB" is not a size, such as 16 MiB or 512 KiB"#,
        ),
        (
            "[block.data]\nreadonly = true",
            r#"unikernel.toml:4: unknown key "readonly" in [block.data]: did you mean "read-only"?; known are: size, read-only, optional, queues"#,
        ),
        (
            "[block.data]\nread-only = \"yes\"",
            "unikernel.toml:4: block.data.read-only: expected true or false, found a string",
        ),
        (
            "[network.data]\n[block.data]\nqueues = 2",
            "unikernel.toml:4: block.data: [network.data] has this name already",
        ),
        ("[block.data]\nqueues = 9", "unikernel.toml:4: block.data.queues: 9 is not a number from 1 to 8"),
        (
            "[block.data]\n[params.disk]\nhelp = \"x\"",
            r#"unikernel.toml:4: params.disk: the boot parameter "disk" is there already, Fata's own"#,
        ),
    ] {
        assert_eq!(refused(&format!("{IMAGE}{lines}")), said, "{lines}");
    }
}

#[test]
fn what_is_wrong_with_a_parameter() {
    for (lines, said) in [
        (
            "[param.port]",
            r#"unikernel.toml:3: unknown key "param" at the top: did you mean "params"?; known are: image, network, block, params"#,
        ),
        (
            "[params]\nport = 80",
            "unikernel.toml:4: params.port: expected a table, as in [params.port], found an integer",
        ),
        ("[params.port]", r#"unikernel.toml:3: [params.port] has no "help""#),
        ("[params.port]\nhelp = \"\"", "unikernel.toml:4: params.port.help: is not one line of text"),
        ("[params.port]\nhelp = \"a\\nb\"", "unikernel.toml:4: params.port.help: is not one line of text"),
        (
            "[params.max_clients]",
            r#"unikernel.toml:3: params.max_clients: the name "max_clients" is not made of a-z, 0-9 and -, a letter first"#,
        ),
        (
            "[params.log]\nhelp = \"x\"",
            r#"unikernel.toml:3: params.log: the boot parameter "log" is there already, Fata's own"#,
        ),
        (
            "[params.help]\nhelp = \"x\"",
            r#"unikernel.toml:3: params.help: the boot parameter "help" is there already, Fata's own"#,
        ),
        (
            "[network.main]\n[params.dns]\nhelp = \"x\"",
            r#"unikernel.toml:4: params.dns: the boot parameter "dns" is there already, Fata's own"#,
        ),
        (
            "[params.port]\ntype = \"prot\"\nhelp = \"x\"",
            r#"unikernel.toml:4: params.port.type: there is no type "prot": did you mean "port"?; there are: text, number, bool, port, duration, size, ipv4, ipv4-list, ipv4-prefix, ipv6, ipv6-prefix, ip, ip-list"#,
        ),
        (
            "[params.port]\nkind = \"port\"\nhelp = \"x\"",
            r#"unikernel.toml:4: unknown key "kind" in [params.port]; known are: type, default, help"#,
        ),
        (
            "[params.port]\ntype = \"port\"\ndefault = 0\nhelp = \"x\"",
            r#"unikernel.toml:5: params.port.default: "0" is not a port from 1 to 65535"#,
        ),
        (
            "[params.port]\ntype = \"port\"\ndefault = 65536\nhelp = \"x\"",
            r#"unikernel.toml:5: params.port.default: "65536" is not a port from 1 to 65535"#,
        ),
        (
            "[params.n]\ndefault = -1\nhelp = \"x\"",
            "unikernel.toml:4: params.n.default: -1 is not a whole number from 0 up",
        ),
        (
            "[params.n]\ndefault = 1.5\nhelp = \"x\"",
            "unikernel.toml:4: params.n.default: expected a text in quotes, found a float",
        ),
        (
            "[params.n]\ntype = \"text\"\ndefault = 1\nhelp = \"x\"",
            "unikernel.toml:5: params.n.default: expected a text in quotes, found an integer",
        ),
        (
            "[params.wait]\ntype = \"duration\"\ndefault = \"1 day\"\nhelp = \"x\"",
            r#"unikernel.toml:5: params.wait.default: "1 day" is not a time, such as 90s, 500ms, 5min or 2h"#,
        ),
        (
            "[params.quiet]\ntype = \"bool\"\ndefault = \"yes\"\nhelp = \"x\"",
            r#"unikernel.toml:5: params.quiet.default: "yes" is not on or off"#,
        ),
        (
            "[params.to]\ntype = \"ipv4\"\ndefault = \"localhost\"\nhelp = \"x\"",
            r#"unikernel.toml:5: params.to.default: "localhost" is not an IPv4 address, such as 10.0.0.1"#,
        ),
        (
            "[params.say]\ndefault = 'a \"b\"'\nhelp = \"x\"",
            "unikernel.toml:4: params.say.default: a boot parameter cannot hold quotes or line ends",
        ),
    ] {
        assert_eq!(refused(&format!("{IMAGE}{lines}")), said, "{lines}");
    }
}

#[test]
fn the_manifest_of_an_example_names_its_source() {
    let error = package::read("examples/echo.toml", Some("echo"), IMAGE).unwrap_err();
    assert_eq!(error.to_string(), "examples/echo.toml: image.name is \"web\", but the source is echo.rs");
}
