//! Sets.

use super::Cx;
use super::words::{int, natural, positive};
use crate::data::object::Value;
use crate::data::set::Set;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::store::Store;
use alloc::boxed::Box;
use alloc::vec::Vec;

fn new() -> Value {
    Value::Set(Box::default())
}

pub(super) fn sadd(cx: &mut Cx<'_>) -> Reply {
    let at = cx.store.find_or(cx.key(), new);
    let set = cx.store.set(at)?;
    let added = cx.args.from(2).filter(|member| set.add(member)).count();
    if added > 0 {
        cx.args.from(2).for_each(|member| cx.store.part(member));
        cx.store.changed(at);
    }
    cx.out.count(added);
    Ok(())
}

pub(super) fn srem(cx: &mut Cx<'_>) -> Reply {
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    let set = cx.store.set(at)?;
    let gone = cx.args.from(2).filter(|member| set.remove(member)).count();
    if gone > 0 {
        cx.args.from(2).for_each(|member| cx.store.part(member));
        cx.store.changed(at);
    }
    cx.out.count(gone);
    Ok(())
}

pub(super) fn sismember(cx: &mut Cx<'_>) -> Reply {
    let is_in = match cx.store.read(cx.key()) {
        Some(at) => cx.store.set(at)?.contains(cx.args.at(2)),
        None => false,
    };
    cx.out.flag(is_in);
    Ok(())
}

pub(super) fn smismember(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let set = at.map(|at| cx.store.set(at)).transpose()?;
    cx.out.array(args.len() - 2);
    for member in args.from(2) {
        cx.out.flag(set.as_ref().is_some_and(|set| set.contains(member)));
    }
    Ok(())
}

pub(super) fn scard(cx: &mut Cx<'_>) -> Reply {
    let len = match cx.store.read(cx.key()) {
        Some(at) => cx.store.set(at)?.len(),
        None => 0,
    };
    cx.out.count(len);
    Ok(())
}

pub(super) fn smove(cx: &mut Cx<'_>) -> Reply {
    let (to, member) = (cx.args.at(2), cx.args.at(3));
    // What is over goes first: that moves others.
    cx.store.peek(to);
    let Some(from) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    let is_in = cx.store.set(from)?.contains(member);
    let target = cx.store.find(to);
    if let Some(target) = target {
        cx.store.set(target)?;
    }
    if !is_in || target == Some(from) {
        cx.out.flag(is_in);
        return Ok(());
    }
    let target = cx.store.find_or(to, new);
    cx.store.set(target)?.add(member);
    cx.store.part(member);
    cx.store.changed(target);
    cx.store.set(from)?.remove(member);
    cx.store.part(member);
    cx.store.changed(from);
    cx.out.int(1);
    Ok(())
}

pub(super) fn spop(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len() > 3 {
        return Err(Fault::SYNTAX);
    }
    let count = cx.args.get(2).map(natural).transpose()?;
    let Some(at) = cx.store.find(cx.key()) else {
        if count.is_some() {
            cx.out.set(0)
        } else {
            cx.out.null()
        }
        return Ok(());
    };
    let set = cx.store.set(at)?;
    let mut taken = Vec::new();
    match count {
        None => {
            let which = cx.hub.dice.below(set.len());
            match set.take(which) {
                Some(member) => {
                    cx.out.bulk(&member);
                    taken.push(member);
                }
                None => cx.out.null(),
            }
        }
        Some(count) => {
            let count = count.min(set.len());
            cx.out.set(count);
            let is_all = count == set.len();
            for _ in 0..count {
                let which = if is_all { 0 } else { cx.hub.dice.below(set.len()) };
                if let Some(member) = set.take(which) {
                    cx.out.bulk(&member);
                    taken.push(member);
                }
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
    taken.iter().for_each(|member| cx.store.part(member));
    cx.store.changed(at);
    Ok(())
}

pub(super) fn srandmember(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len() > 3 {
        return Err(Fault::SYNTAX);
    }
    let count = cx.args.get(2).map(int).transpose()?;
    let at = cx.store.read(cx.args.at(1));
    let set = at.map(|at| cx.store.set(at)).transpose()?;
    let Some(count) = count else {
        match set.and_then(|set| set.at(cx.hub.dice.below(set.len()))) {
            Some(member) => cx.out.bulk(&member),
            None => cx.out.null(),
        }
        return Ok(());
    };
    let picked =
        super::random::pick(&mut cx.hub.dice, set.as_ref().map_or(0, |set| set.len()), count, false)?;
    cx.out.array(picked.len());
    for member in picked.iter().filter_map(|which| set.as_ref()?.at(*which)) {
        cx.out.bulk(&member);
    }
    Ok(())
}

/// How sets are put together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    Inter,
    Union,
    Diff,
}

/// Where the sets of some keys are; all must be sets.
fn find_all<'a>(store: &mut Store, keys: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Option<u32>>, Fault> {
    // What is over goes first: that moves others.
    let keys: Vec<&[u8]> = keys.collect();
    keys.iter().for_each(|key| {
        store.peek(key);
    });
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let at = store.read(key);
        if let Some(at) = at {
            store.set(at)?;
        }
        found.push(at);
    }
    super::check_room(store, &found)?;
    Ok(found)
}

fn at(store: &Store, at: Option<u32>) -> Option<&Set> {
    match &store.object(at?).value {
        Value::Set(set) => Some(set),
        _ => None,
    }
}

fn join(store: &Store, found: &[Option<u32>], how: Join, most: usize) -> Set {
    let mut result = Set::default();
    match how {
        Join::Union => {
            for member in found.iter().filter_map(|place| at(store, *place)).flat_map(Set::iter) {
                result.add(&member);
            }
        }
        Join::Inter => {
            let sets: Option<Vec<&Set>> = found.iter().map(|place| at(store, *place)).collect();
            let mut sets = sets.unwrap_or_default();
            super::joins::least_first(&mut sets, |set| set.len());
            let Some((least, others)) = sets.split_first() else { return result };
            let in_all = |member: &Text| others.iter().all(|set| set.contains(member));
            for member in least.iter().filter(in_all).take(most) {
                result.add(&member);
            }
        }
        Join::Diff => {
            let Some((first, others)) = found.split_first() else { return result };
            let others: Vec<&Set> = others.iter().filter_map(|place| at(store, *place)).collect();
            let in_none = |member: &Text| !others.iter().any(|set| set.contains(member));
            for member in at(store, *first).into_iter().flat_map(Set::iter).filter(in_none) {
                result.add(&member);
            }
        }
    }
    result
}

pub(super) fn smembers(cx: &mut Cx<'_>) -> Reply {
    let at = cx.store.read(cx.args.at(1));
    let set = at.map(|at| cx.store.set(at)).transpose()?;
    cx.out.set(set.as_ref().map_or(0, |set| set.len()));
    for member in set.iter().flat_map(|set| set.iter()) {
        cx.out.bulk(&member);
    }
    Ok(())
}

fn tell(cx: &mut Cx<'_>, how: Join) -> Reply {
    let found = find_all(cx.store, cx.args.from(1))?;
    let result = join(cx.store, &found, how, usize::MAX);
    cx.out.set(result.len());
    result.iter().for_each(|member| cx.out.bulk(&member));
    Ok(())
}

fn put(cx: &mut Cx<'_>, how: Join) -> Reply {
    let found = find_all(cx.store, cx.args.from(2))?;
    let result = join(cx.store, &found, how, usize::MAX);
    cx.out.count(result.len());
    if result.is_empty() {
        cx.store.delete(cx.key());
    } else {
        cx.store.put(cx.key(), Value::Set(Box::new(result)));
    }
    Ok(())
}

pub(super) fn sinter(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Join::Inter)
}

pub(super) fn sunion(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Join::Union)
}

pub(super) fn sdiff(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Join::Diff)
}

pub(super) fn sinterstore(cx: &mut Cx<'_>) -> Reply {
    put(cx, Join::Inter)
}

pub(super) fn sunionstore(cx: &mut Cx<'_>) -> Reply {
    put(cx, Join::Union)
}

pub(super) fn sdiffstore(cx: &mut Cx<'_>) -> Reply {
    put(cx, Join::Diff)
}

pub(super) fn sintercard(cx: &mut Cx<'_>) -> Reply {
    let count = positive(cx.args.at(1), Fault(&"ERR numkeys should be greater than 0"))?;
    if count > cx.args.len() - 2 {
        return Err(Fault(&"ERR Number of keys can't be greater than number of args"));
    }
    let mut most = 0;
    let mut n = 2 + count;
    while n < cx.args.len() {
        if !cx.args.is(n, "limit") || n + 1 >= cx.args.len() {
            return Err(Fault::SYNTAX);
        }
        let limit = int(cx.args.at(n + 1)).ok().and_then(|limit| usize::try_from(limit).ok());
        most = limit.ok_or(Fault(&"ERR LIMIT can't be negative"))?;
        n += 2;
    }
    let found = find_all(cx.store, cx.args.from(2).take(count))?;
    let result = join(cx.store, &found, Join::Inter, if most == 0 { usize::MAX } else { most });
    cx.out.count(result.len());
    Ok(())
}
