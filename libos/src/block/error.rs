//! Why a request failed.

use core::fmt;

/// Why a request failed. `sector` is where it began.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It reaches beyond the device's end.
    #[error("{count} sectors from sector {sector} on: the device has {sectors}")]
    OutOfRange {
        /// The first sector.
        sector: u64,
        /// How many.
        count: u64,
        /// What the device has.
        sectors: u64,
    },
    /// The device, or its use by this appliance, is read-only.
    #[error("sector {sector} cannot be written: the device is read-only")]
    ReadOnly {
        /// The first sector.
        sector: u64,
    },
    /// The buffer is not whole sectors.
    #[error("{octets} octets at sector {sector} are not whole sectors of {sector_size}")]
    Length {
        /// The first sector.
        sector: u64,
        /// Octets of the buffer.
        octets: usize,
        /// Octets of a sector.
        sector_size: usize,
    },
    /// The device reports an error: a bad sector, a full host.
    #[error("the device failed at sector {sector}, status {status}")]
    Failed {
        /// The first sector of the part that failed.
        sector: u64,
        /// What it said: blkif's or virtio's status, an errno of the host.
        status: i32,
    },
    /// The device does not do this.
    #[error("the device does not do this (sector {sector})")]
    Unsupported {
        /// The first sector.
        sector: u64,
    },
    /// The device is gone, or broke the rules: whether the request was done is not known.
    #[error("the device is gone (sector {sector})")]
    Gone {
        /// The first sector.
        sector: u64,
    },
    /// There is no memory for the request.
    #[error("no memory for {octets} octets of sector {sector}")]
    NoMemory {
        /// The first sector.
        sector: u64,
        /// Octets wanted.
        octets: usize,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
