//! Disks with key-value stores that are nearly good ones: what a stranger's disk, or one that is broken, may hold.
//!
//! Fields of superblocks, headers, nodes and commits are changed, and then, mostly, all checksums mended from the leaves up, so that
//! what reads them has nothing but the fields themselves to go by.

use fata_fuzz::{Changes, changes, fuzz};
use fata_libos::block::{Access, BlockDevice, Buffer, Disk, Geometry, InFlight, Request};
use fata_libos::testing;
use fata_storage::kv::{Batch, Durability, Error, OnDamage, Options, Part, Store};
use fata_storage::testing::SimDisk;
use mend::Image;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

#[path = "kv_store/mend.rs"]
mod mend;

/// Far more than any input needs; one that never ends needs more.
const MOST_REQUESTS: usize = 500_000;
/// The most octets of one request: a frame, or a value's part, with the rest of their sectors, or what a segment can hold.
const MOST_OCTETS: usize = 1 << 20;
/// Keys that are read of one store.
const MOST_KEYS: usize = 3000;
/// What the process may have had in memory at a time, octets.
const MOST_MEMORY: u64 = 512 << 20;

/// Stores that could be opened although something was changed.
static OPENED: AtomicUsize = AtomicUsize::new(0);

/// Counts what is asked for.
#[derive(Clone)]
struct Counting {
    disk: Disk,
    requests: Rc<Cell<usize>>,
}

impl BlockDevice for Counting {
    fn geometry(&self) -> Geometry {
        self.disk.geometry()
    }

    fn submit(&self, request: Request) -> InFlight {
        self.requests.set(self.requests.get() + 1);
        assert!(self.requests.get() < MOST_REQUESTS, "no end of requests");
        if let Request::Read { buffer, .. } | Request::Write { buffer, .. } = &request {
            assert!(buffer.len() <= MOST_OCTETS, "{} octets at once", buffer.len());
        }
        self.disk.submit(request)
    }
}

fn options(access: Access, damage: OnDamage) -> Options {
    Options { segment: Some(16 << 10), tail: 24 << 10, cache: 16 << 10, access, damage, ..Options::default() }
}

fn strict() -> Options {
    options(Access::ReadWrite, OnDamage::Refuse)
}

/// Good stores: of one leaf, of two levels or three, with values of all sizes, with a log behind the checkpoint and
/// without.
static IMAGES: LazyLock<Vec<Image>> = LazyLock::new(|| {
    [(4, 30), (40, 300), (250, 60), (60, 1600)].map(|(keys, len)| testing::run(image(keys, len))).into()
});

async fn image(keys: u32, len: usize) -> Image {
    let sectors = 1200;
    let disk = SimDisk::new(512, sectors).disk();
    Store::format(&disk, &strict()).await.unwrap();
    let store = Store::open(&disk, strict()).await.unwrap();
    let key = |n: u32| format!("{:0width$}", n * 7 % keys, width = 8 + len / 10 % 60);
    for n in 0..keys {
        store.put(key(n), vec![n as u8; len + n as usize % 40]).await.unwrap();
    }
    store.checkpoint().await.unwrap();
    // Less than would be followed by another checkpoint.
    for n in 0..8 {
        let mut batch = Batch::new();
        batch.put(key(n), vec![n as u8; len / 2]).delete(key(n + 1));
        batch.put(format!("new {n}"), vec![1; [30, 1200][n as usize % 2]]);
        store.commit(batch, Durability::Flushed).await.unwrap();
    }
    core::mem::forget(store);
    Image::new(disk.read(0, sectors as usize).await.unwrap().to_vec())
}

/// Opens a store, reads all of it, and changes some.
async fn use_store(octets: &[u8], options: Options) -> bool {
    let sim = SimDisk::new(512, (octets.len() / 512) as u64);
    sim.disk().write(0, Buffer::copy_of(octets)).await.unwrap();
    let disk = Disk::new(Counting { disk: sim.disk(), requests: Rc::default() });
    let Ok(store) = Store::open(&disk, options.clone()).await else { return false };
    let (mut cursor, mut some) = (store.range::<&[u8]>(..), Vec::new());
    for n in 0..MOST_KEYS {
        match cursor.next().await {
            Ok(None) => break,
            Ok(Some((key, _))) if n % 5 == 0 => some.push(key),
            Ok(Some(_)) | Err(_) => {}
        }
    }
    drop(cursor);
    for (n, key) in some.iter().enumerate().take(60) {
        let _ = store.get(key).await;
        let _ = match n % 3 {
            0 => store.delete(key).await,
            1 => store.put(key, vec![n as u8; 900]).await,
            _ => store.put([key, &b"'"[..]].concat(), vec![n as u8; 3000]).await,
        };
    }
    let _ = store.checkpoint().await;
    for key in &some {
        let _ = store.delete(key).await;
    }
    let _ = store.check().await;
    let _ = store.close().await;
    // What it left is opened once more.
    if let Ok(store) = Store::open(&disk, options).await {
        let _ = store.check().await;
    }
    true
}

fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// The levels below one would be read once for each place that refers to them: without an end, where there are many levels.
#[test]
fn a_node_that_is_referred_to_twice() {
    let octets = IMAGES[2].with_one_child();
    testing::run(async {
        let sim = SimDisk::new(512, (octets.len() / 512) as u64);
        sim.disk().write(0, Buffer::copy_of(&octets)).await.unwrap();
        let store = Store::open(&sim.disk(), options(Access::ReadOnly, OnDamage::Salvage)).await.unwrap();
        let mut cursor = store.range::<&[u8]>(..);
        let (mut errors, mut keys) = (0, Vec::new());
        loop {
            match cursor.next_key().await {
                Ok(Some(key)) => keys.push(key),
                Ok(None) => break,
                Err(Error::Corrupt { what: Part::Node, .. }) => errors += 1,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(errors > 0 && keys.is_sorted() && keys.len() > 20, "{errors} errors, {} keys", keys.len());
    });
}

#[test]
fn kv_stores() {
    for image in IMAGES.iter() {
        // A change of nothing, mended, is the store that it was.
        assert_eq!(image.changed(&[], true), image.octets());
        assert!(testing::run(use_store(image.octets(), strict())));
    }
    let change = (any::<Index>(), changes());
    let inputs = (any::<Index>(), vec(change, 1..4), prop_oneof![3 => Just(true), 1 => Just(false)]);
    fuzz(&inputs, |(which, changes, mends): (Index, Vec<(Index, Changes)>, bool)| {
        let octets = which.get(&IMAGES).changed(&changes, mends);
        testing::run(async {
            if use_store(&octets, strict()).await {
                OPENED.fetch_add(1, Ordering::Relaxed);
            }
            use_store(&octets, options(Access::ReadWrite, OnDamage::Salvage)).await;
            use_store(&octets, options(Access::ReadOnly, OnDamage::Salvage)).await;
        });
        assert!(memory() < MOST_MEMORY, "{} octets of memory", memory());
    });
    let opened = OPENED.load(Ordering::Relaxed);
    println!("{opened} of them opened for writing");
    assert!(opened > 0, "what was changed came no further than the door");
}
