//! Keys, whatever is under them.

use super::Cx;
use super::words::{Moment, database, int};
use crate::data::hash::Hash;
use crate::data::list::{End, List};
use crate::data::object::{Object, Value};
use crate::data::set::Set;
use crate::data::text::Text;
use crate::data::zset::Zset;
use crate::fault::{Fault, Reply};
use crate::glob;
use crate::store::Store;
use alloc::boxed::Box;

pub(super) fn del(cx: &mut Cx<'_>) -> Reply {
    let gone = cx.args.from(1).filter(|key| cx.store.delete(key)).count();
    cx.out.count(gone);
    Ok(())
}

pub(super) fn exists(cx: &mut Cx<'_>) -> Reply {
    count_there(cx, Store::look)
}

fn count_there(cx: &mut Cx<'_>, find: fn(&mut Store, &[u8]) -> Option<u32>) -> Reply {
    let there = cx.args.from(1).filter(|key| find(cx.store, key).is_some()).count();
    cx.out.count(there);
    Ok(())
}

pub(super) fn touch(cx: &mut Cx<'_>) -> Reply {
    count_there(cx, Store::read)
}

pub(super) fn kind(cx: &mut Cx<'_>) -> Reply {
    let name = match cx.store.peek(cx.key()) {
        Some(at) => cx.store.object(at).value.kind().name(),
        None => "none",
    };
    cx.out.simple(name);
    Ok(())
}

pub(super) fn keys(cx: &mut Cx<'_>) -> Reply {
    let (pattern, now) = (cx.key(), cx.store.now);
    let is_meant = |key: &Text, object: &Object| !object.is_over(now) && glob::matches(pattern, key);
    let db = cx.store.current();
    cx.out.array(db.iter().filter(|(key, object)| is_meant(key, object)).count());
    for (key, _) in db.iter().filter(|(key, object)| is_meant(key, object)) {
        cx.out.bulk(key);
    }
    Ok(())
}

pub(super) fn randomkey(cx: &mut Cx<'_>) -> Reply {
    // Those that are over are taken out on the way.
    while !cx.store.current().is_empty() {
        let which = cx.hub.dice.below(cx.store.current().len()) as u32;
        let key = cx.store.current().key(which).clone();
        if cx.store.peek(&key).is_some() {
            cx.out.bulk(&key);
            return Ok(());
        }
    }
    cx.out.null();
    Ok(())
}

/// Whether there is memory to write the key anew under another name.
fn may_move(cx: &mut Cx<'_>) -> Reply {
    cx.store.peek(cx.key()).map_or(Ok(()), |at| cx.store.may_write(at))
}

fn move_key(cx: &mut Cx<'_>, if_free: bool) -> Result<bool, Fault> {
    let (from, to) = (cx.key(), cx.args.at(2));
    cx.store.peek(from).ok_or(Fault::NO_KEY)?;
    if from == to {
        return Ok(!if_free);
    }
    if if_free && cx.store.peek(to).is_some() {
        return Ok(false);
    }
    may_move(cx)?;
    let object = cx.store.take(from).ok_or(Fault::NO_KEY)?;
    cx.store.delete(to);
    cx.store.restore(to, object);
    Ok(true)
}

pub(super) fn rename(cx: &mut Cx<'_>) -> Reply {
    move_key(cx, false)?;
    cx.out.ok();
    Ok(())
}

pub(super) fn renamenx(cx: &mut Cx<'_>) -> Reply {
    let is_moved = move_key(cx, true)?;
    cx.out.flag(is_moved);
    Ok(())
}

pub(super) fn move_db(cx: &mut Cx<'_>) -> Reply {
    let to = database(cx.args.at(2), Fault(&"ERR value is not an integer or out of range"))?;
    let key = cx.key();
    if to == cx.store.db {
        return Err(Fault::SAME);
    }
    let is_there = cx.store.peek(key).is_some();
    if !is_there || cx.store.within(to, |store| store.peek(key).is_some()) {
        cx.out.int(0);
        return Ok(());
    }
    may_move(cx)?;
    if let Some(object) = cx.store.take(key) {
        cx.store.within(to, |store| store.restore(key, object));
    }
    cx.out.int(1);
    Ok(())
}

/// A value like another one.
fn copied(value: &Value) -> Value {
    match value {
        Value::Int(number) => Value::Int(*number),
        Value::Text(text) => Value::Text(text.clone()),
        Value::Buffer(octets) => Value::Buffer(octets.clone()),
        Value::List(list) => {
            let mut copy = List::default();
            list.from(0).for_each(|item| copy.push(End::Tail, item.clone()));
            Value::List(Box::new(copy))
        }
        Value::Hash(hash) => {
            let mut copy = Hash::default();
            hash.iter().for_each(|(field, value)| {
                copy.set(field, value.clone());
            });
            Value::Hash(Box::new(copy))
        }
        Value::Set(set) => {
            let mut copy = Set::default();
            set.iter().for_each(|member| {
                copy.add(&member);
            });
            Value::Set(Box::new(copy))
        }
        Value::Zset(zset) => {
            let mut copy = Zset::default();
            zset.from(0).for_each(|scored| {
                copy.set(&scored.member, scored.score);
            });
            Value::Zset(Box::new(copy))
        }
    }
}

pub(super) fn copy(cx: &mut Cx<'_>) -> Reply {
    let (from, to) = (cx.key(), cx.args.at(2));
    let (mut db, mut replaces, mut n) = (cx.store.db, false, 3);
    while n < cx.args.len() {
        if cx.args.is(n, "replace") {
            replaces = true;
        } else if cx.args.is(n, "db") && n + 1 < cx.args.len() {
            db = database(cx.args.at(n + 1), Fault(&"ERR value is not an integer or out of range"))?;
            n += 1;
        } else {
            return Err(Fault::SYNTAX);
        }
        n += 1;
    }
    if db == cx.store.db && from == to {
        return Err(Fault::SAME);
    }
    let used = cx.store.clock.first(cx.store.now);
    let Some(at) = cx.store.find(from) else {
        cx.out.int(0);
        return Ok(());
    };
    cx.store.may_write(at)?;
    let object = cx.store.object(at);
    if !crate::server::hub::has_memory(object.weight()) {
        return Err(Fault::OUT_OF_MEMORY);
    }
    let (copy, expires) = (Object::new(copied(&object.value), used), object.expires());
    let is_copied = cx.store.within(db, |store| {
        if store.peek(to).is_some() && !replaces {
            return false;
        }
        store.delete(to);
        store.restore(to, copy);
        if let Some(at) = store.peek(to)
            && expires.is_some()
        {
            store.set_expires(at, expires);
        }
        true
    });
    cx.out.flag(is_copied);
    Ok(())
}

pub(super) fn dbsize(cx: &mut Cx<'_>) -> Reply {
    cx.out.count(cx.store.current().len());
    Ok(())
}

fn check_flush(cx: &Cx<'_>) -> Reply {
    match cx.args.len() {
        1 => Ok(()),
        2 if cx.args.is(1, "sync") || cx.args.is(1, "async") => Ok(()),
        _ => Err(Fault::SYNTAX),
    }
}

pub(super) fn flushdb(cx: &mut Cx<'_>) -> Reply {
    check_flush(cx)?;
    cx.store.clear();
    cx.out.ok();
    Ok(())
}

pub(super) fn flushall(cx: &mut Cx<'_>) -> Reply {
    check_flush(cx)?;
    for db in 0..crate::store::DATABASES {
        cx.store.within(db, Store::clear);
    }
    cx.out.ok();
    Ok(())
}

pub(super) fn swapdb(cx: &mut Cx<'_>) -> Reply {
    let a = database(cx.args.at(1), Fault(&"ERR invalid first DB index"))?;
    let b = database(cx.args.at(2), Fault(&"ERR invalid second DB index"))?;
    let weight = |db: usize| cx.store.dbs().get(db).map_or(0, |db| db.weight());
    if a != b {
        cx.store.may_tell(weight(a) + weight(b))?;
    }
    cx.store.swap(a, b);
    cx.out.ok();
    Ok(())
}

/// When an end may be changed.
#[derive(Default)]
struct When {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_sooner: bool,
}

impl When {
    fn parse(cx: &Cx<'_>) -> Result<Self, Fault> {
        let mut when = Self::default();
        for n in 3..cx.args.len() {
            let option = match () {
                () if cx.args.is(n, "nx") => &mut when.if_none,
                () if cx.args.is(n, "xx") => &mut when.if_some,
                () if cx.args.is(n, "gt") => &mut when.if_later,
                () if cx.args.is(n, "lt") => &mut when.if_sooner,
                () => return Err(cx.blame("ERR Unsupported option ", cx.args.at(n), "")),
            };
            *option = true;
        }
        if when.if_none && (when.if_some || when.if_later || when.if_sooner) {
            return Err(Fault(&"ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if when.if_later && when.if_sooner {
            return Err(Fault(&"ERR GT and LT options at the same time are not compatible"));
        }
        Ok(when)
    }

    fn allows(&self, old: Option<i64>, new: i64) -> bool {
        !(self.if_none && old.is_some()
            || self.if_some && old.is_none()
            || self.if_later && old.is_none_or(|old| new <= old)
            || self.if_sooner && old.is_some_and(|old| new >= old))
    }
}

fn end_at(cx: &mut Cx<'_>, unit: Moment) -> Reply {
    let when = When::parse(cx)?;
    let expires = unit.at(int(cx.args.at(2))?, cx.store.now).ok_or(Fault::EXPIRE)?;
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    let is_allowed = when.allows(cx.store.object(at).expires(), expires);
    if is_allowed && expires <= cx.store.now {
        cx.store.delete(cx.key());
    } else if is_allowed {
        cx.store.set_expires(at, Some(expires));
    }
    cx.out.flag(is_allowed);
    Ok(())
}

pub(super) fn expire(cx: &mut Cx<'_>) -> Reply {
    end_at(cx, Moment::Seconds)
}

pub(super) fn pexpire(cx: &mut Cx<'_>) -> Reply {
    end_at(cx, Moment::Millis)
}

pub(super) fn expireat(cx: &mut Cx<'_>) -> Reply {
    end_at(cx, Moment::AtSecond)
}

pub(super) fn pexpireat(cx: &mut Cx<'_>) -> Reply {
    end_at(cx, Moment::AtMilli)
}

/// Tells when a key ends, as `tell` has it of milliseconds since 1970.
fn tell_end(cx: &mut Cx<'_>, tell: fn(i64, i64) -> i64) -> Reply {
    let answer = match cx.store.peek(cx.key()).map(|at| cx.store.object(at).expires()) {
        None => -2,
        Some(None) => -1,
        Some(Some(expires)) => tell(expires, cx.store.now),
    };
    cx.out.int(answer);
    Ok(())
}

pub(super) fn ttl(cx: &mut Cx<'_>) -> Reply {
    tell_end(cx, |expires, now| (expires - now + 500) / 1000)
}

pub(super) fn pttl(cx: &mut Cx<'_>) -> Reply {
    tell_end(cx, |expires, now| expires - now)
}

pub(super) fn expiretime(cx: &mut Cx<'_>) -> Reply {
    tell_end(cx, |expires, _| (expires + 500) / 1000)
}

pub(super) fn pexpiretime(cx: &mut Cx<'_>) -> Reply {
    tell_end(cx, |expires, _| expires)
}

pub(super) fn persist(cx: &mut Cx<'_>) -> Reply {
    let at = cx.store.find(cx.key()).filter(|at| cx.store.object(*at).expires().is_some());
    if let Some(at) = at {
        cx.store.set_expires(at, None);
    }
    cx.out.flag(at.is_some());
    Ok(())
}

/// What `OBJECT` is asked of a key.
pub(super) fn object(cx: &mut Cx<'_>) -> Reply {
    let known = ["object|encoding", "object|refcount", "object|idletime", "object|freq"];
    super::part(cx, "OBJECT", &known, 3)?;
    let Some(at) = cx.store.peek(cx.args.at(2)) else {
        cx.out.null();
        return Ok(());
    };
    let (object, clock) = (cx.store.object(at), cx.store.clock);
    let counts = clock.policy.counts_uses();
    if cx.args.is(1, "encoding") {
        cx.out.bulk(object.value.encoding().as_bytes());
    } else if cx.args.is(1, "refcount") {
        // Redis shares small numbers.
        let is_shared = matches!(object.value, Value::Int(0..10_000));
        cx.out.int(if is_shared { i64::from(i32::MAX) } else { 1 });
    } else if cx.args.is(1, "idletime") {
        if counts {
            return Err(Fault(
                &"ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                 between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        cx.out.int(clock.idle(object.used, cx.store.now).max(0) / 1000);
    } else {
        if !counts {
            return Err(Fault(
                &"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            ));
        }
        cx.out.int(i64::from(clock.uses(object.used, cx.store.now)));
    }
    Ok(())
}
