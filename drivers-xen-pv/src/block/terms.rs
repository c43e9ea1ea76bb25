//! What both ends say of themselves in XenStore, and what follows for the connection.

use super::fault::BlockFault;
use super::limits::{Kept, Limits, Offer, Transfer};
use super::queue::Queue;
use crate::abi::blkif::{PROTOCOL, SECTOR, VDISK_READONLY, op};
use crate::xenbus::{Backend, Device, Keys};
use crate::xenstore::StoreError;
use alloc::format;
use alloc::string::{String, ToString};
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

/// What a back end may say of itself.
const KEYS: [&str; 7] = [
    "feature-flush-cache",
    "feature-barrier",
    "feature-discard",
    "feature-persistent",
    "sector-size",
    "info",
    "feature-max-indirect-segments",
];

impl Terms {
    pub(super) async fn read(backend: &Backend) -> Result<Self, StoreError> {
        // All asked for before the first is awaited: one wait.
        let (sectors, numbers) = (backend.read("sectors"), backend.numbers(&KEYS));
        let (sectors, numbers) = (sectors.await?, numbers.await?);
        let number = |at: usize| numbers.get(at).copied().flatten();
        let has = |at| number(at).is_some_and(|number| number != 0);
        Ok(Self {
            sectors,
            flushes: has(0),
            barriers: has(1),
            discards: has(2),
            keeps_grants: has(3),
            sector_size: number(4).unwrap_or(SECTOR as u32),
            info: number(5).unwrap_or_default(),
            indirect: number(6).unwrap_or_default(),
        })
    }

    /// The same back end with another size.
    pub(super) fn with_sectors(&self, sectors: u64) -> Self {
        Self { sectors, ..*self }
    }

    /// What follows for the device. `sectors` is in units of 512 octets, as Linux's back end has it always, and QEMU's for front
    /// ends that do not say `feature-large-sector-size`: which this one does not, so that there is one meaning.
    pub(super) fn geometry(&self, backend: &Backend) -> Result<Geometry, BlockFault> {
        let bad = |key: &str, seen: u64, expected| {
            BlockFault::key(format!("{}/{key}", backend.path()), seen.to_string(), expected)
        };
        let factor = match self.sector_size {
            512 => 1,
            4096 => 8,
            seen => return Err(bad("sector-size", seen.into(), "512 or 4096")),
        };
        // So that a size in octets has 63 bits.
        if self.sectors >> 54 != 0 {
            return Err(bad("sectors", self.sectors, "less than 2^54"));
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
    let numbers = backend.numbers(&["max-ring-page-order", "multi-queue-max-queues"]).await?;
    let number = |at: usize| numbers.get(at).copied().flatten();
    Ok(Offer { max_ring_order: number(0).unwrap_or_default(), max_queues: number(1) })
}

/// Says to the back end where the queues are.
pub(super) async fn publish(
    device: &Device,
    limits: &Limits,
    offer: Offer,
    queues: &[Queue],
) -> Result<(), StoreError> {
    device.publish(&keys(limits, offer, queues), None).await
}

/// The keys of the queues; `None` are those that an earlier connection may have left and that would mean something else now.
fn keys(limits: &Limits, offer: Offer, queues: &[Queue]) -> Keys {
    let mut keys = Keys::default();
    keys.add_text("protocol", PROTOCOL);
    let pages = queues.first().map_or(1, |queue| queue.refs().len());
    // That the same pages are used always. Whether they are, the back end says later; it maps them for good only then.
    keys.add("", "feature-persistent", Some(u32::from(limits.copied_pages > 0)));
    let knows_several = offer.max_queues.is_some_and(|most| most > 0);
    keys.add("", "multi-queue-num-queues", knows_several.then_some(queues.len() as u32));
    keys.add("", "ring-page-order", (pages > 1).then(|| pages.ilog2()));
    if queues.len() > 1 {
        keys.add("", "ring-ref", None);
        keys.add("", "ring-ref0", None);
        keys.add("", "event-channel", None);
    }
    for (number, queue) in queues.iter().enumerate() {
        // One has its keys in the device's own directory, as there always were.
        let place = if queues.len() > 1 { format!("queue-{number}/") } else { String::new() };
        keys.add(&place, "event-channel", Some(queue.port().0));
        match queue.refs() {
            [only] => {
                // Some of Linux's back ends look for this one first, whatever the order: a larger ring before may have left it.
                keys.add(&place, "ring-ref0", None);
                keys.add(&place, "ring-ref", Some(only.0));
            }
            refs => {
                keys.add(&place, "ring-ref", None);
                for (n, r) in refs.iter().enumerate() {
                    keys.add(&place, &format!("ring-ref{n}"), Some(r.0));
                }
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
