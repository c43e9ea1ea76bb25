//! What a guest is made from, and the text of `xl`'s configuration for it.

use std::path::PathBuf;

use crate::qemu_guest::Board;

/// Where a guest's kernel comes from.
#[derive(Debug, Clone)]
pub enum Image {
    /// A file on this machine, uploaded when it is not in dom0 yet.
    Local(PathBuf),
    /// A path in dom0.
    InDom0(String),
}

impl From<PathBuf> for Image {
    fn from(path: PathBuf) -> Self {
        Self::Local(path)
    }
}

/// The kind of guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Paravirtual: needs no support from the processor.
    #[default]
    Pv,
    /// Hardware-virtual without emulated devices.
    Pvh,
    /// Without Xen, on a board that QEMU emulates.
    Machine(Board),
    /// No guest, but a process of this machine.
    Process,
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Vif {
    /// The bridge in dom0: `xenbr0` leads to the forwarded ports, `xenbr1` only to dom0 (10.0.3.1).
    pub bridge: String,
    /// A MAC address; `xl` makes one up where there is none.
    pub mac: Option<String>,
    /// More of `xl`'s keys: `"mtu=9000"`.
    pub more: String,
}

impl Vif {
    /// An interface on a bridge.
    pub fn on(bridge: &str) -> Self {
        Self { bridge: bridge.to_owned(), mac: None, more: String::new() }
    }

    fn to_config(&self) -> String {
        let mut config = format!("bridge={}", self.bridge);
        if let Some(mac) = &self.mac {
            config += &format!(",mac={mac}");
        }
        if !self.more.is_empty() {
            config += &format!(",{}", self.more);
        }
        config
    }
}

/// What happens to the domain when the guest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtEnd {
    /// It stays in the list, so that the reason can be read; the guest's owner destroys it.
    #[default]
    Preserve,
    /// It goes, and is started again if it asked for a reboot, as on a real host.
    Act,
}

/// What a guest is made from.
#[derive(Debug, Clone)]
pub struct GuestSpec {
    /// The name's beginning; the host appends a number, so that no two guests share a name or a log.
    pub name: String,
    /// Its kernel.
    pub image: Image,
    /// `memory=`.
    pub memory_mb: u32,
    /// The kernel's command line.
    pub extra: String,
    /// Network interfaces, in order.
    pub vifs: Vec<Vif>,
    /// PV or PVH, or no guest of Xen.
    pub kind: Kind,
    /// An initial ramdisk, a path in dom0.
    pub ramdisk: Option<String>,
    /// More lines for `xl`'s configuration.
    pub extra_config: String,
    /// What happens at the end.
    pub at_end: AtEnd,
    /// Whether it waits for [`Guest::unpause`](super::guest::Guest::unpause) before its first instruction.
    pub paused: bool,
}

impl GuestSpec {
    /// A PV guest with 16 MiB, no parameters and no devices.
    pub fn new(name: &str, image: impl Into<Image>) -> Self {
        Self {
            name: name.to_owned(),
            image: image.into(),
            memory_mb: 16,
            extra: String::new(),
            vifs: Vec::new(),
            kind: Kind::Pv,
            ramdisk: None,
            extra_config: String::new(),
            at_end: AtEnd::Preserve,
            paused: false,
        }
    }

    /// With so much memory.
    pub fn memory(mut self, mb: u32) -> Self {
        self.memory_mb = mb;
        self
    }

    /// With this kernel command line, added to what there is.
    pub fn extra(mut self, parameters: &str) -> Self {
        self.extra = format!("{} {parameters}", self.extra).trim().to_owned();
        self
    }

    /// With one more interface on a bridge.
    pub fn vif(mut self, bridge: &str) -> Self {
        self.vifs.push(Vif::on(bridge));
        self
    }

    /// With 10.0.2.15/24 on the bridge whose ports can be forwarded.
    pub fn network(self) -> Self {
        self.vif("xenbr0").extra("ipv4=10.0.2.15/24 gateway=10.0.2.2 dns=10.0.2.3")
    }

    /// With more lines of `xl` configuration.
    pub fn config(mut self, lines: &str) -> Self {
        self.extra_config += lines;
        self.extra_config.push('\n');
        self
    }

    /// The text of `xl`'s configuration, with a kernel that is in dom0.
    pub fn to_xl_config(&self, name: &str, kernel: &str) -> String {
        let kind = match self.kind {
            Kind::Pv => "pv",
            Kind::Pvh | Kind::Machine(_) | Kind::Process => "pvh",
        };
        let mut lines = vec![
            format!("name = \"{name}\""),
            format!("type = \"{kind}\""),
            format!("kernel = \"{kernel}\""),
            format!("memory = {}", self.memory_mb),
            "vcpus = 1".to_owned(),
            format!("extra = \"{}\"", self.extra.replace('\\', "\\\\").replace('"', "\\\"")),
        ];
        lines.extend(self.ramdisk.iter().map(|path| format!("ramdisk = \"{path}\"")));
        let vifs: Vec<String> = self.vifs.iter().map(|vif| format!("'{}'", vif.to_config())).collect();
        lines.push(format!("vif = [{}]", vifs.join(", ")));
        let (poweroff, reboot, crash) = match self.at_end {
            AtEnd::Preserve => ("preserve", "preserve", "preserve"),
            AtEnd::Act => ("destroy", "restart", "preserve"),
        };
        lines.push(format!("on_poweroff = \"{poweroff}\"\non_reboot = \"{reboot}\"\non_crash = \"{crash}\""));
        lines.push(self.extra_config.clone());
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_what_xl_reads() {
        let spec = GuestSpec::new("web", PathBuf::from("web"))
            .network()
            .extra("greeting=\"a b\"")
            .config("maxmem = 32");
        let config = spec.to_xl_config("web-1", "/images/web");
        assert!(config.contains("name = \"web-1\""));
        assert!(config.contains("vif = ['bridge=xenbr0']"));
        assert!(config.contains("dns=10.0.2.3 greeting=\\\"a b\\\"\""));
        assert!(config.ends_with("maxmem = 32\n\n"));
    }
}
