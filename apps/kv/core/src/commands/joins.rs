//! Unions, intersections and differences of sorted sets, in which sets take part with a score of 1.

use super::Cx;
use super::ranges::put;
use super::words::int;
use crate::data::map::Map;
use crate::data::object::Value;
use crate::data::text::Text;
use crate::data::zset::Zset;
use crate::fault::{Fault, Reply};
use crate::number::{parse_double, parse_int};
use crate::store::Store;
use alloc::vec;
use alloc::vec::Vec;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Join {
    Union,
    Inter,
    Diff,
}

/// What becomes of several scores of a member.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum => {
                let sum = a + b;
                // Infinities of both signs.
                if sum.is_nan() { 0.0 } else { sum }
            }
            Self::Min => a.min(b),
            Self::Max => a.max(b),
        }
    }
}

struct Query {
    /// Where what takes part is, with its weight.
    sources: Vec<(Option<u32>, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// What may be said behind the keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tells,
    Stores,
    Counts,
}

impl Query {
    fn parse(cx: &mut Cx<'_>, at: usize, join: Join, kind: Kind) -> Result<Self, Fault> {
        let args = cx.args;
        let count = int(args.at(at))?;
        if count < 1 {
            return Err(Fault::NO_INPUT);
        }
        let count =
            usize::try_from(count).ok().filter(|count| *count < args.len() - at).ok_or(Fault::SYNTAX)?;
        let keys: Vec<&[u8]> = args.from(at + 1).take(count).collect();
        // What is over goes first: that moves others.
        keys.iter().for_each(|key| {
            cx.store.peek(key);
        });
        let mut sources = vec![];
        for key in keys {
            let found = cx.store.read(key);
            if found.is_some_and(|at| !matches!(cx.store.object(at).value, Value::Zset(_) | Value::Set(_))) {
                return Err(Fault::WRONG_TYPE);
            }
            sources.push((found, 1.0));
        }
        let places: Vec<Option<u32>> = sources.iter().map(|(at, _)| *at).collect();
        super::check_room(cx.store, &places)?;
        let mut query = Self { sources, aggregate: Aggregate::Sum, with_scores: false, limit: usize::MAX };
        query.options(cx, at + 1 + count, join, kind)?;
        Ok(query)
    }

    fn options(&mut self, cx: &Cx<'_>, mut n: usize, join: Join, kind: Kind) -> Reply {
        let args = cx.args;
        let has_weights = join != Join::Diff && kind != Kind::Counts;
        while n < args.len() {
            let left = args.len() - n;
            if has_weights && args.is(n, "weights") && left > self.sources.len() {
                for (source, arg) in self.sources.iter_mut().zip(args.from(n + 1)) {
                    source.1 = parse_double(arg).ok_or(Fault(&"ERR weight value is not a float"))?;
                }
                n += self.sources.len() + 1;
            } else if has_weights && args.is(n, "aggregate") && left >= 2 {
                self.aggregate = match () {
                    () if args.is(n + 1, "sum") => Aggregate::Sum,
                    () if args.is(n + 1, "min") => Aggregate::Min,
                    () if args.is(n + 1, "max") => Aggregate::Max,
                    () => return Err(Fault::SYNTAX),
                };
                n += 2;
            } else if kind == Kind::Tells && args.is(n, "withscores") {
                self.with_scores = true;
                n += 1;
            } else if kind == Kind::Counts && args.is(n, "limit") && left >= 2 {
                let limit = parse_int(args.at(n + 1)).and_then(|limit| usize::try_from(limit).ok());
                let limit = limit.ok_or(Fault(&"ERR LIMIT can't be negative"))?;
                self.limit = if limit == 0 { usize::MAX } else { limit };
                n += 2;
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(())
    }

    fn run(&self, store: &Store, join: Join) -> Zset {
        let mut sources = self.sources.clone();
        if join == Join::Inter {
            least_first(&mut sources, |(at, _)| at.map_or(0, |at| store.object(at).value.count()));
        }
        let mut result = Zset::default();
        match join {
            Join::Union => {
                let mut scores = Map::new();
                for (at, weight) in &sources {
                    each(store, *at, &mut |member, score| {
                        let score = weighted(score, *weight);
                        match scores.find(member) {
                            Some(at) => {
                                let old: &mut f64 = scores.value_mut(at);
                                *old = self.aggregate.of(*old, score);
                            }
                            None => drop(scores.add(Text::from(member), score)),
                        }
                    });
                }
                scores.iter().for_each(|(member, score)| {
                    result.set(member, *score);
                });
            }
            Join::Inter => {
                let Some(((least, weight), others)) = sources.split_first() else { return result };
                each(store, *least, &mut |member, score| {
                    if result.len() >= self.limit {
                        return;
                    }
                    let add = |sum: f64, (at, weight): &(Option<u32>, f64)| {
                        Some(self.aggregate.of(sum, weighted(score_in(store, *at, member)?, *weight)))
                    };
                    if let Some(score) = others.iter().try_fold(weighted(score, *weight), add) {
                        result.set(member, score);
                    }
                });
            }
            Join::Diff => {
                let Some(((first, _), others)) = sources.split_first() else { return result };
                each(store, *first, &mut |member, score| {
                    if !others.iter().any(|(at, _)| score_in(store, *at, member).is_some()) {
                        result.set(member, score);
                    }
                });
            }
        }
        result
    }
}

/// Puts the least one first: all of it is visited, the others only asked.
pub fn least_first<T>(items: &mut [T], size: impl Fn(&T) -> usize) {
    let mut least = 0;
    for at in 1..items.len() {
        if size(&items[at]) < size(&items[least]) {
            least = at;
        }
    }
    if least > 0 {
        items.swap(0, least);
    }
}

fn weighted(score: f64, weight: f64) -> f64 {
    let weighted = score * weight;
    if weighted.is_nan() { 0.0 } else { weighted }
}

fn each(store: &Store, at: Option<u32>, visit: &mut dyn FnMut(&[u8], f64)) {
    match at.map(|at| &store.object(at).value) {
        Some(Value::Zset(zset)) => zset.from(0).for_each(|scored| visit(&scored.member, scored.score)),
        Some(Value::Set(set)) => set.iter().for_each(|member| visit(&member, 1.0)),
        _ => {}
    }
}

fn score_in(store: &Store, at: Option<u32>, member: &[u8]) -> Option<f64> {
    match &store.object(at?).value {
        Value::Zset(zset) => zset.score(member),
        Value::Set(set) => set.contains(member).then_some(1.0),
        _ => None,
    }
}

fn tell(cx: &mut Cx<'_>, join: Join) -> Reply {
    let query = Query::parse(cx, 1, join, Kind::Tells)?;
    let result = query.run(cx.store, join);
    let nested = query.with_scores && cx.out.version >= 3;
    cx.out.array(if query.with_scores && !nested { result.len() * 2 } else { result.len() });
    for scored in result.from(0) {
        if nested {
            cx.out.array(2);
        }
        cx.out.bulk(&scored.member);
        if query.with_scores {
            cx.out.double(scored.score);
        }
    }
    Ok(())
}

fn store(cx: &mut Cx<'_>, join: Join) -> Reply {
    let query = Query::parse(cx, 2, join, Kind::Stores)?;
    let result = query.run(cx.store, join);
    put(cx, result)
}

pub(super) fn zunion(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Join::Union)
}

pub(super) fn zinter(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Join::Inter)
}

pub(super) fn zdiff(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Join::Diff)
}

pub(super) fn zunionstore(cx: &mut Cx<'_>) -> Reply {
    store(cx, Join::Union)
}

pub(super) fn zinterstore(cx: &mut Cx<'_>) -> Reply {
    store(cx, Join::Inter)
}

pub(super) fn zdiffstore(cx: &mut Cx<'_>) -> Reply {
    store(cx, Join::Diff)
}

pub(super) fn zintercard(cx: &mut Cx<'_>) -> Reply {
    let query = Query::parse(cx, 1, Join::Inter, Kind::Counts)?;
    let count = query.run(cx.store, Join::Inter).len();
    cx.out.count(count);
    Ok(())
}
