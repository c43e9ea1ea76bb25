//! What `xl` is asked for: from the image's note, the command line, and the network of the Xen host.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use fata_build::Network;

use crate::cli::GuestArgs;
use crate::note::{self, Note};
use crate::ui;
use crate::xen_host::Host;
use crate::xen_host::guest::{GuestSpec, Kind, Vif};

/// What an image gets that does not say what it wants.
const MEMORY_MB: u32 = 16;
/// The network behind `xenbr0` of our Xen host.
const BRIDGE: &str = "xenbr0";
const NETWORK: [&str; 3] = ["ipv4=10.0.2.15/24", "gateway=10.0.2.2", "dns=10.0.2.3"];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// The guest for an image.
pub fn guest_spec(image: &Path, args: &GuestArgs, params: &[String]) -> Result<GuestSpec> {
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let note = Note::of(image)?;
    let mut spec = GuestSpec::new(&name, PathBuf::from(image)).memory(memory_mb(args, note.as_ref()));
    check_memory(image, spec.memory_mb)?;
    // Whoever looks at it looks from its first instruction on.
    spec.paused = args.pcap.is_some() || args.gdb;
    spec.kind = if args.kind == "pvh" { Kind::Pvh } else { Kind::Pv };
    if spec.kind == Kind::Pvh && !note::has_pvh_entry(image)? {
        bail!(
            "--type pvh: this image has only the PV entry (no XEN_ELFNOTE_PHYS32_ENTRY); run it without --type"
        );
    }
    let networks = if args.no_net { Vec::new() } else { networks(note) };
    if let Some(first) = networks.first() {
        let bridge = if Host::is_dom0() { bridge_of_this_machine()? } else { BRIDGE.to_owned() };
        spec.vifs = vec![Vif::on(&bridge); networks.len()];
        // On a dom0 the network is the user's: addresses come from DHCP, or from his parameters.
        if !Host::is_dom0() {
            spec = default_params(params, first).into_iter().fold(spec, |spec, param| spec.extra(param));
        }
    }
    Ok(params.iter().fold(spec, |spec, param| spec.extra(param)))
}

/// The same for QEMU alone, whose network looks as our Xen host's does.
pub fn without_xen(image: &Path, args: &GuestArgs, params: &[String]) -> Result<GuestSpec> {
    let note = Note::of(image)?;
    let mut spec = GuestSpec::new("", PathBuf::from(image)).memory(memory_mb(args, note.as_ref()));
    check_memory(image, spec.memory_mb)?;
    let networks = if args.no_net { Vec::new() } else { networks(note) };
    if let Some(first) = networks.first() {
        spec.vifs = vec![Vif::on(BRIDGE); networks.len()];
        spec = default_params(params, first).into_iter().fold(spec, |spec, param| spec.extra(param));
    }
    Ok(params.iter().fold(spec, |spec, param| spec.extra(param)))
}

/// A guest whose image does not fit into its memory does not get as far as saying so.
fn check_memory(image: &Path, memory_mb: u32) -> Result<()> {
    let least = note::least_memory_mb(image)?;
    if memory_mb < least {
        bail!(
            "{memory_mb} MiB of memory are too few: the image alone takes {least}, up to where it is loaded"
        );
    }
    Ok(())
}

/// The address to which this machine's ports lead, if the guest has a network, and IPv4: QEMU forwards to nothing else.
pub fn forwarded_address(spec: &GuestSpec) -> Option<Ipv4Addr> {
    let of_main = |param: &&str| param.starts_with("ipv4=") || param.starts_with("main.ipv4=");
    let given = spec.extra.split(' ').find(of_main).and_then(|param| param.split('=').nth(1));
    let own = given.and_then(|value| value.split('/').next()?.parse().ok());
    (!spec.vifs.is_empty() && given != Some("none")).then_some(own.unwrap_or(ADDRESS))
}

/// An image's network interfaces: one without them refuses their parameters.
fn networks(note: Option<Note>) -> Vec<Network> {
    match note {
        Some(note) => note.manifest.networks,
        None => {
            ui::say("the image does not say what it is: it gets a network interface");
            vec![Network { name: "main".to_owned(), defaults: Vec::new(), line: 0 }]
        }
    }
}

/// What is asked for, else what the image asks for.
fn memory_mb(args: &GuestArgs, note: Option<&Note>) -> u32 {
    let of_image = || note?.manifest.image.memory.as_mib()?.try_into().ok();
    args.memory.or_else(of_image).unwrap_or(MEMORY_MB)
}

/// Addresses for our own network, those that the user does not give. A parameter without an interface's name is the first
/// one's.
fn default_params(params: &[String], first: &Network) -> Vec<&'static str> {
    let name = |param: &String| param.split('=').next().unwrap_or_default().to_owned();
    let full = |key: &str| format!("{}.{key}", first.name);
    let is_given = |key: &str| params.iter().map(name).any(|n| n == key || n == full(key));
    // They belong together: an address of the user's own has a gateway of its own.
    if is_given("ipv4") {
        return Vec::new();
    }
    // What is to do without IPv4 does.
    if first.default("ipv4") == Some("none") {
        return vec!["ipv4=none"];
    }
    NETWORK.into_iter().filter(|param| !is_given(param.split('=').next().unwrap_or_default())).collect()
}

/// `xenbr0`, else the first bridge there is.
fn bridge_of_this_machine() -> Result<String> {
    let mut bridges: Vec<String> = fs::read_dir("/sys/class/net")?
        .flatten()
        .filter(|entry| entry.path().join("bridge").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    bridges.sort_by_key(|name| (name != BRIDGE, name.clone()));
    match bridges.into_iter().next() {
        Some(bridge) => Ok(bridge),
        None => bail!(
            "this dom0 has no network bridge: make one (`ip link add xenbr0 type bridge`), or use --no-net"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_the_users_own_has_no_gateway_of_ours() {
        let main = Network { name: "main".into(), defaults: Vec::new(), line: 0 };
        assert_eq!(default_params(&["ipv4=dhcp".into()], &main), Vec::<&str>::new());
        assert_eq!(default_params(&["main.ipv4=10.1.1.1/8".into()], &main), Vec::<&str>::new());
        assert_eq!(default_params(&["dns=1.1.1.1".into()], &main), ["ipv4=10.0.2.15/24", "gateway=10.0.2.2"]);
        let defaults = [("ipv4", "none"), ("ipv6", "auto")].map(|(key, value)| (key.into(), value.into()));
        let six = Network { defaults: defaults.into(), ..main };
        assert_eq!(default_params(&[], &six), ["ipv4=none"]);
    }

    #[test]
    fn ports_lead_to_the_address_that_the_guest_has() {
        let spec = GuestSpec::new("web", PathBuf::from("web")).vif(BRIDGE);
        assert_eq!(forwarded_address(&spec), Some(ADDRESS));
        let moved = spec.extra("log=debug ipv4=10.0.2.77/24");
        assert_eq!(forwarded_address(&moved), Some(Ipv4Addr::new(10, 0, 2, 77)));
        assert_eq!(forwarded_address(&GuestSpec::new("hello", PathBuf::from("hello"))), None);
        let without = GuestSpec::new("web", PathBuf::from("web")).vif(BRIDGE).extra("ipv4=none");
        assert_eq!(forwarded_address(&without), None);
    }
}
