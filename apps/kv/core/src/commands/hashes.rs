//! Hashes.

use super::Cx;
use super::strings::add_floats;
use super::words::int;
use crate::data::hash::Hash;
use crate::data::object::Value;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::{parse_int, push_int};
use alloc::boxed::Box;
use alloc::vec::Vec;

fn new() -> Value {
    Value::Hash(Box::default())
}

impl Cx<'_> {
    /// The hash at the key, if there is one.
    fn hash(&mut self) -> Result<Option<&mut Hash>, Fault> {
        let at = self.store.read(self.args.at(1));
        at.map(|at| self.store.hash(at)).transpose()
    }
}

fn set_pairs(cx: &mut Cx<'_>) -> Result<usize, Fault> {
    let at = cx.store.find_or(cx.args.at(1), new);
    let hash = cx.store.hash(at)?;
    let mut added = 0;
    for n in (2..cx.args.len()).step_by(2) {
        added += usize::from(hash.set(cx.args.at(n), Text::from(cx.args.at(n + 1))));
    }
    cx.args.from(2).step_by(2).for_each(|field| cx.store.part(field));
    cx.store.changed(at);
    Ok(added)
}

pub(super) fn hset(cx: &mut Cx<'_>) -> Reply {
    if !cx.args.len().is_multiple_of(2) {
        return Err(Fault::ARITY);
    }
    let added = set_pairs(cx)?;
    cx.out.count(added);
    Ok(())
}

pub(super) fn hmset(cx: &mut Cx<'_>) -> Reply {
    if !cx.args.len().is_multiple_of(2) {
        return Err(Fault::ARITY);
    }
    set_pairs(cx)?;
    cx.out.ok();
    Ok(())
}

pub(super) fn hsetnx(cx: &mut Cx<'_>) -> Reply {
    let at = cx.store.find_or(cx.key(), new);
    let hash = cx.store.hash(at)?;
    let is_new = hash.get(cx.args.at(2)).is_none();
    if is_new {
        hash.set(cx.args.at(2), Text::from(cx.args.at(3)));
        cx.store.part(cx.args.at(2));
        cx.store.changed(at);
    }
    cx.out.flag(is_new);
    Ok(())
}

pub(super) fn hget(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let value = match at {
        Some(at) => cx.store.hash(at)?.get(args.at(2)),
        None => None,
    };
    match value {
        Some(value) => cx.out.bulk(value),
        None => cx.out.null(),
    }
    Ok(())
}

pub(super) fn hmget(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let hash = at.map(|at| cx.store.hash(at)).transpose()?;
    cx.out.array(args.len() - 2);
    for field in args.from(2) {
        match hash.as_ref().and_then(|hash| hash.get(field)) {
            Some(value) => cx.out.bulk(value),
            None => cx.out.null(),
        }
    }
    Ok(())
}

pub(super) fn hdel(cx: &mut Cx<'_>) -> Reply {
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    let hash = cx.store.hash(at)?;
    let gone = cx.args.from(2).filter(|field| hash.remove(field).is_some()).count();
    if gone > 0 {
        cx.args.from(2).for_each(|field| cx.store.part(field));
        cx.store.changed(at);
    }
    cx.out.count(gone);
    Ok(())
}

pub(super) fn hlen(cx: &mut Cx<'_>) -> Reply {
    let len = cx.hash()?.map_or(0, |hash| hash.len());
    cx.out.count(len);
    Ok(())
}

pub(super) fn hexists(cx: &mut Cx<'_>) -> Reply {
    let field = cx.args.at(2);
    let is_there = cx.hash()?.is_some_and(|hash| hash.get(field).is_some());
    cx.out.flag(is_there);
    Ok(())
}

pub(super) fn hstrlen(cx: &mut Cx<'_>) -> Reply {
    let field = cx.args.at(2);
    let len = cx.hash()?.and_then(|hash| hash.get(field)).map_or(0, |value| value.len());
    cx.out.count(len);
    Ok(())
}

/// What is told of each field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Fields,
    Values,
    Both,
}

fn all(cx: &mut Cx<'_>, parts: Parts) -> Reply {
    let at = cx.store.read(cx.args.at(1));
    let hash = at.map(|at| cx.store.hash(at)).transpose()?;
    let len = hash.as_ref().map_or(0, |hash| hash.len());
    if parts == Parts::Both {
        cx.out.map(len)
    } else {
        cx.out.array(len)
    }
    for (field, value) in hash.iter().flat_map(|hash| hash.iter()) {
        if parts != Parts::Values {
            cx.out.bulk(field);
        }
        if parts != Parts::Fields {
            cx.out.bulk(value);
        }
    }
    Ok(())
}

pub(super) fn hgetall(cx: &mut Cx<'_>) -> Reply {
    all(cx, Parts::Both)
}

pub(super) fn hkeys(cx: &mut Cx<'_>) -> Reply {
    all(cx, Parts::Fields)
}

pub(super) fn hvals(cx: &mut Cx<'_>) -> Reply {
    all(cx, Parts::Values)
}

pub(super) fn hincrby(cx: &mut Cx<'_>) -> Reply {
    let (field, by) = (cx.args.at(2), int(cx.args.at(3))?);
    let at = cx.store.find_or(cx.key(), new);
    let changed = cx.store.hash(at).and_then(|hash| {
        let old = match hash.get(field) {
            Some(value) => parse_int(value).ok_or(Fault(&"ERR hash value is not an integer"))?,
            None => 0,
        };
        let new = old.checked_add(by).ok_or(Fault::OVERFLOW)?;
        let mut text = Vec::new();
        push_int(&mut text, new);
        hash.set(field, Text::from(&text[..]));
        Ok(new)
    });
    settle(cx, at, &changed);
    cx.out.int(changed?);
    Ok(())
}

pub(super) fn hincrbyfloat(cx: &mut Cx<'_>) -> Reply {
    let (field, by) = (cx.args.at(2), cx.args.at(3));
    add_floats(b"0", by, Fault::NOT_FLOAT).map_err(|fault| match fault {
        Fault::NAN_SUM => Fault(&"ERR value is NaN or Infinity"),
        other => other,
    })?;
    let at = cx.store.find_or(cx.key(), new);
    let changed = cx.store.hash(at).and_then(|hash| {
        let old = hash.get(field).map_or(&b"0"[..], |value| value);
        let sum = add_floats(old, by, Fault(&"ERR hash value is not a float"))?;
        hash.set(field, Text::from(&sum[..]));
        Ok(sum)
    });
    settle(cx, at, &changed);
    cx.out.bulk(&changed?);
    Ok(())
}

/// After a change, or one that failed and may leave a new hash without fields.
fn settle<T>(cx: &mut Cx<'_>, at: u32, changed: &Result<T, Fault>) {
    let is_new = cx.store.hash(at).is_ok_and(|hash| hash.is_empty());
    if changed.is_ok() || is_new {
        cx.store.part(cx.args.at(2));
        cx.store.changed(at);
    }
}

pub(super) fn hrandfield(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let Some(count) = args.get(2) else {
        let Some(at) = at else {
            cx.out.null();
            return Ok(());
        };
        let hash = cx.store.hash(at)?;
        let which = cx.hub.dice.below(hash.len());
        match hash.at(which) {
            Some((field, _)) => cx.out.bulk(field),
            None => cx.out.null(),
        }
        return Ok(());
    };
    let count = int(count)?;
    let with_values = match args.len() {
        3 => false,
        4 if args.is(3, "withvalues") => true,
        _ => return Err(Fault::SYNTAX),
    };
    let hash = at.map(|at| cx.store.hash(at)).transpose()?;
    let len = hash.as_ref().map_or(0, |hash| hash.len());
    let picked = super::random::pick(&mut cx.hub.dice, len, count, with_values)?;
    let flat = with_values && cx.out.version < 3;
    cx.out.array(picked.len() * if flat { 2 } else { 1 });
    for which in picked {
        let Some((field, value)) = hash.as_ref().and_then(|hash| hash.at(which)) else { continue };
        if with_values && !flat {
            cx.out.array(2);
        }
        cx.out.bulk(field);
        if with_values {
            cx.out.bulk(value);
        }
    }
    Ok(())
}
