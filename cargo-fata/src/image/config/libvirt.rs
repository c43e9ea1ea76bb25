//! For `virsh create`: a domain in XML (<https://libvirt.org/formatdomain.html>).

use super::{DiskFile, Guest};
use crate::xen_host::guest::Kind;

/// The domain's text.
pub(super) fn text(guest: &Guest) -> String {
    let kind = match guest.kind {
        Kind::Pv => "machine=\"xenpv\">linux",
        Kind::Pvh | Kind::Machine(_) | Kind::Process => "machine=\"xenpvh\">xenpvh",
    };
    let mut lines = vec![
        "<domain type=\"xen\">".to_owned(),
        format!("  <name>{}</name>", guest.manifest.image.name),
        format!("  <memory unit=\"MiB\">{}</memory>", guest.memory_mb()),
        "  <vcpu>1</vcpu>".to_owned(),
        "  <os>".to_owned(),
        format!("    <type arch=\"x86_64\" {kind}</type>"),
        format!("    <kernel>{}</kernel>", guest.kernel),
        format!("    <cmdline>{}</cmdline>", guest.command_line.replace('"', "&quot;")),
        "  </os>".to_owned(),
        "  <on_poweroff>destroy</on_poweroff>".to_owned(),
        "  <on_reboot>restart</on_reboot>".to_owned(),
        "  <on_crash>preserve</on_crash>".to_owned(),
        "  <devices>".to_owned(),
    ];
    lines.extend(guest.bridges.iter().map(|bridge| interface(bridge)));
    lines.extend(disks(guest));
    lines.push("    <console type=\"pty\">\n      <target type=\"xen\"/>\n    </console>".to_owned());
    lines.push("  </devices>\n</domain>".to_owned());
    lines.join("\n") + "\n"
}

fn interface(bridge: &str) -> String {
    format!("    <interface type=\"bridge\">\n      <source bridge=\"{bridge}\"/>\n    </interface>")
}

/// Its disks; those that may be missing in comments.
fn disks(guest: &Guest) -> Vec<String> {
    let (needed, optional) = guest.disks();
    let needed =
        needed.iter().map(|disk| format!("    {}\n{}", comment(&disk.origin("FILE")), element(disk)));
    let optional = optional.iter().map(|disk| {
        let (name, origin) = (&disk.block.name, disk.origin("FILE"));
        format!("    {}", comment(&format!("It starts without {name} too. {origin}\n{}\n   ", element(disk))))
    });
    needed.chain(optional).collect()
}

/// It holds no two hyphens: where a path has them they are hyphens by number, for whoever takes it out of the comment.
fn comment(text: &str) -> String {
    let text = if text.contains("--") { text.replace('-', "&#45;") } else { text.to_owned() };
    format!("<!-- {text} -->")
}

fn element(DiskFile { block, letter, path }: &DiskFile<'_>) -> String {
    let access = if block.read_only { "\n      <readonly/>" } else { "" };
    format!(
        "    <disk type=\"file\" device=\"disk\">\n      <driver name=\"qemu\" type=\"raw\"/>\n      \
         <source file=\"{path}\"/>\n      <target dev=\"xvd{letter}\" bus=\"xen\"/>{access}\n    </disk>"
    )
}
