//! Sorted sets: members and scores. Ranges are in `ranges`, unions and the like in `joins`.

use super::Cx;
use super::words::{float, int};
use crate::data::list::End;
use crate::data::object::Value;
use crate::data::zset::Zset;
use crate::fault::{Fault, Reply};
use alloc::boxed::Box;
use alloc::vec::Vec;

pub fn new() -> Value {
    Value::Zset(Box::default())
}

impl Cx<'_> {
    /// The sorted set at the key, if there is one.
    pub(super) fn zset(&mut self) -> Result<Option<&mut Zset>, Fault> {
        let at = self.store.read(self.args.at(1));
        at.map(|at| self.store.zset(at)).transpose()
    }
}

/// What `ZADD` may do.
#[derive(Default)]
struct AddOptions {
    if_new: bool,
    if_there: bool,
    if_greater: bool,
    if_less: bool,
    tells_changed: bool,
    adds: bool,
}

impl AddOptions {
    /// The options, and where they end.
    fn parse(cx: &Cx<'_>) -> (Self, usize) {
        let (mut options, mut n) = (Self::default(), 2);
        loop {
            let option = match () {
                () if cx.args.is(n, "nx") => &mut options.if_new,
                () if cx.args.is(n, "xx") => &mut options.if_there,
                () if cx.args.is(n, "gt") => &mut options.if_greater,
                () if cx.args.is(n, "lt") => &mut options.if_less,
                () if cx.args.is(n, "ch") => &mut options.tells_changed,
                () if cx.args.is(n, "incr") => &mut options.adds,
                () => return (options, n),
            };
            *option = true;
            n += 1;
        }
    }

    fn check(&self, words: usize) -> Reply {
        if words == 0 || !words.is_multiple_of(2) {
            return Err(Fault::SYNTAX);
        }
        if self.if_new && self.if_there {
            return Err(Fault(&"ERR XX and NX options at the same time are not compatible"));
        }
        if self.if_greater && (self.if_new || self.if_less) || self.if_less && self.if_new {
            return Err(Fault(&"ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.adds && words > 2 {
            return Err(Fault(&"ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score that a member gets; `None` where it keeps what it has.
    fn decide(&self, old: Option<f64>, score: f64) -> Result<Option<f64>, Fault> {
        let Some(old) = old else { return Ok((!self.if_there).then_some(score)) };
        if self.if_new {
            return Ok(None);
        }
        let new = if self.adds { old + score } else { score };
        if new.is_nan() {
            return Err(Fault::NAN);
        }
        let is_refused = self.if_greater && new <= old || self.if_less && new >= old;
        Ok((!is_refused).then_some(new))
    }
}

fn add(cx: &mut Cx<'_>, options: &AddOptions, from: usize) -> Reply {
    let args = cx.args;
    options.check(args.len() - from)?;
    let scores: Vec<f64> =
        (from..args.len()).step_by(2).map(|n| float(args.at(n))).collect::<Result<_, _>>()?;
    let found = cx.store.find(cx.key());
    if found.is_none() && options.if_there {
        if options.adds {
            cx.out.null()
        } else {
            cx.out.int(0)
        }
        return Ok(());
    }
    let at = match found {
        Some(at) => at,
        None => cx.store.find_or(cx.key(), new),
    };
    let zset = cx.store.zset(at)?;
    let (mut added, mut changed, mut result) = (0, 0, Ok(None));
    for (member, score) in args.from(from).skip(1).step_by(2).zip(scores) {
        let old = zset.score(member);
        match options.decide(old, score) {
            Err(fault) => {
                result = Err(fault);
                break;
            }
            Ok(None) => {}
            Ok(Some(score)) => {
                result = Ok(Some(score));
                if old != Some(score) {
                    zset.set(member, score);
                    added += usize::from(old.is_none());
                    changed += 1;
                }
            }
        }
    }
    if changed > 0 || zset.is_empty() {
        args.from(from).skip(1).step_by(2).for_each(|member| cx.store.part(member));
        cx.store.changed(at);
    }
    match result? {
        Some(score) if options.adds => cx.out.double(score),
        None if options.adds => cx.out.null(),
        _ => cx.out.count(if options.tells_changed { changed } else { added }),
    }
    Ok(())
}

pub(super) fn zadd(cx: &mut Cx<'_>) -> Reply {
    let (options, from) = AddOptions::parse(cx);
    add(cx, &options, from)
}

pub(super) fn zincrby(cx: &mut Cx<'_>) -> Reply {
    add(cx, &AddOptions { adds: true, ..AddOptions::default() }, 2)
}

pub(super) fn zscore(cx: &mut Cx<'_>) -> Reply {
    let member = cx.args.at(2);
    match cx.zset()?.and_then(|zset| zset.score(member)) {
        Some(score) => cx.out.double(score),
        None => cx.out.null(),
    }
    Ok(())
}

pub(super) fn zmscore(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let zset = at.map(|at| cx.store.zset(at)).transpose()?;
    cx.out.array(args.len() - 2);
    for member in args.from(2) {
        match zset.as_ref().and_then(|zset| zset.score(member)) {
            Some(score) => cx.out.double(score),
            None => cx.out.null(),
        }
    }
    Ok(())
}

pub(super) fn zcard(cx: &mut Cx<'_>) -> Reply {
    let len = cx.zset()?.map_or(0, |zset| zset.len());
    cx.out.count(len);
    Ok(())
}

fn rank(cx: &mut Cx<'_>, from: End) -> Reply {
    let member = cx.args.at(2);
    let rank = cx.zset()?.and_then(|zset| Some((zset.rank(member)?, zset.len())));
    match rank {
        Some((rank, len)) => cx.out.count(if from == End::Head { rank } else { len - 1 - rank }),
        None => cx.out.null(),
    }
    Ok(())
}

pub(super) fn zrank(cx: &mut Cx<'_>) -> Reply {
    rank(cx, End::Head)
}

pub(super) fn zrevrank(cx: &mut Cx<'_>) -> Reply {
    rank(cx, End::Tail)
}

pub(super) fn zrem(cx: &mut Cx<'_>) -> Reply {
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    let zset = cx.store.zset(at)?;
    let gone = cx.args.from(2).filter(|member| zset.remove(member).is_some()).count();
    if gone > 0 {
        cx.args.from(2).for_each(|member| cx.store.part(member));
        cx.store.changed(at);
    }
    cx.out.count(gone);
    Ok(())
}

fn pop(cx: &mut Cx<'_>, end: End) -> Reply {
    if cx.args.len() > 3 {
        return Err(Fault::SYNTAX);
    }
    let count = cx.args.get(2).map(super::words::natural).transpose()?;
    let at = cx.store.find(cx.key());
    let Some(at) = at else {
        cx.out.array(0);
        return Ok(());
    };
    let zset = cx.store.zset(at)?;
    let most = count.unwrap_or(1).min(zset.len());
    // One pair without a count is not in an array of its own.
    let nested = cx.out.version >= 3 && count.is_some();
    cx.out.array(if nested { most } else { most * 2 });
    let mut taken = Vec::new();
    for _ in 0..most {
        let which = if end == End::Head { 0 } else { zset.len() - 1 };
        let Some(scored) = zset.take(which) else { break };
        if nested {
            cx.out.array(2);
        }
        cx.out.bulk(&scored.member);
        cx.out.double(scored.score);
        taken.push(scored.member);
    }
    if most > 0 {
        taken.iter().for_each(|member| cx.store.part(member));
        cx.store.changed(at);
    }
    Ok(())
}

pub(super) fn zpopmin(cx: &mut Cx<'_>) -> Reply {
    pop(cx, End::Head)
}

pub(super) fn zpopmax(cx: &mut Cx<'_>) -> Reply {
    pop(cx, End::Tail)
}

pub(super) fn zrandmember(cx: &mut Cx<'_>) -> Reply {
    let (args, at) = (cx.args, cx.store.read(cx.args.at(1)));
    let count = args.get(2).map(int).transpose()?;
    let with_scores = match args.len() {
        ..=3 => false,
        4 if args.is(3, "withscores") => true,
        _ => return Err(Fault::SYNTAX),
    };
    let zset = at.map(|at| cx.store.zset(at)).transpose()?;
    let len = zset.as_ref().map_or(0, |zset| zset.len());
    let Some(count) = count else {
        match zset.as_ref().and_then(|zset| zset.at(cx.hub.dice.below(len))) {
            Some(scored) => cx.out.bulk(&scored.member),
            None => cx.out.null(),
        }
        return Ok(());
    };
    let picked = super::random::pick(&mut cx.hub.dice, len, count, with_scores)?;
    let nested = with_scores && cx.out.version >= 3;
    cx.out.array(picked.len() * if with_scores && !nested { 2 } else { 1 });
    for scored in picked.iter().filter_map(|which| zset.as_ref()?.at(*which)) {
        if nested {
            cx.out.array(2);
        }
        cx.out.bulk(&scored.member);
        if with_scores {
            cx.out.double(scored.score);
        }
    }
    Ok(())
}
