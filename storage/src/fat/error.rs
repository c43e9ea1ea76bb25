//! Why an operation on a volume failed.

use core::fmt;
use fata_libos::block::BlockError;
use hadris_io::ErrorKind;

/// Why an operation on a volume failed.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block device failed.
    #[error("{0}")]
    Block(#[from] BlockError),
    /// There is no FAT volume on it.
    #[error("the disk has no FAT volume: {0}")]
    NotFat(&'static str),
    /// The volume breaks the rules of FAT.
    #[error("the volume is damaged: {0}")]
    Corrupt(&'static str),
    /// Nothing has that name.
    #[error("no such file or directory")]
    NotFound,
    /// Something has that name.
    #[error("the name is taken")]
    AlreadyExists,
    /// A file stands where a directory should.
    #[error("not a directory")]
    NotADirectory,
    /// A directory stands where a file should.
    #[error("a directory")]
    IsADirectory,
    /// A directory that is to be removed has entries.
    #[error("the directory is not empty")]
    NotEmpty,
    /// The volume, or the root directory of FAT12 and FAT16, is full.
    #[error("no space left on the volume")]
    NoSpace,
    /// The disk or the mount is read-only.
    #[error("the volume is read-only")]
    ReadOnly,
    /// FAT has no such name, or the path is none.
    #[error("not a path of a FAT volume")]
    BadPath,
    /// A name has more than 255 UTF-16 units, or a path more than 4096 octets.
    #[error("the name is too long")]
    NameTooLong,
    /// A file of FAT has less than 4 GiB.
    #[error("a file cannot have more than 4294967295 octets")]
    FileTooLarge,
    /// The disk is larger than the variant of FAT can be.
    #[error("the disk is too large for this variant of FAT")]
    TooLarge,
    /// More files are open than the volume keeps in mind.
    #[error("more than {limit} files and directories are open")]
    TooManyOpen {
        /// How many may be.
        limit: usize,
    },
    /// The file is open, or has a handle.
    #[error("the file is in use")]
    Busy,
    /// A file handle is used for what it was not opened for.
    #[error("the file was not opened for this")]
    WrongMode,
    /// A file is larger than who reads it whole allows, or than there is memory.
    #[error("the file has more than {most} octets")]
    MoreThan {
        /// Octets allowed.
        most: usize,
    },
    /// A place before the file's begin.
    #[error("a place before the file's first octet")]
    BadPlace,
    /// FAT, or this disk's sector size, does not do this.
    #[error("FAT does not do this")]
    Unsupported,
}

/// As text, for the image's sake: see [`BlockError`].
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<hadris_io::Error<BlockError>> for Error {
    fn from(error: hadris_io::Error<BlockError>) -> Self {
        match (error.kind(), error.device_error()) {
            (ErrorKind::ReadOnly, _) => Self::ReadOnly,
            (_, Some(device)) => Self::Block(*device),
            (ErrorKind::NotRecognized, _) => Self::NotFat(error.message()),
            (ErrorKind::NotFound, _) => Self::NotFound,
            (ErrorKind::AlreadyExists, _) => Self::AlreadyExists,
            (ErrorKind::NotADirectory, _) => Self::NotADirectory,
            (ErrorKind::IsADirectory, _) => Self::IsADirectory,
            (ErrorKind::DirectoryNotEmpty, _) => Self::NotEmpty,
            (ErrorKind::NoSpace, _) => Self::NoSpace,
            (ErrorKind::InvalidInput, _) => Self::BadPath,
            (ErrorKind::NameTooLong, _) => Self::NameTooLong,
            (ErrorKind::FileTooLarge, _) => Self::FileTooLarge,
            (ErrorKind::LimitExceeded, _) => Self::TooManyOpen { limit: super::volume::NODES },
            (ErrorKind::Busy, _) => Self::Busy,
            (ErrorKind::Unsupported | ErrorKind::Symlink, _) => Self::Unsupported,
            _ => Self::Corrupt(error.message()),
        }
    }
}

impl embedded_io::Error for Error {
    fn kind(&self) -> embedded_io::ErrorKind {
        use embedded_io::ErrorKind as Io;
        match self {
            Self::NotFound => Io::NotFound,
            Self::AlreadyExists => Io::AlreadyExists,
            Self::ReadOnly => Io::PermissionDenied,
            Self::BadPath | Self::NameTooLong | Self::WrongMode | Self::BadPlace => Io::InvalidInput,
            Self::NotFat(_) | Self::Corrupt(_) => Io::InvalidData,
            Self::Unsupported => Io::Unsupported,
            Self::TooManyOpen { .. } | Self::MoreThan { .. } => Io::OutOfMemory,
            _ => Io::Other,
        }
    }
}
