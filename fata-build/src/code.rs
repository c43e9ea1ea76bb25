//! The Rust that `fata::main!` includes: what the manifest says, as constants.

use crate::manifest::{BLOCK_KEYS, Block, Manifest, Network, Param};
use crate::note;

/// The source text. `file` is the manifest's name, for readers of the text; `features` are what the image says that it was built with.
pub fn of(manifest: &Manifest, file: &str, version: &str, features: &[String]) -> String {
    let image = &manifest.image;
    let note = note::text(manifest, version, features);
    let of_interfaces = manifest.networks.iter().flat_map(interface);
    let of_blocks = manifest.blocks.iter().enumerate().flat_map(|(number, block)| of_block(number, block));
    let of_devices: Vec<String> = of_interfaces.chain(of_blocks).collect();
    format!(
        r#"// Made by fata-build from {file}, which is the place for changes.

/// Network interfaces, in the order of the guest's `vif`s.
mod networks {{
{network_keys}}}

/// Block devices, in the order of the guest's disks.
mod blocks {{
{block_keys}}}

/// The appliance's own boot parameters.
mod params {{
{param_keys}}}

#[doc(hidden)]
#[allow(dead_code)]
mod fata_manifest {{
    pub const NAME: &str = {name:?};
    pub const VERSION: &str = {version:?};
    pub const NOTE: &str = {note:?};
    pub static PARAMS: [::fata::param::Param; {param_count}] = [
{params}    ];
    pub const CHECK: Option<fn(&::fata::param::Params) -> ::fata::Result<()>> = {check};
    pub const DEVICES: Option<::fata::DevicesCheck> = {devices};
}}
"#,
        network_keys = numbered(&manifest.networks, network_key),
        block_keys = numbered(&manifest.blocks, block_key),
        param_keys = numbered(&manifest.params, param_key),
        name = image.name,
        param_count = manifest.params.len() + of_devices.len(),
        params = numbered(&manifest.params, |_, param| declaration(param)) + &of_devices.concat(),
        check = check(manifest),
        devices = if manifest.networks.len() + manifest.blocks.len() > 1 {
            "Some(::fata::__all_there)"
        } else {
            "None"
        },
    )
}

/// What sees to it that the devices' parameters fit together.
fn check(manifest: &Manifest) -> String {
    // What is named here is linked.
    let network = match manifest.networks.iter().any(Network::has_ipv6) {
        true => "::fata::net::check_params_with_ipv6",
        false => "::fata::net::check_params",
    };
    match (manifest.networks.is_empty(), manifest.blocks.is_empty()) {
        (true, true) => "None".to_owned(),
        (false, true) => format!("Some({network})"),
        (true, false) => "Some(::fata::block::check_params)".to_owned(),
        (false, false) => {
            format!("Some(|params| {network}(params).and_then(|()| ::fata::block::check_params(params)))")
        }
    }
}

fn numbered<T>(all: &[T], text: impl Fn(usize, &T) -> String) -> String {
    all.iter().enumerate().map(|(number, one)| text(number, one)).collect()
}

fn network_key(number: usize, network: &Network) -> String {
    let Network { name, .. } = network;
    let new = if network.has_ipv6() { "with_ipv6" } else { "new" };
    format!(
        "    /// The interface `{name}`.\n    pub const {}: ::fata::net::Name = ::fata::net::Name::{new}({number}, {name:?});\n",
        constant(name)
    )
}

fn block_key(number: usize, block: &Block) -> String {
    let Block { name, optional, .. } = block;
    let kind = if *optional { "Optional" } else { "Name" };
    format!(
        "    /// The block device `{name}`.\n    pub const {}: ::fata::block::{kind} = ::fata::block::{kind}::new({number}, {name:?});\n",
        constant(name)
    )
}

fn param_key(number: usize, param: &Param) -> String {
    let rust = match param.default {
        Some(_) => param.kind.rust.to_owned(),
        None => format!("Option<&'static {}>", param.kind.rust),
    };
    let name = constant(&param.name);
    format!(
        "    #[doc = {:?}]\n    pub const {name}: ::fata::param::Key<{rust}> = ::fata::param::Key::new(&super::fata_manifest::PARAMS[{number}]);\n",
        param.help
    )
}

/// The parameters of an interface: those that all have, or all with IPv6, with its name before them and its defaults.
fn interface(network: &Network) -> Vec<String> {
    let table = if network.has_ipv6() { "Ipv6Config::PARAMS" } else { "PARAMS" };
    let declare = |(number, key): (usize, &&str)| {
        let default = network.default(key);
        let default = default.map_or_else(String::new, |value| format!(" default: Some({value:?}),"));
        let name = format!("{}.{key}", network.name);
        format!(
            "        ::fata::param::Param {{ name: {name:?},{default} ..::fata::net::{table}[{number}] }},\n"
        )
    };
    network.keys().iter().enumerate().map(declare).collect()
}

/// The parameters of a block device: which disk it is, by its place in the manifest, whether it is only read, and how many queues it
/// has. Of an optional one that nobody gave it is that place if there is such a disk.
fn of_block(number: usize, Block { name, read_only, optional, queues, .. }: &Block) -> [String; 3] {
    let declare = |n: usize, key: &str, default: Option<&str>| {
        format!(
            "        ::fata::param::Param {{ name: {:?}, default: {default:?}, ..::fata::block::PARAMS[{n}] }},\n",
            format!("{name}.{key}")
        )
    };
    let number = number.to_string();
    let read_only = if *read_only { "on" } else { "off" };
    [
        declare(0, BLOCK_KEYS[0], Some(number.as_str()).filter(|_| !optional)),
        declare(1, BLOCK_KEYS[1], Some(read_only)),
        declare(2, BLOCK_KEYS[2], Some(queues.as_deref().unwrap_or("1"))),
    ]
}

fn declaration(param: &Param) -> String {
    let Param { name, kind, default, help } = param;
    format!(
        "        ::fata::param::Param {{ name: {name:?}, kind: &::fata::param::{}, default: {default:?}, help: {help:?} }},\n",
        kind.constant
    )
}

/// `max-clients` is `MAX_CLIENTS`.
fn constant(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}
