//! Metrics in Prometheus' text format, by server.

use crate::backends::Backend;
use crate::relay::Proxy;
use alloc::string::String;
use core::fmt::Write;
use fata::http::Stats;

type Value = fn(&Backend) -> u64;

const OF_BACKENDS: [(&str, &str, &str, Value); 11] = [
    ("proxy_backend_up", "gauge", "Whether it may have requests.", |b| b.is_up().into()),
    ("proxy_backend_requests_under_way", "gauge", "Requests under way.", |b| b.under_way() as u64),
    ("proxy_backend_tunnels", "gauge", "Connections with another protocol.", |b| b.tunnels() as u64),
    ("proxy_backend_connections_kept", "gauge", "Connections that wait for a request.", |b| b.kept() as u64),
    ("proxy_backend_requests_total", "counter", "Requests sent to it.", |b| b.counts.requests.get()),
    ("proxy_backend_connections_total", "counter", "Connections made.", |b| b.counts.connections.get()),
    ("proxy_backend_reused_total", "counter", "Requests on a connection that had served others.", |b| {
        b.counts.reused.get()
    }),
    ("proxy_backend_unreachable_total", "counter", "Connections that were not to be had.", |b| {
        b.counts.unreachable.get()
    }),
    ("proxy_backend_failed_total", "counter", "Responses that did not come, or not whole.", |b| {
        b.counts.failed.get()
    }),
    ("proxy_backend_timed_out_total", "counter", "Those of them that did not come in time.", |b| {
        b.counts.timed_out.get()
    }),
    ("proxy_backend_bad_checks_total", "counter", "Checks that went wrong.", |b| b.counts.bad_checks.get()),
];

/// All metrics now.
pub fn text(proxy: &Proxy, stats: &Stats) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in &OF_BACKENDS {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        each(proxy, |pool, server, backend| {
            let _ = writeln!(text, "{name}{{pool=\"{pool}\",server=\"{server}\"}} {}", value(backend));
        });
    }
    text.push_str("# HELP proxy_backend_responses_total Responses by class.\n# TYPE proxy_backend_responses_total counter\n");
    each(proxy, |pool, server, backend| {
        for (n, counter) in backend.counts.responses.iter().enumerate() {
            let labels = alloc::format!("pool=\"{pool}\",server=\"{server}\",class=\"{}xx\"", n + 1);
            let _ = writeln!(text, "proxy_backend_responses_total{{{labels}}} {}", counter.get());
        }
    });
    text.push_str("# HELP proxy_backend_wait_seconds_total From requests to the heads of their responses.\n# TYPE proxy_backend_wait_seconds_total counter\n");
    each(proxy, |pool, server, backend| {
        let us = backend.counts.waited_us.get();
        let (whole, rest) = (us / 1_000_000, us % 1_000_000);
        let _ = writeln!(
            text,
            "proxy_backend_wait_seconds_total{{pool=\"{pool}\",server=\"{server}\"}} {whole}.{rest:06}"
        );
    });
    let counts = &proxy.counts;
    for (name, kind, help, value) in [
        (
            "proxy_misdirected_total",
            "counter",
            "Requests for hosts that are not served here.",
            counts.misdirected.get(),
        ),
        ("proxy_none_up_total", "counter", "Requests for which no server was up.", counts.none_up.get()),
        (
            "proxy_retried_total",
            "counter",
            "Requests sent again, or to another server.",
            counts.retried.get(),
        ),
        (
            "proxy_client_connections_open",
            "gauge",
            "Connections of clients.",
            stats.connections_open() as u64,
        ),
        (
            "proxy_client_connections_total",
            "counter",
            "Connections of clients there have been.",
            stats.connections_total(),
        ),
        (
            "proxy_client_requests_total",
            "counter",
            "Requests of clients that were answered.",
            stats.requests(),
        ),
        ("proxy_client_timeouts_total", "counter", "Clients that were too slow.", stats.timeouts()),
        (
            "proxy_client_gone_total",
            "counter",
            "Clients of HTTP/1.1 that went away before their responses.",
            stats.gone(),
        ),
        (
            "proxy_client_malformed_total",
            "counter",
            "What clients sent that is no request.",
            stats.malformed(),
        ),
        ("proxy_loops_total", "counter", "Requests that had been here before.", counts.loops.get()),
        (
            "proxy_clients",
            "gauge",
            "Clients that have a place at a server, in a queue or for a tunnel, of each pool.",
            proxy.pools.iter().map(|pool| pool.clients() as u64).sum(),
        ),
        (
            "fata_entropy_failures_total",
            "counter",
            "Sources of random octets that failed.",
            fata::entropy::failures().into(),
        ),
        ("proxy_no_memory_total", "counter", "Requests that found no memory here.", counts.no_memory.get()),
        (
            "proxy_upgraded_total",
            "counter",
            "Connections that went on with another protocol.",
            counts.upgraded.get(),
        ),
        ("proxy_tunnels_open", "gauge", "Those of them that are open.", counts.tunnels.get()),
        (
            "proxy_waiting",
            "gauge",
            "Requests that wait for a server.",
            proxy.pools.iter().map(|pool| pool.waiting() as u64).sum(),
        ),
        (
            "proxy_turned_away_total",
            "counter",
            "Requests that found no place in a queue or for a tunnel, or waited in vain.",
            proxy.pools.iter().map(|pool| pool.turned_away.get()).sum(),
        ),
    ] {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    text
}

fn each(proxy: &Proxy, mut f: impl FnMut(&str, &str, &Backend)) {
    for pool in &proxy.pools {
        for backend in &pool.servers {
            f(&pool.config.name, &backend.config.origin.authority(), backend);
        }
    }
}
