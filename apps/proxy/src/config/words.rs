//! The words of a configuration: where they stand, and what they mean.

use super::Server;
use crate::hosts;
use crate::proxy_protocol::Version;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use fata::fetch::{Scheme, Url};
use fata::param::Value;
use fata::time::Duration;

/// What is wrong with a configuration, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct ConfigError {
    /// The line, from 1.
    pub line: usize,
    /// The column of the word, from 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub what: String,
}

impl ConfigError {
    pub(super) fn at(line: usize, column: usize, what: &str) -> Self {
        Self { line, column, what: what.to_owned() }
    }
}

/// A word of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) text: &'a str,
}

impl<'a> Word<'a> {
    pub(super) fn wrong(self, what: &str) -> ConfigError {
        ConfigError::at(self.line, self.column, what)
    }

    /// What the word means.
    pub(super) fn read<T>(self, how: impl FnOnce(&'a str) -> Result<T, String>) -> Result<T, ConfigError> {
        how(self.text).map_err(|what| self.wrong(&what))
    }

    /// The two parts of `name=value`.
    pub(super) fn option(self) -> Option<(&'a str, Self)> {
        let (name, text) = self.text.split_once('=')?;
        Some((name, Self { column: self.column + name.chars().count() + 1, text, ..self }))
    }
}

/// The words of a line, up to a comment.
pub(super) fn words(line: usize, text: &str) -> impl Iterator<Item = Word<'_>> {
    let text = text.split('#').next().unwrap_or_default();
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let start = at + rest.find(|c: char| !c.is_whitespace())?;
        let rest = text.get(start..)?;
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        at = start + len;
        let column = text.get(..start)?.chars().count() + 1;
        Some(Word { line, column, text: rest.get(..len)? })
    })
}

/// `host:port`, or a URL without a path.
pub(super) fn server(text: &str) -> Result<Server, String> {
    let wrong = || format!("\"{text}\" is no server, such as 10.0.0.2:8080 or http://app.internal:8080");
    let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    if after_scheme.contains(['/', '?', '#', '@']) {
        return Err(wrong());
    }
    let url: Url = url.parse().map_err(|_| wrong())?;
    if url.origin().scheme() == Scheme::Https {
        return Err(format!("\"{text}\" is a server with TLS, which is not spoken to servers"));
    }
    Ok(Server { origin: url.origin().clone(), weight: 1 })
}

/// A path, perhaps with a query.
pub(super) fn path(text: &str) -> Result<&str, String> {
    let is_path = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    if is_path { Ok(text) } else { Err(format!("\"{text}\" is no path, such as /health")) }
}

/// A host's name, or a wildcard.
pub(super) fn host(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    match hosts::is_name(name.strip_prefix("*.").unwrap_or(&name)) {
        true => Ok(name),
        false => Err(format!("\"{text}\" is no name of a host, such as example.org or *.example.org")),
    }
}

/// The folder of a host's certificate where nothing else is said.
pub(super) fn folder(host: &str) -> &str {
    host.strip_prefix("*.").unwrap_or(host)
}

/// A name of ours.
pub(super) fn own_name(text: &str) -> Result<&str, String> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_good = !text.starts_with('.') && text.len() <= 100 && text.bytes().all(is_name);
    if is_good {
        Ok(text)
    } else {
        Err(format!("\"{text}\" has other characters than letters, digits, - _ ."))
    }
}

/// A version of the PROXY protocol.
pub(super) fn version(text: &str) -> Result<Option<Version>, String> {
    match text {
        "v1" => Ok(Some(Version::One)),
        "v2" => Ok(Some(Version::Two)),
        "off" => Ok(None),
        _ => Err(format!("\"{text}\" is neither v1 nor v2 nor off")),
    }
}

/// A number from 1, or from 0 on.
pub(super) fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    let number = text.parse().ok().filter(|n| (least..=most).contains(n) && !text.starts_with('+'));
    number.ok_or_else(|| format!("\"{text}\" is no number from {least} to {most}"))
}

/// A share of something, from 1% to all.
pub(super) fn percent(text: &str) -> Result<u32, String> {
    let share = text.strip_suffix('%').and_then(|share| number(share, 1, 100).ok());
    share.ok_or_else(|| format!("\"{text}\" is no share, such as 75%"))
}

/// A time that is not 0.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let time = Duration::of(Some(text)).filter(|time| !time.is_zero());
    time.ok_or_else(|| format!("\"{text}\" is no time, such as 5s or 500ms"))
}

/// A status, or from one to another.
pub(super) fn statuses(text: &str) -> Result<(u16, u16), String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| number(text, 200, 599).ok().and_then(|n| u16::try_from(n).ok());
    match (status(from), status(to)) {
        (Some(from), Some(to)) if from <= to => Ok((from, to)),
        _ => Err(format!("\"{text}\" is no status from 200 to 599, or two with - between")),
    }
}
