//! All commands by name.

use super::{
    Cx, acl, bits, blocking, clients, connection, hashes, info, joins, keys, lcs, lists, persist, pubsub,
    ranges, scan, sets, settings, sort, sorted, strings, transaction,
};
use crate::fault::Reply;
use crate::resp::Args;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

/// What kind of command it is, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// None of what follows.
    pub const NONE: Self = Self(0);
    /// Reads only.
    pub const READS: Self = Self(1);
    /// Changes data.
    pub const WRITES: Self = Self(2);
    /// May take memory, and room on the disk.
    pub const GROWS: Self = Self(4 | Self::PUTS.0);
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
    /// What it says is kept beside the data: who waits or listens for what.
    pub const KEEPS: Self = Self(2048);
    /// May take room on the disk.
    pub const PUTS: Self = Self(1024 | 2);

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

    /// Whether none of the arguments that may become keys, fields or members has more octets than `most`.
    #[inline(never)]
    pub fn has_names_within(&self, args: Args<'_>, most: usize) -> bool {
        let values = VALUES.iter().find(|(name, ..)| *name == self.name);
        (1..args.len()).filter(|at| args.at(*at).len() > most).all(|at| {
            let Some((_, first, step)) = values else { return false };
            at.checked_sub(*first)
                .is_some_and(|behind| if *step == 0 { behind == 0 } else { behind % step == 0 })
        })
    }
}

const NONE: (i8, i8, i8) = (0, 0, 0);
const ONE: (i8, i8, i8) = (1, 1, 1);
const TWO: (i8, i8, i8) = (1, 2, 1);
const ALL: (i8, i8, i8) = (1, -1, 1);
const BUT_LAST: (i8, i8, i8) = (1, -2, 1);
const PAIRS: (i8, i8, i8) = (1, -1, 2);
const R: Flags = Flags::READS;
const RF: Flags = R.and(Flags::FAST);
const W: Flags = Flags::WRITES;
const WF: Flags = W.and(Flags::FAST);
const WAITS: Flags = Flags::BLOCKS.and(Flags::KEEPS);
const P: Flags = Flags::PUTS;
const PF: Flags = P.and(Flags::FAST);
const G: Flags = Flags::GROWS;
const GF: Flags = G.and(Flags::FAST);

macro_rules! commands {
    ($($name:literal $arity:literal $flags:expr, $keys:expr, $run:path;)*) => {
        &[$(Command { name: $name, arity: $arity, flags: $flags, keys: $keys, run: $run }),*]
    };
}

/// All of them.
pub static COMMANDS: &[Command] = commands! {
    "acl" -2 Flags::ADMIN, NONE, acl::acl;
    "append" 3 GF, ONE, strings::append;
    "auth" -2 Flags::STRANGER.and(Flags::FAST), NONE, connection::auth;
    "bgrewriteaof" 1 Flags::ADMIN, NONE, persist::save;
    "bgsave" -1 Flags::ADMIN, NONE, persist::save;
    "bitcount" -2 R, ONE, bits::bitcount;
    "bitfield" -2 G, ONE, bits::bitfield;
    "bitfield_ro" -2 RF, ONE, bits::bitfield_ro;
    "bitop" -4 G, (2,-1,1), bits::bitop;
    "bitpos" -3 R, ONE, bits::bitpos;
    "blmove" 6 G.and(WAITS), TWO, blocking::blmove;
    "blmpop" -5 W.and(WAITS), NONE, blocking::blmpop;
    "blpop" -3 W.and(WAITS), BUT_LAST, blocking::blpop;
    "brpop" -3 W.and(WAITS), BUT_LAST, blocking::brpop;
    "brpoplpush" 4 G.and(WAITS), TWO, blocking::brpoplpush;
    "bzmpop" -5 W.and(WAITS), NONE, blocking::bzmpop;
    "bzpopmax" -3 WF.and(WAITS), BUT_LAST, blocking::bzpopmax;
    "bzpopmin" -3 WF.and(WAITS), BUT_LAST, blocking::bzpopmin;
    "client" -2 Flags::ADMIN, NONE, clients::client;
    "command" -1 Flags::NONE, NONE, settings::command;
    "config" -2 Flags::ADMIN, NONE, settings::config;
    "copy" -3 G, TWO, keys::copy;
    "dbsize" 1 RF, NONE, keys::dbsize;
    "decr" 2 GF, ONE, strings::decr;
    "decrby" 3 GF, ONE, strings::decrby;
    "del" -2 W, ALL, keys::del;
    "discard" 1 Flags::NOW.and(Flags::FAST), NONE, transaction::discard;
    "echo" 2 Flags::FAST, NONE, connection::echo;
    "exec" 1 Flags::NOW, NONE, transaction::exec;
    "exists" -2 RF, ALL, keys::exists;
    "expire" -3 PF, ONE, keys::expire;
    "expireat" -3 PF, ONE, keys::expireat;
    "expiretime" 2 RF, ONE, keys::expiretime;
    "flushall" -1 W, NONE, keys::flushall;
    "flushdb" -1 W, NONE, keys::flushdb;
    "get" 2 RF, ONE, strings::get;
    "getbit" 3 RF, ONE, bits::getbit;
    "getdel" 2 WF, ONE, strings::getdel;
    "getex" -2 PF, ONE, strings::getex;
    "getrange" 4 R, ONE, strings::getrange;
    "getset" 3 GF, ONE, strings::getset;
    "hdel" -3 WF, ONE, hashes::hdel;
    "hello" -1 Flags::STRANGER.and(Flags::FAST), NONE, connection::hello;
    "hexists" 3 RF, ONE, hashes::hexists;
    "hget" 3 RF, ONE, hashes::hget;
    "hgetall" 2 R, ONE, hashes::hgetall;
    "hincrby" 4 GF, ONE, hashes::hincrby;
    "hincrbyfloat" 4 GF, ONE, hashes::hincrbyfloat;
    "hkeys" 2 R, ONE, hashes::hkeys;
    "hlen" 2 RF, ONE, hashes::hlen;
    "hmget" -3 RF, ONE, hashes::hmget;
    "hmset" -4 GF, ONE, hashes::hmset;
    "hrandfield" -2 R, ONE, hashes::hrandfield;
    "hscan" -3 R, ONE, scan::hscan;
    "hset" -4 GF, ONE, hashes::hset;
    "hsetnx" 4 GF, ONE, hashes::hsetnx;
    "hstrlen" 3 RF, ONE, hashes::hstrlen;
    "hvals" 2 R, ONE, hashes::hvals;
    "incr" 2 GF, ONE, strings::incr;
    "incrby" 3 GF, ONE, strings::incrby;
    "incrbyfloat" 3 GF, ONE, strings::incrbyfloat;
    "info" -1 Flags::NONE, NONE, info::info;
    "keys" 2 R, NONE, keys::keys;
    "lastsave" 1 Flags::FAST, NONE, persist::lastsave;
    "latency" -2 Flags::ADMIN, NONE, settings::latency;
    "lcs" -3 R, TWO, lcs::lcs;
    "lindex" 3 R, ONE, lists::lindex;
    "linsert" 5 G, ONE, lists::linsert;
    "llen" 2 RF, ONE, lists::llen;
    "lmove" 5 G, TWO, blocking::lmove;
    "lmpop" -4 W, NONE, blocking::lmpop;
    "lpop" -2 WF, ONE, lists::lpop;
    "lpos" -3 R, ONE, lists::lpos;
    "lpush" -3 GF, ONE, lists::lpush;
    "lpushx" -3 GF, ONE, lists::lpushx;
    "lrange" 4 R, ONE, lists::lrange;
    "lrem" 4 P, ONE, lists::lrem;
    "lset" 4 G, ONE, lists::lset;
    "ltrim" 4 W, ONE, lists::ltrim;
    "memory" -2 R, NONE, settings::memory;
    "mget" -2 RF, ALL, strings::mget;
    "move" 3 PF, ONE, keys::move_db;
    "mset" -3 G, PAIRS, strings::mset;
    "msetnx" -3 G, PAIRS, strings::msetnx;
    "multi" 1 Flags::NOW.and(Flags::FAST), NONE, transaction::multi;
    "object" -2 R, (2,2,1), keys::object;
    "persist" 2 PF, ONE, keys::persist;
    "pexpire" -3 PF, ONE, keys::pexpire;
    "pexpireat" -3 PF, ONE, keys::pexpireat;
    "pexpiretime" 2 RF, ONE, keys::pexpiretime;
    "ping" -1 Flags::FAST.and(Flags::PUBSUB), NONE, connection::ping;
    "psetex" 4 G, ONE, strings::psetex;
    "psubscribe" -2 Flags::PUBSUB.and(Flags::KEEPS), NONE, pubsub::subscribe;
    "pttl" 2 RF, ONE, keys::pttl;
    "publish" 3 Flags::FAST, NONE, pubsub::publish;
    "pubsub" -2 Flags::NONE, NONE, pubsub::pubsub;
    "punsubscribe" -1 Flags::PUBSUB, NONE, pubsub::unsubscribe;
    "quit" -1 Flags::NOW.and(Flags::STRANGER).and(Flags::PUBSUB).and(Flags::FAST), NONE, connection::quit;
    "randomkey" 1 R, NONE, keys::randomkey;
    "rename" 3 P, TWO, keys::rename;
    "renamenx" 3 PF, TWO, keys::renamenx;
    "reset" 1 Flags::NOW.and(Flags::STRANGER).and(Flags::PUBSUB).and(Flags::FAST), NONE, connection::reset;
    "role" 1 Flags::ADMIN.and(Flags::FAST), NONE, settings::role;
    "rpop" -2 WF, ONE, lists::rpop;
    "rpoplpush" 3 G, TWO, blocking::rpoplpush;
    "rpush" -3 GF, ONE, lists::rpush;
    "rpushx" -3 GF, ONE, lists::rpushx;
    "sadd" -3 GF, ONE, sets::sadd;
    "save" 1 Flags::ADMIN, NONE, persist::save;
    "scan" -2 R, NONE, scan::scan;
    "scard" 2 RF, ONE, sets::scard;
    "sdiff" -2 R, ALL, sets::sdiff;
    "sdiffstore" -3 G, ALL, sets::sdiffstore;
    "select" 2 Flags::FAST, NONE, connection::select;
    "set" -3 G, ONE, strings::set;
    "setbit" 4 G, ONE, bits::setbit;
    "setex" 4 G, ONE, strings::setex;
    "setnx" 3 GF, ONE, strings::setnx;
    "setrange" 4 G, ONE, strings::setrange;
    "shutdown" -1 Flags::ADMIN.and(Flags::NO_MULTI), NONE, settings::shutdown;
    "sinter" -2 R, ALL, sets::sinter;
    "sintercard" -3 R, NONE, sets::sintercard;
    "sinterstore" -3 G, ALL, sets::sinterstore;
    "sismember" 3 RF, ONE, sets::sismember;
    "slowlog" -2 Flags::ADMIN, NONE, settings::slowlog;
    "smembers" 2 R, ONE, sets::smembers;
    "smismember" -3 RF, ONE, sets::smismember;
    "smove" 4 PF, TWO, sets::smove;
    "sort" -2 G, ONE, sort::sort;
    "sort_ro" -2 R, ONE, sort::sort_ro;
    "spop" -2 WF, ONE, sets::spop;
    "spublish" 3 Flags::FAST, NONE, pubsub::publish;
    "srandmember" -2 R, ONE, sets::srandmember;
    "srem" -3 WF, ONE, sets::srem;
    "sscan" -3 R, ONE, scan::sscan;
    "ssubscribe" -2 Flags::PUBSUB.and(Flags::KEEPS), NONE, pubsub::subscribe;
    "strlen" 2 RF, ONE, strings::strlen;
    "subscribe" -2 Flags::PUBSUB.and(Flags::KEEPS), NONE, pubsub::subscribe;
    "substr" 4 R, ONE, strings::getrange;
    "sunsubscribe" -1 Flags::PUBSUB, NONE, pubsub::unsubscribe;
    "sunion" -2 R, ALL, sets::sunion;
    "sunionstore" -3 G, ALL, sets::sunionstore;
    "swapdb" 3 PF, NONE, keys::swapdb;
    "time" 1 Flags::FAST, NONE, settings::time;
    "touch" -2 RF, ALL, keys::touch;
    "ttl" 2 RF, ONE, keys::ttl;
    "type" 2 RF, ONE, keys::kind;
    "unlink" -2 WF, ALL, keys::del;
    "unsubscribe" -1 Flags::PUBSUB, NONE, pubsub::unsubscribe;
    "unwatch" 1 Flags::FAST, NONE, transaction::unwatch;
    "wait" 3 Flags::NONE, NONE, settings::wait;
    "watch" -2 Flags::NOW.and(Flags::FAST).and(Flags::KEEPS), ALL, transaction::watch;
    "zadd" -4 GF, ONE, sorted::zadd;
    "zcard" 2 RF, ONE, sorted::zcard;
    "zcount" 4 RF, ONE, ranges::zcount;
    "zdiff" -3 R, NONE, joins::zdiff;
    "zdiffstore" -4 G, ONE, joins::zdiffstore;
    "zincrby" 4 GF, ONE, sorted::zincrby;
    "zinter" -3 R, NONE, joins::zinter;
    "zintercard" -3 R, NONE, joins::zintercard;
    "zinterstore" -4 G, ONE, joins::zinterstore;
    "zlexcount" 4 RF, ONE, ranges::zlexcount;
    "zmpop" -4 W, NONE, blocking::zmpop;
    "zmscore" -3 RF, ONE, sorted::zmscore;
    "zpopmax" -2 WF, ONE, sorted::zpopmax;
    "zpopmin" -2 WF, ONE, sorted::zpopmin;
    "zrandmember" -2 R, ONE, sorted::zrandmember;
    "zrange" -4 R, ONE, ranges::zrange;
    "zrangebylex" -4 R, ONE, ranges::zrangebylex;
    "zrangebyscore" -4 R, ONE, ranges::zrangebyscore;
    "zrangestore" -5 G, TWO, ranges::zrangestore;
    "zrank" 3 RF, ONE, sorted::zrank;
    "zrem" -3 WF, ONE, sorted::zrem;
    "zremrangebylex" 4 W, ONE, ranges::zremrangebylex;
    "zremrangebyrank" 4 W, ONE, ranges::zremrangebyrank;
    "zremrangebyscore" 4 W, ONE, ranges::zremrangebyscore;
    "zrevrange" -4 R, ONE, ranges::zrevrange;
    "zrevrangebylex" -4 R, ONE, ranges::zrevrangebylex;
    "zrevrangebyscore" -4 R, ONE, ranges::zrevrangebyscore;
    "zrevrank" 3 RF, ONE, sorted::zrevrank;
    "zscan" -3 R, ONE, scan::zscan;
    "zscore" 3 RF, ONE, sorted::zscore;
    "zunion" -3 R, NONE, joins::zunion;
    "zunionstore" -4 G, ONE, joins::zunionstore;
};

/// Where commands have values, which may be longer than names: the first, and how many words further the next ones are.
static VALUES: &[(&str, usize, usize)] = &[
    ("append", 2, 0),
    ("getset", 2, 0),
    ("hmset", 3, 2),
    ("hset", 3, 2),
    ("hsetnx", 3, 0),
    ("linsert", 3, 1),
    ("lpush", 2, 1),
    ("lpushx", 2, 1),
    ("lrem", 3, 0),
    ("lset", 3, 0),
    ("mset", 2, 2),
    ("msetnx", 2, 2),
    ("psetex", 3, 0),
    ("rpush", 2, 1),
    ("rpushx", 2, 1),
    ("set", 2, 0),
    ("setex", 3, 0),
    ("setnx", 2, 0),
    ("setrange", 3, 0),
];

/// What became of a call.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// It was done, well or not.
    Called,
    /// It was refused before it was done.
    Rejected,
    /// It was done, and ended with an error.
    Failed,
}

/// How often commands were called, and what for errors they were answered.
#[derive(Default)]
pub struct Calls {
    /// By command and outcome; those of commands behind the end were not called.
    commands: Vec<[u64; 3]>,
    /// The first words of errors. They are ours, thus few.
    errors: Vec<(Vec<u8>, u64)>,
}

impl Calls {
    /// Counts a call. The command is one of [`COMMANDS`].
    pub fn note(&mut self, command: &Command, outcome: Outcome) {
        let offset = core::ptr::from_ref(command).addr().wrapping_sub(COMMANDS.as_ptr().addr());
        if self.commands.is_empty() {
            self.commands = vec![[0; 3]; COMMANDS.len()];
        }
        if let Some(counts) = self.commands.get_mut(offset / size_of::<Command>()) {
            counts[outcome as usize] += 1;
        }
    }

    /// Counts an error.
    pub fn note_error(&mut self, text: &[u8]) {
        let code = text.split(|octet| *octet == b' ').next().unwrap_or_default();
        match self.errors.iter_mut().find(|(known, _)| known == code) {
            Some((_, count)) => *count += 1,
            None => self.errors.push((code.to_vec(), 1)),
        }
    }

    /// The commands that were called, a line each.
    pub fn show(&self, text: &mut String) {
        for (command, counts) in COMMANDS.iter().zip(&self.commands) {
            let [called, rejected, failed] = counts;
            if called + rejected > 0 {
                let name = command.name;
                let _ = write!(
                    text,
                    "cmdstat_{name}:calls={called},rejected_calls={rejected},failed_calls={failed}\r\n"
                );
            }
        }
    }

    /// The errors, a line each.
    pub fn show_errors(&self, text: &mut String) {
        for (code, count) in &self.errors {
            let code = core::str::from_utf8(code).unwrap_or_default();
            let _ = write!(text, "errorstat_{code}:count={count}\r\n");
        }
    }
}

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
