//! A guest of 16 MiB, and clients that ask for more: commands are refused, and nobody is killed for want of memory.
//!
//! The memory is real: an allocator that has no more than that for the test's thread, and fails beyond.

use fata::platform::{Leave, MemoryStats, Platform};
use fata::task::block_on;
use fata::time::{Duration, Instant, SystemTime};
use kv_core::commands::execute;
use kv_core::keep::batch::Batches;
use kv_core::keep::rows::Rows;
use kv_core::keep::{Journal, KeepError};
use kv_core::resp::{Args, Parser, ProtocolError, split};
use kv_core::server::hub::spare_memory;
use kv_core::server::{Client, Config, Core, Link};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

/// What the guest has, octets.
const TOTAL: usize = 16 << 20;

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
    static USED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator with each thread's limit on it.
struct Limited;

impl Limited {
    fn take(octets: usize) -> bool {
        let used = USED.get() + octets;
        if used > LIMIT.get() && !std::thread::panicking() {
            return false;
        }
        USED.set(used);
        true
    }

    fn give(octets: usize) {
        USED.set(USED.get().saturating_sub(octets));
    }
}

// SAFETY: all is left to the system's allocator, but that it is not asked beyond the limit.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Self::take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::give(layout.size());
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // As if it were moved: for a moment there are two.
        if !Self::take(new_size) {
            return std::ptr::null_mut();
        }
        Self::give(layout.size());
        // SAFETY: by the caller.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// The memory that the allocator has left.
struct SmallGuest;

impl Platform for SmallGuest {
    fn now(&self) -> Instant {
        Instant::from_nanos(1)
    }
    fn wall_clock(&self, _: Instant) -> SystemTime {
        SystemTime::from_unix(Duration::ZERO)
    }
    fn wait(&self, _: Option<Instant>) {
        panic!("nothing here waits");
    }
    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        *seed = [7; 32];
        true
    }
    fn memory(&self) -> MemoryStats {
        let mut stats = MemoryStats::default();
        if LIMIT.get() == TOTAL {
            stats.total = TOTAL as u64;
            stats.free = (TOTAL - USED.get()) as u64;
        }
        stats
    }
    fn leave(&self, how: Leave) -> ! {
        panic!("the guest leaves: {how:?}")
    }
}

/// A server with a disk that takes everything, and a client.
struct Bench {
    core: Core,
    client: Client,
}

fn a_client(id: u64) -> Client {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    Client::new(Rc::new(Link::new(id, address, address, 0)), true, 1 << 20)
}

/// Does something in the small guest.
fn in_guest(test: fn(&mut Bench)) {
    USED.set(0);
    LIMIT.set(TOTAL);
    block_on(Box::leak(Box::new(SmallGuest)), async {
        let client = a_client(1);
        let mut core = Core::new(Config { maxmemory: TOTAL / 2, ..Config::default() }, 7);
        core.store.journal = Some(Journal::default());
        test(&mut Bench { core, client });
    });
    LIMIT.set(usize::MAX);
}

impl Bench {
    /// Says words, and gives the first line of the answer.
    fn say_words(&mut self, octets: &[u8], ranges: &[(u32, u32)]) -> String {
        execute(&mut self.core, &mut self.client, Args::new(octets, ranges));
        let out = std::mem::take(&mut self.client.out.octets);
        String::from_utf8_lossy(&out).lines().next().unwrap_or_default().to_owned()
    }

    fn say(&mut self, line: &str) -> String {
        let (mut words, mut ranges) = (Vec::new(), Vec::new());
        split(line.as_bytes(), &mut words, &mut ranges).expect("words");
        self.say_words(&words, &ranges)
    }

    /// Writes what has changed, in how many batches; with what a keeper makes of the rows.
    fn write(&mut self) -> Result<usize, KeepError> {
        let changes = self.core.store.journal.as_mut().expect("it is there").take();
        let (mut batches, mut count) = (Batches::new(Rows::new([1, 2]), &changes), 0);
        while !batches.is_done() {
            let rows = batches.next(&mut self.core.store, spare_memory() / 2)?;
            let _copies = (rows.clone(), rows);
            count += 1;
        }
        Ok(count)
    }

    /// Writes what has changed with a keeper that makes nothing of it.
    fn write_quietly(&mut self) -> Result<(), KeepError> {
        let changes = self.core.store.journal.as_mut().expect("it is there").take();
        Batches::new(Rows::new([1, 2]), &changes).next(&mut self.core.store, spare_memory() / 2).map(drop)
    }

    /// Small keys until so many octets are there, all of them written.
    fn fill(&mut self, octets: usize) {
        for n in 0.. {
            if self.core.store.weight() >= octets {
                break;
            }
            assert_eq!(self.say(&format!("set key:{n} {n}")), "+OK");
            if n % 1000 == 0 {
                self.write().expect("memory");
            }
        }
        self.write().expect("memory");
    }
}

#[test]
fn all_keys_change_at_once() {
    in_guest(|bench| {
        bench.fill(TOTAL / 100 * 40);
        assert!(bench.say("swapdb 0 1").starts_with("-OOM"));
        assert_eq!(bench.say("select 1"), "+OK");
        assert_eq!(bench.say("set a 1"), "+OK");
        assert_eq!(bench.say("select 0"), "+OK");
        assert_eq!(bench.say("flushall"), "+OK");
        assert!(bench.write().expect("memory") > 1, "it was one batch");
        bench.fill(TOTAL / 10);
        assert_eq!(bench.say("swapdb 0 1"), "+OK");
        bench.write().expect("memory");
    });
}

/// A long value is copied once on its way, not three times.
#[test]
fn a_value_of_a_third_of_the_memory_is_written() {
    in_guest(|bench| {
        bench.core.hub.config.maxmemory = 0;
        assert_eq!(
            bench.say(&format!("setrange long {} x", TOTAL / 100 * 30)),
            format!(":{}", TOTAL / 100 * 30 + 1)
        );
        bench.write_quietly().expect("memory");
    });
}

#[test]
fn a_large_collection_changes_as_a_whole() {
    in_guest(|bench| {
        let fields: String = (0..500).map(|n| format!(" field:{n} {}", "v".repeat(40))).collect();
        for n in 0..50 {
            assert_eq!(bench.say(&format!("hset h{}", fields.replace("field", &n.to_string()))), ":500");
            assert_eq!(bench.say(&format!("rpush l{fields}")), format!(":{}", 1000 * (n + 1)));
            bench.write().expect("memory");
        }
        for command in
            ["rename h other", "copy h other", "move h 1", "lrem l 0 nothing", "linsert l before nothing x"]
        {
            assert!(bench.say(command).starts_with("-OOM"), "{command}");
        }
        assert_eq!(bench.say("ltrim l 0 0"), "+OK");
        bench.write().expect("memory");
        // Where there is no warning it is an error, and what makes room goes on.
        bench.core.store.journal.as_mut().expect("it is there").touch_all(b"\0h"[..].into());
        assert_eq!(bench.write(), Err(KeepError::NoMemory));
        assert_eq!(bench.say("del h"), ":1");
        bench.write().expect("memory");
    });
}

#[test]
fn names_that_are_kept_have_a_bound() {
    in_guest(|bench| {
        // As many as may be: of one client, then of many.
        for (command, refused) in [
            ("watch", "-ERR too many watched keys"),
            ("subscribe", "-ERR too many subscriptions"),
            ("psubscribe", "-ERR too many subscriptions"),
        ] {
            let name = "n".repeat(60_000);
            let last = (0..100).map(|n| bench.say(&format!("{command} {n}{name}"))).last();
            assert_eq!(last.as_deref(), Some(refused));
            assert_eq!(bench.say("reset"), "+RESET");
        }
        let mut clients = Vec::new();
        let name = "n".repeat(60_000);
        while !bench.say(&format!("watch {}{name}", clients.len())).starts_with("-OOM") {
            for n in 0..20 {
                bench.say(&format!("watch {}.{n}{name}", clients.len()));
            }
            clients.push(std::mem::replace(&mut bench.client, a_client(clients.len() as u64 + 2)));
            assert!(clients.len() < 100, "there is no end");
        }
        for command in ["subscribe a", "psubscribe a"] {
            assert!(
                bench.say(&format!("{command} {}", "a ".repeat(10_000))).starts_with("-OOM"),
                "{command}"
            );
        }
        assert!(bench.say(&format!("blpop {} 0", "q ".repeat(10_000))).starts_with("-OOM"));
        bench.core.hub.config.maxmemory = TOTAL;
        let _held = vec![0_u8; spare_memory()];
        assert!(bench.say("blpop q 0").starts_with("-OOM"));
    });
}

#[test]
fn many_small_arguments_have_a_bound() {
    in_guest(|bench| {
        let mut parser = Parser::default();
        let command = b"*1000000\r\n".iter().chain(b"$0\r\n\r\n".iter().cycle()).take(4 << 20);
        let command: Vec<u8> = command.copied().collect();
        let limits = bench.core.hub.config.limits;
        let held = vec![0_u8; 2 << 20];
        assert!(matches!(parser.step(&command, limits), Err(ProtocolError::Memory(count)) if count > 50_000));
        drop((command, parser, held));
        // The same in a transaction.
        assert_eq!(bench.say("multi"), "+OK");
        let mut ranges = vec![(0, 4)];
        ranges.resize(100_000, (4, 4));
        let said: Vec<_> = (0..100).map(|_| bench.say_words(b"ping", &ranges)).collect();
        assert!(said[0] == "+QUEUED" && said[99].starts_with("-OOM"), "{said:?}");
        assert!(bench.say("exec").starts_with("-EXECABORT"));
    });
}
