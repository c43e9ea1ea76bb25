//! When an authority wants a certificate of its own to be replaced (renewal information, RFC 9773): before two thirds of its time are
//! over, say, because it has to revoke it.

use crate::exchange::retry_after;
use crate::wire::{self, Directory, Suggested};
use crate::{Error, Method, Problem, Request, Response, Transport, Url, jws};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_libos::time::{Duration, SystemTime, UtcDateTime};
use fata_tls::issue::Identity;

/// How long it is until it is asked again: where it does not say, at least, and at most (section 4.3.1 to 4.3.3).
pub(crate) const USUAL: Duration = Duration::from_secs(6 * 3600);
const LEAST: Duration = Duration::from_secs(60);
const MOST: Duration = Duration::from_secs(86_400);
/// What is done, for people.
const DOING: &str = "say when a certificate is to be replaced";

/// From when to when it should be replaced, and when it may have thought better of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suggestion {
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
    pub(crate) again: Duration,
}

impl Suggestion {
    /// A moment within, by a number of chance (section 4.2).
    pub(crate) fn moment(&self, chance: u16) -> SystemTime {
        let (start, end) = (self.start.since_unix(), self.end.since_unix());
        let part = end.saturating_sub(start) / (u32::from(u16::MAX) + 1) * u32::from(chance);
        SystemTime::from_unix(start.saturating_add(part))
    }
}

/// By what an authority knows the first certificate of a chain (section 4.1); `None` where that has nothing of the kind.
pub(crate) fn certificate_id(chain_pem: &str) -> Option<String> {
    let Identity { authority_key, serial } = Identity::of(chain_pem)?;
    Some(format!("{}.{}", jws::base64(&authority_key), jws::base64(&serial)))
}

/// Asks an authority by its directory; `None` where it tells nobody. Nothing is signed.
pub(crate) async fn ask<T: Transport>(
    transport: &mut T,
    entry: &Url,
    id: &str,
    wall: SystemTime,
) -> Result<Option<Suggestion>, Error> {
    let directory: Directory = wire::read(DOING, &get(transport, entry.clone()).await?.body)?;
    let Some(url) = directory.renewal_info else { return Ok(None) };
    let url = Url::new(&format!("{}/{id}", url.as_str().trim_end_matches('/')))?;
    let response = get(transport, url).await?;
    let said: Suggested = wire::read(DOING, &response.body)?;
    let window = date(&said.suggested_window.start).zip(date(&said.suggested_window.end));
    let Some((start, end)) = window.filter(|(start, end)| start < end) else {
        return Err(Error::BadAnswer { doing: DOING, why: "there is no time between its dates".into() });
    };
    let again = retry_after(&response, wall).unwrap_or(USUAL).clamp(LEAST, MOST);
    Ok(Some(Suggestion { start, end, again }))
}

async fn get<T: Transport>(transport: &mut T, url: Url) -> Result<Response, Error> {
    let request = Request { method: Method::Get, url, body: Vec::new() };
    let response = transport.send(&request).await;
    let response = response.map_err(|e| Error::Unreachable(crate::error::bounded(&e.to_string())))?;
    if !(200..300).contains(&response.status) {
        let nothing = Problem { kind: String::new(), detail: String::new() };
        let problem = serde_json::from_slice(&response.body).unwrap_or(nothing);
        return Err(Error::Refused { doing: DOING, status: response.status, problem });
    }
    match response.body.len() > crate::MAX_BODY {
        true => Err(Error::BadAnswer { doing: DOING, why: "it is too long".into() }),
        false => Ok(response),
    }
}

/// A date and time of RFC 3339, without its fractions of a second.
fn date(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to).filter(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()));
        digits?.parse().ok()
    };
    let part = |from: usize| number(from, from + 2).map(|part| part as u8);
    let is_at =
        |at: usize, octets: &[u8]| text.as_bytes().get(at).is_some_and(|octet| octets.contains(octet));
    if !(is_at(4, b"-") && is_at(7, b"-") && is_at(10, b"Tt ") && is_at(13, b":") && is_at(16, b":")) {
        return None;
    }
    let utc = UtcDateTime {
        year: number(0, 4)?,
        month: part(5)?,
        day: part(8)?,
        hour: part(11)?,
        minute: part(14)?,
        second: part(17)?,
        weekday: 0,
    };
    let rest = text.get(19..)?;
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let seconds = utc.to_unix_seconds()?;
    let moved = |zone: &str| {
        let (hours, minutes) = zone.split_once(':').filter(|(h, m)| h.len() == 2 && m.len() == 2)?;
        Some(hours.parse::<u8>().ok()? as u64 * 3600 + minutes.parse::<u8>().ok()? as u64 * 60)
    };
    let seconds = match zone.as_bytes().first()? {
        b'Z' | b'z' if zone.len() == 1 => seconds,
        b'+' => seconds.checked_sub(moved(zone.get(1..)?)?)?,
        b'-' => seconds.checked_add(moved(zone.get(1..)?)?)?,
        _ => return None,
    };
    Some(SystemTime::from_unix(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (text, seconds) in [
            // RFC 9773 section 4.2, RFC 3339 section 5.8.
            ("2025-01-02T04:00:00Z", Some(1_735_790_400)),
            ("1985-04-12T23:20:50.52Z", Some(482_196_050)),
            ("1996-12-19T16:39:57-08:00", Some(851_042_397)),
            ("2025-01-02T05:30:00+01:30", Some(1_735_790_400)),
            ("2025-01-02t04:00:00z", Some(1_735_790_400)),
            ("2025-01-02T04:00:00", None),
            ("2025-01-02T04:00:00Zx", None),
            ("2025-01-02T04:00:00+1:30", None),
            ("2025-01-02T04:00:00+ä:30", None),
            ("2025-13-02T04:00:00Z", None),
            ("2025-01-02T24:00:00Z", None),
            ("2025-01-+2T04:00:00Z", None),
            ("1969-12-31T23:59:59Z", None),
            ("1970-01-01T00:00:00+01:00", None),
            ("20250102T040000Z", None),
            ("2025-01-02T04:00:0", None),
            ("äöüäöüäöüäöü", None),
            ("", None),
        ] {
            let time = seconds.map(|seconds| SystemTime::from_unix(Duration::from_secs(seconds)));
            assert_eq!(date(text), time, "{text}");
        }
    }

    /// RFC 9773 section 4.1: the authority's key, and a number whose first bit is one.
    #[test]
    fn the_name_of_a_certificate() {
        let authority_key = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0, 0xae, 0x2c,
            0xde, 0x01, 0xc8, 0xd4,
        ];
        let serial = [0x00, 0x87, 0x65, 0x43, 0x21];
        let id = format!("{}.{}", jws::base64(&authority_key), jws::base64(&serial));
        assert_eq!(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
        let chain = include_str!("../tests/renewal.pem");
        assert_eq!(certificate_id(chain).as_deref(), Some("UBt5QLoqIfmnEpcBB_kT1plImMU.Ag"));
    }

    #[test]
    fn a_moment_within() {
        let at = |seconds| SystemTime::from_unix(Duration::from_secs(seconds));
        let suggestion = Suggestion { start: at(1000), end: at(66_536), again: USUAL };
        assert_eq!((suggestion.moment(0), suggestion.moment(u16::MAX)), (at(1000), at(66_535)));
    }
}
