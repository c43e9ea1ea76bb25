//! Making a volume.

use super::device::Device;
use super::metadata::WallClock;
use super::{Error, Variant};
use fata_libos::block::Disk;
use hadris_fat::{FatKind, FatOptions, VolumeLabel};
use hadris_fs::Clock;

/// How a volume is made. Without more it has FAT12 below 16 MiB, FAT16 below 512 MiB, FAT32 from there, fills the disk, and
/// has no label.
#[derive(Clone, Copy, Debug, Default)]
pub struct Format<'a> {
    variant: Option<Variant>,
    label: Option<&'a str>,
    cluster: Option<u32>,
}

impl<'a> Format<'a> {
    /// As the disk's size asks.
    pub const fn new() -> Self {
        Self { variant: None, label: None, cluster: None }
    }

    /// This variant, whatever the size. Each has a range of sizes that it can have.
    pub const fn variant(mut self, variant: Variant) -> Self {
        self.variant = Some(variant);
        self
    }

    /// A label: 1 to 11 characters of ASCII, kept in upper case.
    pub const fn label(mut self, label: &'a str) -> Self {
        self.label = Some(label);
        self
    }

    /// Octets of a cluster: a power of two, a sector at least, 32 KiB at most.
    pub const fn cluster(mut self, octets: u32) -> Self {
        self.cluster = Some(octets);
        self
    }

    /// Makes an empty volume on a disk; what was there is lost.
    ///
    /// # Errors
    /// [`Error::NoSpace`] where the disk is too small, [`Error::TooLarge`] where it is too large for the variant, [`Error::BadPath`] for
    /// a label or cluster that FAT does not have.
    pub async fn write(&self, disk: &Disk) -> Result<(), Error> {
        let mut options = FatOptions::new().with_time(WallClock.now());
        if let Some(label) = self.label {
            options = options.with_label(VolumeLabel::new(label).map_err(|_| Error::BadPath)?);
        }
        if let Some(variant) = self.variant {
            options = options.with_kind(match variant {
                Variant::Fat12 => FatKind::Fat12,
                Variant::Fat16 => FatKind::Fat16,
                Variant::Fat32 => FatKind::Fat32,
            });
        }
        if let Some(octets) = self.cluster {
            options = options.with_cluster_size(octets);
        }
        let mut device = Device::new(disk.clone()).ok_or(Error::Unsupported)?;
        hadris_fat::async_::format(&mut device, &options).await.map_err(|error| match error.kind() {
            hadris_io::ErrorKind::LimitExceeded => Error::TooLarge,
            _ => error.into(),
        })?;
        Ok(())
    }
}
