//! `CONFIG`, `COMMAND`, and what else is asked of the server.

use super::table::{COMMANDS, Calls, Command, Flags};
use super::{Cx, arity, part, unknown_part};
use crate::evict::Policy;
use crate::fault::{Fault, Reply};
use crate::glob;
use crate::number::parse_int;
use crate::server::Config;
use crate::server::hub::Figures;
use crate::store::Counters;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use fata::platform::Leave;
use fata::shutdown;

/// What never changes.
const FIXED: [(&str, &str); 18] = [
    ("bind", "* -::*"),
    ("client-output-buffer-limit", "normal 67108864 0 0 slave 0 0 0 pubsub 8388608 0 0"),
    ("databases", "16"),
    ("dir", "/"),
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("lfu-decay-time", "1"),
    ("lfu-log-factor", "10"),
    ("list-max-listpack-size", "-2"),
    ("maxmemory-samples", "5"),
    ("notify-keyspace-events", ""),
    ("replica-read-only", "yes"),
    ("save", ""),
    ("set-max-intset-entries", "512"),
    ("slowlog-max-len", "0"),
    ("tcp-keepalive", "300"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
];

/// What a setting is.
enum Set<'a> {
    Text(&'a str),
    Number(u64),
}

/// Shows all settings.
fn each(config: &Config, show: &mut dyn FnMut(&'static str, &str)) {
    for &(name, value) in &FIXED {
        show(name, value);
    }
    for (name, value) in [
        ("appendonly", Set::Text(if config.is_kept { "yes" } else { "no" })),
        ("appendfsync", Set::Text(config.durability.redis_name())),
        ("client-query-buffer-limit", Set::Number(config.query_buffer as u64)),
        ("maxclients", Set::Number(config.maxclients as u64)),
        ("maxmemory", Set::Number(config.maxmemory as u64)),
        ("maxmemory-policy", Set::Text(config.policy.name())),
        ("port", Set::Number(config.port.into())),
        ("proto-max-bulk-len", Set::Number(config.limits.bulk as u64)),
        ("requirepass", Set::Text(config.password.as_deref().unwrap_or_default())),
        ("timeout", Set::Number(config.timeout.into())),
    ] {
        match value {
            Set::Text(text) => show(name, text),
            Set::Number(number) => show(name, &number.to_string()),
        }
    }
}

fn get(cx: &mut Cx<'_>) {
    let (args, mut found) = (cx.args, Vec::new());
    each(&cx.hub.config, &mut |name, value| {
        if args.from(2).any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes())) {
            found.push((name, String::from(value)));
        }
    });
    cx.out.map(found.len());
    for (name, value) in found {
        cx.out.bulk(name.as_bytes());
        cx.out.bulk(value.as_bytes());
    }
}

/// A number of octets: `100`, `1k`, `1mb`.
fn octets(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit: usize = match &*unit.to_ascii_lowercase() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

/// Sets one; what is wrong with the value otherwise.
fn set_one(config: &mut Config, name: &str, value: &str) -> Result<(), &'static str> {
    const MEMORY: &str = "argument must be a memory value";
    let number = |range: RangeInclusive<u64>| match parse_int(value.as_bytes()) {
        None => Err("argument couldn't be parsed into an integer"),
        Some(number) => {
            u64::try_from(number).ok().filter(|number| range.contains(number)).ok_or(if *range.start() == 0 {
                "argument must be between 0 and 2147483647 inclusive"
            } else {
                "argument must be between 1 and 4294967295 inclusive"
            })
        }
    };
    match name {
        "maxmemory" => config.maxmemory = octets(value).ok_or(MEMORY)?,
        "maxmemory-policy" => {
            config.policy = Policy::parse(value).ok_or("argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction")?;
        }
        "maxclients" => config.maxclients = number(1..=u32::MAX.into())? as usize,
        "timeout" => config.timeout = number(0..=i32::MAX as u64)? as u32,
        "requirepass" => config.password = (!value.is_empty()).then(|| value.to_string()),
        "client-query-buffer-limit" => config.query_buffer = octets(value).ok_or(MEMORY)?.max(1 << 20),
        "proto-max-bulk-len" => {
            let most = config.most_bulk;
            let may_be = |octets: &usize| (most.min(1 << 20)..=most).contains(octets);
            config.limits.bulk = octets(value).filter(may_be).ok_or(MEMORY)?;
        }
        _ => return Err("can't set immutable config"),
    }
    Ok(())
}

fn set(cx: &mut Cx<'_>) -> Reply {
    let mut config = cx.hub.config.clone();
    for n in (2..cx.args.len()).step_by(2) {
        let name = String::from_utf8_lossy(cx.args.at(n)).to_ascii_lowercase();
        let value = String::from_utf8_lossy(cx.args.at(n + 1));
        let mut is_same = None;
        each(&config, &mut |known, now| {
            if name == known {
                is_same = Some(now == value);
            }
        });
        match is_same {
            None => {
                let before = "ERR Unknown option or number of arguments for CONFIG SET - '";
                return Err(cx.blame(before, cx.args.at(n), "'"));
            }
            // What cannot be changed may be set to what it is.
            Some(true) => continue,
            Some(false) => {}
        }
        set_one(&mut config, &name, &value).map_err(|error| {
            let text = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {error}");
            cx.blame(&text, b"", "")
        })?;
    }
    cx.store.clock.policy = config.policy;
    // Who waits looks at the timeout anew.
    if cx.hub.config.timeout != config.timeout {
        cx.hub.links.iter().for_each(|link| link.tell());
    }
    cx.hub.config = config;
    cx.out.ok();
    Ok(())
}

pub(super) fn config(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.is(1, "get") && cx.args.len() > 2 => get(cx),
        () if cx.args.is(1, "set") && cx.args.len() > 3 && cx.args.len().is_multiple_of(2) => set(cx)?,
        () if cx.args.is(1, "set") && cx.args.len() > 3 => return Err(arity(cx, "config|set")),
        () if cx.args.is(1, "resetstat") && cx.args.len() == 2 => {
            let (changes, Figures { last_client, saved, .. }) = (cx.store.counters.changes, cx.hub.figures);
            cx.store.counters = Counters { changes, ..Counters::default() };
            cx.hub.figures = Figures { last_client, saved, ..Figures::default() };
            cx.hub.calls = Calls::default();
            cx.out.ok();
        }
        () if cx.args.is(1, "rewrite") && cx.args.len() == 2 => {
            return Err(Fault(&"ERR The server is running without a config file"));
        }
        () => {
            part(
                cx,
                "CONFIG",
                &["config|get", "config|set", "config|resetstat", "config|rewrite"],
                usize::MAX,
            )?;
            return Err(unknown_part(cx, "CONFIG"));
        }
    }
    Ok(())
}

const FLAGS: [(Flags, &str); 8] = [
    (Flags::WRITES, "write"),
    (Flags::READS, "readonly"),
    (Flags::GROWS, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::BLOCKS, "blocking"),
    (Flags::STRANGER, "no_auth"),
    (Flags::FAST, "fast"),
];

fn describe(cx: &mut Cx<'_>, command: &Command) {
    let out = &mut *cx.out;
    let flags: Vec<&str> =
        FLAGS.iter().filter(|(flag, _)| command.flags.contains(*flag)).map(|(_, name)| *name).collect();
    out.array(10);
    out.bulk(command.name.as_bytes());
    out.int(i64::from(command.arity));
    out.set(flags.len());
    flags.iter().for_each(|flag| out.simple(flag));
    let (first, last, step) = command.keys;
    [first, last, step].iter().for_each(|number| out.int(i64::from(*number)));
    // Categories, tips, key specifications, parts: nobody here needs them.
    out.set(0);
    (0..3).for_each(|_| out.array(0));
}

/// The places of the keys among the arguments of a command.
fn key_places(command: &Command, words: usize) -> Vec<usize> {
    let (first, last, step) = command.keys;
    if first == 0 {
        return Vec::new();
    }
    let last = if last < 0 { words.saturating_add_signed(isize::from(last)) } else { last as usize };
    (first as usize..=last.min(words - 1)).step_by(step.max(1) as usize).collect()
}

fn keys_of(cx: &mut Cx<'_>) -> Reply {
    let args = cx.args.rest(2);
    let command = cx.hub.table.find(args.at(0)).ok_or(Fault(&"ERR Invalid command specified"))?;
    if !command.takes(args.len()) {
        return Err(Fault(&"ERR Invalid number of arguments specified for command"));
    }
    let places = key_places(command, args.len());
    if places.is_empty() {
        return Err(Fault(&"ERR The command has no key arguments"));
    }
    cx.out.array(places.len());
    places.iter().for_each(|at| cx.out.bulk(args.at(*at)));
    Ok(())
}

pub(super) fn command(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.len() == 1 => {
            cx.out.array(COMMANDS.len());
            COMMANDS.iter().for_each(|command| describe(cx, command));
        }
        () if cx.args.is(1, "count") && cx.args.len() == 2 => cx.out.count(COMMANDS.len()),
        () if cx.args.is(1, "list") && cx.args.len() == 2 => {
            cx.out.array(COMMANDS.len());
            COMMANDS.iter().for_each(|command| cx.out.bulk(command.name.as_bytes()));
        }
        () if cx.args.is(1, "info") => {
            cx.out.array(cx.args.len() - 2);
            for name in cx.args.from(2) {
                match cx.hub.table.find(name) {
                    Some(command) => describe(cx, command),
                    None => cx.out.null_array(),
                }
            }
        }
        () if cx.args.is(1, "docs") => cx.out.map(0),
        () if cx.args.is(1, "getkeys") && cx.args.len() > 3 => keys_of(cx)?,
        () => {
            part(cx, "COMMAND", &["command|count", "command|list", "command|getkeys"], usize::MAX)?;
        }
    }
    Ok(())
}

pub(super) fn memory(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.is(1, "usage") && cx.args.len() > 2 => {
            match cx.store.peek(cx.args.at(2)).map(|at| cx.store.object(at).weight()) {
                Some(octets) => cx.out.count(octets),
                None => cx.out.null(),
            }
        }
        () if cx.args.is(1, "purge") && cx.args.len() == 2 => cx.out.ok(),
        () if cx.args.is(1, "doctor") && cx.args.len() == 2 => {
            cx.out.verbatim(b"There is nothing to say; INFO memory has the figures.");
        }
        () => return Err(unknown_part(cx, "MEMORY")),
    }
    Ok(())
}

pub(super) fn slowlog(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.is(1, "get") => cx.out.array(0),
        () if cx.args.is(1, "len") => cx.out.int(0),
        () if cx.args.is(1, "reset") => cx.out.ok(),
        () => return Err(unknown_part(cx, "SLOWLOG")),
    }
    Ok(())
}

pub(super) fn latency(cx: &mut Cx<'_>) -> Reply {
    match () {
        () if cx.args.is(1, "latest") || cx.args.is(1, "history") => cx.out.array(0),
        () if cx.args.is(1, "reset") => cx.out.int(0),
        () => return Err(unknown_part(cx, "LATENCY")),
    }
    Ok(())
}

pub(super) fn role(cx: &mut Cx<'_>) -> Reply {
    cx.out.array(3);
    cx.out.bulk(b"master");
    cx.out.int(0);
    cx.out.array(0);
    Ok(())
}

pub(super) fn wait(cx: &mut Cx<'_>) -> Reply {
    super::words::int(cx.args.at(1))?;
    super::words::int(cx.args.at(2))?;
    cx.out.int(0);
    Ok(())
}

pub(super) fn time(cx: &mut Cx<'_>) -> Reply {
    let now = fata::time::SystemTime::now().since_unix();
    cx.out.array(2);
    cx.out.bulk_int(now.as_secs().cast_signed());
    cx.out.bulk_int(i64::from(now.subsec_micros()));
    Ok(())
}

pub(super) fn shutdown(cx: &mut Cx<'_>) -> Reply {
    shutdown::request(Leave::PowerOff);
    cx.session.is_over = true;
    Ok(())
}
