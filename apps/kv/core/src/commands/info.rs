//! `INFO`: figures.

use super::Cx;
use super::connection::VERSION;
use super::pubsub::Kind;
use crate::fault::Reply;
use crate::server::hub::Hub;
use crate::store::Store;
use alloc::string::String;
use core::fmt::Write;
use fata::memory;

type Section = (&'static str, fn(&mut String, &Store, &Hub));

const SECTIONS: [Section; 10] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory_figures),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", |text, _, _| text.push_str("role:master\r\nconnected_slaves:0\r\n")),
    ("Commandstats", |text, _, hub| hub.calls.show(text)),
    ("Errorstats", |text, _, hub| hub.calls.show_errors(text)),
    ("Cluster", |text, _, _| text.push_str("cluster_enabled:0\r\n")),
    ("Keyspace", keyspace),
];

fn line(text: &mut String, name: &str, value: u64) {
    let _ = write!(text, "{name}:{value}\r\n");
}

fn server(text: &mut String, _: &Store, hub: &Hub) {
    let uptime = hub.started.elapsed().as_secs();
    let [a, b] = hub.run_id;
    let _ = write!(
        text,
        "redis_version:{VERSION}\r\nredis_mode:standalone\r\nos:Fata\r\narch_bits:64\r\nprocess_id:1\r\n\
         run_id:{a:016x}{b:016x}{:08x}\r\n",
        a as u32
    );
    line(text, "tcp_port", u64::from(hub.config.port));
    line(text, "uptime_in_seconds", uptime);
    line(text, "uptime_in_days", uptime / 86_400);
}

fn clients(text: &mut String, _: &Store, hub: &Hub) {
    line(text, "connected_clients", hub.links.len() as u64);
    line(text, "maxclients", hub.config.maxclients as u64);
    line(text, "blocked_clients", hub.waiters.len() as u64);
}

fn human(octets: u64) -> String {
    let mut text = String::new();
    let (unit, shift) = match octets {
        0..1024 => ("B", 0),
        1024..0x10_0000 => ("K", 10),
        0x10_0000..0x4000_0000 => ("M", 20),
        _ => ("G", 30),
    };
    let hundredths = (u128::from(octets) * 100) >> shift;
    let _ = match shift {
        0 => write!(text, "{octets}{unit}"),
        _ => write!(text, "{}.{:02}{unit}", hundredths / 100, hundredths % 100),
    };
    text
}

fn memory_figures(text: &mut String, store: &Store, hub: &Hub) {
    let (used, limit, stats) = (store.weight() as u64, hub.config.maxmemory as u64, memory::stats());
    let policy = hub.config.policy.name();
    line(text, "used_memory", used);
    let _ = write!(text, "used_memory_human:{}\r\n", human(used));
    line(text, "used_memory_dataset", used);
    line(text, "used_memory_rss", stats.heap);
    line(text, "total_system_memory", stats.total);
    line(text, "free_system_memory", stats.free);
    line(text, "maxmemory", limit);
    let _ = write!(text, "maxmemory_human:{}\r\nmaxmemory_policy:{policy}\r\n", human(limit));
}

fn persistence(text: &mut String, store: &Store, hub: &Hub) {
    line(text, "loading", 0);
    line(text, "aof_enabled", u64::from(store.journal.is_some()));
    let status = if hub.disk_fault.is_some() { "err" } else { "ok" };
    let _ = write!(text, "aof_last_write_status:{status}\r\n");
    line(text, "changes", store.counters.changes);
    line(text, "batches_written", hub.figures.batches);
    line(text, "batches_failed", hub.figures.failed_batches);
    line(text, "keys_to_write", store.journal.as_ref().map_or(0, |journal| journal.len() as u64));
    let Some(keeper) = &hub.keeper else { return };
    let figures = keeper.figures();
    line(text, "disk_free_bytes", figures.free);
    line(text, "disk_stalls", figures.stalls);
    line(text, "disk_longest_stall_ms", figures.longest_stall.as_millis() as u64);
    line(text, "disk_damaged_parts", figures.damaged_parts);
}

fn stats(text: &mut String, store: &Store, hub: &Hub) {
    let (figures, counters, channels) = (&hub.figures, &store.counters, &hub.channels);
    for (name, value) in [
        ("total_connections_received", figures.connections),
        ("total_commands_processed", figures.commands),
        ("total_net_input_bytes", figures.read),
        ("total_net_output_bytes", figures.written),
        ("rejected_connections", figures.rejected),
        ("total_error_replies", figures.errors),
        ("expired_keys", counters.expired),
        ("evicted_keys", counters.evicted),
        ("keyspace_hits", counters.hits),
        ("keyspace_misses", counters.misses),
        ("pubsub_channels", channels.len(Kind::Channel) as u64),
        ("pubsub_patterns", channels.len(Kind::Pattern) as u64),
        ("pubsubshard_channels", channels.len(Kind::Shard) as u64),
    ] {
        line(text, name, value);
    }
}

fn keyspace(text: &mut String, store: &Store, _: &Hub) {
    for (number, db) in store.dbs().iter().enumerate().filter(|(_, db)| !db.is_empty()) {
        let _ = write!(text, "db{number}:keys={},expires={},avg_ttl=0\r\n", db.len(), db.expiring());
    }
}

pub(super) fn info(cx: &mut Cx<'_>) -> Reply {
    let asks = |word: &str| cx.args.from(1).any(|asked| asked.eq_ignore_ascii_case(word.as_bytes()));
    let is_all = asks("all") || asks("everything");
    let is_usual = is_all || cx.args.len() == 1 || asks("default");
    let mut text = String::new();
    for (name, write) in SECTIONS {
        let is_shown = if name == "Commandstats" { is_all } else { is_usual };
        if !is_shown && !asks(name) {
            continue;
        }
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(name);
        text.push_str("\r\n");
        write(&mut text, cx.store, cx.hub);
    }
    cx.out.verbatim(text.as_bytes());
    Ok(())
}
