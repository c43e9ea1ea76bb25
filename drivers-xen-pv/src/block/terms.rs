//! What both ends say of themselves in XenStore, and what follows for the connection.

use super::fault::BlockFault;
use super::limits::{Kept, Limits, Offer, Transfer};
use super::queue::Queue;
use crate::abi::blkif::{PROTOCOL, SECTOR, VDISK_READONLY, op};
use crate::xenbus::{Backend, Device};
use crate::xenstore::{Done, StoreError};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
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
    keeps_grants: bool,
    /// Segments of a request that has them in pages of their own; 0 if it knows no such requests.
    indirect: u32,
}

/// The operations by which flushes can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flushes {
    /// The one to use; `None`: what is written is taken to be on the medium.
    pub(super) now: Option<u8>,
    /// The one to use when the back end does not do that after all.
    otherwise: Option<u8>,
}

impl Flushes {
    /// Whether a flush that was asked for by `refused` is to be asked for anew: by the other operation from now on.
    pub(super) fn fall_back(&mut self, refused: u8) -> bool {
        if self.now == Some(refused)
            && let Some(other) = self.otherwise.take()
        {
            self.now = Some(other);
        }
        // Several may be refused before the first refusal is known.
        self.now != Some(refused)
    }
}

/// What a back end may say of itself, in the order of the fields of [`Terms`].
const FEATURES: [&str; 4] =
    ["feature-flush-cache", "feature-barrier", "feature-discard", "feature-persistent"];

impl Terms {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        // All asked for before the first is awaited: one wait.
        let (sectors, sector_size) = (backend.read("sectors"), backend.read_optional("sector-size"));
        let info = backend.read_optional("info");
        let indirect = backend.read_optional("feature-max-indirect-segments");
        let asked = FEATURES.map(|key| backend.has_feature(key));
        let mut said = [false; FEATURES.len()];
        for (said, asked) in said.iter_mut().zip(asked) {
            *said = asked.await?;
        }
        let [flushes, barriers, discards, keeps_grants] = said;
        Ok(Self {
            sectors: sectors.await?,
            sector_size: sector_size.await?.unwrap_or(SECTOR as u32),
            info: info.await?.unwrap_or_default(),
            flushes,
            barriers,
            discards,
            keeps_grants,
            indirect: indirect.await?.unwrap_or_default(),
        })
    }

    /// The same back end with another size.
    pub(super) fn with_sectors(&self, sectors: u64) -> Self {
        Self { sectors, ..*self }
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
        let sectors = self.sectors / factor;
        let mut geometry = Geometry::new(SECTOR * factor as usize, sectors, self.access());
        if self.discards {
            geometry.discard = Discard::Supported;
        }
        Ok(geometry)
    }

    fn access(&self) -> Access {
        if self.info & VDISK_READONLY == 0 { Access::ReadWrite } else { Access::ReadOnly }
    }

    /// The operations by which flushes can be asked for. Linux's back end refuses all that is no read of a disk that is read-only,
    /// whatever it offers; nothing of it is to be flushed.
    pub(super) fn flushes(&self) -> Flushes {
        if self.access() == Access::ReadOnly {
            return Flushes::default();
        }
        let (flush, barrier) = (Some(op::FLUSH_DISKCACHE), Some(op::WRITE_BARRIER));
        match (self.flushes, self.barriers) {
            (true, true) => Flushes { now: flush, otherwise: barrier },
            (true, false) => Flushes { now: flush, otherwise: None },
            (false, true) => Flushes { now: barrier, otherwise: None },
            (false, false) => Flushes::default(),
        }
    }

    /// How each of so many queues moves octets.
    pub(super) fn transfer(&self, limits: &Limits, queues: usize) -> Transfer {
        let is_kept = self.keeps_grants && limits.copied_pages > 0;
        limits.transfer(self.indirect, if is_kept { Kept::Yes } else { Kept::No }, queues)
    }
}

/// What a back end says before it is told anything.
pub(super) async fn read_offer(backend: &Backend) -> Result<Offer, StoreError> {
    let order = backend.read_optional("max-ring-page-order");
    let queues = backend.read_optional("multi-queue-max-queues");
    Ok(Offer { max_ring_order: order.await?.unwrap_or_default(), max_queues: queues.await? })
}

/// Says to the back end where the queues are.
pub(super) async fn publish(
    device: &Device,
    limits: &Limits,
    offer: Offer,
    queues: &[Queue],
) -> Result<(), StoreError> {
    let keys = keys(limits, offer, queues);
    device
        .store()
        .transaction(async |store| {
            let protocol = device.write_in(store, "protocol", PROTOCOL);
            let change = |(key, value): &(String, Option<u32>)| match value {
                Some(value) => device.write_in(store, key, value),
                None => store.rm(&format!("{}/{key}", device.path())),
            };
            let changes: Vec<Done> = keys.iter().map(change).collect();
            protocol.await?;
            // What `Changes::done` does, whose code, where two call it, makes an image with a network alone larger.
            for change in changes {
                match change.await {
                    Err(e) if e.is_absent() => {}
                    done => done?,
                }
            }
            Ok(())
        })
        .await
}

/// The keys of the queues; `None` are those that an earlier connection may have left and that would mean something else now.
fn keys(limits: &Limits, offer: Offer, queues: &[Queue]) -> Vec<(String, Option<u32>)> {
    let mut keys = Vec::new();
    let mut add = |place: &str, key: &str, value| keys.push((format!("{place}{key}"), value));
    let pages = queues.first().map_or(1, |queue| queue.refs().len());
    // That the same pages are used always. Whether they are, the back end says later; it maps them for good only then.
    add("", "feature-persistent", Some(u32::from(limits.copied_pages > 0)));
    let knows_several = offer.max_queues.is_some_and(|most| most > 0);
    add("", "multi-queue-num-queues", knows_several.then_some(queues.len() as u32));
    add("", "ring-page-order", (pages > 1).then(|| pages.ilog2()));
    if queues.len() > 1 {
        add("", "ring-ref", None);
        add("", "ring-ref0", None);
        add("", "event-channel", None);
    }
    for (number, queue) in queues.iter().enumerate() {
        // One has its keys in the device's own directory, as there always were.
        let place = if queues.len() > 1 { format!("queue-{number}/") } else { String::new() };
        add(&place, "event-channel", Some(queue.port().0));
        match queue.refs() {
            [only] => {
                // Some of Linux's back ends look for this one first, whatever the order: a larger ring before may have left it.
                add(&place, "ring-ref0", None);
                add(&place, "ring-ref", Some(only.0));
            }
            refs => {
                add(&place, "ring-ref", None);
                refs.iter().enumerate().for_each(|(n, r)| add(&place, &format!("ring-ref{n}"), Some(r.0)));
            }
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::Flushes;

    #[test]
    fn each_operation_is_given_up_once() {
        let mut flushes = Flushes { now: Some(3), otherwise: Some(2) };
        assert!(flushes.fall_back(3) && flushes.now == Some(2));
        assert!(flushes.fall_back(3), "asked for before");
        assert!(!flushes.fall_back(2) && flushes.now == Some(2));
        let mut only = Flushes { now: Some(3), otherwise: None };
        assert!(!only.fall_back(3) && only.now == Some(3));
    }
}
