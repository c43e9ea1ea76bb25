//! Metrics in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use crate::state::State;
use alloc::string::String;
use core::fmt::Write;
use fata::net::{Direction, Figure, Interface, Kind, NetCounters, Packets, Stack};

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
        (
            "http_memory_refused_total",
            "Connections closed and requests answered 503 because memory was short.",
            stats.refused_memory(),
        ),
    ] {
        text.one(name, "counter", help, value);
    }
    if let Some(network) = state.network() {
        text.network(network);
    }
    text.0
}

type Count = fn(&NetCounters) -> u64;

/// What each interface's device counts: name, help, value.
const DEVICE: [(&str, &str, Count); 8] = [
    ("fata_interface_rx_frames_total", "Frames received and handed up.", |c| c.rx_frames),
    ("fata_interface_rx_bytes_total", "Octets of frames received.", |c| c.rx_octets),
    (
        "fata_interface_rx_errors_total",
        "Frames that arrived broken or did not fit, and senseless answers of the back end.",
        |c| c.rx_errors,
    ),
    ("fata_interface_tx_frames_total", "Frames taken for sending.", |c| c.tx_frames),
    ("fata_interface_tx_bytes_total", "Octets of frames taken for sending.", |c| c.tx_octets),
    ("fata_interface_tx_errors_total", "Frames refused, or reported as failed by the back end.", |c| {
        c.tx_errors
    }),
    ("fata_interface_connects_total", "Times the back end was connected.", |c| c.connects),
    ("fata_interface_faults_total", "Back ends given up because they broke the protocol.", |c| c.faults),
];

type Each = fn(&Interface, &mut dyn FnMut(Packets));

/// What each interface counts by protocol: name, help, which way, and how to get at it.
const PACKETS: [(&str, &str, Direction, Each); 4] = [
    (
        "fata_interface_rx_packets_total",
        "Packets that came to a protocol.",
        Direction::Rx,
        Interface::each_packets,
    ),
    (
        "fata_interface_tx_packets_total",
        "Packets that a protocol sent.",
        Direction::Tx,
        Interface::each_packets,
    ),
    (
        "fata_interface_rx_dropped_total",
        "Packets received and dropped.",
        Direction::Rx,
        Interface::each_dropped,
    ),
    (
        "fata_interface_tx_dropped_total",
        "Packets to be sent and dropped.",
        Direction::Tx,
        Interface::each_dropped,
    ),
];

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

    fn network(&mut self, stack: &Stack) {
        stack.stats().each(&mut |figure| self.of_stack(figure));
        let interfaces = stack.interfaces();
        let up = |interface: &Interface| u64::from(interface.is_up());
        self.of_interfaces(
            "fata_interface_up",
            "gauge",
            "Whether the device is connected.",
            &interfaces,
            &up,
        );
        for (name, help, value) in &DEVICE {
            let value = |interface: &Interface| value(&interface.device_counters());
            self.of_interfaces(name, "counter", help, &interfaces, &value);
        }
        for (name, help, direction, each) in &PACKETS {
            self.head(name, "counter", help);
            for interface in &interfaces {
                each(interface, &mut |packets| {
                    if packets.direction == *direction {
                        self.packets(name, interface.name(), packets);
                    }
                });
            }
        }
    }

    fn packets(&mut self, name: &str, interface: &str, packets: Packets) {
        let Packets { protocol, reason, count, .. } = packets;
        let _ = write!(self.0, "{name}{{interface=\"{interface}\",protocol=\"{protocol}\"");
        if let Some(reason) = reason {
            let _ = write!(self.0, ",reason=\"{reason}\"");
        }
        let _ = writeln!(self.0, "}} {count}");
    }

    // Once in the image, not once for each figure.
    #[inline(never)]
    fn of_stack(&mut self, Figure { name, help, kind, value }: Figure) {
        let (kind, end) = match kind {
            Kind::Gauge => ("gauge", ""),
            Kind::Counter => ("counter", "_total"),
        };
        self.one(&alloc::format!("fata_net_{name}{end}"), kind, &alloc::format!("{help}."), value);
    }

    /// One metric, a line for each interface.
    fn of_interfaces(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        interfaces: &[Interface],
        value: &dyn Fn(&Interface) -> u64,
    ) {
        self.head(name, kind, help);
        for interface in interfaces {
            self.line(name, &label("interface", interface.name()), Value::Whole(value(interface)));
        }
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
