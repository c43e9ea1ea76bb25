//! What a server may cost.

/// Bounds on what one server can make a client keep, or wait for in vain.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Status line and header section together (at most 60 KiB), octets; 16 KiB.
    pub head_size: usize,
    /// Header fields of a response; 100.
    pub header_count: usize,
    /// Interim responses (1xx) before the one that counts; 8.
    pub interim: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_size: 16 * 1024, header_count: 100, interim: 8 }
    }
}

impl Limits {
    /// Within what positions in a head can say.
    pub(crate) fn head_size(&self) -> usize {
        self.head_size.clamp(64, 60 * 1024)
    }
}
