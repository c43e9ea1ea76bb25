//! What an archive may ask for.

/// What an archive may take of memory; one that wants more is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files, and links to them.
    pub entries: usize,
    /// Octets of all their names.
    pub names: usize,
    /// Octets of an archive in gzip, unpacked, headers and all.
    pub unpacked: usize,
}

/// 65,536 entries, 4 MiB of names, 16 MiB unpacked.
impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1 << 16, names: 4 << 20, unpacked: 16 << 20 }
    }
}
