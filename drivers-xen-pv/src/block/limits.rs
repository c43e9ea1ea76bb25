//! What a device may use of its guest, however much a back end offers.

/// The most pages of a ring, as a power of two: 4 of them hold 128 requests.
const MAX_RING_ORDER: u32 = 2;
/// The most queues, each with a ring and an event channel.
const MAX_QUEUES: u32 = 8;

/// What a device may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pages of a ring, as a power of two.
    pub ring_order: u32,
    /// Queues, each with a ring of so many pages and an event channel.
    pub queues: u32,
}

impl Limits {
    /// What is of use to a guest of one virtual processor, which fills one ring as well as several.
    pub const DEFAULT: Self = Self { ring_order: MAX_RING_ORDER, queues: 1 };

    /// The rings to make, where a back end has this to offer: how many, and the order of each.
    pub(super) fn rings(&self, offer: Offer) -> Rings {
        Rings {
            order: self.ring_order.min(MAX_RING_ORDER).min(offer.max_ring_order),
            queues: self.queues.min(MAX_QUEUES).min(offer.max_queues.unwrap_or(1)).max(1) as usize,
        }
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

#[cfg(test)]
mod tests {
    use super::{Limits, Offer, Rings};

    #[test]
    fn rings_are_as_offered_as_wanted_and_as_bounded() {
        let rings = |ring_order, queues, max_ring_order, max_queues| {
            let Rings { order, queues } =
                Limits { ring_order, queues }.rings(Offer { max_ring_order, max_queues });
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
}
