//! Lists. Those commands that wait are in `blocking`.

use super::Cx;
use super::words::{int, natural, places};
use crate::data::list::{End, List};
use crate::data::object::Value;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use alloc::boxed::Box;
use alloc::vec::Vec;

pub fn new() -> Value {
    Value::List(Box::default())
}

impl Cx<'_> {
    /// The list at the key, if there is one.
    fn list(&mut self) -> Result<Option<&mut List>, Fault> {
        let at = self.store.read(self.args.at(1));
        at.map(|at| self.store.list(at)).transpose()
    }
}

fn push(cx: &mut Cx<'_>, end: End) -> Reply {
    let at = cx.store.find_or(cx.key(), new);
    let list = cx.store.list(at)?;
    for item in cx.args.from(2) {
        list.push(end, Text::from(item));
    }
    let (len, count) = (list.len(), cx.args.len() - 2);
    let first = if end == End::Head { list.first() } else { list.first() + (len - count) as i64 };
    cx.out.count(len);
    cx.store.positions(at, first, count);
    cx.store.changed(at);
    Ok(())
}

pub(super) fn lpush(cx: &mut Cx<'_>) -> Reply {
    push(cx, End::Head)
}

pub(super) fn rpush(cx: &mut Cx<'_>) -> Reply {
    push(cx, End::Tail)
}

fn push_if_there(cx: &mut Cx<'_>, end: End) -> Reply {
    if cx.store.find(cx.key()).is_none() {
        cx.out.int(0);
        return Ok(());
    }
    push(cx, end)
}

pub(super) fn lpushx(cx: &mut Cx<'_>) -> Reply {
    push_if_there(cx, End::Head)
}

pub(super) fn rpushx(cx: &mut Cx<'_>) -> Reply {
    push_if_there(cx, End::Tail)
}

fn pop(cx: &mut Cx<'_>, end: End) -> Reply {
    if cx.args.len() > 3 {
        return Err(Fault::ARITY);
    }
    let count = cx.args.get(2).map(natural).transpose()?;
    let Some(at) = cx.store.find(cx.key()) else {
        if count.is_some() {
            cx.out.null_array()
        } else {
            cx.out.null()
        }
        return Ok(());
    };
    let list = cx.store.list(at)?;
    let (first, len) = (list.first(), list.len());
    match count {
        None => match list.pop(end) {
            Some(item) => cx.out.bulk(&item),
            None => cx.out.null(),
        },
        Some(count) => {
            let count = count.min(list.len());
            cx.out.array(count);
            for item in (0..count).filter_map(|_| list.pop(end)) {
                cx.out.bulk(&item);
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
    let count = len - cx.store.list(at)?.len();
    cx.store.positions(at, if end == End::Head { first } else { first + (len - count) as i64 }, count);
    cx.store.changed(at);
    Ok(())
}

pub(super) fn lpop(cx: &mut Cx<'_>) -> Reply {
    pop(cx, End::Head)
}

pub(super) fn rpop(cx: &mut Cx<'_>) -> Reply {
    pop(cx, End::Tail)
}

pub(super) fn llen(cx: &mut Cx<'_>) -> Reply {
    let len = cx.list()?.map_or(0, |list| list.len());
    cx.out.count(len);
    Ok(())
}

/// The place of an index, which counts from the end where negative.
fn place(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

pub(super) fn lindex(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let Some(at) = at else {
        cx.out.null();
        return Ok(());
    };
    let list = cx.store.list(at)?;
    let index = int(args.at(2))?;
    match place(index, list.len()).and_then(|at| list.at(at)) {
        Some(item) => cx.out.bulk(item),
        None => cx.out.null(),
    }
    Ok(())
}

pub(super) fn lset(cx: &mut Cx<'_>) -> Reply {
    let at = cx.store.find(cx.key()).ok_or(Fault::NO_KEY)?;
    let list = cx.store.list(at)?;
    let index = int(cx.args.at(2))?;
    let place = place(index, list.len()).ok_or(Fault::INDEX)?;
    list.set(place, Text::from(cx.args.at(3))).ok_or(Fault::INDEX)?;
    let position = list.first() + place as i64;
    cx.store.positions(at, position, 1);
    cx.store.changed(at);
    cx.out.ok();
    Ok(())
}

pub(super) fn lrange(cx: &mut Cx<'_>) -> Reply {
    let (start, stop) = (int(cx.args.at(2))?, int(cx.args.at(3))?);
    let Some(at) = cx.store.read(cx.key()) else {
        cx.out.array(0);
        return Ok(());
    };
    let list = cx.store.list(at)?;
    let (from, count) = places(start, stop, list.len());
    cx.out.array(count);
    for item in list.from(from).take(count) {
        cx.out.bulk(item);
    }
    Ok(())
}

pub(super) fn ltrim(cx: &mut Cx<'_>) -> Reply {
    let (start, stop) = (int(cx.args.at(2))?, int(cx.args.at(3))?);
    if let Some(at) = cx.store.find(cx.key()) {
        let list = cx.store.list(at)?;
        let (from, count) = places(start, stop, list.len());
        let (first, len) = (list.first(), list.len());
        if count == 0 {
            *list = List::default();
        }
        while list.len() > from + count {
            list.pop(End::Tail);
        }
        while list.len() > count {
            list.pop(End::Head);
        }
        if count < len {
            cx.store.positions(at, first, from);
            cx.store.positions(at, first + (from + count) as i64, len - from - count);
            cx.store.changed(at);
        }
    }
    cx.out.ok();
    Ok(())
}

pub(super) fn lrem(cx: &mut Cx<'_>) -> Reply {
    let (count, item) = (int(cx.args.at(2))?, cx.args.at(3));
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    // Others change their places, and are written anew.
    cx.store.may_write(at)?;
    let list = cx.store.list(at)?;
    let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let found: Vec<usize> = if count < 0 {
        list.backwards().filter(|(_, other)| ***other == *item).map(|(at, _)| at).take(most).collect()
    } else {
        let mut found: Vec<usize> = list
            .from(0)
            .enumerate()
            .filter(|(_, other)| ***other == *item)
            .map(|(at, _)| at)
            .take(most)
            .collect();
        found.reverse();
        found
    };
    for place in &found {
        list.remove(*place);
    }
    if !found.is_empty() {
        cx.store.changed(at);
    }
    cx.out.count(found.len());
    Ok(())
}

pub(super) fn linsert(cx: &mut Cx<'_>) -> Reply {
    let behind = match () {
        () if cx.args.is(2, "before") => 0,
        () if cx.args.is(2, "after") => 1,
        () => return Err(Fault::SYNTAX),
    };
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    cx.store.may_write(at)?;
    let list = cx.store.list(at)?;
    match list.from(0).position(|item| **item == *cx.args.at(3)) {
        None => cx.out.int(-1),
        Some(place) => {
            list.insert(place + behind, Text::from(cx.args.at(4)));
            cx.out.count(list.len());
            cx.store.changed(at);
        }
    }
    Ok(())
}

pub(super) fn lpos(cx: &mut Cx<'_>) -> Reply {
    let (mut rank, mut count, mut most) = (1, None, 0);
    for n in (3..cx.args.len()).step_by(2) {
        let Some(value) = cx.args.get(n + 1) else { return Err(Fault::SYNTAX) };
        if cx.args.is(n, "rank") {
            rank = int(value)?;
            if rank == 0 {
                return Err(Fault(
                    &"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                     or use negative to start from the end of the list",
                ));
            }
            if rank == i64::MIN {
                return Err(Fault::OUT_OF_RANGE);
            }
        } else if cx.args.is(n, "count") {
            let number = int(value)?;
            count = Some(usize::try_from(number).map_err(|_| Fault(&"ERR COUNT can't be negative"))?);
        } else if cx.args.is(n, "maxlen") {
            most = usize::try_from(int(value)?).map_err(|_| Fault(&"ERR MAXLEN can't be negative"))?;
        } else {
            return Err(Fault::SYNTAX);
        }
    }
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let Some(at) = at else {
        if count.is_some() {
            cx.out.array(0)
        } else {
            cx.out.null()
        }
        return Ok(());
    };
    let list = cx.store.list(at)?;
    let looked = if most == 0 { usize::MAX } else { most };
    let wanted = match count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let skipped = rank.unsigned_abs() as usize - 1;
    let item = args.at(2);
    let found: Vec<usize> = if rank > 0 {
        let same = list.from(0).take(looked).enumerate().filter(|(_, other)| ***other == *item);
        same.map(|(at, _)| at).skip(skipped).take(wanted).collect()
    } else {
        let same = list.backwards().take(looked).filter(|(_, other)| ***other == *item);
        same.map(|(at, _)| at).skip(skipped).take(wanted).collect()
    };
    match (count, found.first()) {
        (None, None) => cx.out.null(),
        (None, Some(place)) => cx.out.count(*place),
        (Some(_), _) => {
            cx.out.array(found.len());
            found.iter().for_each(|place| cx.out.count(*place));
        }
    }
    Ok(())
}
