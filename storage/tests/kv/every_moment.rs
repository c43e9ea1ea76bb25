//! A small workload, crashed at every moment.

use crate::support::{Content, Random, Shape, content, formatted, small};
use fata_libos::block::Access;
use fata_libos::testing::run;
use fata_storage::kv::{Durability, Options, Store};
use fata_storage::testing::SimDisk;

/// What the store held after each batch, and when each was acknowledged as flushed.
struct Trace {
    disk: SimDisk,
    states: Vec<Content>,
    /// The moment before which a state cannot be there, for each.
    begun: Vec<usize>,
    /// The moment from which on no earlier state may be there, for those that were flushed.
    flushed: Vec<(usize, usize)>,
}

impl Trace {
    async fn record(mut disk: SimDisk, batches: u64, seed: u64) -> Self {
        disk.trace();
        let store = Store::open(&disk.disk(), small()).await.unwrap();
        let mut state = content(&store).await;
        let mut random = Random::new(seed);
        let mut out = Self { disk, states: vec![state.clone()], begun: vec![0], flushed: Vec::new() };
        for _ in 0..batches {
            let key =
                |random: &mut Random| vec![b'a' + random.below(20) as u8; 1 + random.below(30) as usize];
            let batch = random.batch(Shape { changes: 3, deletes: 4 }, &mut state, key);
            let durability = if random.below(4) == 0 { Durability::Written } else { Durability::Flushed };
            out.begun.push(out.disk.moment());
            store.commit(batch, durability).await.unwrap();
            out.states.push(state.clone());
            if durability == Durability::Flushed {
                out.flushed.push((out.disk.moment(), out.states.len() - 1));
            }
        }
        store.close().await.unwrap();
        out.flushed.push((out.disk.moment(), out.states.len() - 1));
        out
    }

    /// The states that a crash at a moment may leave.
    fn allowed(&self, moment: usize) -> &[Content] {
        let flushed = self.flushed.iter().take_while(|(at, _)| *at <= moment);
        let first = flushed.last().map_or(0, |(_, state)| *state);
        let end = self.begun.iter().take_while(|at| **at <= moment).count();
        &self.states[first..end]
    }

    /// Looks at what each crash leaves, and shows it: moment, number, disk, content. Gives how many there were.
    async fn each_image(&self, look: impl AsyncFn(usize, usize, &SimDisk, &Content)) -> usize {
        let end = self.disk.moment();
        let mut images = 0;
        for moment in 0..=end {
            let allowed = self.allowed(moment);
            for (number, image) in self.disk.crashes(moment).iter().enumerate() {
                let found = content_of(image).await;
                assert!(allowed.contains(&found), "moment {moment} of {end}, image {number}: {found:?}");
                look(moment, number, image, &found).await;
                images += 1;
            }
        }
        images
    }
}

async fn content_of(disk: &SimDisk) -> Content {
    let read_only = Options { access: Access::ReadOnly, ..small() };
    let store = Store::open(&disk.disk(), read_only).await.unwrap();
    content(&store).await
}

#[test]
fn a_crash_at_any_moment_leaves_a_state_that_was() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        let trace = Trace::record(disk, 120, 3).await;
        let images = trace.each_image(async |_, _, _, _| {}).await;
        assert!(images > 1500, "{images} images");
    });
}

/// Where the header of the segment that was to follow cannot be written, that of the last one is written again.
#[test]
fn a_crash_while_the_log_goes_on_elsewhere() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        // The first sector of every third segment, but for the one that the log begins in.
        let make_bad = |disk: &SimDisk| {
            for segment in (2..33).step_by(3) {
                disk.break_writes((64 << 10) / 512 + segment * 32);
            }
        };
        make_bad(&disk);
        let trace = Trace::record(disk, 200, 5).await;
        let goes_on = async |moment: usize, number: usize, image: &SimDisk, found: &Content| {
            // And it goes on from there, on a disk that is as bad.
            if number == 0 && moment.is_multiple_of(5) {
                let image = image.copy();
                make_bad(&image);
                let again = Trace::record(image, 12, moment as u64).await;
                assert_eq!(again.states[0], *found);
                assert_eq!(Some(&content_of(&again.disk).await), again.states.last());
            }
        };
        let images = trace.each_image(goes_on).await;
        assert!(images > 2500, "{images} images");
    });
}

/// A superblock whose own sector cannot be written is in another one. What the failed write left is not known.
#[test]
fn a_crash_while_a_superblock_is_elsewhere() {
    for bad in [&[0][..], &[127], &[0, 127]] {
        run(async {
            let disk = formatted(600 << 10, &small()).await;
            let make_bad = |disk: &SimDisk| bad.iter().for_each(|sector| disk.break_writes(*sector));
            make_bad(&disk);
            let trace = Trace::record(disk, 60, 8).await;
            let goes_on = async |moment: usize, number: usize, image: &SimDisk, found: &Content| {
                // And it goes on from there, on a disk that is as bad, or as good as new.
                if number == 1 && moment.is_multiple_of(7) {
                    let image = image.copy();
                    if moment.is_multiple_of(2) {
                        make_bad(&image);
                    }
                    let again = Trace::record(image, 12, moment as u64).await;
                    assert_eq!(again.states[0], *found);
                    assert_eq!(Some(&content_of(&again.disk).await), again.states.last());
                }
            };
            let images = trace.each_image(goes_on).await;
            assert!(images > 700, "{images} images");
        });
    }
}

#[test]
fn a_crash_after_a_crash_brings_nothing_back() {
    run(async {
        let disk = formatted(600 << 10, &small()).await;
        let first = Trace::record(disk, 25, 4).await;
        let mut images = 0;
        for moment in (0..=first.disk.moment()).step_by(3) {
            let mut random = Random::new(moment as u64);
            let image = first.disk.after_crash(moment, &mut || random.number());
            let found = content_of(&image).await;
            // The same batches again: what the first crash left behind the log's end looks as what comes now.
            let second = Trace::record(image, 6, 4).await;
            assert_eq!(second.states[0], found, "moment {moment}");
            for later in 0..=second.disk.moment() {
                let allowed = second.allowed(later);
                for (number, image) in second.disk.crashes(later).iter().enumerate() {
                    let found = content_of(image).await;
                    assert!(allowed.contains(&found), "moment {moment}, then {later}, image {number}");
                    images += 1;
                }
            }
        }
        assert!(images > 1000, "{images} images");
    });
}
