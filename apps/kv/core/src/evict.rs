//! What goes when memory is short.

use crate::data::text::Text;
use crate::store::{DATABASES, Store};
use alloc::vec::Vec;

/// Keys that are compared before one goes (`maxmemory-samples`).
const SAMPLES: usize = 5;
/// The best of them that are remembered.
const POOL: usize = 16;
/// What a counter of use begins with, and how slowly it grows (`lfu-log-factor`).
const FIRST_USES: u32 = 5;
const LOG_FACTOR: u32 = 10;
/// Milliseconds of a tick of the clock of use.
const TICK: i64 = 64;
/// Milliseconds after which a counter of use loses one (`lfu-decay-time`).
const DECAY: i64 = 60_000;

/// Which keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// None: what would take memory is refused.
    #[default]
    NoEviction,
    /// Those not used for longest.
    AllLru,
    /// Those used least.
    AllLfu,
    /// Any.
    AllRandom,
    /// Of those that end, the ones not used for longest.
    VolatileLru,
    /// Of those that end, the ones used least.
    VolatileLfu,
    /// Of those that end, any.
    VolatileRandom,
    /// Those that end first.
    VolatileTtl,
}

const NAMES: [(&str, Policy); 8] = [
    ("noeviction", Policy::NoEviction),
    ("allkeys-lru", Policy::AllLru),
    ("allkeys-lfu", Policy::AllLfu),
    ("allkeys-random", Policy::AllRandom),
    ("volatile-lru", Policy::VolatileLru),
    ("volatile-lfu", Policy::VolatileLfu),
    ("volatile-random", Policy::VolatileRandom),
    ("volatile-ttl", Policy::VolatileTtl),
];

impl Policy {
    /// The policy of a name.
    pub fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, policy)| *policy)
    }

    /// Redis's name of it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }

    /// Whether it counts how often keys are used.
    pub fn counts_uses(self) -> bool {
        matches!(self, Self::AllLfu | Self::VolatileLfu)
    }

    fn is_random(self) -> bool {
        matches!(self, Self::AllRandom | Self::VolatileRandom)
    }

    fn is_of_all(self) -> bool {
        matches!(self, Self::AllLru | Self::AllLfu | Self::AllRandom)
    }
}

/// How use is noted in the 32 bits of an object: the time in ticks, or minutes in the upper 16 bits and a counter that
/// grows with the logarithm of uses in the lower 8 (Redis's `evict.c` says why).
#[derive(Clone, Copy, Default)]
pub struct Clock {
    /// What the notes are for.
    pub policy: Policy,
}

fn ticks(now: i64) -> u32 {
    (now / TICK) as u32
}

fn minutes(now: i64) -> u32 {
    (now / DECAY) as u32 & 0xffff
}

impl Clock {
    /// The note of a new object.
    pub fn first(self, now: i64) -> u32 {
        if self.policy.counts_uses() { minutes(now) << 16 | FIRST_USES } else { ticks(now) }
    }

    /// The note of an object that is used.
    pub fn used(self, note: u32, now: i64) -> u32 {
        if !self.policy.counts_uses() {
            return ticks(now);
        }
        let count = self.uses(note, now);
        let above = count.saturating_sub(FIRST_USES);
        // A number that differs from use to use; nobody gains by foreseeing it.
        let chance = (note ^ now as u32).wrapping_mul(0x9e37_79b9) >> 16;
        let grows = count < 255 && u64::from(chance) * u64::from(above * LOG_FACTOR + 1) < 0x1_0000;
        minutes(now) << 16 | (count + u32::from(grows))
    }

    /// The counter of an object as of now.
    pub fn uses(self, note: u32, now: i64) -> u32 {
        let passed = minutes(now).wrapping_sub(note >> 16) & 0xffff;
        (note & 0xff).saturating_sub(passed)
    }

    /// Milliseconds since an object was used.
    pub fn idle(self, note: u32, now: i64) -> i64 {
        i64::from(ticks(now).wrapping_sub(note)) * TICK
    }
}

/// Numbers for choices that need no secrecy (xorshift; Marsaglia, 2003).
pub struct Dice(u64);

impl Dice {
    /// Dice that begin with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `n`; 0 where that is 0.
    #[inline(never)]
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * n as u128) >> 64) as usize
    }
}

/// The best of those that were looked at before, the one that deserves most to go last.
#[derive(Default)]
pub struct Pool(Vec<Candidate>);

struct Candidate {
    badness: u64,
    db: usize,
    key: Text,
}

impl Pool {
    fn add(&mut self, badness: u64, db: usize, key: &Text) {
        let at = self.0.partition_point(|other| other.badness < badness);
        let is_known = self.0.iter().any(|other| other.db == db && other.key == *key);
        if is_known || at == 0 && self.0.len() >= POOL {
            return;
        }
        self.0.insert(at, Candidate { badness, db, key: key.clone() });
        if self.0.len() > POOL {
            self.0.remove(0);
        }
    }
}

/// Lets one key go; false where the policy has none.
pub fn evict_one(store: &mut Store, dice: &mut Dice, pool: &mut Pool) -> bool {
    let policy = store.clock.policy;
    if policy == Policy::NoEviction {
        return false;
    }
    for db in 0..DATABASES {
        store.within(db, |store| {
            let among = if policy.is_of_all() { store.current().len() } else { store.current().expiring() };
            for sample in 0..if among > 0 { SAMPLES } else { 0 } {
                if let Some(at) = sample_key(store, dice, among, sample) {
                    pool.add(badness(store, dice, at), db, store.current().key(at));
                }
            }
        });
    }
    while let Some(worst) = pool.0.pop() {
        let is_gone = store.within(worst.db, |store| {
            // It may have gone since, or may not be among those that go, or was used.
            let at = store.current().find(&worst.key).filter(|at| {
                let may_go = policy.is_of_all() || store.object(*at).expires().is_some();
                may_go && (policy.is_random() || badness(store, dice, *at) >= worst.badness)
            });
            at.inspect(|at| store.evict(*at)).is_some()
        });
        if is_gone {
            return true;
        }
    }
    false
}

/// A key that may go.
fn sample_key(store: &Store, dice: &mut Dice, among: usize, sample: usize) -> Option<u32> {
    let (policy, db) = (store.clock.policy, store.current());
    match policy {
        Policy::VolatileTtl => db.find(&db.due(sample)?.member),
        _ if policy.is_of_all() => Some(dice.below(among) as u32),
        _ => db.find(&db.due(dice.below(among))?.member),
    }
}

/// How much a key deserves to go.
fn badness(store: &Store, dice: &mut Dice, at: u32) -> u64 {
    let object = store.object(at);
    match store.clock.policy {
        Policy::AllLru | Policy::VolatileLru => {
            store.clock.idle(object.used, store.now).max(0).cast_unsigned()
        }
        Policy::AllLfu | Policy::VolatileLfu => {
            u64::from(255 - store.clock.uses(object.used, store.now).min(255))
        }
        Policy::VolatileTtl => u64::MAX - object.expires().unwrap_or(i64::MAX).max(0).cast_unsigned(),
        _ => dice.below(1 << 20) as u64,
    }
}
