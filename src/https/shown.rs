//! The pairs that an acceptor shows, each of which can be replaced.

use super::{Pair, PairError, Reloads};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use fata_libos::time::SystemTime;
use fata_tls::{Limits, ServerConfig, Stats, TlsAcceptor};

/// What an acceptor shows: the first pair to who asks for no name that there is.
pub struct Shown {
    acceptor: TlsAcceptor,
    pairs: RefCell<Vec<Pair>>,
    finish: Box<dyn Fn(ServerConfig) -> ServerConfig>,
    /// What became of other pairs.
    pub reloads: Rc<Reloads>,
}

impl Shown {
    /// Has an acceptor show these pairs, of which there is at least one. `finish` makes their configuration ready. Handshakes are counted in
    /// `stats`, of which others may hold a clone, and of `reloads`.
    pub fn new(
        pairs: Vec<Pair>,
        stats: Rc<Stats>,
        reloads: Rc<Reloads>,
        finish: impl Fn(ServerConfig) -> ServerConfig + 'static,
    ) -> Result<Rc<Self>, PairError> {
        let now = SystemTime::now();
        let pairs: Vec<_> = pairs.into_iter().map(|pair| pair.at(now)).collect();
        let config = finish(config(&pairs)?);
        let shown = Self {
            acceptor: TlsAcceptor::with(config, Limits::default(), stats)?,
            pairs: RefCell::new(pairs),
            finish: Box::new(finish),
            reloads,
        };
        shown.note_expiry();
        Ok(Rc::new(shown))
    }

    /// What makes streams of accepted ones.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// The pair at a place, counted from 0.
    pub fn pair(&self, place: usize) -> Option<Pair> {
        self.pairs.borrow().get(place).cloned()
    }

    /// From now on shows these in their places. Connections that there are keep the certificate that they began with. Where one cannot be
    /// shown, all those before stay.
    pub fn replace(&self, others: Vec<(usize, Pair)>) -> Result<(), PairError> {
        let mut pairs = self.pairs.borrow().clone();
        for (place, other) in others {
            if let Some(pair) = pairs.get_mut(place) {
                *pair = other;
            }
        }
        self.acceptor.replace((self.finish)(config(&pairs)?))?;
        self.pairs.replace(pairs);
        self.reloads.done.set(self.reloads.done.get().wrapping_add(1));
        self.note_expiry();
        Ok(())
    }

    /// Whether a place has the same certificates and OCSP response. Its pair is the other then, whose texts may have changed.
    #[cfg(feature = "storage")]
    pub(super) fn note(&self, place: usize, other: &Pair) -> bool {
        let mut pairs = self.pairs.borrow_mut();
        let Some(pair) = pairs.get_mut(place) else { return false };
        let is_same = pair.has_chain_of(other) && pair.staple() == other.staple();
        if is_same {
            *pair = other.clone();
        }
        is_same
    }

    fn note_expiry(&self) {
        let pairs = self.pairs.borrow();
        self.reloads.expires.set(pairs.iter().map(Pair::expires).min().unwrap_or_default());
        let of_ocsp = |pair: &Pair| Some(pair.staple()?.next_update()?.since_unix().as_secs());
        self.reloads.ocsp_expires.set(pairs.iter().filter_map(of_ocsp).min().unwrap_or_default());
    }
}

fn config(pairs: &[Pair]) -> Result<ServerConfig, PairError> {
    let (first, rest) = pairs.split_first().ok_or(PairError::None)?;
    rest.iter().try_fold(first.config()?, |config, pair| pair.beside(config))
}
