//! Why an archive cannot be read.

use core::fmt;
use fata_libos::block::BlockError;

/// Why an archive cannot be read. `at` is where its header begins, octets from the archive's begin (unpacked, if it was in gzip).
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block device failed.
    #[error("{0}")]
    Block(#[from] BlockError),
    /// It does not begin as tar or gzip do.
    #[error("no tar archive")]
    NotAnArchive,
    /// A header whose checksum or numbers are wrong.
    #[error("octet {at}: a header with a wrong {field}")]
    Header {
        /// Where.
        at: u64,
        /// What is wrong of it.
        field: &'static str,
    },
    /// A name that leads upwards, or is not UTF-8.
    #[error("octet {at}: a name that leads upwards or is not UTF-8")]
    Name {
        /// Where.
        at: u64,
    },
    /// What this reader does not do: sparse files, archives of several volumes.
    #[error("octet {at}: {what} are not read")]
    Unsupported {
        /// Where.
        at: u64,
        /// What.
        what: &'static str,
    },
    /// The archive ends within a file.
    #[error("octet {at}: the archive has {octets} octets and ends within this file")]
    CutOff {
        /// Where.
        at: u64,
        /// Octets of the archive.
        octets: u64,
    },
    /// A long name, or a header of pax, that is too long.
    #[error("octet {at}: a header of {octets} octets, more than {most}")]
    LongHeader {
        /// Where.
        at: u64,
        /// Its octets.
        octets: u64,
        /// Octets allowed.
        most: usize,
    },
    /// More than [`Limits::entries`](super::Limits::entries).
    #[error("more than {most} entries")]
    Entries {
        /// Entries allowed.
        most: usize,
    },
    /// More than [`Limits::names`](super::Limits::names).
    #[error("names of more than {most} octets")]
    Names {
        /// Octets allowed.
        most: usize,
    },
    /// More than [`Limits::unpacked`](super::Limits::unpacked).
    #[error("more than {most} octets when unpacked")]
    Unpacked {
        /// Octets allowed.
        most: usize,
    },
    /// What gzip has packed is damaged.
    #[error("octet {at} of what is packed: wrong {what}")]
    Gzip {
        /// About where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// No file has that name.
    #[error("no such file")]
    NotFound,
    /// A file is larger than who reads it whole allows.
    #[error("a file of {octets} octets, more than {most}")]
    MoreThan {
        /// Its octets.
        octets: u64,
        /// Octets allowed.
        most: usize,
    },
    /// There is no memory.
    #[error("no memory for {octets} octets")]
    NoMemory {
        /// Octets wanted.
        octets: usize,
    },
    /// A place before the file's begin.
    #[error("a place before the file's first octet")]
    BadPlace,
}

/// As text, for the image's sake: see [`BlockError`].
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind as Io;
        match self {
            Self::Block(_) => Io::Other,
            Self::NotFound => Io::NotFound,
            Self::BadPlace => Io::InvalidInput,
            Self::Unsupported { .. } => Io::Unsupported,
            Self::NoMemory { .. } | Self::MoreThan { .. } => Io::OutOfMemory,
            _ => Io::InvalidData,
        }
    }
}
