//! All commands by name.

use super::{Cx, connection, strings};
use crate::fault::Reply;
use alloc::vec;
use alloc::vec::Vec;

/// What kind of command it is, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// Reads only.
    pub const READS: Self = Self(1);
    /// Changes data.
    pub const WRITES: Self = Self(2);
    /// May take memory.
    pub const GROWS: Self = Self(4 | 2);
    /// Is quick.
    pub const FAST: Self = Self(8);
    /// For who has not said the password, too.
    pub const STRANGER: Self = Self(16);
    /// Is not queued in a transaction.
    pub const NOW: Self = Self(32);
    /// For subscribers, too.
    pub const PUBSUB: Self = Self(64);
    /// May wait.
    pub const BLOCKS: Self = Self(128);
    /// For administrators.
    pub const ADMIN: Self = Self(256);
    /// Not within a transaction.
    pub const NO_MULTI: Self = Self(512);

    /// Whether all of these are there.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A command.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// How many words it has with its name; negative: at least so many.
    pub arity: i8,
    /// What kind it is.
    pub flags: Flags,
    /// The first key, the last (negative: from the end), and the step between.
    pub keys: (i8, i8, i8),
    /// Does it.
    pub run: fn(&mut Cx<'_>) -> Reply,
}

impl Command {
    /// Whether it takes so many words.
    pub fn takes(&self, words: usize) -> bool {
        let words = words as i64;
        let arity = i64::from(self.arity);
        if arity < 0 { words >= -arity } else { words == arity }
    }
}

const NONE: (i8, i8, i8) = (0, 0, 0);
const ONE: (i8, i8, i8) = (1, 1, 1);
const ALL: (i8, i8, i8) = (1, -1, 1);
const R: Flags = Flags::READS;
const RF: Flags = R.and(Flags::FAST);
const W: Flags = Flags::WRITES;
const WF: Flags = W.and(Flags::FAST);
const G: Flags = Flags::GROWS;
const GF: Flags = G.and(Flags::FAST);

macro_rules! commands {
    ($($name:literal $arity:literal $flags:expr, $keys:expr, $run:path;)*) => {
        &[$(Command { name: $name, arity: $arity, flags: $flags, keys: $keys, run: $run }),*]
    };
}

/// All of them.
pub static COMMANDS: &[Command] = commands! {
    "get" 2 RF, ONE, strings::get;
    "set" -3 G, ONE, strings::set;
    "ping" -1 RF.and(Flags::PUBSUB), NONE, connection::ping;
};

/// Finds commands by their names.
pub struct Table {
    slots: Vec<u8>,
}

/// More than twice as many as there are commands.
const SLOTS: usize = 1024;

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// The table.
    pub fn new() -> Self {
        assert!(COMMANDS.len() < usize::from(u8::MAX));
        let mut slots = vec![0; SLOTS];
        for (index, command) in COMMANDS.iter().enumerate() {
            let mut slot = place(command.name.as_bytes());
            while slots[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = index as u8 + 1;
        }
        Self { slots }
    }

    /// The command of a name, in capitals or not.
    pub fn find(&self, name: &[u8]) -> Option<&'static Command> {
        let mut slot = place(name);
        loop {
            let index = usize::from(*self.slots.get(slot)?).checked_sub(1)?;
            let command = COMMANDS.get(index)?;
            if command.name.as_bytes().eq_ignore_ascii_case(name) {
                return Some(command);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

/// Where a name is looked for first.
fn place(name: &[u8]) -> usize {
    let add = |hash: u32, octet: &u8| (hash ^ u32::from(octet | 0x20)).wrapping_mul(0x0100_0193);
    // No name is longer.
    let hash = name.iter().take(20).fold(0x811c_9dc5, add);
    (hash ^ hash >> 15) as usize % SLOTS
}
