//! Commands that take elements of the first of some keys that has any, and those of them that wait for one.

use super::Cx;
use super::lists;
use super::words::positive;
use crate::data::list::{End, List};
use crate::data::object::Kind;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::parse_double;
use crate::resp::Out;
use crate::server::{Core, Hub, Link};
use crate::store::Store;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What is done with the first key that has elements.
#[derive(Clone)]
pub enum Take {
    /// `BLPOP`, `BRPOP`.
    Pop(End),
    /// `LMPOP`: an end, and at most so many.
    PopMany(End, usize),
    /// `LMOVE`: from an end to an end of another list.
    Move(End, End, Text),
    /// `BZPOPMIN` (the head), `BZPOPMAX`.
    PopScored(End),
    /// `ZMPOP`.
    PopManyScored(End, usize),
}

impl Take {
    fn kind(&self) -> Kind {
        match self {
            Self::Pop(_) | Self::PopMany(..) | Self::Move(..) => Kind::List,
            Self::PopScored(_) | Self::PopManyScored(..) => Kind::Zset,
        }
    }

    /// Takes from a key; false where nothing is there.
    fn run(&self, store: &mut Store, out: &mut Out, key: &[u8]) -> Result<bool, Fault> {
        if let Self::Move(_, _, target) = self {
            // What is over goes first: that moves others.
            store.peek(target);
        }
        let Some(at) = store.find(key) else { return Ok(false) };
        if store.object(at).value.kind() != self.kind() {
            return Err(Fault::WRONG_TYPE);
        }
        match self {
            Self::Pop(end) => {
                let list = store.list(at)?;
                let position = end_position(list, *end);
                let item = list.pop(*end);
                store.positions(position, 1);
                out.array(2);
                out.bulk(key);
                out.bulk(&item.unwrap_or_else(|| Text::from(&b""[..])));
            }
            Self::PopMany(end, most) => {
                let list = store.list(at)?;
                let count = list.len().min(*most);
                let first = list.first() + if *end == End::Head { 0 } else { (list.len() - count) as i64 };
                out.array(2);
                out.bulk(key);
                out.array(count);
                (0..count).filter_map(|_| list.pop(*end)).for_each(|item| out.bulk(&item));
                store.positions(first, count);
            }
            Self::Move(from, to, target) => return move_item(store, out, at, key, (*from, *to), target),
            Self::PopScored(end) => {
                let zset = store.zset(at)?;
                let which = if *end == End::Head { 0 } else { zset.len() - 1 };
                out.array(3);
                out.bulk(key);
                if let Some(scored) = zset.take(which) {
                    out.bulk(&scored.member);
                    out.double(scored.score);
                    store.part(&scored.member);
                }
            }
            Self::PopManyScored(end, most) => {
                let zset = store.zset(at)?;
                let count = zset.len().min(*most);
                out.array(2);
                out.bulk(key);
                out.array(count);
                let mut taken = Vec::new();
                for _ in 0..count {
                    let which = if *end == End::Head { 0 } else { zset.len() - 1 };
                    let Some(scored) = zset.take(which) else { break };
                    out.array(2);
                    out.bulk(&scored.member);
                    out.double(scored.score);
                    taken.push(scored.member);
                }
                taken.iter().for_each(|member| store.part(member));
            }
        }
        store.changed(at);
        Ok(true)
    }
}

/// The position of the element at an end.
fn end_position(list: &List, end: End) -> i64 {
    list.first() + if end == End::Head { 0 } else { list.len() as i64 - 1 }
}

fn move_item(
    store: &mut Store,
    out: &mut Out,
    at: u32,
    key: &[u8],
    (from, to): (End, End),
    target: &[u8],
) -> Result<bool, Fault> {
    if let Some(target) = store.find(target) {
        store.list(target)?;
    }
    let list = store.list(at)?;
    let position = end_position(list, from);
    let Some(item) = list.pop(from) else { return Ok(false) };
    out.bulk(&item);
    if key == target {
        let list = store.list(at)?;
        list.push(to, item);
        let new = end_position(list, to);
        store.positions(position, 1);
        store.positions(new, 1);
        store.changed(at);
        return Ok(true);
    }
    // First the target: what is left of the source may go, and others change places then.
    let target = store.find_or(target, lists::new);
    let list = store.list(target)?;
    list.push(to, item);
    let new = end_position(list, to);
    store.positions(new, 1);
    store.changed(target);
    store.positions(position, 1);
    store.changed(at);
    Ok(true)
}

/// A client that waits.
struct Waiter {
    link: Rc<Link>,
    db: usize,
    keys: Vec<Text>,
    take: Take,
}

/// Clients that wait, by their numbers, in the order in which they began, and by what they wait for.
#[derive(Default)]
pub struct Waiters {
    all: BTreeMap<u64, Waiter>,
    next: u64,
}

impl Waiters {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn forget(store: &mut Store, hub: &mut Hub, number: u64) -> Option<Waiter> {
    let waiter = hub.waiters.all.remove(&number)?;
    for key in &waiter.keys {
        store.forget_key(&(waiter.db, key.clone()));
    }
    waiter.link.is_blocked.set(false);
    Some(waiter)
}

/// Ends the waiting of a client: with this answer, or that nothing came.
pub fn unblock(store: &mut Store, hub: &mut Hub, link: &Link, fault: Option<Fault>) -> bool {
    let number = number_of(hub, link);
    let Some(waiter) = number.and_then(|number| forget(store, hub, number)) else {
        return false;
    };
    let mut out = answer_of(&waiter.link, hub);
    match fault {
        Some(fault) => out.error(fault.text()),
        None => out.null_array(),
    }
    waiter.link.send(&out.octets, hub.config.output_buffer);
    true
}

fn number_of(hub: &Hub, link: &Link) -> Option<u64> {
    hub.waiters.all.iter().find(|(_, waiter)| waiter.link.id == link.id).map(|(number, _)| *number)
}

fn answer_of(link: &Link, hub: &Hub) -> Out {
    let mut out = Out::new(hub.config.output_buffer);
    out.version = link.version.get();
    out
}

/// Gives what has come to those who wait for it, who came first before the others.
pub fn serve_ready(core: &mut Core) {
    while !core.store.ready.is_empty() {
        let (db, key) = core.store.ready.remove(0);
        let waits = |waiter: &Waiter| waiter.db == db && waiter.keys.contains(&key);
        let all = core.hub.waiters.all.iter();
        let numbers: Vec<u64> = all.filter(|(_, waiter)| waits(waiter)).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(waiter) = core.hub.waiters.all.get(&number) else { continue };
            let (take, mut out) = (waiter.take.clone(), answer_of(&waiter.link, &core.hub));
            core.store.db = db;
            match core.store.within(db, |store| take.run(store, &mut out, &key)) {
                Ok(false) => break,
                // A value of another type: it waits on. A target of another type is its own fault.
                Err(fault) => {
                    let is_there = core.store.peek(&key).map(|at| core.store.object(at).value.kind());
                    if is_there != Some(take.kind()) {
                        continue;
                    }
                    out.octets.clear();
                    out.error(fault.text());
                }
                Ok(true) => {}
            }
            if let Some(waiter) = forget(&mut core.store, &mut core.hub, number) {
                waiter.link.send(&out.octets, core.hub.config.output_buffer);
            }
        }
    }
}

/// Ends the waiting of a client that has gone.
pub fn gone(store: &mut Store, hub: &mut Hub, link: &Link) {
    if let Some(number) = number_of(hub, link) {
        forget(store, hub, number);
    }
}

/// Takes from the first key that has something; else waits for `seconds`, if it may.
fn take_first(cx: &mut Cx<'_>, keys: &[&[u8]], take: Take, seconds: Option<f64>) -> Reply {
    for key in keys {
        if take.run(cx.store, cx.out, key)? {
            return Ok(());
        }
    }
    let may_wait = !cx.session.in_exec && !cx.session.link.is_blocked.get();
    let Some(seconds) = seconds.filter(|_| may_wait) else {
        if matches!(take, Take::Move(..)) {
            cx.out.null()
        } else {
            cx.out.null_array()
        }
        return Ok(());
    };
    let keys: Vec<Text> = keys.iter().map(|key| Text::from(*key)).collect();
    for key in &keys {
        cx.store.await_key((cx.store.db, key.clone()));
    }
    let waiters = &mut cx.hub.waiters;
    waiters.next += 1;
    let waiter = Waiter { link: cx.session.link.clone(), db: cx.store.db, keys, take };
    waiters.all.insert(waiters.next, waiter);
    cx.session.link.is_blocked.set(true);
    cx.session.deadline =
        (seconds > 0.0).then(|| cx.store.now.saturating_add((seconds * 1000.0) as i64).max(1));
    Ok(())
}

/// Seconds to wait, 0 for ever.
fn seconds(arg: &[u8]) -> Result<f64, Fault> {
    let seconds = parse_double(arg).ok_or(Fault::TIMEOUT)?;
    if seconds < 0.0 {
        return Err(Fault::TIMEOUT_NEGATIVE);
    }
    if seconds * 1000.0 > i64::MAX as f64 {
        return Err(Fault::Said("ERR timeout is out of range"));
    }
    Ok(seconds)
}

fn pop_first(cx: &mut Cx<'_>, take: Take) -> Reply {
    let last = cx.args.len() - 1;
    let seconds = seconds(cx.args.at(last))?;
    let keys: Vec<&[u8]> = cx.args.from(1).take(last - 1).collect();
    take_first(cx, &keys, take, Some(seconds))
}

pub(super) fn blpop(cx: &mut Cx<'_>) -> Reply {
    pop_first(cx, Take::Pop(End::Head))
}

pub(super) fn brpop(cx: &mut Cx<'_>) -> Reply {
    pop_first(cx, Take::Pop(End::Tail))
}

pub(super) fn bzpopmin(cx: &mut Cx<'_>) -> Reply {
    pop_first(cx, Take::PopScored(End::Head))
}

pub(super) fn bzpopmax(cx: &mut Cx<'_>) -> Reply {
    pop_first(cx, Take::PopScored(End::Tail))
}

fn side(cx: &Cx<'_>, at: usize, names: [&str; 2]) -> Result<End, Fault> {
    match () {
        () if cx.args.is(at, names[0]) => Ok(End::Head),
        () if cx.args.is(at, names[1]) => Ok(End::Tail),
        () => Err(Fault::SYNTAX),
    }
}

const SIDES: [&str; 2] = ["left", "right"];

fn move_ends(cx: &Cx<'_>) -> Result<Take, Fault> {
    Ok(Take::Move(side(cx, 3, SIDES)?, side(cx, 4, SIDES)?, Text::from(cx.args.at(2))))
}

pub(super) fn lmove(cx: &mut Cx<'_>) -> Reply {
    let take = move_ends(cx)?;
    let key = cx.key();
    take_first(cx, &[key], take, None)
}

pub(super) fn blmove(cx: &mut Cx<'_>) -> Reply {
    let take = move_ends(cx)?;
    let (key, seconds) = (cx.key(), seconds(cx.args.at(5))?);
    take_first(cx, &[key], take, Some(seconds))
}

pub(super) fn rpoplpush(cx: &mut Cx<'_>) -> Reply {
    let (key, take) = (cx.key(), Take::Move(End::Tail, End::Head, Text::from(cx.args.at(2))));
    take_first(cx, &[key], take, None)
}

pub(super) fn brpoplpush(cx: &mut Cx<'_>) -> Reply {
    let (key, take) = (cx.key(), Take::Move(End::Tail, End::Head, Text::from(cx.args.at(2))));
    let seconds = seconds(cx.args.at(3))?;
    take_first(cx, &[key], take, Some(seconds))
}

/// `numkeys key... WHERE [COUNT n]` from `at` on.
fn pop_many(cx: &mut Cx<'_>, at: usize, kind: Kind, seconds: Option<f64>) -> Reply {
    let count = positive(cx.args.at(at), "ERR numkeys should be greater than 0")?;
    let side_at = at.checked_add(count).and_then(|at| at.checked_add(1)).ok_or(Fault::SYNTAX)?;
    let is_zset = kind == Kind::Zset;
    let end = side(cx, side_at, if is_zset { ["min", "max"] } else { SIDES })?;
    let mut most = None;
    let mut n = side_at + 1;
    while n < cx.args.len() {
        if most.is_some() || !cx.args.is(n, "count") || n + 1 >= cx.args.len() {
            return Err(Fault::SYNTAX);
        }
        most = Some(positive(cx.args.at(n + 1), "ERR count should be greater than 0")?);
        n += 2;
    }
    let most = most.unwrap_or(1);
    let keys: Vec<&[u8]> = cx.args.from(at + 1).take(count).collect();
    let take = if is_zset { Take::PopManyScored(end, most) } else { Take::PopMany(end, most) };
    take_first(cx, &keys, take, seconds)
}

pub(super) fn lmpop(cx: &mut Cx<'_>) -> Reply {
    pop_many(cx, 1, Kind::List, None)
}

pub(super) fn blmpop(cx: &mut Cx<'_>) -> Reply {
    let seconds = seconds(cx.args.at(1))?;
    pop_many(cx, 2, Kind::List, Some(seconds))
}

pub(super) fn zmpop(cx: &mut Cx<'_>) -> Reply {
    pop_many(cx, 1, Kind::Zset, None)
}

pub(super) fn bzmpop(cx: &mut Cx<'_>) -> Reply {
    let seconds = seconds(cx.args.at(1))?;
    pop_many(cx, 2, Kind::Zset, Some(seconds))
}
