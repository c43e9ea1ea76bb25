//! When an answer says that something is safe, it is.

use embedded_io_async::Write;
use fata::net::{Network, TcpStream};
use fata::shutdown;
use fata::testing::{self, MAIN, free_port};
use fata::time::{Duration, Instant, sleep};
use fata::{Env, spawn};
use kv_core::keep::KeepError;
use kv_core::keep::memory::Memory;
use kv_core::keep::rows::Loader;
use kv_core::server::config::Durability;
use kv_core::server::{Config, Server, listen, serve};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

struct Bench {
    network: Network,
    keeper: Rc<Memory>,
    server: fata::task::Task<()>,
    port: u16,
}

impl Bench {
    async fn new(env: &Env, durability: Durability) -> Self {
        Self::with(env, durability, Memory::default()).await
    }

    async fn with(env: &Env, durability: Durability, keeper: Memory) -> Self {
        let network = env.network(MAIN).await.expect("a network");
        let (keeper, port) = (Rc::new(keeper), free_port());
        let server = Server::new(Config { port, durability, ..Config::default() });
        server.attach(keeper.clone()).await.expect("an empty disk");
        let listener = listen(&server, &network).expect("a port");
        let server = spawn(async move { serve(&server, listener).await.expect("it serves") });
        Self { network, keeper, server, port }
    }

    async fn client(&self) -> TcpStream {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect(&self.network, address).await.expect("a connection")
    }

    fn has(&self, what: &[u8]) -> bool {
        self.keeper.rows.borrow().keys().any(|name| name.ends_with(what))
    }
}

/// The answer to a command, or nothing where the server closes.
async fn say(client: &mut TcpStream, line: &str) -> String {
    client.write_all(format!("{line}\r\n").as_bytes()).await.expect("it is sent");
    let mut answer = [0; 200];
    let len = client.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

#[test]
fn every_command_is_safe_before_it_is_answered() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::EveryCommand).await;
        let (mut client, mut other) = (bench.client().await, bench.client().await);
        bench.keeper.delay.set(Duration::from_millis(50));
        let since = Instant::now();
        assert_eq!(say(&mut client, "set key 1").await, "+OK\r\n");
        assert!(bench.has(b"key") && since.elapsed() >= Duration::from_millis(50));
        // Who changes nothing waits for nobody.
        let since = Instant::now();
        assert_eq!(say(&mut other, "ping").await, "+PONG\r\n");
        assert!(since.elapsed() < Duration::from_millis(40));
        // Those who come together are written together.
        let (batches, _) = bench.keeper.count.get();
        let mut clients = Vec::new();
        for n in 0..20 {
            let mut client = bench.client().await;
            clients.push(spawn(async move { say(&mut client, &format!("set k{n} 1")).await }));
        }
        for client in clients {
            assert_eq!(client.await, "+OK\r\n");
        }
        assert!(bench.keeper.count.get().0 - batches <= 10, "{:?} after {batches}", bench.keeper.count.get());
    });
}

#[test]
fn what_is_not_safe_is_not_answered() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::EveryCommand).await;
        let mut client = bench.client().await;
        let mut queued = bench.client().await;
        assert_eq!(say(&mut queued, "multi").await, "+OK\r\n");
        assert_eq!(say(&mut queued, "set other 1").await, "+QUEUED\r\n");
        bench.keeper.error.set(Some(KeepError::Disk));
        assert_eq!(say(&mut client, "set key 1").await, "", "it was answered");
        let mut client = bench.client().await;
        assert!(say(&mut client, "set key 2").await.starts_with("-MISCONF "));
        // Nor in a transaction, even one that was begun before.
        let answer = say(&mut queued, "exec").await;
        assert!(answer.starts_with("-EXECABORT Transaction discarded because of: MISCONF "), "{answer}");
        assert_eq!(say(&mut queued, "get other").await, "$-1\r\n");
        bench.keeper.error.set(None);
        let since = Instant::now();
        while !say(&mut client, "set key 3").await.starts_with("+OK") {
            assert!(since.elapsed() < Duration::from_secs(10), "it does not get well");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(bench.has(b"key"));
    });
}

#[test]
fn changes_are_gathered_for_a_tenth_of_a_second() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::Every100Ms).await;
        let mut client = bench.client().await;
        for n in 0..50 {
            assert_eq!(say(&mut client, &format!("set k{n} 1")).await, "+OK\r\n");
        }
        let since = Instant::now();
        while !bench.has(b"k49") {
            assert!(since.elapsed() < Duration::from_secs(10), "it is not written");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(bench.keeper.count.get().0 < 10, "{:?}", bench.keeper.count.get());
    });
}

#[test]
fn leaving_writes_what_is_left() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::None).await;
        let mut client = bench.client().await;
        assert_eq!(say(&mut client, "set key 1").await, "+OK\r\n");
        assert!(!bench.has(b"key"), "written at once");
        shutdown::request(fata::platform::Leave::PowerOff);
        bench.server.await;
        assert!(bench.keeper.rows.borrow().keys().any(|name| name.ends_with(b"key")));
    });
}

#[test]
fn save_is_answered_when_all_is_safe() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::None).await;
        let mut client = bench.client().await;
        assert_eq!(say(&mut client, "set key 1").await, "+OK\r\n");
        let before = say(&mut client, "lastsave").await;
        while !bench.has(b"key") {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(Duration::from_millis(1100)).await;
        assert_eq!(bench.keeper.safe.get(), 0);
        assert_eq!(say(&mut client, "lastsave").await, before, "it was not on the medium");
        assert_eq!(say(&mut client, "set other 1").await, "+OK\r\n");
        let since = Instant::now();
        assert_eq!(say(&mut client, "save").await, "+OK\r\n");
        assert!(bench.has(b"other") && bench.keeper.safe.get() == 1);
        assert!(since.elapsed() < Duration::from_millis(500), "it has waited for the next batch");
        assert_ne!(say(&mut client, "lastsave").await, before);
        // Also where nothing is left to be written, and not where that does not succeed.
        assert_eq!(say(&mut client, "save").await, "+OK\r\n");
        assert_eq!(bench.keeper.safe.get(), 2);
        bench.keeper.error.set(Some(KeepError::Full));
        assert_eq!(say(&mut client, "set key 2").await, "+OK\r\n");
        assert_eq!(say(&mut client, "save").await, "");
        let mut client = bench.client().await;
        assert!(say(&mut client, "save").await.starts_with("-MISCONF "));
        assert_eq!(say(&mut client, "bgsave").await, "+Background saving started\r\n");
        bench.keeper.error.set(None);
        let since = Instant::now();
        while say(&mut client, "save").await != "+OK\r\n" {
            assert!(since.elapsed() < Duration::from_secs(10), "it does not get well");
            sleep(Duration::from_millis(20)).await;
        }
    });
}

/// Commands that come together, with answers that are more than is sent at once: they are run in many parts.
fn long_pipeline(count: usize) -> Vec<u8> {
    "get big\r\nincr n\r\n".repeat(count).into_bytes()
}

/// Reads until the server closes; how many answers there are to `incr`.
async fn read_all(mut client: TcpStream) -> usize {
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    while let Ok(len @ 1..) = client.read(&mut buffer).await {
        all.extend_from_slice(&buffer[..len]);
    }
    all.iter().filter(|octet| **octet == b':').count()
}

async fn number(client: &mut TcpStream, key: &str) -> usize {
    let answer = say(client, &format!("get {key}")).await;
    answer.lines().nth(1).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[test]
fn who_was_killed_does_nothing_more() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::EveryCommand).await;
        let (mut client, mut other) = (bench.client().await, bench.client().await);
        assert_eq!(say(&mut other, &format!("set big {}", "v".repeat(8000))).await, "+OK\r\n");
        assert_eq!(say(&mut client, "client id").await, ":1\r\n");
        // It is killed while it waits for the disk: its answers are taken, and nothing but the kill ends it.
        bench.keeper.delay.set(Duration::from_millis(10));
        client.write_all(&long_pipeline(300)).await.expect("it is sent");
        let reading = spawn(read_all(client));
        while number(&mut other, "n").await < 20 {}
        assert_eq!(say(&mut other, "client kill id 1").await, ":1\r\n");
        let done = number(&mut other, "n").await;
        sleep(Duration::from_millis(200)).await;
        assert_eq!(number(&mut other, "n").await, done);
        reading.await;
    });
}

#[test]
fn what_was_answered_before_leaving_is_kept() {
    testing::run("", async |env| {
        let bench = Bench::new(&env, Durability::Every100Ms).await;
        let (mut client, mut other) = (bench.client().await, bench.client().await);
        assert_eq!(say(&mut other, &format!("set big {}", "v".repeat(8000))).await, "+OK\r\n");
        bench.keeper.delay.set(Duration::from_millis(100));
        client.write_all(&long_pipeline(3000)).await.expect("it is sent");
        let reading = spawn(read_all(client));
        while number(&mut other, "n").await < 20 {}
        shutdown::request(fata::platform::Leave::PowerOff);
        bench.server.await;
        let (server, mut loader) = (Server::new(Config::default()), Loader::default());
        for (name, value) in bench.keeper.rows.borrow().iter() {
            loader.row(&mut server.core.borrow_mut().store, name, value).expect("a row");
        }
        let kept = {
            let store = &mut server.core.borrow_mut().store;
            let at = store.peek(b"n").expect("it is there");
            let mut scratch = Vec::new();
            let octets = store.object(at).value.octets(&mut scratch).expect("a string");
            std::str::from_utf8(octets).expect("digits").parse::<usize>().expect("a number")
        };
        let answered = reading.await;
        assert!((10..3000).contains(&answered) && kept >= answered, "{kept} of {answered}");
    });
}

#[test]
fn a_list_with_a_gap_is_taken_without_it() {
    testing::run("", async |env| {
        let keeper = Memory::default();
        let bench = Bench::with(&env, Durability::EveryCommand, keeper).await;
        let mut client = bench.client().await;
        assert_eq!(say(&mut client, "rpush list a b c d").await, ":4\r\n");
        let rows = bench.keeper.rows.borrow().clone();
        let gone = rows.iter().find(|(_, value)| ***value == *b"b").expect("it is there").0;
        let keeper = Memory::default();
        keeper.rows.borrow_mut().extend(rows.clone().into_iter().filter(|(name, _)| name != gone));
        let bench = Bench::with(&env, Durability::EveryCommand, keeper).await;
        let mut client = bench.client().await;
        assert_eq!(say(&mut client, "lindex list 1").await, "$1\r\nc\r\n");
        assert_eq!(say(&mut client, "rpush list e").await, ":4\r\n");
        // What is on the disk has no gap any more.
        let keeper = Memory::default();
        keeper.rows.borrow_mut().extend(bench.keeper.rows.borrow().clone());
        let (server, mut loader) = (Server::new(Config::default()), Loader::default());
        for (name, value) in keeper.rows.borrow().iter() {
            loader.row(&mut server.core.borrow_mut().store, name, value).expect("a row");
        }
        assert_eq!((loader.torn.len(), loader.count), (0, 6));
    });
}

#[test]
fn what_is_accepted_fits_a_row() {
    testing::run("", async |env| {
        let keeper = Memory::default();
        keeper.most_row.set(20_000);
        let bench = Bench::with(&env, Durability::EveryCommand, keeper).await;
        let mut client = bench.client().await;
        let (name, value) = ("n".repeat(2500), "v".repeat(20_000 - 2 * 2500 - 64));
        assert_eq!(say(&mut client, &format!("hset {name} {name} {value}")).await, ":1\r\n");
        assert_eq!(say(&mut client, &format!("mset {name}2 {value}")).await, TOO_LONG);
        assert_eq!(say(&mut client, &format!("hset h a b {name}2 {value}")).await, TOO_LONG);
        assert_eq!(say(&mut client, &format!("rename {name} {name}2")).await, TOO_LONG);
        assert_eq!(say(&mut client, &format!("rpush l {value}")).await, ":1\r\n");
        assert!(say(&mut client, "config set proto-max-bulk-len 15000").await.starts_with("-ERR"));
        assert_eq!(say(&mut client, &format!("append s {value}")).await, format!(":{}\r\n", value.len()));
        assert!(say(&mut client, "append s v").await.starts_with("-ERR string exceeds"));
        let more = format!("*3\r\n$3\r\nset\r\n$1\r\ns\r\n${}\r\n", value.len() + 1);
        assert_eq!(say(&mut client, more.trim_end()).await, "-ERR Protocol error: invalid bulk length\r\n");
        assert_eq!(say(&mut bench.client().await, "set a 1").await, "+OK\r\n");
    });
}

const TOO_LONG: &str = "-ERR key, field or member exceeds maximum allowed size\r\n";
