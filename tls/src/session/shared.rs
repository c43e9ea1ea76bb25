//! What connections share: their limits, their counters, and how many of them are at their handshakes.

use crate::{Error, Limits, Stats, memory};
use alloc::rc::Rc;
use core::cell::Cell;

/// What the connections of an acceptor or a connector share.
#[derive(Default)]
pub(crate) struct Common {
    limits: Limits,
    stats: Rc<Stats>,
    /// Handshakes that are not done.
    handshakes: Cell<usize>,
}

impl Common {
    pub(crate) fn new(limits: Limits, stats: Rc<Stats>) -> Self {
        Self { limits, stats, handshakes: Cell::default() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A handshake that is not done, which counts as long as this is there.
pub(crate) struct Handshaking(pub(super) Rc<Common>);

impl Handshaking {
    /// One more, if there may be one and there is memory for it.
    pub(crate) fn begin(common: &Rc<Common>) -> Result<Self, Error> {
        let (now, most) = (common.handshakes.get(), common.limits.handshakes);
        let refused = if now >= most {
            Error::TooManyHandshakes(most)
        } else if !memory::is_free(Phase::Handshake, memory::BEGINNING) {
            Error::NoMemory
        } else {
            common.handshakes.set(now + 1);
            return Ok(Self(common.clone()));
        };
        common.stats.turned_away.add(1);
        Err(refused)
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshake,
    Open,
}
