//! What a manifest says.

use crate::{ParamKind, Size};

/// One appliance's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// `[image]`
    pub image: Image,
    /// `[network.NAME]`, in the order of the file: the first is the first `vif`, and so on.
    pub networks: Vec<Network>,
    /// `[block.NAME]`, in the order of the file: the first is the first disk, and so on.
    pub blocks: Vec<Block>,
    /// `[params.NAME]`, in the order of the file.
    pub params: Vec<Param>,
}

/// The image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The binary's or example's name.
    pub name: String,
    /// What a configuration gives to the guest: whole MiB.
    pub memory: Size,
    /// The build fails above it.
    pub max_size: Option<Size>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name in code and boot parameters.
    pub name: String,
    /// Its parameters when the command line says nothing, names from [`keys`](Self::keys).
    pub defaults: Vec<(String, String)>,
    /// The line where it begins.
    pub line: usize,
}

/// The parameters that a network interface without IPv6 has; `fata-netstack` has them in the same order.
pub const NETWORK_KEYS: [&str; 7] = ["ipv4", "gateway", "dns", "hostname", "mtu", "queues", "ecn"];

/// Those of an interface whose manifest has `ipv6`; `fata-netstack` has them in the same order.
pub const NETWORK_KEYS_WITH_IPV6: [&str; 9] =
    ["ipv4", "gateway", "ipv6", "gateway6", "dns", "hostname", "mtu", "queues", "ecn"];

impl Network {
    /// Whether the image has IPv6 for it: its manifest has the key, whatever the value.
    pub fn has_ipv6(&self) -> bool {
        self.default("ipv6").is_some()
    }

    /// The names of its boot parameters.
    pub fn keys(&self) -> &'static [&'static str] {
        if self.has_ipv6() { &NETWORK_KEYS_WITH_IPV6 } else { &NETWORK_KEYS }
    }

    /// What its manifest says of a parameter.
    pub fn default(&self, key: &str) -> Option<&str> {
        self.defaults.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The parameters that every block device has; `fata::block` has them in the same order. The last is a process's.
pub const BLOCK_KEYS: [&str; 4] = ["disk", "read-only", "queues", "file"];

/// A block device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its name in code.
    pub name: String,
    /// The size of the disk that a configuration makes for it.
    pub size: Option<Size>,
    /// Whether the appliance only reads it.
    pub read_only: bool,
    /// Whether the appliance starts without it too.
    pub optional: bool,
    /// Its boot parameter of that name when the command line says nothing.
    pub queues: Option<String>,
    /// The line where it begins.
    pub line: usize,
}

impl Manifest {
    /// How many of its block devices must have a disk. One is found by its place: an optional one is missed by those behind it.
    pub fn needed_blocks(&self) -> usize {
        self.blocks.iter().rposition(|block| !block.optional).map_or(0, |last| last + 1)
    }
}

/// A boot parameter of the appliance's own.
#[derive(Clone, Debug)]
pub struct Param {
    /// The name before `=`.
    pub name: String,
    /// What values it takes.
    pub kind: &'static ParamKind,
    /// The value when the command line says nothing, as it would stand there.
    pub default: Option<String>,
    /// What it is for.
    pub help: String,
}

impl PartialEq for Param {
    fn eq(&self, other: &Self) -> bool {
        let parts =
            |param: &Self| (param.name.clone(), param.kind.name, param.default.clone(), param.help.clone());
        parts(self) == parts(other)
    }
}

impl Eq for Param {}

#[cfg(test)]
mod tests {
    use crate::read;
    use std::format;

    #[test]
    fn what_stands_before_a_needed_block_device_is_needed() {
        let needed = |blocks: &str| {
            let text = format!("[image]\nname = \"x\"\n{blocks}");
            read::manifest("x", &text).unwrap().needed_blocks()
        };
        let (a, b, optional) = ("[block.a]\n", "[block.b]\n", "optional = true\n");
        assert_eq!(needed(""), 0);
        assert_eq!(needed(&format!("{a}{optional}{b}{optional}")), 0);
        assert_eq!(needed(&format!("{a}{b}{optional}")), 1);
        assert_eq!(needed(&format!("{a}{optional}{b}")), 2);
    }
}
