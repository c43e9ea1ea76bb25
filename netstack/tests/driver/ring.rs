//! The mailbox's indices, and what may be believed of them. Pure logic: no memory, no device.

use crate::abi::SLOTS;

// ANCHOR: fault
/// The peer broke the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An index of the peer's is not where it can be.
    #[error("the peer's index is {seen}, expected {least} to {most}")]
    Index { seen: u32, least: u32, most: u32 },
    /// A frame of the peer's has a length that no frame has.
    #[error("a frame of {len} octets, expected at most {}", crate::abi::FRAME)]
    Length { len: u32 },
}
// ANCHOR_END: fault

// ANCHOR: ring
/// The receiver's view of one direction: `consumed <= known <= consumed + SLOTS`, on counters that wrap.
#[derive(Debug, Default)]
pub struct Consumer {
    consumed: u32,
    known: u32,
}

impl Consumer {
    /// Takes note of the peer's index, which was read once: a claim until it is checked here.
    pub fn learn(&mut self, claim: u32) -> Result<(), Fault> {
        let room = SLOTS - self.known.wrapping_sub(self.consumed);
        self.known = advance(self.known, claim, room)?;
        Ok(())
    }

    /// The index of the next frame, if there is one.
    pub fn take(&mut self) -> Option<u32> {
        let index = self.consumed;
        (index != self.known).then(|| {
            self.consumed = index.wrapping_add(1);
            index
        })
    }

    /// Frames known and not taken.
    pub fn waiting(&self) -> u32 {
        self.known.wrapping_sub(self.consumed)
    }

    /// What the peer is told.
    pub fn consumed(&self) -> u32 {
        self.consumed
    }
}

/// The index `claim`, if it lies at most `most` beyond `from`.
fn advance(from: u32, claim: u32, most: u32) -> Result<u32, Fault> {
    if claim.wrapping_sub(from) > most {
        return Err(Fault::Index { seen: claim, least: from, most: from.wrapping_add(most) });
    }
    Ok(claim)
}
// ANCHOR_END: ring

/// The sender's view of one direction: `consumed <= produced <= consumed + SLOTS`.
#[derive(Debug, Default)]
pub struct Producer {
    produced: u32,
    consumed: u32,
}

impl Producer {
    /// Takes note of the peer's index.
    pub fn learn(&mut self, claim: u32) -> Result<(), Fault> {
        let in_flight = self.produced.wrapping_sub(self.consumed);
        self.consumed = advance(self.consumed, claim, in_flight)?;
        Ok(())
    }

    /// The index of a free slot, if there is one.
    pub fn take(&mut self) -> Option<u32> {
        let index = self.produced;
        (self.free() > 0).then(|| {
            self.produced = index.wrapping_add(1);
            index
        })
    }

    /// Slots that can be filled.
    pub fn free(&self) -> u32 {
        SLOTS - self.produced.wrapping_sub(self.consumed)
    }

    /// What the peer is told.
    pub fn produced(&self) -> u32 {
        self.produced
    }
}

// ANCHOR: ring_test
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_the_peer_claims_a_ring_holds_no_more_than_its_slots(claims: Vec<u32>, start: u32) {
            let mut rx = Consumer { consumed: start, known: start };
            for claim in claims {
                // Most claims are far off; these are near.
                for claim in [claim, start.wrapping_add(claim % 20)] {
                    let before = rx.waiting();
                    match rx.learn(claim) {
                        Ok(()) => prop_assert!(rx.waiting() >= before && rx.waiting() <= SLOTS),
                        Err(_) => prop_assert_eq!(rx.waiting(), before),
                    }
                }
                rx.take();
            }
        }
    }
}
// ANCHOR_END: ring_test
