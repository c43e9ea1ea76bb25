//! `cargo fata image config`: from an image's manifest, what its host reads.

mod libvirt;
mod qubes;
mod xl;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fata_build::{Block, Manifest, Param, command_line};

use super::note_of;
use crate::cli::{ConfigArgs, Toolstack};
use crate::note;
use crate::run::disks;
use crate::xen_host::guest::Kind;

/// What a guest is made from.
struct Guest {
    manifest: Manifest,
    kernel: String,
    kind: Kind,
    bridges: Vec<String>,
    command_line: String,
}

/// The configuration.
pub fn text(args: &ConfigArgs) -> Result<String> {
    let guest = Guest::of(args)?;
    Ok(match args.toolstack {
        Toolstack::Xl => xl::text(&guest),
        Toolstack::Libvirt => libvirt::text(&guest),
        Toolstack::Qubes => qubes::text(&guest),
    })
}

impl Guest {
    fn of(args: &ConfigArgs) -> Result<Self> {
        let manifest = note_of(&args.image)?.manifest;
        let has_pvh = note::has_pvh_entry(&args.image)?;
        let kind = match args.kind.as_deref() {
            Some("pvh") => Kind::Pvh,
            None if matches!(args.toolstack, Toolstack::Qubes) && has_pvh => Kind::Pvh,
            _ => Kind::Pv,
        };
        if kind == Kind::Pvh && !has_pvh {
            bail!("--type pvh: this image has only the PV entry (no XEN_ELFNOTE_PHYS32_ENTRY)");
        }
        check_params(&manifest, &args.params)?;
        args.bridge.iter().try_for_each(|bridge| check_bridge(bridge))?;
        let kernel = path_on_host(args)?;
        let bridges = (0..manifest.networks.len())
            .map(|number| args.bridge.get(number).or(args.bridge.last()).cloned().unwrap_or_default())
            .collect();
        Ok(Self { manifest, kernel, kind, bridges, command_line: args.params.join(" ") })
    }

    fn memory_mb(&self) -> u64 {
        self.manifest.image.memory.as_mib().unwrap_or_default()
    }

    /// Its disks, files beside the image: those that must be there, and those without which it starts too.
    fn disks(&self) -> (Vec<DiskFile<'_>>, Vec<DiskFile<'_>>) {
        let disks = self.manifest.blocks.iter().zip('a'..='z');
        let mut needed: Vec<_> =
            disks.map(|(block, letter)| DiskFile::of(block, letter, &self.kernel)).collect();
        let optional = needed.split_off(self.manifest.needed_blocks().min(needed.len()));
        (needed, optional)
    }

    /// A line for each boot parameter of the appliance's own, for comments.
    fn param_lines(&self) -> Vec<String> {
        self.manifest.params.iter().map(param_line).collect()
    }
}

/// A file that is to be a disk.
struct DiskFile<'a> {
    block: &'a Block,
    /// The last one of its name, `xvda`.
    letter: char,
    path: String,
}

impl<'a> DiskFile<'a> {
    fn of(block: &'a Block, letter: char, kernel: &str) -> Self {
        Self { block, letter, path: format!("{kernel}-{}.img", block.name) }
    }

    /// A sentence for a comment: how the file, here called `file`, comes about.
    fn origin(&self, file: &str) -> String {
        if self.block.read_only {
            return format!("{}, with what is to be read from it, is yours to make.", self.block.name);
        }
        format!("An empty one for {} is made by: {}", self.block.name, disks::making(self.block, file))
    }
}

fn param_line(Param { name, default, help, .. }: &Param) -> String {
    format!("{name}={}  {help}", default.as_deref().unwrap_or_default())
}

fn path_on_host(args: &ConfigArgs) -> Result<String> {
    let path = match &args.kernel {
        Some(path) => path.clone(),
        None => absolute(&args.image)?,
    };
    let text = path.to_str().context("the image's path is not UTF-8")?.to_owned();
    // Everything else is text in quotes for all of them: of a shell those are single ones, of xl double ones.
    let is_plain = |c: char| !c.is_control() && !"\"\\'<>&$`".contains(c);
    ensure!(text.chars().all(is_plain), "the path {text:?} has characters that configurations cannot hold");
    Ok(text)
}

/// Names of Linux' bridges, and what Open vSwitch has behind them: `ovsbr0.10:20` has VLANs.
fn check_bridge(name: &str) -> Result<()> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    ensure!(
        (1..=63).contains(&name.len()) && name.chars().all(is_of_name),
        "--bridge {name:?}: the name of a bridge has 1 to 63 of a-z, A-Z, 0-9, ., _, : and -"
    );
    Ok(())
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("there is no {}", path.display()))
}

/// What the guest would refuse at boot, as far as names and values go, and what its configuration cannot hold.
fn check_params(manifest: &Manifest, params: &[String]) -> Result<()> {
    for param in params {
        ensure!(
            !param.contains(|c: char| c.is_control() || "<>&$`'\\".contains(c)),
            "--param {param:?}: characters that configurations cannot hold"
        );
        command_line::check(manifest, param).with_context(|| format!("--param {param}"))?;
    }
    // Together: none is given twice.
    command_line::check(manifest, &params.join(" ")).context("--param")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Guest {
        let text = "[image]\nname = \"web\"\nmemory = \"16 MiB\"\n[network.main]\n[network.back]\n[block.data]\nsize = \"1 GiB\"\n\
                    [params.port]\ndefault = 80\nhelp = \"the TCP port\"\n";
        Guest {
            manifest: fata_build::read::manifest("web", text).unwrap(),
            kernel: "/root/web".to_owned(),
            kind: Kind::Pv,
            bridges: vec!["xenbr0".to_owned(), "xenbr1".to_owned()],
            command_line: "greeting=\"a b\" ipv4=10.0.0.2/24".to_owned(),
        }
    }

    /// Guests whose block devices are these lines.
    fn with_disks(blocks: &str) -> Guest {
        let text = format!("[image]\nname = \"kv\"\n{blocks}");
        let manifest = fata_build::read::manifest("kv", &text).unwrap();
        Guest { manifest, kernel: "/root/my--kv".to_owned(), bridges: Vec::new(), ..guest() }
    }

    /// What is not in comments.
    fn without_comments(text: &str) -> String {
        let mut parts = text.split("<!--");
        let first = parts.next().unwrap_or_default().to_owned();
        first + &parts.map(|part| part.split_once("-->").expect("a comment ends").1).collect::<String>()
    }

    #[test]
    fn an_optional_disk_stands_in_a_comment() {
        let guest = with_disks("[block.data]\noptional = true\nsize = \"1536 MiB\"\n");
        let text = xl::text(&guest);
        let disk = "#disk = [ 'format=raw,vdev=xvda,access=rw,target=/root/my--kv-data.img' ]";
        for line in [
            "# It starts without data too. With it, this is to be a line without #:",
            disk,
            "# An empty one for data is made by: truncate -s 1536M '/root/my--kv-data.img'",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
        assert!(!text.lines().any(|line| line.starts_with("disk")), "{text}");

        let text = libvirt::text(&guest);
        assert!(!without_comments(&text).contains("<disk"), "{text}");
        // Two hyphens would end the comment for XML.
        assert!(text.contains("<source file=\"/root/my&#45;&#45;kv&#45;data.img\"/>"), "{text}");
        let text = libvirt::text(&Guest { kernel: "/root/kv".to_owned(), ..guest });
        assert!(text.contains(
            "It starts without data too. An empty one for data is made by: truncate -s 1536M FILE"
        ));
        assert!(text.contains("<source file=\"/root/kv-data.img\"/>"), "{text}");

        let text = qubes::text(&with_disks("[block.data]\noptional = true\n"));
        assert!(text.contains("data.disk=xvdb"), "{text}");
        assert!(text.contains("# Without data.disk it would take xvda, the qube's root."), "{text}");
    }

    #[test]
    fn an_optional_disk_comes_after_those_that_are_needed() {
        let guest = with_disks("[block.log]\n[block.site]\nread-only = true\noptional = true\n");
        let text = xl::text(&guest);
        let log = "format=raw,vdev=xvda,access=rw,target=/root/my--kv-log.img";
        let site = "format=raw,vdev=xvdb,access=ro,target=/root/my--kv-site.img";
        for line in [
            &format!("disk = [ '{log}' ]"),
            "# An empty one for log is made by: truncate -s 64M '/root/my--kv-log.img'",
            "# It starts without site too. With it, this stands in the place of the line above:",
            &format!("#disk = [ '{log}', '{site}' ]"),
            "# site, with what is to be read from it, is yours to make.",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
        let left = without_comments(&libvirt::text(&guest));
        assert!(left.contains("xvda") && !left.contains("xvdb"), "{left}");

        // One that another stands behind is not optional for a configuration.
        let text = xl::text(&with_disks("[block.site]\noptional = true\n[block.log]\n"));
        assert!(text.lines().any(|line| line.starts_with("disk = ") && line.contains("xvdb")), "{text}");
        assert!(!text.contains("#disk"), "{text}");
    }

    #[test]
    fn xl() {
        let text = xl::text(&guest());
        for line in [
            "name = \"web\"",
            "type = \"pv\"",
            "kernel = \"/root/web\"",
            "memory = 16",
            "vif = [ 'bridge=xenbr0', 'bridge=xenbr1' ]",
            "# An empty one for data is made by: truncate -s 1G '/root/web-data.img'",
            "disk = [ 'format=raw,vdev=xvda,access=rw,target=/root/web-data.img' ]",
            "extra = \"greeting=\\\"a b\\\" ipv4=10.0.0.2/24\"",
            "#   port=80  the TCP port",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
    }

    #[test]
    fn libvirt() {
        let text = libvirt::text(&guest());
        for line in [
            "<domain type=\"xen\">",
            "  <memory unit=\"MiB\">16</memory>",
            "    <type arch=\"x86_64\" machine=\"xenpv\">linux</type>",
            "    <cmdline>greeting=&quot;a b&quot; ipv4=10.0.0.2/24</cmdline>",
            "      <source bridge=\"xenbr1\"/>",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
        let text = libvirt::text(&Guest { kind: Kind::Pvh, ..guest() });
        assert!(text.contains("machine=\"xenpvh\">xenpvh</type>"), "{text}");
    }

    #[test]
    fn qubes() {
        let text = qubes::text(&guest());
        for line in [
            "cp -- '/root/web' /var/lib/qubes/vm-kernels/fata-web/vmlinuz",
            "qvm-prefs web kernelopts 'greeting=\"a b\" ipv4=10.0.0.2/24'\" data.disk=xvdb\"",
            "qvm-volume resize web:private 1073741824",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in:\n{text}");
        }
    }

    /// Qubes' IPv4 address goes to an interface that is to have one.
    #[test]
    fn a_qube_without_ipv4_is_given_none() {
        for (keys, is_given) in
            [("", true), ("ipv6 = \"auto\"\n", true), ("ipv4 = \"none\"\nipv6 = \"auto\"\n", false)]
        {
            let text = format!("[image]\nname = \"web\"\n[network.main]\n{keys}");
            let manifest = fata_build::read::manifest("web", &text).unwrap();
            let text = qubes::text(&Guest { manifest, command_line: String::new(), ..guest() });
            assert_eq!(text.contains("ipv4=$(qvm-prefs web ip)"), is_given, "{text}");
        }
    }

    /// dom0's shell, which is root's, takes the path for what it is.
    #[test]
    fn a_path_is_no_command() {
        let kernel = "-/root/my web; echo reboot | cat (all) * ~ #1".to_owned();
        let text = qubes::text(&Guest { kernel: kernel.clone(), ..guest() });
        let copy = text.lines().find(|line| line.starts_with("cp ")).unwrap();
        let script = format!("cp() {{ printf '[%s]' \"$@\"; }}\n{copy}\n");
        let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let expected = format!("[--][{kernel}][/var/lib/qubes/vm-kernels/fata-web/vmlinuz]");
        assert_eq!(String::from_utf8_lossy(&said.stdout), expected);
    }

    #[test]
    fn a_path_with_quotes_is_refused() {
        let of = |path: &str| {
            let image = PathBuf::from("web");
            let kernel = Some(PathBuf::from(path));
            let (bridge, params) = (Vec::new(), Vec::new());
            path_on_host(&ConfigArgs {
                image,
                toolstack: Toolstack::Qubes,
                kernel,
                bridge,
                kind: None,
                params,
            })
        };
        assert_eq!(of("/root/my web; all*").unwrap(), "/root/my web; all*");
        for bad in ["/a'b", "/a\"b", "/a\\b", "/a$b", "/a`b`", "/a&b", "/<a>", "/a\nb"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bridge_is_a_name() {
        for good in ["xenbr0", "br-lan", "xapi_1", "ovsbr0.10:20"] {
            assert!(check_bridge(good).is_ok(), "{good}");
        }
        let long = "x".repeat(64);
        for bad in ["", "x y", "x,script=/bin/sh", "x' ]", "\"/><script/>", "x/..", "x\ny", "brücke", &long]
        {
            let error = check_bridge(bad).unwrap_err().to_string();
            assert!(error.starts_with("--bridge \"") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_parameter_is_one_of_the_images_and_its_value_of_the_type() {
        let manifest = guest().manifest;
        let check = |params: &[&str]| {
            check_params(&manifest, &params.iter().map(|&param| param.to_owned()).collect::<Vec<_>>())
        };
        for good in [
            "log=debug",
            "port=8080",
            "ipv4=10.0.0.2/24",
            "back.mtu=1400",
            "help",
            "data.disk=xvdc",
            "read-only=on",
        ] {
            assert!(check(&[good]).is_ok(), "{good}");
        }
        assert!(check(&["port=8080", "ipv4=dhcp", "back.ipv4=dhcp"]).is_ok());
        for (bad, why) in [
            (&["data.mtu=1"][..], "is unknown"),
            (&["main.disk=0"], "is unknown"),
            (&["file=x"], "is unknown"),
            (&["prot=80"], "did you mean \"port\"?"),
            (&["side.ipv4=dhcp"], "is unknown"),
            (&["main.port=80"], "is unknown"),
            (&["port=banana"], "boot parameter port: \"banana\" is not a whole number"),
            (&["port"], "has no value"),
            (&["port=\"80"], "a quote in the boot parameters does not end"),
            (&["ipv4=10.0.0.2"], "is not dhcp or an IPv4 address with its prefix length"),
            (&["ipv6=auto"], "is unknown"),
            (&["port=80", "port=81"], "given twice"),
            (&["port=80 reboot"], "\"reboot\" is unknown"),
            (&["port=`reboot`"], "characters that configurations cannot hold"),
            (&["port='"], "characters that configurations cannot hold"),
        ] {
            let error = format!("{:#}", check(bad).unwrap_err());
            assert!(error.starts_with("--param") && error.contains(why), "{bad:?}: {error}");
        }
    }
}
