//! Arguments as numbers, times and ranges.

use super::Cx;
use crate::fault::Fault;
use crate::number::{parse_double, parse_int};

/// A whole number.
#[inline(never)]
pub fn int(arg: &[u8]) -> Result<i64, Fault> {
    parse_int(arg).ok_or(Fault::NOT_INTEGER)
}

/// A number with a point.
#[inline(never)]
pub fn float(arg: &[u8]) -> Result<f64, Fault> {
    parse_double(arg).ok_or(Fault::NOT_FLOAT)
}

/// A number that is not negative.
#[inline(never)]
pub fn natural(arg: &[u8]) -> Result<usize, Fault> {
    parse_int(arg).and_then(|number| usize::try_from(number).ok()).ok_or(Fault::NOT_POSITIVE)
}

/// A number that is positive, else this fault.
#[inline(never)]
pub fn positive(arg: &[u8], wrong: Fault) -> Result<usize, Fault> {
    let number = parse_int(arg).filter(|number| *number > 0);
    number.and_then(|number| usize::try_from(number).ok()).ok_or(wrong)
}

/// The number of a database.
#[inline(never)]
pub fn database(arg: &[u8], wrong: Fault) -> Result<usize, Fault> {
    let number = parse_int(arg).ok_or(wrong)?;
    usize::try_from(number).ok().filter(|db| *db < crate::store::DATABASES).ok_or(Fault::DB_INDEX)
}

/// The places from `start` to `stop`, both counted from the end where negative, as (first, number).
#[inline(never)]
pub fn places(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_end = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

/// The unit and the beginning of a time that something ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// In so many seconds.
    Seconds,
    /// In so many milliseconds.
    Millis,
    /// At this second since 1970.
    AtSecond,
    /// At this millisecond.
    AtMilli,
}

impl Moment {
    /// The one that an option of `SET` names.
    pub fn of_option(args: crate::resp::Args<'_>, at: usize) -> Option<Self> {
        let names =
            [("ex", Self::Seconds), ("px", Self::Millis), ("exat", Self::AtSecond), ("pxat", Self::AtMilli)];
        names.iter().find(|(name, _)| args.is(at, name)).map(|(_, moment)| *moment)
    }

    /// Milliseconds since 1970, if there is a number for it.
    pub fn at(self, number: i64, now: i64) -> Option<i64> {
        let millis = match self {
            Self::Seconds | Self::AtSecond => number.checked_mul(1000)?,
            Self::Millis | Self::AtMilli => number,
        };
        match self {
            Self::Seconds | Self::Millis => millis.checked_add(now),
            Self::AtSecond | Self::AtMilli => Some(millis),
        }
    }

    /// The same for what must not be over already by its number.
    pub fn parse(self, arg: &[u8], now: i64) -> Result<i64, Fault> {
        let number = int(arg)?;
        let at = if number > 0 { self.at(number, now) } else { None };
        at.ok_or(Fault::EXPIRE)
    }
}

impl<'a> Cx<'a> {
    /// The first argument.
    pub fn key(&self) -> &'a [u8] {
        self.args.at(1)
    }
}
