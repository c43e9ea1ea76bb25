//! The page that shows the appliance's state, and the same as JSON, from which the page goes on.

use crate::state::{Peers, State};
use alloc::format;
use alloc::string::String;
use core::fmt::Write;
use fata::net::ConnectionInfo;

const PAGE: &str = include_str!("status.html");

/// Where the page takes its first values from.
const PLACE: &str = "/*STATE*/null";

/// The page, with the values of now in it: it says something without scripts and without another request.
pub fn page(state: &State) -> String {
    let mut page = String::with_capacity(PAGE.len() + 1024);
    let json = json(state);
    let (before, after) = PAGE.split_once(PLACE).unwrap_or((PAGE, ""));
    for (n, part) in before.split("<!--").enumerate() {
        match part.split_once("-->") {
            Some((name, rest)) if n > 0 => {
                page.push_str(&value(state, name));
                page.push_str(rest);
            }
            _ => page.push_str(part),
        }
    }
    page.push_str(&json);
    page.push_str(after);
    page
}

/// A value of the page, for people.
fn value(state: &State, name: &str) -> String {
    let (stats, memory) = (&state.stats, state.memory());
    match name {
        "uptime" => uptime(state.uptime().as_secs()),
        "requests" => format!("{}", stats.requests()),
        "connections" => format!("{}", stats.connections_open()),
        "memory" => size(memory.total.saturating_sub(memory.free)),
        "memory_of" => size(memory.total),
        "tcp" => format!("{}", state.network().map_or(0, |stack| stack.connections(0, &mut |_| {}))),
        "sent" => size(stats.octets_sent()),
        "errors" => format!("{}", stats.responses(4) + stats.responses(5)),
        "started" => format!("{}", state.started_at().utc()),
        #[cfg(feature = "acme")]
        "certificate" => state.tls.acme().map(certificate).unwrap_or_default(),
        _ => String::new(),
    }
}

/// The card of the authority's certificate.
#[cfg(feature = "acme")]
fn certificate(order: &crate::https::Order) -> String {
    let status = &order.status;
    let mut text = String::from("<div class=\"card wide\"><h2>Certificate of the authority: ");
    escape(&order.names, &mut text);
    let _ = match status.until() {
        Some(until) => write!(text, "</h2>valid until {}; ", until.utc()),
        None => write!(text, "</h2>none yet; "),
    };
    let _ = match status.next() {
        Some(next) => write!(text, "the authority is asked next at {}", next.utc()),
        None => write!(text, "the authority is not asked any more"),
    };
    if let Some(failed) = status.last_failure() {
        let _ = write!(text, "; the last error, at {}: ", failed.when.utc());
        escape(&failed.text, &mut text);
    }
    text.push_str("</div>\n");
    text
}

/// A text from elsewhere, for a page.
#[cfg(feature = "acme")]
fn escape(text: &str, page: &mut String) {
    for c in text.chars() {
        match c {
            '<' => page.push_str("&lt;"),
            '&' => page.push_str("&amp;"),
            _ => page.push(c),
        }
    }
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {:02} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

/// In powers of 1024, with one decimal.
fn size(octets: u64) -> String {
    let (mut whole, mut rest) = (octets, 0);
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if whole < 1024 {
            return with_unit(whole, rest, unit);
        }
        (whole, rest) = (whole / 1024, whole % 1024);
    }
    with_unit(whole, rest, "TiB")
}

fn with_unit(whole: u64, rest: u64, unit: &str) -> String {
    match unit {
        "B" => format!("{whole} B"),
        _ => format!("{whole}.{} {unit}", rest * 10 / 1024),
    }
}

/// The state as one JSON object of numbers: octets, milliseconds, counts; and the first rows of the table of connections.
pub fn json(state: &State) -> String {
    let (stats, memory) = (&state.stats, state.memory());
    let mut json = Json(String::with_capacity(1024));
    json.members(&[
        ("uptime_ms", Some(state.uptime().as_millis() as u64)),
        ("started_ms", Some(state.started_at().since_unix().as_millis() as u64)),
        ("memory_total", Some(memory.total)),
        ("memory_free", Some(memory.free)),
        ("heap", Some(memory.heap)),
        ("heap_used", Some(memory.heap_used)),
        ("connections_open", Some(stats.connections_open() as u64)),
        ("connections_total", Some(stats.connections_total())),
        ("connections_evicted", Some(stats.connections_evicted())),
        ("requests", Some(stats.requests())),
        ("responses_2xx", Some(stats.responses(2))),
        ("responses_3xx", Some(stats.responses(3))),
        ("responses_4xx", Some(stats.responses(4))),
        ("responses_5xx", Some(stats.responses(5))),
        ("octets_received", Some(stats.octets_received())),
        ("octets_sent", Some(stats.octets_sent())),
        ("timeouts", Some(stats.timeouts())),
        ("malformed", Some(stats.malformed())),
    ]);
    json.member("tcp", "[");
    let all = state.network().map_or(0, |stack| stack.connections(ROWS, &mut |of| json.row(of, state.peers)));
    json.put("]");
    json.members(&[("tcp_total", Some(all as u64))]);
    #[cfg(feature = "acme")]
    if let Some(order) = state.tls.acme() {
        json.acme(order);
    }
    json.put("}");
    json.0
}

/// The most connections of the table.
const ROWS: usize = 50;

/// A text in JSON so far: of numbers, and of texts that need no escapes.
struct Json(String);

impl Json {
    #[inline(never)]
    fn put(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// A member, whose value is to follow or begins with `value`.
    #[inline(never)]
    fn member(&mut self, name: &str, value: &str) {
        let before = match self.0.as_bytes().last() {
            None => "{\"",
            Some(b'{') => "\"",
            _ => ",\"",
        };
        for part in [before, name, "\":", value] {
            self.put(part);
        }
    }

    /// Members that are numbers; `null` where one is not known.
    #[inline(never)]
    fn members(&mut self, members: &[(&str, Option<u64>)]) {
        for (name, value) in members {
            self.member(name, if value.is_some() { "" } else { "null" });
            if let Some(value) = value {
                let _ = write!(self.0, "{value}");
            }
        }
    }

    /// What is known of the authority's certificate. Times are milliseconds since 1970; who is not asked any more has no next one.
    #[cfg(feature = "acme")]
    fn acme(&mut self, order: &crate::https::Order) {
        let time = |time: fata::time::SystemTime| time.since_unix().as_millis() as u64;
        let (status, failed) = (&order.status, order.status.last_failure());
        self.member("acme", "{");
        self.member("names", "\"");
        self.escaped(&order.names);
        self.put("\"");
        self.members(&[
            ("until_ms", status.until().map(time)),
            ("next_ms", status.next().map(time)),
            ("certificates", Some(status.certificates())),
            ("failures", Some(status.failures())),
            ("failed_ms", failed.as_ref().map(|failed| time(failed.when))),
        ]);
        self.member("failure", "\"");
        self.escaped(failed.as_ref().map_or("", |failed| &failed.text));
        self.put("\"}");
    }

    /// A text from elsewhere, in quotes. It is a part of a page too, in which `<` could end what it stands in.
    #[cfg(feature = "acme")]
    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '"' | '\\' | '<' | '>' | '&' | '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                _ => self.0.push(c),
            }
        }
    }

    fn row(&mut self, of: &ConnectionInfo, peers: Peers) {
        self.put(if self.0.ends_with('[') { "{" } else { ",{" });
        for (name, end, shown) in [("local", of.local, Peers::Shown), ("remote", of.remote, peers)] {
            self.member(name, "\"");
            shown.write(end, &mut self.0);
            self.put("\"");
        }
        for part in [",\"state\":\"", of.state, "\""] {
            self.put(part);
        }
        self.members(&[
            ("send_queue", Some(of.send_queue as u64)),
            ("receive_queue", Some(of.receive_queue as u64)),
            ("retransmits", Some(of.retransmits)),
            ("srtt_us", of.srtt.map(|time| time.as_micros() as u64)),
            ("cwnd", of.cwnd.map(|octets| octets as u64)),
            ("idle_ms", of.idle.map(|time| time.as_millis() as u64)),
        ]);
        self.put("}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        for (octets, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (16 << 20, "16.0 MiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(size(octets), text);
        }
        assert_eq!(uptime(59), "0 min 59 s");
        assert_eq!(uptime(3660), "1 h 01 min");
        assert_eq!(uptime(90_000), "1 d 01 h");
    }
}
