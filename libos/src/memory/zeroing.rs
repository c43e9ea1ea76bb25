//! Memory that is zeroed when it is given back, whoever gives it back: for calls into code that keeps secrets and leaves copies of them.

use crate::local::local;
use core::cell::Cell;

local! {
    static IS_ZEROING: Cell<bool> = Cell::new(false);
}

/// As long as this is there, the [heap](super::Heap) zeroes what is given back to it, before somebody else is given it. One at a time, and
/// never across an `await`: other tasks would pay for it.
#[derive(Debug)]
pub struct Zeroing(());

impl Zeroing {
    /// From now on.
    pub fn begin() -> Self {
        IS_ZEROING.with(|zeroing| zeroing.set(true));
        Self(())
    }
}

impl Drop for Zeroing {
    fn drop(&mut self) {
        IS_ZEROING.with(|zeroing| zeroing.set(false));
    }
}

/// Whether what is given back now is zeroed.
pub fn is_zeroing() -> bool {
    IS_ZEROING.with(Cell::get)
}
