//! The language of the scripts: see `tests/scripts/README.md`.

use super::segment::{FIELDS, LETTERS};
use fata_libos::time::Duration;
use std::path::Path;

/// When something happens, or is expected.
#[derive(Clone, Copy, Debug)]
pub enum When {
    /// At that time of the script.
    At(Duration),
    /// So long after the last event.
    After(Duration),
    /// Between so and so long after the last event.
    Between(Duration, Duration),
    /// At any time.
    Any,
}

/// A number in an option: given, any, or one that got a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Any,
    Number(u32),
    Name(String),
}

/// An option as a script has it.
#[derive(Clone, Debug)]
pub enum OptText {
    Mss(Value),
    Scale(Value),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamp(Value, Value),
    Raw(Vec<u8>),
}

/// A segment as a script has it: numbers are relative to the initial ones.
#[derive(Clone, Debug)]
pub struct SegmentText {
    pub ecn: Option<u8>,
    pub flags: u8,
    /// Whether a PSH counts: `p` leaves it open.
    pub any_push: bool,
    pub seq: u32,
    pub len: u32,
    pub ack: Option<u32>,
    pub window: Option<u16>,
    pub options: Option<Vec<OptText>>,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum What {
    Inject(SegmentText),
    /// With the next one, before anything is sent.
    Together(SegmentText),
    /// So often.
    Repeat(u32, SegmentText),
    Expect(SegmentText),
    Command(Vec<String>),
}

/// One line.
#[derive(Clone, Debug)]
pub struct Event {
    /// File and line.
    pub place: String,
    pub text: String,
    pub when: When,
    pub what: What,
}

type Parsed<T> = Result<T, String>;

/// Reads a script, and those that it includes.
pub fn read(path: &Path) -> Parsed<Vec<Event>> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut events = vec![];
    for (n, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let place = format!("{}:{}", path.file_name().unwrap_or_default().display(), n + 1);
        if let Some(name) = line.strip_prefix("include ") {
            events.extend(read(&path.with_file_name(name.trim()))?);
        } else if !line.is_empty() {
            let (when, what) = event(line).map_err(|wrong| format!("{place}: {wrong}\n    {line}"))?;
            events.push(Event { place, text: line.to_owned(), when, what });
        }
    }
    Ok(events)
}

fn event(line: &str) -> Parsed<(When, What)> {
    let (when, rest) = match line.split_once(char::is_whitespace) {
        Some((first, rest)) if first.starts_with(|c: char| c.is_ascii_digit() || "+.*".contains(c)) => {
            (time(first)?, rest.trim())
        }
        _ => (When::After(Duration::ZERO), line),
    };
    let what = match rest.split_at_checked(2) {
        Some(("< ", segment)) => What::Inject(self::segment(segment.trim())?),
        Some(("> ", segment)) => What::Expect(self::segment(segment.trim())?),
        _ if rest.starts_with("together < ") => What::Together(self::segment(rest[11..].trim())?),
        _ if rest.starts_with("repeat ") => {
            let (count, segment) = rest[7..].split_once(" < ").ok_or("expected repeat N < segment")?;
            What::Repeat(number(Some(count))?, self::segment(segment.trim())?)
        }
        _ => What::Command(rest.split_whitespace().map(str::to_owned).collect()),
    };
    Ok((when, what))
}

fn seconds(text: &str) -> Parsed<Duration> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is no time"))?;
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

fn time(text: &str) -> Parsed<When> {
    if text == "*" {
        return Ok(When::Any);
    }
    let Some(after) = text.strip_prefix('+') else { return Ok(When::At(seconds(text)?)) };
    match after.split_once('~') {
        Some((from, to)) => Ok(When::Between(seconds(from)?, seconds(to.trim_start_matches('+'))?)),
        None => Ok(When::After(seconds(after)?)),
    }
}

/// A number, as a duration for commands that take one.
pub fn duration(text: &str) -> Parsed<Duration> {
    seconds(text)
}

fn number<T: std::str::FromStr>(text: Option<&str>) -> Parsed<T> {
    text.and_then(|text| text.parse().ok()).ok_or_else(|| format!("{text:?} is no number"))
}

fn segment(text: &str) -> Parsed<SegmentText> {
    let (mut text, mut options) = (text.to_owned(), None);
    if let Some((before, after)) = text.clone().split_once('<') {
        options = Some(self::options(after.strip_suffix('>').ok_or("an option list without its end")?)?);
        text = before.to_owned();
    }
    let mut words = text.split_whitespace().peekable();
    let mut ecn = None;
    if let Some(field) = words.peek().and_then(|word| word.strip_prefix('[')?.strip_suffix(']')) {
        let at = FIELDS.iter().position(|name| *name == field).ok_or(format!("[{field}] is unknown"))?;
        ecn = Some(at as u8);
        words.next();
    }
    let letters = words.next().ok_or("no flags")?;
    let mut flags = 0;
    let any_push = letters.contains('p');
    for letter in letters.chars().filter(|letter| !"-p".contains(*letter)) {
        flags |= 1 << LETTERS.find(letter).ok_or(format!("{letter} is no flag"))?;
    }
    let range = words.next().ok_or("no sequence numbers")?;
    let (seq, rest) = range.split_once(':').ok_or("expected seq:end(len)")?;
    let (end, len) = rest.split_once('(').ok_or("expected seq:end(len)")?;
    let (seq, end): (u32, u32) = (number(Some(seq))?, number(Some(end))?);
    let len = number(len.strip_suffix(')'))?;
    if end.wrapping_sub(seq) != len {
        return Err(format!("{seq}:{end} is not {len}"));
    }
    let (mut ack, mut window) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "ack" => ack = Some(number(words.next())?),
            "win" => window = Some(number(words.next())?),
            _ => return Err(format!("{word} is unknown")),
        }
    }
    if ack.is_some() != (flags & 16 != 0) {
        return Err("an acknowledgement without its dot, or the other way".into());
    }
    Ok(SegmentText { ecn, flags, any_push, seq, len, ack, window, options })
}

fn value(text: Option<&str>) -> Parsed<Value> {
    match text {
        Some("*") => Ok(Value::Any),
        Some(text) if text.starts_with('$') => Ok(Value::Name(text.to_owned())),
        text => Ok(Value::Number(number(text)?)),
    }
}

fn options(text: &str) -> Parsed<Vec<OptText>> {
    let mut all = vec![];
    for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        let mut words = option.split_whitespace();
        all.push(match words.next().unwrap_or_default() {
            "nop" => continue,
            "mss" => OptText::Mss(value(words.next())?),
            "wscale" => OptText::Scale(value(words.next())?),
            "sackOK" => OptText::SackPermitted,
            "sack" => {
                let block = |block: &str| {
                    let (from, to) = block.split_once(':').ok_or("a block is from:to")?;
                    Ok((number(Some(from))?, number(Some(to))?))
                };
                OptText::Sack(words.map(block).collect::<Parsed<_>>()?)
            }
            "TS" => {
                let words: Vec<&str> = words.collect();
                let ["val", val, "ecr", ecr] = words[..] else {
                    return Err("expected TS val N ecr N".into());
                };
                OptText::Timestamp(value(Some(val))?, value(Some(ecr))?)
            }
            "raw" => {
                let octet =
                    |octet: &str| u8::from_str_radix(octet, 16).map_err(|_| format!("{octet} is no octet"));
                OptText::Raw(words.map(octet).collect::<Parsed<_>>()?)
            }
            word => return Err(format!("{word} is no option")),
        });
    }
    Ok(all)
}
