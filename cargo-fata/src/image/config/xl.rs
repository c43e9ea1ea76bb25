//! For `xl create`: xl.cfg(5).

use super::Guest;
use crate::xen_host::guest::Kind;

/// The configuration's text.
pub(super) fn text(guest: &Guest) -> String {
    let name = &guest.manifest.image.name;
    let kind = match guest.kind {
        Kind::Pv => "pv",
        Kind::Pvh | Kind::Machine(_) | Kind::Process => "pvh",
    };
    let mut lines = vec![
        format!("# {name}, as the manifest in its image asks for it. Start it with: xl create -c FILE"),
        format!("name = \"{name}\""),
        format!("type = \"{kind}\""),
        format!("kernel = \"{}\"", guest.kernel),
        format!("memory = {}", guest.memory_mb()),
        "vcpus = 1".to_owned(),
    ];
    if !guest.bridges.is_empty() {
        let names = guest.manifest.networks.iter().map(|network| network.name.as_str());
        lines.push(format!("# {}", names.collect::<Vec<_>>().join(", ")));
        lines.push(format!("vif = [ {} ]", listed(guest.bridges.iter().map(|b| format!("bridge={b}")))));
    }
    if !guest.manifest.blocks.is_empty() {
        let optional = guest.manifest.blocks.iter().filter(|block| block.optional);
        lines.extend(optional.map(|block| format!("# It starts without the disk of {} too.", block.name)));
        lines.push(format!("disk = [ {} ]", listed(disks(guest))));
    }
    let extra = guest.command_line.replace('"', "\\\"");
    lines.push(format!("extra = \"{extra}\""));
    if !guest.manifest.params.is_empty() {
        lines.push("# What extra can hold, beside log and what interfaces have:".to_owned());
        lines.extend(guest.param_lines().into_iter().map(|line| format!("#   {line}")));
    }
    lines.push("on_crash = \"preserve\"".to_owned());
    lines.join("\n") + "\n"
}

/// Files beside the image.
fn disks(guest: &Guest) -> impl Iterator<Item = String> {
    guest.manifest.blocks.iter().zip('a'..='z').map(|(block, letter)| {
        let access = if block.read_only { "ro" } else { "rw" };
        let file = format!("{}-{}.img", guest.kernel, block.name);
        format!("format=raw,vdev=xvd{letter},access={access},target={file}")
    })
}

fn listed(entries: impl Iterator<Item = String>) -> String {
    entries.map(|entry| format!("'{entry}'")).collect::<Vec<_>>().join(", ")
}
