//! What the back end's cache may hold: which writes flushes have brought onto the medium, and which were lost with the back end.

use super::merge::Kind;
use core::cell::Cell;

#[derive(Default)]
pub(super) struct Cache {
    /// Writes that have ended without error.
    written: Cell<u64>,
    /// So many of them are on the medium.
    flushed: Cell<u64>,
    /// Whether some of the others went with a back end, and nobody was told.
    is_lost: Cell<bool>,
}

impl Cache {
    /// Writes that have ended: what a flush that begins now is about.
    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// Takes notice of a request that has ended without error, and that began after so many writes.
    pub(super) fn ended(&self, kind: Kind, after: u64) {
        match kind {
            Kind::Write => self.written.set(self.written.get() + 1),
            Kind::Flush => self.flushed.set(self.flushed.get().max(after)),
            Kind::Read | Kind::Discard => {}
        }
    }

    /// Takes notice that the back end went away without closing: its domain may have died, with what it had not written.
    pub(super) fn lose(&self) {
        if self.flushed.replace(self.written.get()) < self.written.get() {
            self.is_lost.set(true);
        }
    }

    /// Whether writes were lost, of which a flush has to tell.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get()
    }

    /// Takes notice that a flush has told.
    pub(super) fn told(&self) {
        self.is_lost.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_about_the_writes_before_it() {
        let cache = Cache::default();
        cache.ended(Kind::Write, 0);
        let after = cache.written();
        cache.ended(Kind::Flush, after);
        cache.lose();
        assert!(!cache.is_lost());
        let after = cache.written();
        cache.ended(Kind::Write, 0);
        cache.ended(Kind::Flush, after);
        cache.lose();
        assert!(cache.is_lost(), "it ended while the flush was on its way");
        cache.told();
        cache.lose();
        assert!(!cache.is_lost(), "told once");
    }
}
