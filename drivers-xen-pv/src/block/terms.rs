//! What both ends say of themselves in XenStore, and what follows for the connection.

use super::fault::BlockFault;
use super::queue::Queue;
use crate::abi::blkif::{PROTOCOL, SECTOR, VDISK_READONLY, op};
use crate::xenbus::{Backend, Device};
use crate::xenstore::StoreError;
use alloc::format;
use alloc::string::ToString;
use fata_libos::block::{Access, Discard, Geometry};

/// What a back end says when it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    sectors: u64,
    sector_size: u32,
    info: u32,
    flushes: bool,
    barriers: bool,
    discards: bool,
}

impl Terms {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        // All asked for before the first is awaited: one wait.
        let (sectors, sector_size) = (backend.read("sectors"), backend.read_optional("sector-size"));
        let info = backend.read_optional("info");
        let asked =
            ["feature-flush-cache", "feature-barrier", "feature-discard"].map(|key| backend.has_feature(key));
        let mut said = [false; 3];
        for (said, asked) in said.iter_mut().zip(asked) {
            *said = asked.await?;
        }
        let [flushes, barriers, discards] = said;
        Ok(Self {
            sectors: sectors.await?,
            sector_size: sector_size.await?.unwrap_or(SECTOR as u32),
            info: info.await?.unwrap_or_default(),
            flushes,
            barriers,
            discards,
        })
    }

    /// What follows for the device. `sectors` is in units of 512 octets, as Linux's back end has it always, and QEMU's for front
    /// ends that do not say `feature-large-sector-size`: which this one does not, so that there is one meaning.
    pub(super) fn geometry(&self, backend: &Backend) -> Result<Geometry, BlockFault> {
        let bad = |key: &str, seen: &dyn ToString, expected| BlockFault::Key {
            key: format!("{}/{key}", backend.path()),
            seen: seen.to_string(),
            expected,
        };
        let factor = match self.sector_size {
            512 => 1,
            4096 => 8,
            seen => return Err(bad("sector-size", &seen, "512 or 4096")),
        };
        // So that a size in octets has 63 bits.
        if self.sectors >> 54 != 0 {
            return Err(bad("sectors", &self.sectors, "less than 2^54"));
        }
        let access = if self.info & VDISK_READONLY == 0 { Access::ReadWrite } else { Access::ReadOnly };
        let mut geometry = Geometry::new(SECTOR * factor as usize, self.sectors / factor, access);
        if self.discards {
            geometry.discard = Discard::Supported;
        }
        Ok(geometry)
    }

    /// The operation by which a flush is asked for.
    pub(super) fn flush(&self) -> Option<u8> {
        match self {
            Self { flushes: true, .. } => Some(op::FLUSH_DISKCACHE),
            Self { barriers: true, .. } => Some(op::WRITE_BARRIER),
            _ => None,
        }
    }
}

/// Says to the back end where the queue is.
pub(super) async fn publish(device: &Device, queue: &Queue) -> Result<(), StoreError> {
    let (ring, port) = queue.address();
    device
        .store()
        .transaction(async |store| {
            let ring = device.write_in(store, "ring-ref", ring);
            let port = device.write_in(store, "event-channel", port);
            let protocol = device.write_in(store, "protocol", PROTOCOL);
            ring.await?;
            port.await?;
            protocol.await
        })
        .await
}
