//! What was changed is on the disk when it was to be, and comes back from there.

use fata::testing;
use fata::time::Duration;
use kv_core::commands::execute;
use kv_core::data::text::Text;
use kv_core::keep::batch::{Batches, is_deletes};
use kv_core::keep::memory::Memory;
use kv_core::keep::rows::{Loader, Rows, position_name};
use kv_core::keep::{Journal, KeepError, Row, Safe, journal};
use kv_core::number::push_double;
use kv_core::resp::{Args, split};
use kv_core::server::{Client, Config, Core, Link, Server, run};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

fn client() -> Client {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Client::new(Rc::new(Link::new(1, address, address, 0)), true, 1 << 20)
}

fn core() -> Core {
    let mut core = Core::new(Config::default(), 7);
    core.store.now = run::now();
    core
}

fn say(core: &mut Core, client: &mut Client, line: &str) -> String {
    let (mut words, mut ranges) = (Vec::new(), Vec::new());
    split(line.as_bytes(), &mut words, &mut ranges).expect("words");
    execute(core, client, Args::new(&words, &ranges));
    String::from_utf8_lossy(&std::mem::take(&mut client.out.octets)).into_owned()
}

/// Everything that is stored, in an order.
fn everything(core: &mut Core) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (db, data) in core.store.dbs().iter().enumerate() {
        for (key, object) in data.iter() {
            use kv_core::data::object::Value;
            let mut scratch = Vec::new();
            let text = match &object.value {
                Value::List(list) => format!("{:?}", list.from(0).collect::<Vec<_>>()),
                Value::Hash(hash) => format!("{:?}", hash.iter().collect::<BTreeMap<_, _>>()),
                Value::Set(set) => {
                    let mut members: Vec<_> = set.iter().collect();
                    members.sort();
                    format!("{members:?}")
                }
                Value::Zset(zset) => {
                    let text = |score| {
                        let mut text = Vec::new();
                        push_double(&mut text, score);
                        String::from_utf8(text).expect("digits")
                    };
                    format!("{:?}", zset.from(0).map(|s| (text(s.score), &s.member)).collect::<Vec<_>>())
                }
                string => {
                    String::from_utf8_lossy(string.octets(&mut scratch).expect("a string")).into_owned()
                }
            };
            let kind = object.value.kind();
            all.insert(format!("{db} {key:?}"), format!("{kind:?} {:?} {text}", object.expires()));
        }
    }
    all
}

/// Commands on few keys, so that each meets all kinds of values.
fn random_command(random: &mut impl FnMut(u64) -> u64) -> String {
    let key = |random: &mut dyn FnMut(u64) -> u64| match random(12) {
        11 => "long".repeat(200),
        n => format!("k{n}"),
    };
    let item = |random: &mut dyn FnMut(u64) -> u64| match random(14) {
        13 => "item".repeat(150),
        n => format!("{n}"),
    };
    let (k, k2, i, j) = (key(random), key(random), item(random), item(random));
    match random(32) {
        0 => format!("set {k} {i}"),
        1 => format!("append {k} {i}"),
        2 | 3 => format!("hset {k} {i} {j}"),
        4 => format!("hdel {k} {i} {j}"),
        5 => format!("hincrby {k} {i} 3"),
        6 | 7 => format!("sadd {k} {i} {j}"),
        8 => format!("srem {k} {i}"),
        9 => format!("spop {k} {}", random(3)),
        10 => format!("smove {k} {k2} {i}"),
        11 | 12 => format!("zadd {k} {} {i} {} {j}", random(9), random(9)),
        13 => format!("zrem {k} {i}"),
        14 => format!("zpopmin {k} {}", random(3)),
        15 => format!("zremrangebyscore {k} 0 {}", random(5)),
        16 | 17 => format!("lpush {k} {i} {j}"),
        18 | 19 => format!("rpush {k} {i} {j}"),
        20 => format!("lpop {k} {}", random(3)),
        21 => format!("rpop {k}"),
        22 => format!("lset {k} {} {i}", random(4)),
        23 => format!("linsert {k} before {i} {j}"),
        24 => format!("ltrim {k} {} {}", random(3), random(9)),
        25 => format!("lmove {k} {k2} left right"),
        26 => format!("lrem {k} 1 {i}"),
        27 => format!("del {k}"),
        28 => format!("rename {k} {k2}"),
        29 => format!("expire {k} {}", 1000 + random(1000)),
        30 => match random(4) {
            0 => "swapdb 0 1".into(),
            1 => format!("move {k} 1"),
            2 => format!("copy {k} {k2} replace"),
            _ => format!("sunionstore {k} {k2} {k}"),
        },
        _ => match random(60) {
            0 => "flushdb".into(),
            _ => format!("lmpop 2 {k} {k2} right count 2"),
        },
    }
}

/// Applies rows as a disk does.
fn apply(disk: &mut BTreeMap<Vec<u8>, Vec<u8>>, rows: Vec<Row>) {
    for row in rows {
        match row {
            Row::Put(name, value) => {
                assert!(name.len() <= 1000, "a name of {} octets", name.len());
                disk.insert(name, value);
            }
            Row::Delete(name) => drop(disk.remove(&name)),
            Row::DeletePrefix(prefix) => disk.retain(|name, _| !name.starts_with(&prefix)),
        }
    }
}

#[test]
fn what_is_on_the_disk_is_what_is_stored() {
    testing::run("", async |_| {
        let seeds = if std::env::var_os("FATA_FUZZ_SECONDS").is_some() { 500 } else { 100 };
        for seed in 1..seeds {
            let (mut core, mut client, mut disk) = (core(), client(), BTreeMap::new());
            core.store.journal = Some(Journal::default());
            let mut state = u64::wrapping_mul(seed, 0x9e37_79b9_7f4a_7c15);
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) % below
            };
            let rows = Rows::new([seed, 5]);
            apply(&mut disk, vec![rows.header()]);
            let mut said = Vec::new();
            for step in 0..400 {
                let command = random_command(&mut random);
                say(&mut core, &mut client, &command);
                said.push(command);
                if random(4) > 0 {
                    continue;
                }
                let journal = core.store.journal.as_mut().expect("it is there");
                let mut changes = journal.take();
                if random(3) == 0 {
                    // It fails: with a later one, or before it where that has deletes alone.
                    journal.owe(changes);
                    continue;
                }
                let mut owed = journal.take_owed();
                if is_deletes(&mut core.store, &changes) {
                    apply(&mut disk, rows.of(&mut core.store, &changes));
                    changes = owed;
                } else {
                    journal::add(&mut changes, std::mem::take(&mut owed));
                }
                let mut batches = Batches::new(rows, &changes);
                while !batches.is_done() {
                    let room = [1, 1000, usize::MAX][random(3) as usize];
                    apply(&mut disk, batches.next(&mut core.store, room).expect("memory"));
                    // Clients go on while a batch is written.
                    for _ in 0..random(3) {
                        let command = random_command(&mut random);
                        say(&mut core, &mut client, &command);
                        said.push(command);
                    }
                }
                let late = core.store.journal.as_mut().expect("it is there").take();
                apply(&mut disk, rows.of(&mut core.store, &late));
                let mut other = self::core();
                let mut loader = Loader::default();
                for (name, value) in &disk {
                    loader.row(&mut other.store, name, value).expect("a row");
                }
                assert_eq!(loader.secret, Some([seed, 5]));
                let (is, loaded) = (everything(&mut core), everything(&mut other));
                assert_eq!(
                    is,
                    loaded,
                    "seed {seed}, step {step}, after {:?}",
                    said.split_off(said.len().saturating_sub(8))
                );
                assert_eq!(
                    other.store.weight(),
                    other.store.dbs().iter().map(|db| db.weight()).sum::<usize>()
                );
                said.clear();
            }
        }
    });
}

/// What has to be remembered until a flush is counted, and not forgotten with a failure.
#[test]
fn long_names_ask_for_a_flush() {
    let mut journal = Journal::default();
    let write = |journal: &mut Journal, name: &[u8]| {
        journal.part(name);
        journal.touch(Text::from(&b"set"[..]), false, 0, 1);
        let changes = journal.take();
        journal.written(changes, Safe::Later);
    };
    for n in 0..4 {
        assert!(!journal.wants_flush(), "after {n}");
        write(&mut journal, &[n; 256 << 10]);
    }
    assert!(journal.wants_flush(), "a mebioctet of names");
    journal.lose_unflushed();
    let owed = journal.take_owed();
    assert!(!owed.is_empty());
    journal.written(owed, Safe::Later);
    assert!(journal.wants_flush(), "it has them still");
    let owed = journal.take_owed();
    journal.written(owed, Safe::Now);
    assert!(!journal.wants_flush());
}

#[test]
fn one_field_of_a_large_hash_is_one_row() {
    testing::run("", async |_| {
        let (mut core, mut client) = (core(), client());
        core.store.journal = Some(Journal::default());
        for n in 0..1000 {
            say(&mut core, &mut client, &format!("hset h f{n} {n}"));
            say(&mut core, &mut client, &format!("rpush l {n}"));
        }
        core.store.journal.as_mut().expect("it is there").take();
        for (command, rows) in [
            ("hset h f7 x", 1),
            ("lpush l x", 1),
            ("rpop l", 1),
            ("expire h 100", 1),
            ("hdel h f8", 1),
            ("sadd s x", 2),
        ] {
            say(&mut core, &mut client, command);
            let changes = core.store.journal.as_mut().expect("it is there").take();
            assert_eq!(Rows::new([1, 2]).of(&mut core.store, &changes).len(), rows, "{command}");
        }
    });
}

#[test]
fn many_changed_elements_do_not_write_the_whole_of_a_larger_collection() {
    testing::run("", async |_| {
        let (mut core, mut client) = (core(), client());
        for from in (0..100_000).step_by(1000) {
            let items: Vec<_> = (from..from + 1000).map(|n| n.to_string()).collect();
            say(&mut core, &mut client, &format!("rpush l {}", items.join(" ")));
        }
        let mut written = |command: &str, times: usize| {
            core.store.journal = Some(Journal::default());
            (0..times).for_each(|_| drop(say(&mut core, &mut client, command)));
            let changes = core.store.journal.as_mut().expect("it is there").take();
            Rows::new([1, 2]).of(&mut core.store, &changes)
        };
        assert_eq!(written("lpop l", 5000).len(), 5000);
        let rows = written("lpop l 45000", 1);
        assert!(rows.len() == 45_000 && rows.iter().all(|row| matches!(row, Row::Delete(_))));
        // Fewer are left than are gone.
        let rows = written("ltrim l 0 999", 1);
        assert!(rows.len() == 1002 && matches!(rows[0], Row::DeletePrefix(_)), "{}", rows.len());
    });
}

#[test]
fn rows_that_make_no_sense_are_refused() {
    testing::run("", async |_| {
        let rows: [(&[u8], &[u8]); 5] = [
            (b"A", b""),
            (b"A\x00\x00\x01k", b"\x09\xff\xff\xff\xff\xff\xff\xff\x7f"),
            (b"A\x63\x00\x01k", b"\x01\xff\xff\xff\xff\xff\xff\xff\x7fv"),
            (b"S", b"\x02"),
            (b"A\x00\xff\xff0123456789abcdef", b"\xff\xff\xff\xffk"),
        ];
        for (name, value) in rows {
            let mut core = core();
            assert_eq!(
                Loader::default().row(&mut core.store, name, value),
                Err(KeepError::Row(1)),
                "{name:?}"
            );
        }
    });
}

/// What is left where of a large change only a part was kept.
#[test]
fn what_is_torn_is_taken_as_far_as_it_goes() {
    const FOREVER: [u8; 8] = i64::MAX.to_le_bytes();
    testing::run("", async |_| {
        let keeper = Rc::new(Memory::default());
        let head =
            |key: &str, kind: u8| ([b"A\0\0\x01", key.as_bytes()].concat(), [&[kind][..], &FOREVER].concat());
        let part = |key: &str, part: &[u8], value: &[u8]| {
            let part = [b"B\0\0\x01", key.as_bytes(), &[0, part.len() as u8], part].concat();
            (part, value.to_vec())
        };
        keeper.rows.borrow_mut().extend([
            head("s", 1),
            part("s", b"f", b"was a hash"),
            part("n", b"f", b"has no head"),
            head("z", 5),
            part("z", b"f", b"not a score"),
            part("z", b"g", &2_f64.to_le_bytes()),
            head("l", 2),
            part("l", b"out of place", b"x"),
            part("l", &position_name(3), b"x"),
            part("l", &position_name(5), b"y"),
        ]);
        let server = Server::new(Config::default());
        assert_eq!(server.attach(keeper.clone()).await, Ok(10));
        let core = &mut *server.core.borrow_mut();
        let changes = core.store.journal.as_mut().expect("it is there").take();
        assert_eq!(changes.len(), 4);
        apply(&mut keeper.rows.borrow_mut(), Rows::new([3, 4]).of(&mut core.store, &changes));
        let (mut loader, mut other) = (Loader::default(), self::core());
        for (name, value) in keeper.rows.borrow().iter() {
            loader.row(&mut other.store, name, value).expect("a row");
        }
        assert_eq!((loader.torn.len(), loader.count), (0, 6));
        assert_eq!(everything(&mut other), everything(core));
    });
}

#[test]
fn a_server_begins_with_what_the_disk_has() {
    testing::run("", async |_| {
        let keeper = Rc::new(Memory::default());
        keeper.delay.set(Duration::from_millis(1));
        let (mut core, mut client) = (core(), client());
        core.store.journal = Some(Journal::default());
        for command in ["set a 1", "hset h f v", "expire h 1000"] {
            say(&mut core, &mut client, command);
        }
        let changes = core.store.journal.as_mut().expect("it is there").take();
        let rows = Rows::new([3, 4]);
        apply(&mut keeper.rows.borrow_mut(), vec![rows.header()]);
        let batch = rows.of(&mut core.store, &changes);
        apply(&mut keeper.rows.borrow_mut(), batch);
        let server = Server::new(Config::default());
        assert_eq!(server.attach(keeper).await, Ok(4));
        assert_eq!(everything(&mut server.core.borrow_mut()), everything(&mut core));
    });
}
