//! Metrics in Prometheus' text format
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use crate::state::State;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use fata::http::Stats;
use fata::net::{Direction, Figure, Interface, Kind, NetCounters, Packets, Stack};

/// The type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics now.
pub fn text(state: &State) -> String {
    let (memory, mut text) = (state.memory(), Text(String::new()));
    let start = state.started_at().since_unix().as_millis() as u64;
    for (name, help, milliseconds) in [
        ("fata_uptime_seconds", "Time since the appliance started.", state.uptime().as_millis() as u64),
        ("process_start_time_seconds", "When the appliance started, in seconds since 1970.", start),
    ] {
        text.head(name, GAUGE, help);
        text.line(name, &[], milliseconds / 1000, Some(milliseconds % 1000));
    }
    text.family(
        "fata_memory_bytes",
        GAUGE,
        "Memory of the guest.",
        "kind",
        &[
            ("given", memory.total),
            ("free", memory.free),
            ("heap", memory.heap),
            ("heap_used", memory.heap_used),
        ],
    );
    let failures = fata::entropy::failures().into();
    text.one("fata_entropy_failures_total", COUNTER, "Failures of entropy sources.", failures);
    text.http("http_", &state.stats);
    #[cfg(feature = "tls")]
    text.http("http_redirect_", &state.tls.redirects);
    #[cfg(feature = "tls")]
    text.tls(&state.tls);
    if let Some(network) = state.network() {
        text.network(network);
    }
    text.0
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

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

/// The name of a label, and its value.
type Label<'a> = (&'a str, &'a str);

/// The text so far. Its functions are there once in the image, not once for each figure.
struct Text(String);

impl Text {
    #[inline(never)]
    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.line(name, &[], value, None);
    }

    /// A metric with one label.
    #[inline(never)]
    fn family(&mut self, name: &str, kind: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, kind, help);
        for &(of, value) in values {
            self.line(name, &[(label, of)], value, None);
        }
    }

    /// What a server of HTTP counts.
    fn http(&mut self, prefix: &str, stats: &Stats) {
        self.family(
            &[prefix, "responses_total"].concat(),
            COUNTER,
            "Responses by the class of their status.",
            "class",
            &[
                ("2xx", stats.responses(2)),
                ("3xx", stats.responses(3)),
                ("4xx", stats.responses(4)),
                ("5xx", stats.responses(5)),
            ],
        );
        let open = stats.connections_open() as u64;
        for (name, kind, help, value) in [
            ("connections_open", GAUGE, "Connections open now.", open),
            ("connections_total", COUNTER, "Connections accepted.", stats.connections_total()),
            (
                "connections_evicted_total",
                COUNTER,
                "Idle connections closed to make room for new ones.",
                stats.connections_evicted(),
            ),
            ("received_bytes_total", COUNTER, "Octets received on connections.", stats.octets_received()),
            ("sent_bytes_total", COUNTER, "Octets sent on connections.", stats.octets_sent()),
            (
                "timeouts_total",
                COUNTER,
                "Requests and responses that took the client too long.",
                stats.timeouts(),
            ),
            ("malformed_requests_total", COUNTER, "Requests that were not HTTP.", stats.malformed()),
            (
                "memory_refused_total",
                COUNTER,
                "Connections closed and requests answered 503 because memory was short.",
                stats.refused_memory(),
            ),
        ] {
            self.one(&[prefix, name].concat(), kind, help, value);
        }
    }

    #[cfg(feature = "tls")]
    fn tls(&mut self, counts: &crate::https::Counts) {
        let (stats, reloads) = (&counts.stats, &counts.reloads);
        self.family(
            "tls_handshakes_total",
            COUNTER,
            "Handshakes by what became of them.",
            "result",
            &[
                #[cfg(feature = "client-certificates")]
                ("bad_certificate", stats.handshakes_with_bad_certificates()),
                ("full", stats.handshakes() - stats.handshakes_resumed()),
                ("resumed", stats.handshakes_resumed()),
                ("refused", stats.handshakes_refused()),
                ("timed_out", stats.handshakes_timed_out()),
                ("given_up", stats.handshakes_given_up()),
                ("cut", stats.handshakes_cut()),
                ("turned_away", stats.turned_away()),
            ],
        );
        self.one(
            "tls_short_of_memory_total",
            COUNTER,
            "Connections that ended for want of memory.",
            stats.short_of_memory(),
        );
        for fata::https::Metric { name, kind, help, value } in reloads.metrics() {
            self.one(name, kind, help, value);
        }
        #[cfg(feature = "acme")]
        if let Some(order) = counts.acme() {
            self.acme(&order.status);
        }
    }

    #[cfg(feature = "acme")]
    fn acme(&mut self, status: &fata::acme::Status) {
        for fata::acme::Metric { name, kind, help, value } in fata::acme::metrics(status) {
            self.one(name, kind, help, value);
        }
        if let Some((metric, kind)) = fata::acme::last_failure(status) {
            self.head(metric.name, metric.kind, metric.help);
            self.line(metric.name, &[("kind", kind)], metric.value, None);
        }
    }

    fn network(&mut self, stack: &Stack) {
        stack.stats().each(&mut |figure| self.of_stack(figure));
        let interfaces = stack.interfaces();
        let of_interfaces = |value: &dyn Fn(&Interface) -> u64| -> Vec<(&str, u64)> {
            interfaces.iter().map(|interface| (interface.name(), value(interface))).collect()
        };
        let up = of_interfaces(&|interface| interface.is_up().into());
        self.family("fata_interface_up", GAUGE, "Whether the device is connected.", "interface", &up);
        for (name, help, value) in &DEVICE {
            let values = of_interfaces(&|interface| value(&interface.device_counters()));
            self.family(name, COUNTER, help, "interface", &values);
        }
        for (name, help, direction, each) in &PACKETS {
            self.head(name, COUNTER, help);
            for interface in &interfaces {
                each(interface, &mut |Packets { direction: way, protocol, reason, count, .. }| {
                    let of = ("interface", interface.name());
                    let labels = [of, ("protocol", protocol), ("reason", reason.unwrap_or_default())];
                    if way == *direction {
                        self.line(name, &labels[..2 + usize::from(reason.is_some())], count, None);
                    }
                });
            }
        }
    }

    #[inline(never)]
    fn of_stack(&mut self, Figure { name, help, kind, value }: Figure) {
        let (kind, end) = match kind {
            Kind::Gauge => (GAUGE, ""),
            Kind::Counter => (COUNTER, "_total"),
        };
        self.one(&["fata_net_", name, end].concat(), kind, &[help, "."].concat(), value);
    }

    #[inline(never)]
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        for part in ["# HELP ", name, " ", help, "\n# TYPE ", name, " ", kind, "\n"] {
            self.0.push_str(part);
        }
    }

    #[inline(never)]
    fn line(&mut self, name: &str, labels: &[Label<'_>], value: u64, thousandths: Option<u64>) {
        self.0.push_str(name);
        for (n, (label, of)) in labels.iter().enumerate() {
            for part in [if n == 0 { "{" } else { "," }, label, "=\"", of, "\""] {
                self.0.push_str(part);
            }
        }
        self.0.push_str(if labels.is_empty() { " " } else { "} " });
        let _ = match thousandths {
            None => writeln!(self.0, "{value}"),
            Some(rest) => writeln!(self.0, "{value}.{rest:03}"),
        };
    }
}
