//! The pairs that an acceptor shows, each of which can be replaced.

use super::clients::Clients;
use super::{Pair, PairError, Reloads};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use fata_libos::time::SystemTime;
use fata_tls::{Limits, OcspResponse, ServerConfig, Stats, TlsAcceptor};

/// What an acceptor shows: the first pair to who asks for no name that there is.
pub struct Shown {
    acceptor: TlsAcceptor,
    pairs: RefCell<Vec<Shows>>,
    finish: Box<dyn Fn(ServerConfig) -> ServerConfig>,
    clients: RefCell<Option<Clients>>,
    /// What became of other pairs.
    pub reloads: Rc<Reloads>,
}

/// A pair, and what is shown of it.
#[derive(Clone)]
struct Shows {
    pair: Pair,
    /// Its OCSP response, as long as that is of now.
    staple: Option<OcspResponse>,
}

impl Shows {
    fn new(pair: Pair, now: SystemTime) -> Self {
        let staple = pair.staple(now).cloned();
        Self { pair, staple }
    }
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
        let pairs: Vec<_> = pairs.into_iter().map(|pair| Shows::new(pair, now)).collect();
        let config = finish(config(&pairs, now)?);
        let shown = Self {
            acceptor: TlsAcceptor::with(config, Limits::default(), stats)?,
            pairs: RefCell::new(pairs),
            finish: Box::new(finish),
            clients: RefCell::default(),
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
        self.pairs.borrow().get(place).map(|shows| shows.pair.clone())
    }

    /// From now on shows these in their places. Connections that there are keep the certificate that they began with. Where one cannot be
    /// shown, all those before stay.
    pub fn replace(&self, others: Vec<(usize, Pair)>) -> Result<(), PairError> {
        let now = SystemTime::now();
        let mut pairs: Vec<_> = self.pairs.borrow().iter().map(|shows| shows.pair.clone()).collect();
        for (place, other) in others {
            if let Some(pair) = pairs.get_mut(place) {
                *pair = other;
            }
        }
        self.show(pairs, now)?;
        self.reloads.done.set(self.reloads.done.get().wrapping_add(1));
        Ok(())
    }

    /// From now on clients are asked for these certificates. Connections that there are stay; sessions are resumed with the same ones alone. Where
    /// they cannot be asked for, all stays as it was.
    #[cfg(feature = "client-certificates")]
    pub fn ask_clients(&self, clients: Clients) -> Result<(), PairError> {
        let pairs = self.pairs.borrow().iter().map(|shows| shows.pair.clone()).collect();
        let before = self.clients.replace(Some(clients));
        self.show(pairs, SystemTime::now()).map_err(|error| {
            self.clients.replace(before);
            match error {
                // The pairs have been shown before.
                PairError::Pair(error) => PairError::Clients(error),
                error => error,
            }
        })
    }

    /// What clients are asked for.
    #[cfg(feature = "client-certificates")]
    pub(super) fn clients(&self) -> Option<Clients> {
        self.clients.borrow().clone()
    }

    fn show(&self, pairs: Vec<Pair>, now: SystemTime) -> Result<(), PairError> {
        // All of them as they are now: the OCSP response of one that stays may have ended.
        let pairs: Vec<_> = pairs.into_iter().map(|pair| Shows::new(pair, now)).collect();
        let config = (self.finish)(config(&pairs, now)?);
        let config = match &*self.clients.borrow() {
            Some(clients) => clients.ask(config)?,
            None => config,
        };
        self.acceptor.replace(config)?;
        self.pairs.replace(pairs);
        self.note_expiry();
        Ok(())
    }

    /// Whether what is shown at a place is what would be shown now of this pair, which is the one of the place then: its texts may have
    /// changed.
    #[cfg(feature = "storage")]
    pub(super) fn note(&self, place: usize, other: &Pair, now: SystemTime) -> bool {
        let mut pairs = self.pairs.borrow_mut();
        let Some(Shows { pair, staple }) = pairs.get_mut(place) else { return false };
        let is_same = pair.has_chain_of(other) && staple.as_ref() == other.staple(now);
        if is_same {
            *pair = other.clone();
        }
        is_same
    }

    /// Whether the same would be shown now of the pairs that there are: an OCSP response may have ended, or be of now by a clock put right.
    pub(super) fn is_as_it_would_be(&self, now: SystemTime) -> bool {
        self.pairs.borrow().iter().all(|shows| shows.staple.as_ref() == shows.pair.staple(now))
    }

    fn note_expiry(&self) {
        let pairs = self.pairs.borrow();
        self.reloads.expires.set(pairs.iter().map(|shows| shows.pair.expires()).min().unwrap_or_default());
        let of_ocsp = pairs.iter().filter_map(|shows| Some(shows.staple.as_ref()?.until()));
        self.reloads.ocsp_expires.set(of_ocsp.min().map_or(0, |until| until.since_unix().as_secs()));
    }
}

fn config(pairs: &[Shows], now: SystemTime) -> Result<ServerConfig, PairError> {
    let (first, rest) = pairs.split_first().ok_or(PairError::None)?;
    rest.iter().try_fold(first.pair.config_at(now)?, |config, shows| shows.pair.beside(config, now))
}
