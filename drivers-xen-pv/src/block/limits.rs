//! What a device may use of its guest, however much a back end offers; pure arithmetic.

use crate::abi::blkif::MAX_SEGMENTS;
use crate::types::PAGE_SIZE;

/// The most pages of a ring, as a power of two: 4 of them hold 128 requests.
const MAX_RING_ORDER: u32 = 2;
/// The most queues, each with a ring and an event channel.
const MAX_QUEUES: u32 = 8;
/// The most pages of a request: 256 KiB, behind which longer ones gain nothing; their list fits one page.
pub(super) const MOST_SEGMENTS: usize = 64;
/// The most and the fewest pages to copy through.
const MOST_COPIED: usize = 512;
const LEAST_COPIED: usize = 32;
/// The pages to copy through that one request may take: a part of them, so that others move too.
const COPIED_SHARE: usize = 4;
/// Pages of callers that back ends have at a time, where nothing is copied: bounds the grants in use.
const MOST_LENT: usize = 1024;

/// What a device may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pages of a ring, as a power of two.
    pub ring_order: u32,
    /// Queues, each with a ring of so many pages and an event channel.
    pub queues: u32,
    /// Pages of a request.
    pub segments: usize,
    /// Pages to copy through, where the back end keeps grants. With 0 it is told that they are not kept.
    pub copied_pages: usize,
}

impl Limits {
    /// What is of use to a guest of one virtual processor, which fills one ring as well as several. A back end may have a thread for
    /// each ring: who has one for whom that is more asks for `queues`.
    pub const DEFAULT: Self =
        Self { ring_order: MAX_RING_ORDER, queues: 1, segments: MOST_SEGMENTS, copied_pages: MOST_COPIED };

    /// What fits a guest of `total` octets: a thirty-second of it to copy through. 0 stands for unknown.
    pub fn for_memory(total: u64) -> Self {
        let share = usize::try_from(total / 32).unwrap_or(usize::MAX) / PAGE_SIZE;
        let copied_pages = if total == 0 { MOST_COPIED } else { share.clamp(LEAST_COPIED, MOST_COPIED) };
        Self { copied_pages, ..Self::DEFAULT }
    }

    /// The rings to make, where a back end has this to offer.
    pub(super) fn rings(&self, offer: Offer) -> Rings {
        Rings {
            order: self.ring_order.min(MAX_RING_ORDER).min(offer.max_ring_order),
            queues: self.queues.min(MAX_QUEUES).min(offer.max_queues.unwrap_or(1)).max(1) as usize,
        }
    }

    /// How a queue, one of `queues`, moves octets, where the back end takes so many segments in a page of their own and keeps
    /// grants or does not.
    pub(super) fn transfer(&self, indirect: u32, kept: Kept, queues: usize) -> Transfer {
        let wanted = self.segments.min(MOST_SEGMENTS).min(usize::try_from(indirect).unwrap_or(usize::MAX));
        let (pages, most) = match kept {
            Kept::No => (MOST_LENT, wanted),
            Kept::Yes => {
                let pages = self.copied_pages.min(MOST_COPIED);
                (pages, wanted.min(pages / queues / COPIED_SHARE))
            }
        };
        Transfer { kept, pages: (pages / queues).max(1), segments: most.max(MAX_SEGMENTS) }
    }
}

/// What a back end says of rings before there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) max_ring_order: u32,
    /// `None`: it knows nothing of several.
    pub(super) max_queues: Option<u32>,
}

/// Rings of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rings {
    /// Pages of each, as a power of two.
    pub(super) order: u32,
    /// How many, at least one.
    pub(super) queues: usize,
}

/// Whether both ends keep grants for as long as they are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Callers' pages are granted for the time of a request.
    No,
    /// Pages of the device's own, through which all is copied.
    Yes,
}

/// How a queue moves octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transfer {
    pub(super) kept: Kept,
    /// Pages that the back end has at a time: callers' ones, or the queue's own.
    pub(super) pages: usize,
    /// Pages of a request; with more than [`MAX_SEGMENTS`] they are listed in a page of their own.
    pub(super) segments: usize,
}

#[cfg(test)]
mod tests {
    use super::{Kept, Limits, Offer, Rings, Transfer};

    #[test]
    fn rings_are_as_offered_as_wanted_and_as_bounded() {
        let rings = |ring_order, queues, max_ring_order, max_queues| {
            let limits = Limits { ring_order, queues, ..Limits::DEFAULT };
            let Rings { order, queues } = limits.rings(Offer { max_ring_order, max_queues });
            (order, queues)
        };
        // Nothing offered, as by old back ends.
        assert_eq!(rings(2, 4, 0, None), (0, 1));
        assert_eq!(rings(2, 4, 1, Some(2)), (1, 2));
        assert_eq!(rings(2, 4, 4, Some(16)), (2, 4));
        assert_eq!(rings(0, 1, 4, Some(16)), (0, 1));
        // Nonsense on either side.
        assert_eq!(rings(2, 4, u32::MAX, Some(0)), (2, 1));
        assert_eq!(rings(u32::MAX, u32::MAX, u32::MAX, Some(u32::MAX)), (2, 8));
        assert_eq!(rings(2, 0, 2, Some(3)), (2, 1));
    }

    #[test]
    fn requests_are_as_long_as_offered_as_wanted_and_as_there_is_memory() {
        let of = |limits: Limits, indirect, kept, queues| {
            let Transfer { pages, segments, .. } = limits.transfer(indirect, kept, queues);
            (pages, segments)
        };
        let all = Limits::DEFAULT;
        // Without pages of segments, or with fewer than a slot holds.
        assert_eq!(of(all, 0, Kept::No, 1), (1024, 11));
        assert_eq!(of(all, 3, Kept::No, 1), (1024, 11));
        assert_eq!(of(all, 256, Kept::No, 1), (1024, 64));
        assert_eq!(of(all, 32, Kept::No, 4), (256, 32));
        assert_eq!(of(all, u32::MAX, Kept::No, 8), (128, 64));
        assert_eq!(of(all, 256, Kept::Yes, 1), (512, 64));
        assert_eq!(of(all, 256, Kept::Yes, 4), (128, 32));
        let small = Limits::for_memory(8 << 20);
        assert_eq!(small.copied_pages, 64);
        assert_eq!(of(small, 256, Kept::Yes, 1), (64, 16));
        assert_eq!(of(small, 256, Kept::Yes, 8), (8, 11));
        assert_eq!(of(Limits { copied_pages: 3, ..all }, 256, Kept::Yes, 8), (1, 11));
        assert_eq!(of(Limits { segments: usize::MAX, ..all }, u32::MAX, Kept::No, 1), (1024, 64));
    }

    #[test]
    fn what_is_copied_through_fits_the_guest() {
        let pages = |mib: u64| Limits::for_memory(mib << 20).copied_pages;
        assert_eq!([0, 1, 4, 8, 32, 64, 4096].map(pages), [512, 32, 32, 64, 256, 512, 512]);
    }
}
