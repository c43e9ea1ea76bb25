//! A store that is opened anew after it has failed, on a disk whose power stays on.

use crate::support::{Content, Random, Shape, content, formatted, fresh, small};
use fata_libos::block::{Access, BlockError};
use fata_libos::testing::run;
use fata_storage::kv::{Durability, Error, Options, Store};
use fata_storage::testing::SimDisk;

pub const FAILED: Error = Error::Block(BlockError::Failed { sector: 0, status: 5 });

/// A store at work, and the states that a crash may leave it in.
pub struct Work {
    pub disk: SimDisk,
    pub store: Store,
    pub random: Random,
    /// The last flushed state, and those that came after it.
    pub states: Vec<Content>,
    /// From each moment on, which states a crash may leave.
    pub allowed: Vec<(usize, Vec<Content>)>,
}

impl Work {
    pub fn allow(&mut self) {
        self.allowed.push((self.disk.moment(), self.states.clone()));
    }

    /// Commits a batch; false if the store has failed.
    async fn commit(&mut self) -> bool {
        let mut state = self.states.last().cloned().unwrap_or_default();
        let key = |random: &mut Random| vec![b'a' + random.below(20) as u8; 1 + random.below(30) as usize];
        let batch = self.random.batch(Shape { changes: 3, deletes: 4 }, &mut state, key);
        let durability = if self.random.below(3) == 0 { Durability::Written } else { Durability::Flushed };
        self.states.push(state);
        self.allow();
        let result = self.store.commit(batch, durability).await;
        match (result, durability) {
            (Ok(()), Durability::Written) => {}
            (Ok(()), Durability::Flushed) => {
                self.states.drain(..self.states.len() - 1);
                self.allow();
            }
            (Err(error), _) => assert!(error == FAILED || error == Error::Failed, "{error}"),
        }
        result.is_ok()
    }

    /// Opens the store anew, as often as it takes.
    async fn reopen(&mut self) {
        let opened = loop {
            match self.store.reopen().await {
                Ok(store) => break store,
                Err(error) => assert_eq!(error, FAILED),
            }
        };
        self.store = opened;
        self.states.truncate(1);
        self.allow();
        assert_eq!(content(&self.store).await, self.states[0]);
    }
}

/// Some batches, of whose flushes `count` fail after `after` others, and some more batches; every crash from the failure on leaves a
/// state that may be there. Gives how many crashes there were; none if so many flushes never came.
async fn fails_and_goes_on(after: u64, count: u64, make_bad: fn(&SimDisk)) -> usize {
    let mut disk = formatted(600 << 10, &small()).await;
    make_bad(&disk);
    disk.trace();
    let store = Store::open(&disk.disk(), small()).await.unwrap();
    if after % 2 == 1 {
        disk.slow(after);
    }
    disk.break_flushes(after, count);
    let states = vec![Content::new()];
    let mut work = Work { disk, store, random: Random::new(7), states, allowed: Vec::new() };
    work.allow();
    let mut is_well = true;
    for n in 0..60 {
        is_well = work.commit().await;
        if !is_well {
            break;
        }
        if n % 13 == 12 && work.store.checkpoint().await.is_err() {
            is_well = false;
            break;
        }
    }
    if is_well {
        return 0;
    }
    let first = work.disk.moment();
    work.reopen().await;
    for _ in 0..12 {
        // Where too many sectors in a row are bad it fails again.
        if !work.commit().await {
            work.reopen().await;
        }
    }
    let mut images = 0;
    // A third of the moments, others for each flush.
    for moment in (first + after as usize % 3..=work.disk.moment()).step_by(3) {
        let allowed = work.allowed.iter().rfind(|(at, _)| *at <= moment).map(|(_, states)| states);
        for image in work.disk.crashes(moment) {
            let store = Store::open(&image.disk(), Options { access: Access::ReadOnly, ..small() }).await;
            let found = content(&store.unwrap()).await;
            let is_right = allowed.is_some_and(|allowed| allowed.contains(&found));
            assert!(is_right, "{count} flushes after {after}, moment {moment}: {found:?}");
            images += 1;
        }
    }
    let store = Store::open(&work.disk.disk(), small()).await.unwrap();
    assert!(store.check().await.unwrap().is_whole());
    assert_eq!(content(&store).await, *work.states.last().unwrap());
    images
}

async fn after_each_flush(make_bad: fn(&SimDisk)) {
    let mut images = 0;
    for after in 0..200 {
        match fails_and_goes_on(after, 1 + after % 3, make_bad).await {
            0 => {
                assert!(after > 40, "only {after} flushes");
                break;
            }
            more => images += more,
        }
    }
    assert!(images > 1000, "{images} images");
}

#[test]
fn after_any_flush_that_failed_it_goes_on_with_what_was_flushed() {
    run(after_each_flush(|_| {}));
}

/// Some of the flushes are those after the header of the log's last segment was written again.
#[test]
fn after_any_flush_that_failed_on_a_bad_disk_it_goes_on() {
    run(after_each_flush(|disk| {
        for segment in (2..33).step_by(2) {
            disk.break_writes((64 << 10) / 512 + segment * 32);
        }
    }));
}

/// What a cache shows and nobody flushed is not believed.
#[test]
fn what_was_not_flushed_is_gone_although_it_can_be_read() {
    run(async {
        let (disk, store) = fresh(4 << 20).await;
        store.put("flushed", "1").await.unwrap();
        let mut batch = fata_storage::kv::Batch::new();
        batch.put("written", "1");
        store.commit(batch, Durability::Written).await.unwrap();
        disk.break_flushes(0, 2);
        assert_eq!(store.put("failed", "1").await, Err(FAILED));
        assert_eq!(store.put("later", "1").await, Err(Error::Failed));
        assert_eq!(store.reopen().await.err(), Some(FAILED), "the disk does not work yet");
        let again = store.reopen().await.unwrap();
        assert_eq!(content(&again).await.into_keys().collect::<Vec<_>>(), [b"flushed"]);
        again.put("after", "1").await.unwrap();
        // Who has not failed is the same.
        let same = again.reopen().await.unwrap();
        same.put("same", "1").await.unwrap();
        assert_eq!(again.get("same").await.unwrap().as_deref(), Some(&b"1"[..]));
        drop((store, again));
        same.close().await.unwrap();
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        assert_eq!(content(&store).await.len(), 3);
    });
}

#[test]
fn a_disk_that_came_back_as_another_is_refused() {
    run(async {
        let (disk, store) = fresh(4 << 20).await;
        store.put("a", "1").await.unwrap();
        let fail = async |store: &Store| {
            disk.break_flushes(0, 1);
            assert_eq!(store.put("b", "1").await, Err(FAILED));
        };
        fail(&store).await;
        disk.set_access(Access::ReadOnly);
        assert_eq!(store.reopen().await.err(), Some(Error::ReadOnly));
        disk.set_access(Access::ReadWrite);
        // Somebody has opened it, and closed it.
        let other = Store::open(&disk.disk(), Options::default()).await.unwrap();
        other.close().await.unwrap();
        assert_eq!(store.reopen().await.err(), Some(Error::OtherStore));
        // The same, after attempts that came to nothing.
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        disk.break_flushes(0, 3);
        assert_eq!(store.put("b", "1").await, Err(FAILED));
        for _ in 0..2 {
            assert_eq!(store.reopen().await.err(), Some(FAILED));
        }
        let other = Store::open(&disk.disk(), Options::default()).await.unwrap();
        other.put("other", "1").await.unwrap();
        other.close().await.unwrap();
        assert_eq!(store.reopen().await.err(), Some(Error::OtherStore));
        // It is another one.
        let store = Store::open(&disk.disk(), Options::default()).await.unwrap();
        fail(&store).await;
        Store::format(&disk.disk(), &Options::default()).await.unwrap();
        assert_eq!(store.reopen().await.err(), Some(Error::OtherStore));
    });
}

/// An older copy of the same disk lacks what was acknowledged.
#[test]
fn an_older_copy_of_the_disk_is_refused() {
    run(async {
        let (disk, store) = fresh(4 << 20).await;
        store.put("a", "1").await.unwrap();
        let older = disk.copy();
        store.put("b", "1").await.unwrap();
        disk.break_flushes(0, 1);
        assert_eq!(store.put("c", "1").await, Err(FAILED));
        disk.become_copy_of(&older);
        assert!(matches!(store.reopen().await.err(), Some(Error::Corrupt { .. })));
    });
}
