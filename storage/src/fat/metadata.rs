//! What a volume says of a file.

use fata_libos::time::{Duration, SystemTime};
use hadris_fs::{Clock, DateTime, FileType, NoClock};

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// What a volume says of a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// Octets of a file; 0 for a directory.
    pub len: u64,
    /// When it was last written, to two seconds. FAT has local time without a zone, which is taken for UTC.
    pub modified: Option<SystemTime>,
    /// When it was made.
    pub created: Option<SystemTime>,
}

impl From<&hadris_fs::Metadata> for Metadata {
    fn from(metadata: &hadris_fs::Metadata) -> Self {
        let kind = match metadata.file_type() {
            FileType::Dir => Kind::Directory,
            _ => Kind::File,
        };
        let [modified, created] =
            [metadata.modified(), metadata.created()].map(|time| time.and_then(system_time));
        Self { kind, len: metadata.len(), modified, created }
    }
}

fn system_time(time: DateTime) -> Option<SystemTime> {
    let seconds = u64::try_from(time.unix_seconds()).ok()?;
    Some(SystemTime::from_unix(Duration::from_secs(seconds)))
}

/// The platform's wall clock.
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> DateTime {
        let seconds = SystemTime::recent().since_unix().as_secs();
        let time = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_unix_seconds(seconds).ok());
        time.unwrap_or(NoClock::TIME)
    }
}
