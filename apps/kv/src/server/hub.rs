//! What all clients share beside the data.

use super::{Config, Link};
use crate::commands::table::Table;
use crate::evict::{Dice, evict_one};
use crate::store::Store;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use fata::memory;
use fata::time::Instant;

/// The most of the guest's memory that is kept free, octets.
const MAX_RESERVE: u64 = 8 << 20;

/// What is counted.
#[derive(Default)]
pub struct Figures {
    /// Connections since the start.
    pub connections: u64,
    /// Connections that were too many.
    pub rejected: u64,
    /// Commands.
    pub commands: u64,
    /// Octets from and to clients.
    pub read: u64,
    /// See `read`.
    pub written: u64,
    /// Errors that were answered.
    pub errors: u64,
}

/// What all clients share beside the data.
pub struct Hub {
    /// Settings.
    pub config: Config,
    /// The commands.
    pub table: Table,
    /// Clients by their numbers.
    pub links: BTreeMap<u64, Rc<Link>>,
    /// What was counted.
    pub figures: Figures,
    /// For choices that need no secrecy.
    pub dice: Dice,
    /// When the server began.
    pub started: Instant,
    /// Names this run of the server.
    pub run_id: [u64; 2],
}

/// The data, and what all clients share.
pub struct Core {
    /// The data.
    pub store: Store,
    /// The rest.
    pub hub: Hub,
}

impl Core {
    /// A server without data and clients.
    pub fn new(config: Config, seed: u64) -> Self {
        let mut store = Store::new();
        store.clock.policy = config.policy;
        let mut dice = Dice::new(seed);
        let mut word = || dice.below(usize::MAX) as u64;
        let run_id = [word(), word()];
        let hub = Hub {
            config,
            table: Table::new(),
            links: BTreeMap::new(),
            figures: Figures::default(),
            dice,
            started: Instant::now(),
            run_id,
        };
        Self { store, hub }
    }

    /// Makes room for a command that may take memory; false where there is none.
    pub fn make_room(&mut self, octets: usize) -> bool {
        let most = self.hub.config.maxmemory;
        while most > 0 && self.store.weight() > most {
            if !evict_one(&mut self.store, &mut self.hub.dice) {
                return false;
            }
        }
        has_memory(octets)
    }
}

/// Whether the guest has so much memory, and what it needs beside.
pub fn has_memory(octets: usize) -> bool {
    let stats = memory::stats();
    stats.total == 0 || stats.free >= (stats.total / 16).min(MAX_RESERVE) + 2 * octets as u64
}
