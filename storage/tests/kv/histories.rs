//! Bad sectors, flushes that fail, stores that are opened anew, and crashes, one after the other.

use crate::reopen::{FAILED, Work};
use crate::support::{Content, MIB, Random, Shape, content, formatted, seeds, small};
use fata_libos::block::Access;
use fata_libos::testing::run;
use fata_storage::kv::{Batch, Durability, Error, Options, Store};
use fata_storage::testing::{Event, SimDisk};

/// Where the first segment begins, octets.
const SEGMENTS: u64 = 64 << 10;
const SECTOR: u64 = 512;

async fn keys(disk: &SimDisk) -> Vec<String> {
    let options = Options { access: Access::ReadOnly, ..small() };
    let store = Store::open(&disk.disk(), options).await.unwrap();
    content(&store).await.into_keys().map(|key| String::from_utf8(key).unwrap()).collect()
}

/// Commits that fail with a flush that does.
async fn fail(disk: &SimDisk, store: &Store, key: &str, len: usize) -> Store {
    disk.break_flushes(0, 1);
    assert_eq!(store.put(key, vec![7; len]).await, Err(FAILED));
    store.reopen().await.unwrap()
}

/// What a store has kept that was opened anew after a large frame met bad sectors, whatever a crash then leaves.
async fn is_kept_beside(bad_sectors: &[u64]) {
    let mut disk = formatted(MIB, &small()).await;
    let store = Store::open(&disk.disk(), small()).await.unwrap();
    store.put("before", "1").await.unwrap();
    bad_sectors.iter().for_each(|sector| disk.break_writes(*sector));
    let store = fail(&disk, &store, "failed", 4000).await;
    disk.trace();
    store.put("after", "1").await.unwrap();
    for image in disk.crashes(disk.moment()) {
        assert_eq!(keys(&image).await, ["after", "before"]);
    }
}

/// A frame was too long for what there was before a bad sector, so that the log went on elsewhere, and that was never flushed.
#[test]
fn a_segment_that_was_entered_for_nothing_is_not_entered_again() {
    // Behind the header and a frame there are two sectors for the next.
    run(is_kept_beside(&[SEGMENTS / SECTOR + 4]));
}

/// The same, with the segment after that: the log came to it from where it comes again.
#[test]
fn nor_is_one_behind_a_segment_that_is_entered_again() {
    // Two sectors of the second segment can be written, too.
    run(is_kept_beside(&[SEGMENTS / SECTOR + 2, (SEGMENTS + (16 << 10)) / SECTOR + 3]));
}

/// Of a write that failed nobody knows what a crash makes of it.
#[test]
fn a_segment_whose_header_failed_to_be_written_is_not_entered() {
    run(async {
        let mut disk = formatted(MIB, &small()).await;
        disk.trace();
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        store.put("before", "1").await.unwrap();
        disk.break_writes(SEGMENTS / SECTOR + 4);
        disk.break_writes((SEGMENTS + (16 << 10)) / SECTOR);
        // The flush that fails is that of the first segment's header, which was to name another one.
        let store = fail(&disk, &store, "failed", 4000).await;
        store.put("after", "1").await.unwrap();
        for image in disk.crashes(disk.moment()) {
            assert_eq!(keys(&image).await, ["after", "before"]);
        }
    });
}

/// What may happen between two batches.
impl Work {
    /// Whether the log's end, or what comes behind it, has a bad sector from now on.
    fn break_a_sector(&mut self) {
        let last = self.disk.events().into_iter().rev().find_map(|event| match event {
            Event::Write { sector, octets } if sector > SEGMENTS / SECTOR => {
                Some(sector + octets.len() as u64 / SECTOR)
            }
            _ => None,
        });
        let near = last.unwrap_or(SEGMENTS / SECTOR + 1);
        let sector = match self.random.below(4) {
            // The header of one of the segments that come next.
            0 => (near - SEGMENTS / SECTOR) / 32 * 32 + SEGMENTS / SECTOR + 32 * (1 + self.random.below(3)),
            1 => (near - SEGMENTS / SECTOR) / 32 * 32 + SEGMENTS / SECTOR + 32 + self.random.below(8),
            _ => near + self.random.below(6),
        };
        self.disk.break_writes(sector);
    }

    /// Commits a batch, mostly of a sector or two, sometimes of many.
    async fn commit_some(&mut self) {
        let mut state = self.states.last().cloned().unwrap_or_default();
        let key = |random: &mut Random| vec![b'a' + random.below(24) as u8];
        let mut batch = match self.random.below(3) {
            0 => self.random.batch(Shape { changes: 12, deletes: 6 }, &mut state, key),
            _ => Batch::new(),
        };
        let (key, value) = (key(&mut self.random), self.random.number().to_le_bytes());
        batch.put(&key, value);
        state.insert(key, value.into());
        let durability = if self.random.below(4) == 0 { Durability::Written } else { Durability::Flushed };
        self.states.push(state);
        self.allow();
        match self.store.commit(batch, durability).await {
            Ok(()) if durability == Durability::Flushed => {
                self.states.drain(..self.states.len() - 1);
                self.allow();
            }
            Ok(()) => {}
            Err(error) => assert!(matches!(error, Error::Block(_) | Error::Failed), "{error}"),
        }
    }

    async fn get_well(&mut self) {
        let mut attempts = 0;
        while self.store.has_failed() {
            match self.store.reopen().await {
                Ok(store) => self.store = store,
                Err(error) => assert!(matches!(error, Error::Block(_)), "{error}"),
            }
            attempts += 1;
            if attempts > 5 {
                self.disk.repair();
            }
            assert!(attempts < 10, "it does not get well");
        }
        if attempts > 0 {
            // A checkpoint may have flushed more than was asked for.
            let found = content(&self.store).await;
            assert!(self.states.contains(&found), "after {attempts} attempts");
            self.states = vec![found];
            self.allow();
        }
    }

    async fn step(&mut self) {
        match self.random.below(12) {
            0 | 1 => self.break_a_sector(),
            2 | 3 => self.disk.break_flushes(self.random.below(3), 1 + self.random.below(3)),
            4 => self.disk.repair(),
            5 if self.random.below(4) == 0 => _ = self.store.checkpoint().await,
            _ => self.commit_some().await,
        }
        self.get_well().await;
    }
}

/// The state that a disk has, which is one of those that it may have.
async fn verified(image: &SimDisk, allowed: &[Content], what: &str) -> Content {
    let options = Options { access: Access::ReadOnly, ..small() };
    let store = Store::open(&image.disk(), options).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let found = content(&store).await;
    assert!(allowed.contains(&found), "{what}: it has {:?}", found.keys());
    found
}

/// Three histories, each on what a crash of the one before left; gives how many crashes were looked at.
async fn history(seed: u64) -> u64 {
    let mut disk = formatted(MIB, &small()).await;
    let mut random = Random::new(seed);
    let (mut state, mut crashes) = (Content::new(), 0);
    for round in 0..3 {
        disk.trace();
        if random.below(2) == 0 {
            disk.slow(seed);
        }
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let random_of_work = Random::new(seed * 3 + round);
        let allowed = vec![(0, vec![state.clone()])];
        let mut work = Work { disk, store, random: random_of_work, states: vec![state], allowed };
        for _ in 0..10 + random.below(20) {
            work.step().await;
        }
        let end = work.disk.moment();
        let mut last = None;
        for n in 0..6 {
            // The last is at the end.
            let moment = if n == 5 { end } else { random.below(end as u64 + 1) as usize };
            let image = work.disk.after_crash(moment, &mut || random.number());
            let allowed = work.allowed.iter().rfind(|(at, _)| *at <= moment).map(|(_, states)| &states[..]);
            let what = format!("seed {seed}, round {round}, moment {moment} of {end}");
            let found = verified(&image, allowed.unwrap_or_default(), &what).await;
            last = Some((image, found));
            crashes += 1;
        }
        drop(work.store);
        (disk, state) = last.unwrap();
    }
    crashes
}

#[test]
fn hundreds_of_histories_lose_nothing() {
    let mut crashes = 0;
    seeds(300, |seed| crashes += run(history(seed)));
    assert!(crashes >= 5000, "{crashes} crashes");
}

/// 389: where the next segment's header could not be written, another was taken that was free only as of a superblock that was
/// not on the medium yet.
#[test]
fn a_history_that_failed_once() {
    run(history(389));
}
