//! Strings as bits. Bit 0 is the highest of the first octet.

use super::Cx;
use super::strings::{edit, length};
use super::words::int;
use crate::data::object::Value;
use crate::data::text::Text;
use crate::fault::{Fault, Reply};
use crate::number::parse_int;
use alloc::vec;
use alloc::vec::Vec;

const OFFSET: Fault = Fault(&"ERR bit offset is not an integer or out of range");
const BIT: Fault = Fault(&"ERR bit is not an integer or out of range");

fn offset(cx: &Cx<'_>, arg: &[u8]) -> Result<usize, Fault> {
    let offset = parse_int(arg).and_then(|offset| usize::try_from(offset).ok()).ok_or(OFFSET)?;
    if offset / 8 < cx.hub.config.limits.bulk { Ok(offset) } else { Err(OFFSET) }
}

/// The octets of the string at a key; none where there is none.
fn octets(cx: &mut Cx<'_>, key: &[u8]) -> Result<Vec<u8>, Fault> {
    let Some(at) = cx.store.read(key) else { return Ok(Vec::new()) };
    let mut scratch = Vec::new();
    Ok(cx.store.object(at).value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?.to_vec())
}

/// Does something with the octets of the string at the key, without a copy.
fn with_octets<R>(cx: &mut Cx<'_>, look: impl FnOnce(&[u8]) -> R) -> Result<R, Fault> {
    let mut scratch = Vec::new();
    let octets = match cx.store.read(cx.key()) {
        Some(at) => cx.store.object(at).value.octets(&mut scratch).ok_or(Fault::WRONG_TYPE)?,
        None => &[],
    };
    Ok(look(octets))
}

pub(super) fn setbit(cx: &mut Cx<'_>) -> Reply {
    let offset = offset(cx, cx.args.at(2))?;
    let on = match cx.args.at(3) {
        b"0" => false,
        b"1" => true,
        _ => return Err(BIT),
    };
    let len = length(cx)?.unwrap_or(0).max(offset / 8 + 1);
    let was = edit(cx, len, |octets| {
        octets.resize(len, 0);
        let (octet, mask) = (&mut octets[offset / 8], 0x80 >> (offset % 8));
        let was = *octet & mask != 0;
        if on {
            *octet |= mask
        } else {
            *octet &= !mask
        }
        was
    })?;
    cx.out.flag(was);
    Ok(())
}

pub(super) fn getbit(cx: &mut Cx<'_>) -> Reply {
    let offset = offset(cx, cx.args.at(2))?;
    let is_on = with_octets(cx, |octets| {
        octets.get(offset / 8).is_some_and(|octet| octet & 0x80 >> (offset % 8) != 0)
    })?;
    cx.out.flag(is_on);
    Ok(())
}

/// The bits from `start` to `end`, as the arguments from `at` on say, of `len` octets: first and behind the last.
fn range(cx: &Cx<'_>, at: usize, len: usize) -> Result<(usize, usize), Fault> {
    let is_bits = match cx.args.get(at + 2) {
        None => false,
        Some(_) if cx.args.is(at + 2, "bit") => true,
        Some(_) if cx.args.is(at + 2, "byte") => false,
        Some(_) => return Err(Fault::SYNTAX),
    };
    let start = cx.args.get(at).map_or(Ok(0), int)?;
    let end = cx.args.get(at + 1).map_or(Ok(-1), int)?;
    let unit = if is_bits { 1 } else { 8 };
    let total = (len * 8 / unit) as i64;
    if start < 0 && end < 0 && start > end {
        return Ok((0, 0));
    }
    let from_end = |at: i64| if at < 0 { at.saturating_add(total).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(total - 1));
    if start > end { Ok((0, 0)) } else { Ok((start as usize * unit, (end as usize + 1) * unit)) }
}

fn is_set(octets: &[u8], bit: usize) -> bool {
    octets.get(bit / 8).is_some_and(|octet| octet & 0x80 >> (bit % 8) != 0)
}

fn count(octets: &[u8], mut from: usize, to: usize) -> usize {
    let mut count = 0;
    while from < to {
        if from.is_multiple_of(8) && to - from >= 8 {
            count += octets[from / 8..to / 8].iter().map(|octet| octet.count_ones() as usize).sum::<usize>();
            from = to / 8 * 8;
        } else {
            count += usize::from(is_set(octets, from));
            from += 1;
        }
    }
    count
}

pub(super) fn bitcount(cx: &mut Cx<'_>) -> Reply {
    if cx.args.len() == 3 || cx.args.len() > 5 {
        return Err(Fault::SYNTAX);
    }
    let len = with_octets(cx, <[u8]>::len)?;
    let (from, to) = range(cx, 2, len)?;
    let count = with_octets(cx, |octets| count(octets, from, to))?;
    cx.out.count(count);
    Ok(())
}

pub(super) fn bitpos(cx: &mut Cx<'_>) -> Reply {
    let on = match int(cx.args.at(2))? {
        0 => false,
        1 => true,
        _ => return Err(Fault(&"ERR The bit argument must be 1 or 0.")),
    };
    if cx.args.len() > 6 {
        return Err(Fault::SYNTAX);
    }
    if cx.store.read(cx.key()).is_none() {
        cx.out.int(if on { -1 } else { 0 });
        return Ok(());
    }
    let len = with_octets(cx, <[u8]>::len)?;
    let (from, to) = range(cx, 3, len)?;
    let has_end = cx.args.len() > 4;
    let found = with_octets(cx, |octets| {
        let passed = if on { 0 } else { 0xff };
        let mut bit = from;
        while bit < to {
            if bit.is_multiple_of(8) && to - bit >= 8 && octets[bit / 8] == passed {
                bit += 8;
            } else if is_set(octets, bit) == on {
                return Some(bit);
            } else {
                bit += 1;
            }
        }
        None
    })?;
    cx.out.int(match found {
        Some(bit) => bit as i64,
        // Behind the end there are zeroes, unless an end was given.
        None if !on && !has_end && to > from => to as i64,
        None => -1,
    });
    Ok(())
}

pub(super) fn bitop(cx: &mut Cx<'_>) -> Reply {
    let combine: fn(u8, u8) -> u8 = match () {
        () if cx.args.is(1, "and") => |a, b| a & b,
        () if cx.args.is(1, "or") => |a, b| a | b,
        () if cx.args.is(1, "xor") => |a, b| a ^ b,
        () if cx.args.is(1, "not") && cx.args.len() != 4 => {
            return Err(Fault(&"ERR BITOP NOT must be called with a single source key."));
        }
        () if cx.args.is(1, "not") => |a, _| !a,
        () => return Err(Fault::SYNTAX),
    };
    let is_not = cx.args.is(1, "not");
    let mut sum: Option<Vec<u8>> = None;
    for key in cx.args.from(3) {
        let mut more = octets(cx, key)?;
        sum = Some(match sum {
            None if is_not => more.iter().map(|octet| combine(*octet, 0)).collect(),
            None => more,
            Some(mut sum) => {
                let len = sum.len().max(more.len());
                sum.resize(len, 0);
                more.resize(len, 0);
                sum.iter_mut().zip(more).for_each(|(a, b)| *a = combine(*a, b));
                sum
            }
        });
    }
    let (sum, target) = (sum.unwrap_or_default(), cx.args.at(2));
    cx.out.count(sum.len());
    if sum.is_empty() {
        cx.store.delete(target);
    } else {
        cx.store.put(target, Value::Text(Text::from(sum)));
    }
    Ok(())
}

/// What happens to numbers that do not fit their field.
#[derive(Clone, Copy)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// A field of a string: a number of some bits, with a sign or without.
#[derive(Clone, Copy)]
struct Field {
    is_signed: bool,
    bits: u32,
    at: usize,
}

impl Field {
    fn parse(cx: &Cx<'_>, kind: &[u8], at: &[u8]) -> Result<Self, Fault> {
        let wrong = Fault(
            &"ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let Some((sign, bits)) = kind.split_first() else { return Err(wrong) };
        let is_signed = sign.eq_ignore_ascii_case(&b'i');
        let most = if is_signed { 64 } else { 63 };
        let bits = parse_int(bits).filter(|bits| (1..=most).contains(bits));
        let (Some(bits), true) = (bits, is_signed || sign.eq_ignore_ascii_case(&b'u')) else {
            return Err(wrong);
        };
        let (at, times) = match at {
            [b'#', at @ ..] => (at, bits as usize),
            at => (at, 1),
        };
        let at = parse_int(at).and_then(|at| usize::try_from(at).ok()?.checked_mul(times)).ok_or(OFFSET)?;
        let is_there = at.checked_add(bits as usize).is_some_and(|end| end / 8 < cx.hub.config.limits.bulk);
        if is_there { Ok(Self { is_signed, bits: bits as u32, at }) } else { Err(OFFSET) }
    }

    fn get(self, octets: &[u8]) -> i64 {
        let end = self.at + self.bits as usize;
        let number = (self.at..end).fold(0_u64, |n, bit| n << 1 | u64::from(is_set(octets, bit)));
        let unused = 64 - self.bits;
        if self.is_signed { (number << unused).cast_signed() >> unused } else { number.cast_signed() }
    }

    fn set(self, octets: &mut Vec<u8>, number: i64) {
        let end = self.at + self.bits as usize;
        if octets.len() * 8 < end {
            octets.resize(end.div_ceil(8), 0);
        }
        for (n, bit) in (self.at..end).rev().enumerate() {
            let (octet, mask) = (&mut octets[bit / 8], 0x80 >> (bit % 8));
            if number >> n & 1 == 1 { *octet |= mask } else { *octet &= !mask }
        }
    }

    /// A number as it fits, if it may.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = if self.is_signed {
            (-(1_i128 << (self.bits - 1)), (1_i128 << (self.bits - 1)) - 1)
        } else {
            (0, (1_i128 << self.bits) - 1)
        };
        if (least..=most).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(number.clamp(least, most) as i64),
            Overflow::Wrap => {
                let low = number & ((1 << self.bits) - 1);
                Some(if low > most { low - (1 << self.bits) } else { low } as i64)
            }
        }
    }
}

pub(super) fn bitfield(cx: &mut Cx<'_>) -> Reply {
    field_operations(cx, true)
}

pub(super) fn bitfield_ro(cx: &mut Cx<'_>) -> Reply {
    field_operations(cx, false)
}

enum Operation {
    Get,
    Set(i64),
    Add(i64),
}

fn field_operations(cx: &mut Cx<'_>, may_write: bool) -> Reply {
    let (args, mut n, mut overflow) = (cx.args, 2, Overflow::Wrap);
    let mut operations = vec![];
    let mut end = 0;
    while n < args.len() {
        let left = args.len() - n;
        if args.is(n, "overflow") && left >= 2 {
            overflow = match () {
                () if args.is(n + 1, "wrap") => Overflow::Wrap,
                () if args.is(n + 1, "sat") => Overflow::Saturate,
                () if args.is(n + 1, "fail") => Overflow::Fail,
                () => return Err(Fault(&"ERR Invalid OVERFLOW type specified")),
            };
            n += 2;
            continue;
        }
        let is_get = args.is(n, "get") && left >= 3;
        let is_set = args.is(n, "set") && left >= 4;
        if !(is_get || is_set || args.is(n, "incrby") && left >= 4) {
            return Err(Fault::SYNTAX);
        }
        let field = Field::parse(cx, args.at(n + 1), args.at(n + 2))?;
        let operation = if is_get {
            Operation::Get
        } else {
            if !may_write {
                return Err(Fault(&"ERR BITFIELD_RO only supports the GET subcommand"));
            }
            end = end.max((field.at + field.bits as usize).div_ceil(8));
            let number = int(args.at(n + 3))?;
            if is_set { Operation::Set(number) } else { Operation::Add(number) }
        };
        operations.push((operation, field, overflow));
        n += if is_get { 3 } else { 4 };
    }
    let mut octets = octets(cx, cx.args.at(1))?;
    if end > 0 && octets.len() < end {
        octets.resize(end, 0);
    }
    cx.out.array(operations.len());
    for (operation, field, overflow) in operations {
        let old = field.get(&octets);
        let (new, answer) = match operation {
            Operation::Get => (None, Some(old)),
            Operation::Set(number) => {
                let number =
                    if field.is_signed { i128::from(number) } else { i128::from(number.cast_unsigned()) };
                let new = field.fit(number, overflow);
                (new, new.map(|_| old))
            }
            Operation::Add(number) => {
                let new = field.fit(i128::from(old) + i128::from(number), overflow);
                (new, new)
            }
        };
        if let Some(new) = new {
            field.set(&mut octets, new);
        }
        match answer {
            Some(answer) => cx.out.int(answer),
            None => cx.out.null(),
        }
    }
    if end > 0 {
        let len = octets.len();
        edit(cx, len, |place| *place = octets)?;
    }
    Ok(())
}
