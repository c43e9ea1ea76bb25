//! For Qubes OS: the commands that make the qube, to be run in its dom0. There is no configuration file: a qube is properties
//! that `qvm-create` and `qvm-prefs` set (<https://www.qubes-os.org/doc/managing-vm-kernels/>), with the image as its kernel.
//! Not tried on Qubes yet.

use super::Guest;
use crate::xen_host::guest::Kind;

/// The commands.
pub(super) fn text(guest: &Guest) -> String {
    let name = &guest.manifest.image.name;
    let memory = guest.memory_mb();
    let mode = match guest.kind {
        Kind::Pv => "pv",
        Kind::Pvh | Kind::Machine(_) | Kind::Process => "pvh",
    };
    let folder = format!("/var/lib/qubes/vm-kernels/fata-{name}");
    let mut lines = vec![
        format!("# {name} as a qube: run this in dom0, where {} is the image.", guest.kernel),
        format!("mkdir -p {folder}"),
        format!("cp -- '{}' {folder}/vmlinuz", guest.kernel),
        // Qubes wants one to be there.
        format!("gzip -n9 < /dev/null > {folder}/initramfs"),
        format!("qvm-create --class StandaloneVM --label gray {name}"),
        format!("qvm-prefs {name} kernel fata-{name}"),
        format!("qvm-prefs {name} virt_mode {mode}"),
        format!("qvm-prefs {name} memory {memory}"),
        format!("qvm-prefs {name} maxmem 0"),
        format!("qvm-prefs {name} vcpus 1"),
        format!("qvm-features {name} no-default-kernelopts 1"),
    ];
    let mut options = format!("'{}'", guest.command_line);
    match guest.manifest.networks.len() {
        0 => lines.push(format!("qvm-prefs {name} netvm ''")),
        1 => {}
        _ => lines.push("# Qubes gives a qube one network interface: the others will be missing.".to_owned()),
    }
    let wants_ipv4 = guest.manifest.networks.first().is_some_and(|main| main.default("ipv4") != Some("none"));
    if wants_ipv4 && !guest.command_line.contains("ipv4=") {
        lines.push("# Qubes has no DHCP; its network qube answers for every address.".to_owned());
        options +=
            &format!("\" ipv4=$(qvm-prefs {name} ip)/16 gateway=$(qvm-prefs {name} visible_gateway)\"");
    }
    if let Some(block) = guest.manifest.blocks.first() {
        lines.push(format!("# xvdb, the qube's private volume, is its block device {}.", block.name));
        if block.optional {
            lines.push(format!("# Without {}.disk it would take xvda, the qube's root.", block.name));
        }
        lines.extend(block.size.map(|size| format!("qvm-volume resize {name}:private {}", size.octets)));
        options += &format!("\" {}.disk=xvdb\"", block.name);
    }
    if guest.manifest.blocks.len() > 1 {
        lines.push("# Qubes gives a qube one volume to keep: the others will be missing.".to_owned());
    }
    lines.push(format!("qvm-prefs {name} kernelopts {options}"));
    lines.push(format!("qvm-start {name}"));
    lines.join("\n") + "\n"
}
