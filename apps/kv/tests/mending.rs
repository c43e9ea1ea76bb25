//! A disk that fails and works again, while the guest goes on.

extern crate alloc;

#[path = "../src/disk.rs"]
mod disk;

use crate::disk::{DiskKeeper, OpenError};
use embedded_io_async::Write;
use fata::block::Access;
use fata::net::{Network, TcpStream};
use fata::task::yield_now;
use fata::testing::{self, MAIN, free_port};
use fata::time::{Duration, Instant, sleep};
use fata::{Env, shutdown, spawn};
use fata_storage::testing::SimDisk;
use kv_core::keep::memory::Memory;
use kv_core::keep::{KeepError, Keeper};
use kv_core::server::config::Durability;
use kv_core::server::{Config, Server, listen, serve};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

const SECTORS: u64 = (8 << 20) / 512;

/// A server on its own port.
struct Bench {
    network: Network,
    port: u16,
    serving: fata::task::Task<()>,
}

impl Bench {
    async fn new(env: &Env, keeper: Rc<dyn Keeper>, durability: Durability) -> Self {
        let network = env.network(MAIN).await.expect("a network");
        let port = free_port();
        let server = Server::new(Config { port, durability, ..Config::default() });
        server.attach(keeper).await.expect("rows");
        let listener = listen(&server, &network).expect("a port");
        let serving = spawn(async move { serve(&server, listener).await.expect("it serves") });
        Self { network, port, serving }
    }

    async fn on(env: &Env, disk: &SimDisk, durability: Durability) -> Self {
        let keeper = DiskKeeper::open(&disk.disk(), false).await.expect("a store");
        Self::new(env, Rc::new(keeper), durability).await
    }

    async fn client(&self) -> TcpStream {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect(&self.network, address).await.expect("a connection")
    }

    /// The answer to a command of a client of its own, or nothing where the server closes.
    async fn say(&self, line: &str) -> String {
        say(&mut self.client().await, line).await
    }

    /// Says a command until it is done; gives how long that took.
    async fn insist(&self, line: &str) -> Duration {
        let since = Instant::now();
        while !self.say(line).await.starts_with("+OK") {
            assert!(since.elapsed() < Duration::from_secs(20), "it does not get well: {line}");
            sleep(Duration::from_millis(20)).await;
        }
        since.elapsed()
    }
}

async fn say(client: &mut TcpStream, line: &str) -> String {
    client.write_all(format!("{line}\r\n").as_bytes()).await.expect("it is sent");
    let mut answer = [0; 2000];
    let len = client.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

/// The strings that a disk has.
async fn strings(disk: &SimDisk) -> BTreeMap<String, String> {
    let server = Server::new(Config::default());
    let keeper = DiskKeeper::open(&disk.disk(), false).await.expect("a store");
    server.attach(Rc::new(keeper)).await.expect("rows");
    let core = server.core.borrow();
    let data = core.store.dbs().first().expect("a database");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let mut scratch = Vec::new();
    data.iter()
        .map(|(key, object)| {
            scratch.clear();
            (text(key), text(object.value.octets(&mut scratch).expect("a string")))
        })
        .collect()
}

fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_disk_that_works_again_is_written_again() {
    testing::run("", async |env| {
        let mut disk = SimDisk::new(512, SECTORS);
        let bench = Bench::on(&env, &disk, Durability::EveryCommand).await;
        assert_eq!(bench.say("set before 1").await, "+OK\r\n");
        disk.trace();
        disk.break_flushes(0, u64::MAX);
        assert_eq!(bench.say("set failed 1").await, "", "it was answered");
        assert!(bench.say("set refused 1").await.starts_with("-MISCONF Errors writing"));
        assert_eq!(bench.say("get before").await, "$1\r\n1\r\n");
        assert!(bench.say("info persistence").await.contains("aof_last_write_status:err"));
        sleep(Duration::from_millis(700)).await;
        assert!(bench.say("save").await.starts_with("-MISCONF "), "the disk fails still");
        disk.repair();
        bench.insist("set after 1").await;
        assert!(bench.say("info persistence").await.contains("aof_last_write_status:ok"));
        // What was changed and not answered was seen by others: it is kept, too.
        let kept = of(&[("before", "1"), ("failed", "1"), ("after", "1")]);
        for image in disk.crashes(disk.moment()) {
            assert_eq!(strings(&image).await, kept);
        }
    });
}

/// What was answered before it was safe was lost with the flush, and is written again.
#[test]
fn what_was_never_flushed_is_not_forgotten() {
    testing::run("", async |env| {
        let mut disk = SimDisk::new(512, SECTORS);
        let bench = Bench::on(&env, &disk, Durability::None).await;
        assert_eq!(bench.say("mset a 1 b 1 c 1").await, "+OK\r\n");
        assert_eq!(bench.say("save").await, "+OK\r\n");
        disk.trace();
        assert_eq!(bench.say("mset b 2 c 2 d 2").await, "+OK\r\n");
        assert_eq!(bench.say("del a").await, ":1\r\n");
        // They are written, and nobody has asked for a flush.
        sleep(Duration::from_millis(1100)).await;
        while !bench.say("info persistence").await.contains("keys_to_write:0") {}
        sleep(Duration::from_millis(100)).await;
        disk.break_flushes(0, 2);
        assert_eq!(bench.say("save").await, "");
        bench.insist("save").await;
        let kept = of(&[("b", "2"), ("c", "2"), ("d", "2")]);
        for image in disk.crashes(disk.moment()) {
            assert_eq!(strings(&image).await, kept);
        }
    });
}

/// Changes of three keys each, flushes that fail, crashes at any time: what was acknowledged is there, each change is whole, and nothing is there
/// that was not asked for.
#[test]
fn a_crash_after_a_failure_leaves_what_was_acknowledged() {
    testing::run("", async |env| {
        let mut disk = SimDisk::new(512, SECTORS);
        let bench = Bench::on(&env, &disk, Durability::EveryCommand).await;
        bench.insist("mset a 0 b 0 c 0").await;
        disk.trace();
        let seed = Cell::new(0x9e37_79b9_u64);
        let mut random = || {
            seed.set(seed.get() ^ seed.get() << 13);
            seed.set(seed.get() ^ seed.get() >> 7);
            seed.set(seed.get() ^ seed.get() << 17);
            seed.get()
        };
        // When each number was first asked for, and when it was acknowledged.
        let (mut asked, mut told) = (vec![0], vec![(0, 0)]);
        for n in 1..40 {
            if n % 4 == 0 {
                disk.break_flushes(random() % 2, 1 + random() % 2);
            }
            asked.push(disk.moment());
            let line = format!("mset a {n} b {n} c {n}");
            match &*bench.say(&line).await {
                "+OK\r\n" => told.push((disk.moment(), n)),
                said => assert!(said.is_empty() || said.starts_with("-MISCONF"), "{said}"),
            }
            if n % 4 == 3 {
                bench.insist(&format!("mset a {n} b {n} c {n}")).await;
                told.push((disk.moment(), n));
            }
        }
        assert!(told.len() > 15, "{told:?}");
        for moment in (0..=disk.moment()).step_by(3) {
            let least = told.iter().rfind(|(at, _)| *at <= moment).map_or(0, |(_, n)| *n);
            let most = asked.iter().rposition(|at| *at <= moment).unwrap_or(0);
            for image in [disk.after_crash(moment, &mut random), disk.after_crash(moment, &mut random)] {
                let found = strings(&image).await;
                let numbers: Vec<usize> =
                    found.values().map(|value| value.parse().expect("a number")).collect();
                let [a, b, c] = numbers[..] else { panic!("{moment}: {found:?}") };
                assert!(a == b && b == c, "{moment}: a change in parts: {found:?}");
                assert!((least..=most).contains(&a), "{moment}: {a} is not of {least} to {most}");
            }
        }
    });
}

#[test]
fn it_is_tried_less_and_less_often() {
    testing::run("", async |env| {
        let keeper = Rc::new(Memory::default());
        let bench = Bench::new(&env, keeper.clone(), Durability::None).await;
        keeper.error.set(Some(KeepError::Disk));
        assert_eq!(bench.say("set a 1").await, "+OK\r\n");
        let since = Instant::now();
        let mut mends = Vec::new();
        while mends.len() < 3 {
            assert!(since.elapsed() < Duration::from_secs(25), "it is not tried");
            if keeper.mends.get() > mends.len() {
                mends.push(since.elapsed());
            }
            sleep(Duration::from_millis(20)).await;
        }
        // Each time changes are gathered for a second; the pauses before are half of one, one, two.
        let [first, second, third] = mends[..] else { panic!("{mends:?}") };
        assert!(second - first > Duration::from_millis(1750), "{mends:?}");
        assert!(third - second > Duration::from_millis(2500), "{mends:?}");
        keeper.error.set(None);
        bench.insist("set b 1").await;
        shutdown::request(fata::platform::Leave::PowerOff);
        bench.serving.await;
        assert_eq!(keeper.rows.borrow().len(), 3);
    });
}

/// It is the last batch that finds out that the disk has failed, and it works again.
#[test]
fn a_shutdown_mends_the_disk() {
    testing::run("", async |env| {
        let mut disk = SimDisk::new(512, SECTORS);
        let bench = Bench::on(&env, &disk, Durability::None).await;
        assert_eq!(bench.say("set before 1").await, "+OK\r\n");
        assert_eq!(bench.say("save").await, "+OK\r\n");
        assert_eq!(bench.say("set last 1").await, "+OK\r\n");
        disk.trace();
        disk.break_flushes(0, 1);
        shutdown::request(fata::platform::Leave::PowerOff);
        bench.serving.await;
        for image in disk.crashes(disk.moment()) {
            assert_eq!(strings(&image).await, of(&[("before", "1"), ("last", "1")]));
        }
    });
}

#[test]
fn a_read_only_disk_is_read() {
    testing::run("", async |env| {
        let disk = SimDisk::new(512, SECTORS);
        disk.set_access(Access::ReadOnly);
        let refused = DiskKeeper::open(&disk.disk(), true).await.err();
        assert!(matches!(refused, Some(OpenError::ReadOnly)), "{refused:?}");
        disk.set_access(Access::ReadWrite);
        let keeper = Rc::new(DiskKeeper::open(&disk.disk(), false).await.expect("a store"));
        let bench = Bench::new(&env, keeper.clone(), Durability::EveryCommand).await;
        assert_eq!(bench.say("mset a 1 b 2").await, "+OK\r\n");
        assert_eq!(bench.say("pexpire b 300").await, ":1\r\n");
        keeper.close().await.expect("it is closed");
        disk.set_access(Access::ReadOnly);
        let bench = Bench::on(&env, &disk, Durability::EveryCommand).await;
        assert_eq!(bench.say("get a").await, "$1\r\n1\r\n");
        for line in ["set a 2", "del a", "flushall", "save", "expire a 10"] {
            let said = bench.say(line).await;
            assert!(said.starts_with("-MISCONF The disk is read-only: "), "{line}: {said}");
        }
        let mut client = bench.client().await;
        assert_eq!(say(&mut client, "multi").await, "+OK\r\n");
        assert!(say(&mut client, "incr a").await.starts_with("-MISCONF The disk is read-only: "));
        assert!(say(&mut client, "exec").await.starts_with("-EXECABORT "));
        sleep(Duration::from_millis(400)).await;
        assert_eq!(bench.say("get b").await, "$-1\r\n");
        assert_eq!(bench.say("get a").await, "$1\r\n1\r\n");
    });
}

/// A sector that cannot be read takes what it held; the rest is served, and nothing is written any more.
#[test]
fn a_bad_sector_takes_what_it_held() {
    testing::run("", async |env| {
        let disk = SimDisk::new(512, SECTORS);
        let keeper = Rc::new(DiskKeeper::open(&disk.disk(), false).await.expect("a store"));
        let bench = Bench::new(&env, keeper.clone(), Durability::EveryCommand).await;
        for n in 0..200 {
            assert_eq!(bench.say(&format!("set {n:03} {n:03}{}", "v".repeat(1900))).await, "+OK\r\n");
        }
        keeper.close().await.expect("it is closed");
        let (mut damaged, mut refused) = (0, 0);
        for sector in (0..SECTORS / 8).step_by(37) {
            let disk = disk.copy();
            disk.break_reads(sector);
            let keeper = match DiskKeeper::open(&disk.disk(), false).await {
                Ok(keeper) => Rc::new(keeper),
                Err(error) => {
                    assert!(sector < 64, "sector {sector}: {error}");
                    refused += 1;
                    continue;
                }
            };
            let server = Server::new(Config::default());
            server.attach(keeper.clone()).await.unwrap_or_else(|error| panic!("sector {sector}: {error}"));
            let core = server.core.borrow();
            let data = core.store.dbs().first().expect("a database");
            let mut scratch = Vec::new();
            for (key, object) in data.iter() {
                scratch.clear();
                let value = object.value.octets(&mut scratch).expect("a string");
                assert!(value.starts_with(key) && value.len() == 1903, "sector {sector}: {key:?}");
            }
            let is_damaged = keeper.refuses() == Some(KeepError::Damaged);
            assert!(is_damaged == (keeper.figures().damaged_parts > 0), "sector {sector}");
            assert!(is_damaged || data.len() == 200, "sector {sector}: {} keys", data.len());
            damaged += usize::from(is_damaged);
        }
        assert!(damaged > 5 && refused < 3, "{damaged} damaged, {refused} refused");
    });
}

/// A sector that is read the second time it is asked for costs nothing: the store is written as ever.
#[test]
fn a_read_that_fails_once_is_made_again() {
    testing::run("", async |env| {
        let disk = SimDisk::new(512, SECTORS);
        let bench = Bench::on(&env, &disk, Durability::EveryCommand).await;
        // More frames than sectors are tried: what follows one shows that it was written.
        for n in 0..40 {
            assert_eq!(bench.say(&format!("append a {}", n % 10)).await, format!(":{}\r\n", n + 1));
        }
        let mut failed = 0;
        for sector in 120..150 {
            let disk = disk.copy();
            disk.slow(sector);
            disk.break_reads(sector);
            let repaired = disk.clone();
            let repair = spawn(async move {
                // With what is around it, and alone.
                while repaired.failed_reads() < 2 {
                    yield_now().await;
                }
                repaired.repair();
            });
            let keeper = Rc::new(DiskKeeper::open(&disk.disk(), false).await.expect("a store"));
            drop(repair);
            failed += u64::from(disk.failed_reads() > 1);
            disk.repair();
            let bench = Bench::new(&env, keeper, Durability::EveryCommand).await;
            assert_eq!(bench.say("append a 2").await, ":41\r\n", "sector {sector}");
        }
        assert!(failed > 20, "{failed}");
    });
}
