//! For `xl create`: xl.cfg(5).

use super::{DiskFile, Guest};
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
    lines.extend(disks(guest));
    let extra = guest.command_line.replace('"', "\\\"");
    lines.push(format!("extra = \"{extra}\""));
    if !guest.manifest.params.is_empty() {
        lines.push("# What extra can hold, beside log and what interfaces have:".to_owned());
        lines.extend(guest.param_lines().into_iter().map(|line| format!("#   {line}")));
    }
    lines.push("on_crash = \"preserve\"".to_owned());
    lines.join("\n") + "\n"
}

/// The line of its disks, and in comments how their files come about, and the line with those that may be missing.
fn disks(guest: &Guest) -> Vec<String> {
    let (needed, optional) = guest.disks();
    let origin = |disk: &DiskFile<'_>| format!("# {}", disk.origin(&format!("'{}'", disk.path)));
    let mut lines: Vec<String> = needed.iter().map(origin).collect();
    if !needed.is_empty() {
        lines.push(format!("disk = [ {} ]", listed(needed.iter().map(entry))));
    }
    if !optional.is_empty() {
        let names: Vec<&str> = optional.iter().map(|disk| disk.block.name.as_str()).collect();
        let place = if needed.is_empty() {
            "is to be a line without #"
        } else {
            "stands in the place of the line above"
        };
        lines.push(format!("# It starts without {} too. With it, this {place}:", names.join(" and ")));
        lines.push(format!("#disk = [ {} ]", listed(needed.iter().chain(&optional).map(entry))));
        lines.extend(optional.iter().map(origin));
    }
    lines
}

fn entry(DiskFile { block, letter, path }: &DiskFile<'_>) -> String {
    let access = if block.read_only { "ro" } else { "rw" };
    format!("format=raw,vdev=xvd{letter},access={access},target={path}")
}

fn listed(entries: impl Iterator<Item = String>) -> String {
    entries.map(|entry| format!("'{entry}'")).collect::<Vec<_>>().join(", ")
}
