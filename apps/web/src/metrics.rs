//! Metrics in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use crate::state::State;
use alloc::string::String;
use core::fmt::Write;

/// The type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics now.
pub fn text(state: &State) -> String {
    let (stats, memory, mut text) = (&state.stats, state.memory(), Text(String::new()));
    let uptime = state.uptime();
    text.head("fata_uptime_seconds", "gauge", "Time since the appliance started.");
    text.line("fata_uptime_seconds", "", Value::Millis(uptime.as_millis() as u64));
    let start = state.started_at().since_unix().as_millis() as u64;
    text.head("process_start_time_seconds", "gauge", "When the appliance started, in seconds since 1970.");
    text.line("process_start_time_seconds", "", Value::Millis(start));
    text.head("fata_memory_bytes", "gauge", "Memory of the guest.");
    for (kind, octets) in [
        ("given", memory.total),
        ("free", memory.free),
        ("heap", memory.heap),
        ("heap_used", memory.heap_used),
    ] {
        text.line("fata_memory_bytes", &label("kind", kind), Value::Whole(octets));
    }
    text.head("http_responses_total", "counter", "Responses by the class of their status.");
    for class in 2..=5u8 {
        let name = [b'0' + class, b'x', b'x'];
        let name = core::str::from_utf8(&name).unwrap_or_default();
        text.line("http_responses_total", &label("class", name), Value::Whole(stats.responses(class)));
    }
    let open = stats.connections_open() as u64;
    text.one("http_connections_open", "gauge", "Connections open now.", open);
    for (name, help, value) in [
        ("http_connections_total", "Connections accepted.", stats.connections_total()),
        (
            "http_connections_evicted_total",
            "Idle connections closed to make room for new ones.",
            stats.connections_evicted(),
        ),
        ("http_received_bytes_total", "Octets received on connections.", stats.octets_received()),
        ("http_sent_bytes_total", "Octets sent on connections.", stats.octets_sent()),
        ("http_timeouts_total", "Requests and responses that took the client too long.", stats.timeouts()),
        ("http_malformed_requests_total", "Requests that were not HTTP.", stats.malformed()),
    ] {
        text.one(name, "counter", help, value);
    }
    if let Some(network) = state.network() {
        network.each(&mut |name, help, value| text.of_network(name, help, value));
    }
    text.0
}

fn label(name: &str, value: &str) -> String {
    alloc::format!("{{{name}=\"{value}\"}}")
}

enum Value {
    Whole(u64),
    /// Thousandths.
    Millis(u64),
}

struct Text(String);

impl Text {
    #[inline(never)]
    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, "", Value::Whole(value));
    }

    /// What the stack says is so "now" goes up and down; everything else is counted since boot.
    // Once in the image, not once for each figure.
    #[inline(never)]
    fn of_network(&mut self, name: &str, help: &str, value: u64) {
        let (kind, end) = if help.contains(" now") { ("gauge", "") } else { ("counter", "_total") };
        self.one(&alloc::format!("fata_net_{name}{end}"), kind, &alloc::format!("{help}."), value);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: Value) {
        let _ = match value {
            Value::Whole(n) => writeln!(self.0, "{name}{labels} {n}"),
            Value::Millis(n) => writeln!(self.0, "{name}{labels} {}.{:03}", n / 1000, n % 1000),
        };
    }
}
