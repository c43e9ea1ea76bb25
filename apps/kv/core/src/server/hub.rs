//! What all clients share beside the data.

use super::{Config, Link};
use crate::commands::blocking::Waiters;
use crate::commands::pubsub::Channels;
use crate::commands::table::{Calls, Flags, Table};
use crate::data::sip;
use crate::evict::{Dice, Pool, evict_one};
use crate::fault::Fault;
use crate::keep::{KeepError, Keeper};
use crate::resp::Args;
use crate::store::Store;
use alloc::rc::Rc;
use alloc::vec::Vec;
use fata::entropy;
use fata::memory;
use fata::time::Instant;

/// The most of the guest's memory that is kept free, octets.
const MAX_RESERVE: u64 = 8 << 20;

/// What is counted.
#[derive(Clone, Copy, Default)]
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
    /// Batches that were written to the disk, and those that could not be.
    pub batches: u64,
    /// See `batches`.
    pub failed_batches: u64,
    /// When all was on the medium last, milliseconds since 1970.
    pub saved: i64,
    /// The number of the last client.
    pub last_client: u64,
}

/// What all clients share beside the data.
pub struct Hub {
    /// Settings.
    pub config: Config,
    /// The commands.
    pub table: Table,
    /// How often they were called.
    pub calls: Calls,
    /// Until when `CLIENT PAUSE` has commands wait, milliseconds since 1970, and whether all of them or those that write.
    pub pause: Option<(i64, bool)>,
    /// Clients in the order of their numbers.
    pub links: Vec<Rc<Link>>,
    /// Who listens to what.
    pub channels: Channels,
    /// Who waits for what.
    pub waiters: Waiters,
    /// What was counted.
    pub figures: Figures,
    /// For choices that need no secrecy.
    pub dice: Dice,
    /// Whether nobody is let in any more.
    pub is_closing: bool,
    /// Whether all is to be brought onto the disk, whatever the durability is.
    pub is_saving: bool,
    /// Why what was changed is not on the disk, if it is not.
    pub disk_fault: Option<KeepError>,
    /// The disk, if there is one.
    pub keeper: Option<Rc<dyn Keeper>>,
    /// Keys that may have to go.
    pub pool: Pool,
    /// When the server began.
    pub started: Instant,
    /// Names this run of the server.
    pub run_id: [u64; 2],
}

impl Hub {
    /// Whether the disk is in no state for a command of this kind: where it is full, one that needs room, else one that changes
    /// anything.
    pub fn disk_refuses(&self, flags: Flags) -> bool {
        let refused = |fault: KeepError| if fault.is_room() { Flags::PUTS } else { Flags::WRITES };
        self.disk_fault.is_some_and(|fault| flags.contains(refused(fault)))
    }

    /// What is said to a command that the disk refuses.
    pub fn misconf(&self) -> Fault {
        match self.disk_fault {
            Some(KeepError::ReadOnly) => Fault::DISK_READ_ONLY,
            Some(KeepError::Damaged) => Fault::DISK_DAMAGED,
            _ => Fault::MISCONF,
        }
    }
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
        sip::set_key_once(|| [entropy::u64(), entropy::u64()]);
        let mut store = Store::new();
        store.clock.policy = config.policy;
        let mut dice = Dice::new(seed);
        let mut word = || dice.below(usize::MAX) as u64;
        let run_id = [word(), word()];
        let hub = Hub {
            config,
            table: Table::new(),
            calls: Calls::default(),
            pause: None,
            links: Vec::new(),
            channels: Channels::default(),
            waiters: Waiters::default(),
            figures: Figures::default(),
            dice,
            is_closing: false,
            is_saving: false,
            disk_fault: None,
            keeper: None,
            pool: Pool::default(),
            started: Instant::now(),
            run_id,
        };
        Self { store, hub }
    }
}

/// Commands between two looks at the guest's memory, where they are small.
const LOOK: u64 = 16;
/// A command that is not small, octets.
const SMALL: usize = 4 << 10;

/// Octets that are not found in one piece wherever there is memory at all.
const LARGE: usize = 64 << 10;

/// Makes room for a command that may take memory for its arguments; false where there is none.
#[inline(never)]
pub fn make_room(store: &mut Store, hub: &mut Hub, args: Args<'_>) -> bool {
    let most = hub.config.maxmemory;
    while most > 0 && store.weight() > most {
        if !evict_one(store, &mut hub.dice, &mut hub.pool) {
            return false;
        }
    }
    let octets = args.octets();
    octets < SMALL && !hub.figures.commands.is_multiple_of(LOOK)
        || has_memory(octets) && has_pieces(args, octets)
}

/// Whether there is a piece of memory for the longest argument, where that matters: what is free may be in small ones.
fn has_pieces(args: Args<'_>, octets: usize) -> bool {
    let longest = || args.from(0).map(<[u8]>::len).max().unwrap_or(0);
    let mut piece = Vec::<u8>::new();
    let is_there = octets < LARGE || piece.try_reserve_exact(longest()).is_ok();
    // A piece that nobody looks at would not be asked for.
    core::hint::black_box(&piece);
    is_there
}

/// Whether the guest has so much memory, and what it needs beside.
#[inline(never)]
pub fn has_memory(octets: usize) -> bool {
    spare_memory() >= octets.saturating_mul(2)
}

/// Makes room for more octets, if there is memory: what is free may be in pieces that are all too small.
#[inline(never)]
pub fn may_grow(octets: &mut Vec<u8>, more: usize) -> bool {
    has_memory(octets.len() + more)
        && (octets.try_reserve(more).is_ok() || octets.try_reserve_exact(more).is_ok())
}

/// What the guest has beside what it needs, octets; without end where nobody knows.
#[inline(never)]
pub fn spare_memory() -> usize {
    let stats = memory::stats();
    if stats.total == 0 {
        return usize::MAX;
    }
    stats.free.saturating_sub((stats.total / 16).min(MAX_RESERVE)) as usize
}
