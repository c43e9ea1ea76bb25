//! Ranges of sorted sets: by rank, by score, by octets.

use super::Cx;
use super::words::{int, places};
use crate::data::object::Value;
use crate::data::zset::{Scored, Zset};
use crate::fault::{Fault, Reply};
use crate::number::parse_double;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// By what a range is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// One end of a range by score or octets.
#[derive(Clone, Copy)]
enum Bound<'a> {
    /// A score, itself in the range or not.
    Score(f64, bool),
    /// A member, itself in the range or not.
    Member(&'a [u8], bool),
    /// Before the first member, behind the last.
    Least,
    Most,
}

impl<'a> Bound<'a> {
    fn parse(by: By, arg: &'a [u8]) -> Result<Self, Fault> {
        match (by, arg) {
            (By::Lex, b"-") => Ok(Self::Least),
            (By::Lex, b"+") => Ok(Self::Most),
            (By::Lex, [b'[', member @ ..]) => Ok(Self::Member(member, true)),
            (By::Lex, [b'(', member @ ..]) => Ok(Self::Member(member, false)),
            (By::Lex, _) => Err(Fault::RANGE_TEXT),
            (_, [b'(', score @ ..]) => {
                parse_double(score).map(|score| Self::Score(score, false)).ok_or(Fault::RANGE_FLOAT)
            }
            (_, score) => parse_double(score).map(|score| Self::Score(score, true)).ok_or(Fault::RANGE_FLOAT),
        }
    }

    /// Whether a member is before the range that begins here.
    fn excludes_below(self, scored: &Scored) -> bool {
        match self {
            Self::Score(score, inside) => scored.score < score || !inside && scored.score == score,
            Self::Member(member, inside) => *scored.member < *member || !inside && *scored.member == *member,
            Self::Least => false,
            Self::Most => true,
        }
    }

    /// Whether a member is not yet behind the range that ends here.
    fn includes_up_to(self, scored: &Scored) -> bool {
        match self {
            Self::Score(score, inside) => scored.score < score || inside && scored.score == score,
            Self::Member(member, inside) => *scored.member < *member || inside && *scored.member == *member,
            Self::Least => false,
            Self::Most => true,
        }
    }
}

/// A range that may be asked of any sorted set.
#[derive(Clone, Copy)]
enum Range<'a> {
    Ranks(i64, i64),
    Bounds(Bound<'a>, Bound<'a>),
}

impl<'a> Range<'a> {
    fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Self, Fault> {
        match by {
            By::Rank => Ok(Self::Ranks(int(min)?, int(max)?)),
            _ => Ok(Self::Bounds(Bound::parse(by, min)?, Bound::parse(by, max)?)),
        }
    }

    /// The first place, and how many.
    fn of(self, zset: &Zset) -> (usize, usize) {
        match self {
            Self::Ranks(start, stop) => places(start, stop, zset.len()),
            Self::Bounds(min, max) => {
                let from = zset.partition(&|scored| min.excludes_below(scored));
                let to = zset.partition(&|scored| max.includes_up_to(scored));
                (from, to.saturating_sub(from))
            }
        }
    }
}

/// What a command asks for.
struct Query<'a> {
    range: Range<'a>,
    is_reverse: bool,
    with_scores: bool,
    skip: usize,
    most: usize,
}

impl<'a> Query<'a> {
    /// Reads `min max [options]` from `at` on. `by` and `is_reverse` are what the command's name says, if it does.
    fn parse(cx: &Cx<'a>, at: usize, named: Option<(By, bool)>, stores: bool) -> Result<Self, Fault> {
        let (args, mut n) = (cx.args, at + 2);
        let (mut by, mut is_reverse) = named.unwrap_or((By::Rank, false));
        let (mut with_scores, mut limit) = (false, None);
        while n < args.len() {
            if !stores && args.is(n, "withscores") {
                with_scores = true;
            } else if args.is(n, "limit") && n + 2 < args.len() {
                limit = Some((int(args.at(n + 1))?, int(args.at(n + 2))?));
                n += 2;
            } else if named.is_none() && args.is(n, "rev") {
                is_reverse = true;
            } else if named.is_none() && args.is(n, "byscore") {
                by = By::Score;
            } else if named.is_none() && args.is(n, "bylex") {
                by = By::Lex;
            } else {
                return Err(Fault::SYNTAX);
            }
            n += 1;
        }
        if limit.is_some() && by == By::Rank {
            return Err(Fault(
                &"ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Lex {
            return Err(Fault(&"ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (min, max) = if is_reverse && by != By::Rank { (at + 1, at) } else { (at, at + 1) };
        let range = Range::parse(by, args.at(min), args.at(max))?;
        let (skip, most) = limit.unwrap_or((0, -1));
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Ok(Self { range, is_reverse, with_scores, skip, most })
    }

    /// Visits what was asked for.
    fn visit(&self, zset: &Zset, visit: &mut dyn FnMut(&Scored)) {
        let (from, count) = self.places(zset);
        if !self.is_reverse {
            return zset.from(from).take(count).for_each(visit);
        }
        (from..from + count).rev().filter_map(|at| zset.at(at)).for_each(visit);
    }

    /// The first place and how many, with the limit.
    fn places(&self, zset: &Zset) -> (usize, usize) {
        let range = match self.range {
            // Ranks are counted from the other end.
            Range::Ranks(start, stop) if self.is_reverse => {
                let (from, count) = places(start, stop, zset.len());
                (zset.len() - from - count, count)
            }
            range => range.of(zset),
        };
        let (from, count) = range;
        let skip = self.skip.min(count);
        let kept = (count - skip).min(self.most);
        if self.is_reverse { (from + count - skip - kept, kept) } else { (from + skip, kept) }
    }
}

fn tell(cx: &mut Cx<'_>, named: Option<(By, bool)>) -> Reply {
    let query = Query::parse(cx, 2, named, false)?;
    let at = cx.store.read(cx.key());
    let Some(at) = at else {
        cx.out.array(0);
        return Ok(());
    };
    let zset = cx.store.zset(at)?;
    let (_, count) = query.places(zset);
    let nested = query.with_scores && cx.out.version >= 3;
    cx.out.array(if query.with_scores && !nested { count * 2 } else { count });
    let out = &mut *cx.out;
    query.visit(zset, &mut |scored| {
        if nested {
            out.array(2);
        }
        out.bulk(&scored.member);
        if query.with_scores {
            out.double(scored.score);
        }
    });
    Ok(())
}

pub(super) fn zrange(cx: &mut Cx<'_>) -> Reply {
    tell(cx, None)
}

pub(super) fn zrevrange(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Some((By::Rank, true)))
}

pub(super) fn zrangebyscore(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Some((By::Score, false)))
}

pub(super) fn zrevrangebyscore(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Some((By::Score, true)))
}

pub(super) fn zrangebylex(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Some((By::Lex, false)))
}

pub(super) fn zrevrangebylex(cx: &mut Cx<'_>) -> Reply {
    tell(cx, Some((By::Lex, true)))
}

pub(super) fn zrangestore(cx: &mut Cx<'_>) -> Reply {
    let query = Query::parse(cx, 3, None, true)?;
    let mut result = Zset::default();
    if let Some(at) = cx.store.read(cx.args.at(2)) {
        super::check_room(cx.store, &[Some(at)])?;
        query.visit(cx.store.zset(at)?, &mut |scored| {
            result.set(&scored.member, scored.score);
        });
    }
    put(cx, result)
}

/// Stores a result at the first key, or nothing where it is empty.
pub fn put(cx: &mut Cx<'_>, result: Zset) -> Reply {
    cx.out.count(result.len());
    if result.is_empty() {
        cx.store.delete(cx.key());
    } else {
        cx.store.put(cx.key(), Value::Zset(Box::new(result)));
    }
    Ok(())
}

fn count(cx: &mut Cx<'_>, by: By) -> Reply {
    let range = Range::parse(by, cx.args.at(2), cx.args.at(3))?;
    let count = cx.zset()?.map_or(0, |zset| range.of(zset).1);
    cx.out.count(count);
    Ok(())
}

pub(super) fn zcount(cx: &mut Cx<'_>) -> Reply {
    count(cx, By::Score)
}

pub(super) fn zlexcount(cx: &mut Cx<'_>) -> Reply {
    count(cx, By::Lex)
}

fn remove(cx: &mut Cx<'_>, by: By) -> Reply {
    let range = Range::parse(by, cx.args.at(2), cx.args.at(3))?;
    let Some(at) = cx.store.find(cx.key()) else {
        cx.out.int(0);
        return Ok(());
    };
    let zset = cx.store.zset(at)?;
    let (from, count) = range.of(zset);
    let taken: Vec<Scored> = (0..count).filter_map(|_| zset.take(from)).collect();
    if count > 0 {
        taken.iter().for_each(|scored| cx.store.part(&scored.member));
        cx.store.changed(at);
    }
    cx.out.count(count);
    Ok(())
}

pub(super) fn zremrangebyrank(cx: &mut Cx<'_>) -> Reply {
    remove(cx, By::Rank)
}

pub(super) fn zremrangebyscore(cx: &mut Cx<'_>) -> Reply {
    remove(cx, By::Score)
}

pub(super) fn zremrangebylex(cx: &mut Cx<'_>) -> Reply {
    remove(cx, By::Lex)
}
