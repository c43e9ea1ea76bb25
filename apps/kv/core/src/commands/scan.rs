//! Visiting everything bit by bit.

use super::Cx;
use super::words::int;
use crate::data::object::Value;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::glob;
use crate::number::{push_double, push_natural};
use crate::resp::Out;
use alloc::vec::Vec;

/// The most that is visited by one command; a client that asks for more goes on with the cursor.
const MOST: usize = 20_000;

struct Query<'a> {
    cursor: u32,
    most: usize,
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    /// Reads `cursor [options]` from `at` on.
    fn parse(cx: &Cx<'a>, at: usize) -> Result<Self, Fault> {
        let digits = core::str::from_utf8(cx.args.at(at)).ok();
        let cursor = digits.and_then(|digits| digits.parse::<u64>().ok()).ok_or(Fault::CURSOR)?;
        let mut query = Self { cursor: cursor as u32, most: 10, pattern: None, kind: None };
        for n in (at + 1..cx.args.len()).step_by(2) {
            let Some(value) = cx.args.get(n + 1) else { return Err(Fault::SYNTAX) };
            if cx.args.is(n, "count") {
                let most = usize::try_from(int(value)?).ok().filter(|n| *n > 0).ok_or(Fault::SYNTAX)?;
                query.most = most.min(MOST);
            } else if cx.args.is(n, "match") {
                query.pattern = Some(value).filter(|pattern| *pattern != b"*");
            } else if cx.args.is(n, "type") && at == 1 {
                query.kind = Some(value);
            } else {
                return Err(Fault::SYNTAX);
            }
        }
        Ok(query)
    }

    fn is_meant(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// Answers a cursor and what was found.
fn answer(out: &mut Out, cursor: u32, found: &[Text]) {
    let mut text = Vec::with_capacity(10);
    push_natural(&mut text, u64::from(cursor));
    out.array(2);
    out.bulk(&text);
    out.array(found.len());
    found.iter().for_each(|text| out.bulk(text));
}

pub(super) fn scan(cx: &mut Cx<'_>) -> Reply {
    let query = Query::parse(cx, 1)?;
    let (mut found, now) = (Vec::new(), cx.store.now);
    let cursor = cx.store.current().scan(query.cursor, query.most, &mut |key, object| {
        let is_kind = |kind: &[u8]| object.value.kind().name().as_bytes().eq_ignore_ascii_case(kind);
        if !object.is_over(now) && query.is_meant(key) && query.kind.is_none_or(is_kind) {
            found.push(key.clone());
        }
    });
    answer(cx.out, cursor, &found);
    Ok(())
}

fn scan_in(cx: &mut Cx<'_>, run: fn(&Value, &Query<'_>, &mut Vec<Text>) -> Option<u32>) -> Reply {
    let query = Query::parse(cx, 2)?;
    let mut found = Vec::new();
    let cursor = match cx.store.read(cx.key()) {
        None => 0,
        Some(at) => run(&cx.store.object(at).value, &query, &mut found).ok_or(Fault::WRONG_TYPE)?,
    };
    answer(cx.out, cursor, &found);
    Ok(())
}

pub(super) fn hscan(cx: &mut Cx<'_>) -> Reply {
    scan_in(cx, |value, query, found| {
        let Value::Hash(hash) = value else { return None };
        Some(hash.scan(query.cursor, query.most, &mut |field, value| {
            if query.is_meant(field) {
                found.extend([Text::from(field), Text::from(value)]);
            }
        }))
    })
}

pub(super) fn sscan(cx: &mut Cx<'_>) -> Reply {
    scan_in(cx, |value, query, found| {
        let Value::Set(set) = value else { return None };
        Some(set.scan(query.cursor, query.most, &mut |member| {
            if query.is_meant(member) {
                found.push(Text::from(member));
            }
        }))
    })
}

pub(super) fn zscan(cx: &mut Cx<'_>) -> Reply {
    scan_in(cx, |value, query, found| {
        let Value::Zset(zset) = value else { return None };
        Some(zset.scan(query.cursor, query.most, &mut |member, score| {
            if query.is_meant(member) {
                let mut text = Vec::new();
                push_double(&mut text, score);
                found.extend([Text::from(member), Text::from(text)]);
            }
        }))
    })
}
