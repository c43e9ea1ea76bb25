//! Strings.

use super::Cx;
use super::words::{Moment, int};
use crate::data::object::Value;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::{Extended, parse_int};
use crate::resp::Out;
use crate::store::Store;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Answers the string at a place, or nothing.
pub fn answer(store: &Store, out: &mut Out, at: Option<u32>) -> Reply {
    let Some(at) = at else {
        out.null();
        return Ok(());
    };
    match &store.object(at).value {
        Value::Int(number) => out.bulk_int(*number),
        Value::Text(text) => out.bulk(text),
        Value::Buffer(octets) => out.bulk(octets),
        _ => return Err(Fault::WRONG_TYPE),
    }
    Ok(())
}

pub(super) fn get(cx: &mut Cx<'_>) -> Reply {
    let at = cx.store.read(cx.args.at(1));
    answer(cx.store, cx.out, at)
}

pub(super) fn getset(cx: &mut Cx<'_>) -> Reply {
    get(cx)?;
    cx.store.put(cx.key(), Value::string(cx.args.at(2)));
    Ok(())
}

pub(super) fn getdel(cx: &mut Cx<'_>) -> Reply {
    get(cx)?;
    cx.store.delete(cx.key());
    Ok(())
}

pub(super) fn getex(cx: &mut Cx<'_>) -> Reply {
    let (mut expires, mut persist, mut at_moment) = (None, false, false);
    let mut n = 2;
    while n < cx.args.len() {
        if cx.args.is(n, "persist") && expires.is_none() {
            persist = true;
        } else if let Some(moment) = Moment::of_option(cx.args, n)
            && !persist
            && expires.is_none()
            && n + 1 < cx.args.len()
        {
            expires = Some((moment, cx.args.at(n + 1)));
            at_moment = matches!(moment, Moment::AtSecond | Moment::AtMilli);
            n += 1;
        } else {
            return Err(Fault::SYNTAX);
        }
        n += 1;
    }
    let Some(at) = cx.store.read(cx.key()) else {
        cx.out.null();
        return Ok(());
    };
    let expires = expires.map(|(moment, arg)| moment.parse(arg, cx.store.now)).transpose()?;
    answer(cx.store, cx.out, Some(at))?;
    match expires {
        Some(moment) if at_moment && moment <= cx.store.now => drop(cx.store.delete(cx.key())),
        Some(moment) => cx.store.set_expires(at, Some(moment)),
        None if persist => cx.store.set_expires(at, None),
        None => {}
    }
    Ok(())
}

/// What `SET` has beside key and value.
#[derive(Default)]
struct SetOptions<'a> {
    if_new: bool,
    if_there: bool,
    get: bool,
    keep: bool,
    expires: Option<(Moment, &'a [u8])>,
}

impl<'a> SetOptions<'a> {
    fn parse(cx: &Cx<'a>) -> Result<Self, Fault> {
        let (args, mut options, mut n) = (cx.args, Self::default(), 3);
        while n < args.len() {
            if args.is(n, "nx") && !options.if_there {
                options.if_new = true;
            } else if args.is(n, "xx") && !options.if_new {
                options.if_there = true;
            } else if args.is(n, "get") {
                options.get = true;
            } else if args.is(n, "keepttl") && options.expires.is_none() {
                options.keep = true;
            } else if let Some(moment) = Moment::of_option(args, n)
                && !options.keep
                && options.expires.is_none()
                && let Some(time) = args.get(n + 1)
            {
                options.expires = Some((moment, time));
                n += 1;
            } else {
                return Err(Fault::SYNTAX);
            }
            n += 1;
        }
        Ok(options)
    }
}

pub(super) fn set(cx: &mut Cx<'_>) -> Reply {
    let (key, value) = (cx.key(), cx.args.at(2));
    if cx.args.len() == 3 {
        cx.store.put(key, Value::string(value));
        cx.out.ok();
        return Ok(());
    }
    let options = SetOptions::parse(cx)?;
    let now = cx.store.now;
    let expires = options.expires.map(|(moment, arg)| moment.parse(arg, now)).transpose()?;
    let found = cx.store.find(key);
    if options.get {
        answer(cx.store, cx.out, found)?;
    }
    if options.if_new && found.is_some() || options.if_there && found.is_none() {
        if !options.get {
            cx.out.null();
        }
        return Ok(());
    }
    let value = Value::string(value);
    if options.keep {
        cx.store.put_keeping(key, value);
    } else {
        put_until(cx.store, key, value, expires);
    }
    if !options.get {
        cx.out.ok();
    }
    Ok(())
}

/// Puts a value that ends at some time; what has ended already is not put.
fn put_until(store: &mut Store, key: &[u8], value: Value, expires: Option<i64>) {
    let at = store.put(key, value);
    if let Some(expires) = expires {
        store.set_expires(at, Some(expires));
    }
}

pub(super) fn setnx(cx: &mut Cx<'_>) -> Reply {
    let is_new = cx.store.find(cx.key()).is_none();
    if is_new {
        cx.store.put(cx.key(), Value::string(cx.args.at(2)));
    }
    cx.out.flag(is_new);
    Ok(())
}

pub(super) fn setex(cx: &mut Cx<'_>) -> Reply {
    put_for(cx, Moment::Seconds)
}

pub(super) fn psetex(cx: &mut Cx<'_>) -> Reply {
    put_for(cx, Moment::Millis)
}

fn put_for(cx: &mut Cx<'_>, unit: Moment) -> Reply {
    let expires = unit.parse(cx.args.at(2), cx.store.now)?;
    put_until(cx.store, cx.key(), Value::string(cx.args.at(3)), Some(expires));
    cx.out.ok();
    Ok(())
}

pub(super) fn mget(cx: &mut Cx<'_>) -> Reply {
    cx.out.array(cx.args.len() - 1);
    for key in cx.args.from(1) {
        let at = cx.store.read(key);
        if answer(cx.store, cx.out, at).is_err() {
            cx.out.null();
        }
    }
    Ok(())
}

fn put_pairs(cx: &mut Cx<'_>) {
    for n in (1..cx.args.len()).step_by(2) {
        cx.store.put(cx.args.at(n), Value::string(cx.args.at(n + 1)));
    }
}

pub(super) fn mset(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len().is_multiple_of(2) {
        return Err(Fault::ARITY);
    }
    put_pairs(cx);
    cx.out.ok();
    Ok(())
}

pub(super) fn msetnx(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len().is_multiple_of(2) {
        return Err(Fault::ARITY);
    }
    let is_any = cx.args.from(1).step_by(2).any(|key| cx.store.find(key).is_some());
    if !is_any {
        put_pairs(cx);
    }
    cx.out.flag(!is_any);
    Ok(())
}

fn add(cx: &mut Cx<'_>, by: i64) -> Reply {
    let found = cx.store.find(cx.key());
    let old = match found.map(|at| &cx.store.object(at).value) {
        None => 0,
        Some(Value::Int(number)) => *number,
        Some(value) => {
            let mut scratch = Vec::new();
            let octets = value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?;
            parse_int(octets).ok_or(Fault::NOT_INTEGER)?
        }
    };
    let new = old.checked_add(by).ok_or(Fault::OVERFLOW)?;
    match found {
        Some(at) => {
            cx.store.object_mut(at).value = Value::Int(new);
            cx.store.changed(at);
        }
        None => drop(cx.store.put(cx.key(), Value::Int(new))),
    }
    cx.out.int(new);
    Ok(())
}

pub(super) fn incr(cx: &mut Cx<'_>) -> Reply {
    add(cx, 1)
}

pub(super) fn decr(cx: &mut Cx<'_>) -> Reply {
    add(cx, -1)
}

pub(super) fn incrby(cx: &mut Cx<'_>) -> Reply {
    let by = int(cx.args.at(2))?;
    add(cx, by)
}

pub(super) fn decrby(cx: &mut Cx<'_>) -> Reply {
    let by = int(cx.args.at(2))?;
    add(cx, by.checked_neg().ok_or(Fault(&"ERR decrement would overflow"))?)
}

/// The sum of two numbers with points, as text. `wrong` is what is said where the first is none.
pub fn add_floats(old: &[u8], by: &[u8], wrong: Fault) -> Result<Vec<u8>, Fault> {
    let infinite = Extended::is_infinity(old) || Extended::is_infinity(by);
    let is_number = |text: &[u8]| Extended::is_infinity(text) || Extended::parse(text).is_some();
    if !is_number(old) {
        return Err(wrong);
    }
    if !is_number(by) {
        return Err(Fault::NOT_FLOAT);
    }
    let sum = match (Extended::parse(old), Extended::parse(by)) {
        (Some(old), Some(by)) if !infinite => old.plus(by),
        _ => None,
    };
    let mut text = Vec::new();
    sum.ok_or(Fault::NAN_SUM)?.push(&mut text);
    Ok(text)
}

pub(super) fn incrbyfloat(cx: &mut Cx<'_>) -> Reply {
    let found = cx.store.find(cx.key());
    let mut scratch = Vec::new();
    let old = match found {
        Some(at) => cx.store.object(at).value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?,
        None => b"0",
    };
    let sum = add_floats(old, cx.args.at(2), Fault::NOT_FLOAT)?;
    cx.store.put_keeping(cx.key(), Value::Text(Text::from(&sum[..])));
    cx.out.bulk(&sum);
    Ok(())
}

/// Changes the octets of a string, which is made if there is none. `len` is what it will have.
pub fn edit<R>(cx: &mut Cx<'_>, len: usize, change: impl FnOnce(&mut Vec<u8>) -> R) -> Result<R, Fault> {
    if len > cx.hub.config.limits.bulk {
        return Err(Fault::TOO_LONG);
    }
    if len > 4096 && !crate::server::hub::has_memory(len) {
        return Err(Fault::OUT_OF_MEMORY);
    }
    let at = cx.store.find_or(cx.key(), || Value::Buffer(Box::default()));
    let value = &mut cx.store.object_mut(at).value;
    if !matches!(value, Value::Buffer(_)) {
        let mut scratch = Vec::new();
        let octets = value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?.to_vec();
        *value = Value::Buffer(Box::new(octets));
    }
    let Value::Buffer(octets) = value else { return Err(Fault::WRONG_TYPE) };
    let result = change(octets);
    cx.store.changed(at);
    Ok(result)
}

/// The length of the string at a key; `None` where there is none.
pub fn length(cx: &mut Cx<'_>) -> Result<Option<usize>, Fault> {
    let Some(at) = cx.store.find(cx.key()) else { return Ok(None) };
    let mut scratch = Vec::new();
    let octets = cx.store.object(at).value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?;
    Ok(Some(octets.len()))
}

pub(super) fn append(cx: &mut Cx<'_>) -> Reply {
    let more = cx.args.at(2);
    let len = match length(cx)? {
        None => {
            cx.store.put(cx.key(), Value::string(more));
            more.len()
        }
        Some(len) => edit(cx, len + more.len(), |octets| {
            octets.extend_from_slice(more);
            octets.len()
        })?,
    };
    cx.out.count(len);
    Ok(())
}

pub(super) fn strlen(cx: &mut Cx<'_>) -> Reply {
    let len = length(cx)?;
    cx.out.count(len.unwrap_or(0));
    Ok(())
}

pub(super) fn setrange(cx: &mut Cx<'_>) -> Reply {
    let (offset, with) = (int(cx.args.at(2))?, cx.args.at(3));
    let offset = usize::try_from(offset).map_err(|_| Fault(&"ERR offset is out of range"))?;
    let len = length(cx)?.unwrap_or(0);
    if with.is_empty() {
        cx.out.count(len);
        return Ok(());
    }
    let end = offset.checked_add(with.len()).ok_or(Fault::TOO_LONG)?;
    let len = edit(cx, len.max(end), |octets| {
        if octets.len() < end {
            octets.resize(end, 0);
        }
        octets[offset..end].copy_from_slice(with);
        octets.len()
    })?;
    cx.out.count(len);
    Ok(())
}

pub(super) fn getrange(cx: &mut Cx<'_>) -> Reply {
    let (start, end) = (int(cx.args.at(2))?, int(cx.args.at(3))?);
    let Some(at) = cx.store.read(cx.key()) else {
        cx.out.bulk(b"");
        return Ok(());
    };
    let mut scratch = Vec::new();
    let octets = cx.store.object(at).value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?;
    let len = octets.len() as i64;
    if start < 0 && end < 0 && start > end {
        cx.out.bulk(b"");
        return Ok(());
    }
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    let range = if start > end { &[] } else { octets.get(start as usize..=end as usize).unwrap_or_default() };
    cx.out.bulk(range);
    Ok(())
}
