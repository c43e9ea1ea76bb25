//! What the server is told at its start.

use crate::evict::Policy;
use crate::resp::Limits;
use alloc::string::String;

/// When what was changed is to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Before it is answered (`appendfsync always`).
    EveryCommand,
    /// Within 100 ms.
    #[default]
    Every100Ms,
    /// When it suits, and at the end (`appendfsync no`).
    None,
}

impl Durability {
    /// The one of a name.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "every-command" => Some(Self::EveryCommand),
            "every-100ms" => Some(Self::Every100Ms),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    /// Redis's name of what is nearest (`appendfsync`).
    pub fn redis_name(self) -> &'static str {
        match self {
            Self::EveryCommand => "always",
            Self::Every100Ms => "everysec",
            Self::None => "no",
        }
    }
}

/// Settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// The TCP port.
    pub port: u16,
    /// What clients have to say.
    pub password: Option<String>,
    /// The most that data may take, octets; 0 for no bound but the memory there is.
    pub maxmemory: usize,
    /// What goes when that is reached.
    pub policy: Policy,
    /// When changes are on the disk.
    pub durability: Durability,
    /// Whether they come there.
    pub is_kept: bool,
    /// The most clients.
    pub maxclients: usize,
    /// Seconds after which an idle client is closed; 0 for never.
    pub timeout: u32,
    /// How large a command may be.
    pub limits: Limits,
    /// What `limits.bulk` can be set to at most, octets.
    pub most_bulk: usize,
    /// The most octets of commands that a client may have waiting.
    pub query_buffer: usize,
    /// The most octets of answers that a client may have waiting.
    pub output_buffer: usize,
    /// The most octets of messages that a subscriber may have waiting.
    pub pubsub_buffer: usize,
}

/// The longest argument, octets.
const MOST_BULK: usize = 16 << 20;
/// What a row says beside names and value: their lengths, a type, an end, a position; octets, and some more.
const ROW: usize = 64;

impl Config {
    /// Bounds what clients may store so that a key, a field and a value are one row of at most so many octets.
    pub fn fit_rows(&mut self, most: usize) {
        let limits = &mut self.limits;
        limits.name = limits.name.min(most / 8);
        self.most_bulk = self.most_bulk.min(most.saturating_sub(2 * limits.name + ROW));
        limits.bulk = limits.bulk.min(self.most_bulk);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 6379,
            password: None,
            maxmemory: 0,
            policy: Policy::NoEviction,
            durability: Durability::default(),
            is_kept: false,
            maxclients: 1000,
            timeout: 0,
            limits: Limits { arguments: 1 << 20, bulk: MOST_BULK, name: 256 << 10 },
            most_bulk: MOST_BULK,
            query_buffer: 64 << 20,
            output_buffer: 64 << 20,
            pubsub_buffer: 8 << 20,
        }
    }
}
