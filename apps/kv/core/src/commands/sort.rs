//! `SORT`: the elements of a list, a set or a sorted set in order, by themselves or by what lies under keys made of them.

use super::Cx;
use super::words::{int, places};
use crate::data::list::{End, List};
use crate::data::object::Value;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::parse_double;
use crate::store::Store;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Ordering;

#[derive(Default)]
struct Query<'a> {
    by: Option<&'a [u8]>,
    gets: Vec<&'a [u8]>,
    limit: Option<(i64, i64)>,
    is_reverse: bool,
    is_alpha: bool,
    target: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn parse(cx: &Cx<'a>, stores: bool) -> Result<Self, Fault> {
        let (args, mut query, mut n) = (cx.args, Self::default(), 2);
        while n < args.len() {
            let left = args.len() - n - 1;
            if args.is(n, "asc") {
                query.is_reverse = false;
            } else if args.is(n, "desc") {
                query.is_reverse = true;
            } else if args.is(n, "alpha") {
                query.is_alpha = true;
            } else if args.is(n, "limit") && left >= 2 {
                query.limit = Some((int(args.at(n + 1))?, int(args.at(n + 2))?));
                n += 2;
            } else if stores && args.is(n, "store") && left >= 1 {
                query.target = args.get(n + 1);
                n += 1;
            } else if args.is(n, "by") && left >= 1 {
                query.by = args.get(n + 1);
                n += 1;
            } else if args.is(n, "get") && left >= 1 {
                query.gets.push(args.at(n + 1));
                n += 1;
            } else {
                return Err(Fault::SYNTAX);
            }
            n += 1;
        }
        Ok(query)
    }
}

/// What a pattern means for an element: the string under the key, or field of a hash (`->`), with `*` replaced.
fn look_up(store: &mut Store, pattern: &[u8], element: &[u8]) -> Option<Text> {
    if pattern == b"#" {
        return Some(Text::from(element));
    }
    let star = pattern.iter().position(|octet| *octet == b'*')?;
    let (before, behind) = (pattern.get(..star)?, pattern.get(star + 1..)?);
    let arrow = behind.windows(2).position(|pair| pair == b"->").filter(|at| at + 2 < behind.len());
    let (behind, field) = match arrow {
        Some(at) => (behind.get(..at)?, behind.get(at + 2..)),
        None => (behind, None),
    };
    let at = store.read(&[before, element, behind].concat())?;
    match (&store.object(at).value, field) {
        (Value::Hash(hash), Some(field)) => hash.get(field).cloned(),
        (value, None) => value.octets(&mut Vec::new()).map(Text::from),
        _ => None,
    }
}

/// By what an element is sorted.
enum Weight {
    Number(f64),
    Octets(Option<Text>),
}

fn compare(a: &(Weight, Text), b: &(Weight, Text)) -> Ordering {
    match (&a.0, &b.0) {
        (Weight::Number(x), Weight::Number(y)) => {
            x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(&b.1))
        }
        (Weight::Octets(x), Weight::Octets(y)) => x.cmp(y),
        _ => Ordering::Equal,
    }
}

fn elements(value: &Value) -> Result<Vec<Text>, Fault> {
    let mut all = Vec::new();
    match value {
        Value::List(list) => list.from(0).for_each(|element| all.push(element.clone())),
        Value::Set(set) => set.iter().for_each(|member| all.push(member)),
        Value::Zset(zset) => zset.from(0).for_each(|scored| all.push(scored.member.clone())),
        _ => return Err(Fault::WRONG_TYPE),
    }
    Ok(all)
}

pub(super) fn sort(cx: &mut Cx<'_>) -> Reply {
    run(cx, true)
}

pub(super) fn sort_ro(cx: &mut Cx<'_>) -> Reply {
    run(cx, false)
}

fn run(cx: &mut Cx<'_>, stores: bool) -> Reply {
    let query = Query::parse(cx, stores)?;
    let at = cx.store.read(cx.key());
    super::check_room(cx.store, &[at])?;
    let is_zset = at.is_some_and(|at| matches!(cx.store.object(at).value, Value::Zset(_)));
    let mut all = at.map_or(Ok(Vec::new()), |at| elements(&cx.store.object(at).value))?;
    // A pattern without a star means nothing is sorted.
    let is_sorted = query.by.is_none_or(|by| by.contains(&b'*'));
    if is_sorted {
        all = sorted(cx, &query, all)?;
    } else if query.is_reverse && is_zset {
        all.reverse();
    }
    let (from, count) = match query.limit {
        Some((skip, most)) => {
            let (skip, len) = (skip.max(0), all.len() as i64);
            let stop = if most < 0 { len - 1 } else { skip.saturating_add(most).saturating_sub(1) };
            if most == 0 || skip >= len { (0, 0) } else { places(skip, stop, all.len()) }
        }
        None => (0, all.len()),
    };
    let mut result = Vec::new();
    for element in all.iter().skip(from).take(count) {
        if query.gets.is_empty() {
            result.push(Some(element.clone()));
        }
        for pattern in &query.gets {
            result.push(look_up(cx.store, pattern, element));
        }
    }
    match query.target {
        None => {
            cx.out.array(result.len());
            for element in result {
                match element {
                    Some(element) => cx.out.bulk(&element),
                    None => cx.out.null(),
                }
            }
        }
        Some(target) => {
            cx.out.count(result.len());
            if result.is_empty() {
                cx.store.delete(target);
            } else {
                let mut list = List::default();
                let empty = || Text::from(&b""[..]);
                result.into_iter().for_each(|item| list.push(End::Tail, item.unwrap_or_else(empty)));
                cx.store.put(target, Value::List(Box::new(list)));
            }
        }
    }
    Ok(())
}

/// A sort of few instructions (Williams' heapsort).
fn heap_sort<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let sink = |items: &mut [T], mut at: usize| loop {
        let (left, right) = (2 * at + 1, 2 * at + 2);
        let mut most = at;
        for child in [left, right] {
            if child < items.len() && compare(&items[child], &items[most]) == Ordering::Greater {
                most = child;
            }
        }
        if most == at {
            return;
        }
        items.swap(at, most);
        at = most;
    };
    for at in (0..items.len() / 2).rev() {
        sink(items, at);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        sink(&mut items[..end], 0);
    }
}

fn sorted(cx: &mut Cx<'_>, query: &Query<'_>, all: Vec<Text>) -> Result<Vec<Text>, Fault> {
    let mut weighted = Vec::with_capacity(all.len());
    for element in all {
        let by = match query.by {
            Some(pattern) => look_up(cx.store, pattern, &element),
            None => Some(element.clone()),
        };
        let weight = if query.is_alpha {
            Weight::Octets(by)
        } else {
            let number = by.map_or(Some(0.0), |by| parse_double(&by));
            Weight::Number(number.ok_or(Fault(&"ERR One or more scores can't be converted into double"))?)
        };
        weighted.push((weight, element));
    }
    heap_sort(&mut weighted, &|a, b| if query.is_reverse { compare(b, a) } else { compare(a, b) });
    Ok(weighted.into_iter().map(|(_, element)| element).collect())
}
