//! Dates in header fields (RFC 9110 section 5.6.7): written as IMF-fixdate, read in the three forms that exist.

use core::cell::{Ref, RefCell};
use fata_libos::time::{Duration, SystemTime, UtcDateTime};

const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Octets of a date's text.
const TEXT: usize = 29;

/// A date of whole seconds, with its text (`Sun, 06 Nov 1994 08:49:37 GMT`) made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    seconds: u64,
    /// The text, and the CRLF that ends a field.
    line: [u8; TEXT + 2],
}

impl HttpDate {
    /// From seconds since 1970, up to the end of the year 9999.
    pub fn from_unix_seconds(seconds: u64) -> Self {
        let seconds = seconds.min(253_402_300_799);
        Self { seconds, line: format(&UtcDateTime::from_unix_seconds(seconds)) }
    }

    /// Reads a date, in any of the three forms; `None` for what is no date.
    pub fn parse(text: &[u8]) -> Option<Self> {
        parse(text).map(Self::from_unix_seconds)
    }

    /// Seconds since 1970.
    pub fn unix_seconds(&self) -> u64 {
        self.seconds
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.line[..TEXT]).unwrap_or_default()
    }

    /// The text and CRLF.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }
}

impl From<SystemTime> for HttpDate {
    fn from(time: SystemTime) -> Self {
        Self::from_unix_seconds(time.since_unix().as_secs())
    }
}

impl From<HttpDate> for SystemTime {
    fn from(date: HttpDate) -> Self {
        Self::from_unix(Duration::from_secs(date.seconds))
    }
}

/// The `Date` field of this second, made anew when the second changes.
pub(crate) struct DateCache(RefCell<HttpDate>);

impl DateCache {
    pub(crate) fn new() -> Self {
        Self(RefCell::new(HttpDate::from_unix_seconds(0)))
    }

    pub(crate) fn now(&self) -> Ref<'_, HttpDate> {
        let seconds = SystemTime::recent().since_unix().as_secs();
        if self.0.borrow().seconds != seconds {
            self.0.replace(HttpDate::from_unix_seconds(seconds));
        }
        self.0.borrow()
    }
}

fn format(t: &UtcDateTime) -> [u8; TEXT + 2] {
    let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT\r\n";
    text[..3].copy_from_slice(DAYS[usize::from(t.weekday % 7)].as_bytes());
    text[8..11].copy_from_slice(MONTHS[usize::from((t.month + 11) % 12)].as_bytes());
    for (at, value) in [
        (5, u64::from(t.day)),
        (12, t.year / 100),
        (14, t.year % 100),
        (17, u64::from(t.hour)),
        (20, u64::from(t.minute)),
        (23, u64::from(t.second)),
    ] {
        text[at] = b'0' + (value / 10 % 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    }
    text
}

/// Each form has its parts at fixed places. The day's name is not looked at.
fn parse(text: &[u8]) -> Option<u64> {
    match text.iter().position(|&b| b == b',') {
        Some(comma) => {
            let rest = text[comma + 1..].strip_prefix(b" ")?.strip_suffix(b" GMT")?;
            match rest.len() {
                20 => imf_fixdate(rest),
                18 => rfc850(rest),
                _ => None,
            }
        }
        None if text.len() == 24 => asctime(text),
        None => None,
    }
}

/// `06 Nov 1994 08:49:37`
fn imf_fixdate(text: &[u8]) -> Option<u64> {
    let good = has_blanks(text, &[2, 6, 11]);
    if good { seconds(number(&text[7..11])?, &text[3..6], number(&text[..2])?, &text[12..]) } else { None }
}

/// `06-Nov-94 08:49:37`; years before 70 are of this century, since no date is before 1970.
fn rfc850(text: &[u8]) -> Option<u64> {
    let year = number(&text[7..9])?;
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    let good = text[2] == b'-' && text[6] == b'-' && has_blanks(text, &[9]);
    if good { seconds(year, &text[3..6], number(&text[..2])?, &text[10..]) } else { None }
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &[u8]) -> Option<u64> {
    let good = has_blanks(text, &[3, 7, 10, 19]);
    let day = number(text[8..10].trim_ascii_start())?;
    if good { seconds(number(&text[20..])?, &text[4..7], day, &text[11..19]) } else { None }
}

fn has_blanks(text: &[u8], places: &[usize]) -> bool {
    places.iter().all(|&at| text[at] == b' ')
}

fn seconds(year: u64, month: &[u8], day: u64, clock: &[u8]) -> Option<u64> {
    let month = MONTHS.iter().position(|m| m.as_bytes() == month)? + 1;
    let second = number(&clock[6..8])?;
    let date = UtcDateTime {
        year,
        month: month as u8,
        day: day as u8,
        hour: number(&clock[..2])? as u8,
        minute: number(&clock[3..5])? as u8,
        // A leap second is the second before it.
        second: if second == 60 { 59 } else { second as u8 },
        weekday: 0,
    };
    if clock[2] == b':' && clock[5] == b':' { date.to_unix_seconds() } else { None }
}

fn number(digits: &[u8]) -> Option<u64> {
    let good = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    good.then(|| digits.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_one_moment() {
        for text in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            let date = HttpDate::parse(text.as_bytes()).expect(text);
            assert_eq!(date.unix_seconds(), 784_111_777);
            assert_eq!(date.as_str(), "Sun, 06 Nov 1994 08:49:37 GMT");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "now",
            "0",
            ", ",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun Nov 6 08:49:37 1994 GMT",
            "Sun, 06 Nov 1960 08:49:37 GMT",
            "Sun, -6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(HttpDate::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(HttpDate::parse(b"\xff"), None);
    }

    #[test]
    fn every_text_reads_back() {
        for day in 0..40_000u64 {
            let date = HttpDate::from_unix_seconds(day * 86_400 + day % 86_400);
            assert_eq!(HttpDate::parse(date.as_str().as_bytes()), Some(date));
        }
        assert_eq!(HttpDate::from_unix_seconds(u64::MAX).as_str(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
