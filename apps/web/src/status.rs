//! The page that shows the appliance's state, and the same as JSON, from which the page goes on.

use crate::state::State;
use alloc::format;
use alloc::string::String;

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
        "sent" => size(stats.octets_sent()),
        "errors" => format!("{}", stats.responses(4) + stats.responses(5)),
        "started" => format!("{}", state.started_at().utc()),
        _ => String::new(),
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

/// The state as one JSON object of numbers: octets, milliseconds, counts.
pub fn json(state: &State) -> String {
    let (stats, memory) = (&state.stats, state.memory());
    let mut json = String::with_capacity(512);
    let members = [
        ("uptime_ms", state.uptime().as_millis() as u64),
        ("started_ms", state.started_at().since_unix().as_millis() as u64),
        ("memory_total", memory.total),
        ("memory_free", memory.free),
        ("heap", memory.heap),
        ("heap_used", memory.heap_used),
        ("connections_open", stats.connections_open() as u64),
        ("connections_total", stats.connections_total()),
        ("connections_evicted", stats.connections_evicted()),
        ("requests", stats.requests()),
        ("responses_2xx", stats.responses(2)),
        ("responses_3xx", stats.responses(3)),
        ("responses_4xx", stats.responses(4)),
        ("responses_5xx", stats.responses(5)),
        ("octets_received", stats.octets_received()),
        ("octets_sent", stats.octets_sent()),
        ("timeouts", stats.timeouts()),
        ("malformed", stats.malformed()),
    ];
    for (n, (name, value)) in members.into_iter().enumerate() {
        json.push_str(if n == 0 { "{" } else { "," });
        json.push_str(&format!("\"{name}\":{value}"));
    }
    json.push('}');
    json
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
