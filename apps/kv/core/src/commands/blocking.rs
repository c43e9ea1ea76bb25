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
use crate::store::{Store, full_name, parts_of};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What is done with the first key that has elements.
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
                store.positions(at, position, 1);
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
                store.positions(at, first, count);
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
        store.positions(at, position, 1);
        store.positions(at, new, 1);
        store.changed(at);
        return Ok(true);
    }
    // First the target: what is left of the source may go, and others change places then.
    let target = store.find_or(target, lists::new);
    let list = store.list(target)?;
    list.push(to, item);
    let new = end_position(list, to);
    store.positions(target, new, 1);
    store.changed(target);
    store.positions(at, position, 1);
    store.changed(at);
    Ok(true)
}

/// A client that waits.
struct Waiter {
    link: Rc<Link>,
    /// What it waits for, by full names.
    keys: Vec<Text>,
    take: Take,
}

/// Clients that wait, in the order in which they began.
#[derive(Default)]
pub struct Waiters(Vec<Waiter>);

impl Waiters {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn forget(store: &mut Store, hub: &mut Hub, link: &Link) -> Option<Waiter> {
    let at = hub.waiters.0.iter().position(|waiter| waiter.link.id == link.id)?;
    let waiter = hub.waiters.0.remove(at);
    waiter.keys.iter().for_each(|name| store.forget_key(name));
    waiter.link.is_blocked.set(false);
    Some(waiter)
}

/// Ends the waiting of a client: with this answer, or that nothing came.
pub fn unblock(store: &mut Store, hub: &mut Hub, link: &Link, fault: Option<Fault>) -> bool {
    let Some(waiter) = forget(store, hub, link) else { return false };
    let mut out = answer_of(&waiter.link, hub);
    match fault {
        Some(fault) => out.error(fault.text().as_bytes()),
        None => out.null_array(),
    }
    waiter.link.send(&out.octets, hub.config.output_buffer);
    true
}

fn answer_of(link: &Link, hub: &Hub) -> Out {
    let mut out = Out::new(hub.config.output_buffer);
    out.version = link.version.get();
    out
}

/// Gives what has come to those who wait for it, who came first before the others.
pub fn serve_ready(core: &mut Core) {
    let Core { store, hub } = core;
    while !store.ready.is_empty() {
        let name = store.ready.remove(0);
        let (db, key) = parts_of(&name);
        let waits = |waiter: &&Waiter| waiter.keys.contains(&name);
        let waiting: Vec<Rc<Link>> =
            hub.waiters.0.iter().filter(waits).map(|waiter| waiter.link.clone()).collect();
        for link in waiting {
            let Some(waiter) = hub.waiters.0.iter().find(|waiter| waiter.link.id == link.id) else {
                continue;
            };
            let (take, mut out) = (&waiter.take, answer_of(&link, hub));
            let result = store.within(db, |store| {
                let result = take.run(store, &mut out, key);
                let kind = store.peek(key).map(|at| store.object(at).value.kind());
                // A value of another type: it waits on. A target of another type is its own fault.
                if result.is_err() && kind != Some(take.kind()) { None } else { Some(result) }
            });
            match result {
                None => continue,
                Some(Ok(false)) => break,
                Some(Ok(true)) => {}
                Some(Err(fault)) => {
                    out.truncate(0);
                    out.error(fault.text().as_bytes());
                }
            }
            forget(store, hub, &link);
            link.send(&out.octets, hub.config.output_buffer);
        }
    }
}

/// Ends the waiting of a client that has gone.
pub fn gone(store: &mut Store, hub: &mut Hub, link: &Link) {
    forget(store, hub, link);
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
    super::check_kept(cx)?;
    let db = cx.store.db;
    let keys: Vec<Text> = keys.iter().map(|key| full_name(db, key)).collect();
    keys.iter().for_each(|name| cx.store.await_key(name));
    cx.hub.waiters.0.push(Waiter { link: cx.session.link.clone(), keys, take });
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
        return Err(Fault(&"ERR timeout is out of range"));
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
    let count = positive(cx.args.at(at), Fault(&"ERR numkeys should be greater than 0"))?;
    let side_at = at.checked_add(count).and_then(|at| at.checked_add(1)).ok_or(Fault::SYNTAX)?;
    let is_zset = kind == Kind::Zset;
    let end = side(cx, side_at, if is_zset { ["min", "max"] } else { SIDES })?;
    let mut most = None;
    let mut n = side_at + 1;
    while n < cx.args.len() {
        if most.is_some() || !cx.args.is(n, "count") || n + 1 >= cx.args.len() {
            return Err(Fault::SYNTAX);
        }
        most = Some(positive(cx.args.at(n + 1), Fault(&"ERR count should be greater than 0"))?);
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
