//! Puts what was changed on the disk, in batches.

use super::config::Durability;
use super::hub::spare_memory;
use super::{Core, Server};
use crate::data::map::Map;
use crate::keep::batch::{Batches, is_deletes};
use crate::keep::journal::{self, Change};
use crate::keep::rows::{Loader, Rows};
use crate::keep::{Journal, KeepError, Keeper, Kept, Safe};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::mem::take;
use core::task::Poll;
use fata::entropy;
use fata::task::{Task, WakerSet};
use fata::time::{Duration, Instant, sleep};

/// How long changes wait for a batch.
const PERIOD: Duration = Duration::from_millis(100);
/// And where nobody cares how long.
const LAZY: Duration = Duration::from_secs(1);
/// After a batch that failed; twice as long after each that follows, where it is the disk that fails.
const AGAIN: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A disk, and how far it is.
pub struct Disk {
    keeper: Rc<dyn Keeper>,
    rows: Rows,
    /// The batch that is being gathered; those before it are under way or done.
    open: Cell<u64>,
    /// The last batch that is over, and the last one that failed.
    done: Cell<u64>,
    failed: Cell<u64>,
    /// Whether something is written right now.
    is_busy: Cell<bool>,
    /// When what is owed is tried again.
    again: Cell<Instant>,
    /// Whether the rows' header was written.
    has_header: Cell<bool>,
    is_over: Cell<bool>,
    progress: WakerSet,
    wanted: WakerSet,
}

impl Server {
    /// Takes what a disk has into the data, and keeps all changes there from then on; how many rows there were.
    pub async fn attach(&self, keeper: Rc<dyn Keeper>) -> Result<u64, KeepError> {
        let mut loader = Loader::default();
        keeper.load(&mut |name, value| loader.row(&mut self.core_mut().store, name, value)).await?;
        let reason = keeper.refuses();
        if reason.is_some() {
            let Core { store, hub } = &mut *self.core_mut();
            store.drop_empty();
            hub.disk_fault = reason;
            hub.keeper = Some(keeper);
            return Ok(loader.count);
        }
        let secret = loader.secret.unwrap_or_else(|| [entropy::u64(), entropy::u64()]);
        let Core { store, hub } = &mut *self.core_mut();
        hub.config.fit_rows(keeper.most_row());
        hub.figures.saved = store.now;
        hub.keeper = Some(keeper.clone());
        hub.config.is_kept = true;
        store.drop_empty();
        let mut journal = Journal::default();
        if !loader.torn.is_empty() {
            fata::log::error!("of {} keys the disk has but a part", loader.torn.len());
            loader.torn.iter().for_each(|name| journal.touch_all(name.clone()));
        }
        store.journal = Some(journal);
        let disk = Disk {
            keeper,
            rows: Rows::new(secret),
            open: Cell::new(1),
            done: Cell::new(0),
            failed: Cell::new(0),
            is_busy: Cell::new(false),
            again: Cell::new(Instant::now()),
            has_header: Cell::new(loader.secret.is_some()),
            is_over: Cell::new(false),
            progress: WakerSet::new(),
            wanted: WakerSet::new(),
        };
        *self.disk.borrow_mut() = Some(Rc::new(disk));
        Ok(loader.count)
    }

    /// The disk, if there is one.
    pub fn disk(&self) -> Option<Rc<Disk>> {
        self.disk.borrow().clone()
    }

    /// After commands, which have made so many changes: waits until all is as safe as it has to be. False where it could not
    /// be made so.
    pub(super) async fn settled(&self, changes: u64) -> bool {
        let Some(disk) = self.disk() else { return true };
        let (is_empty, is_heavy, durability) = {
            let core = self.core_ref();
            if changes == 0 && core.hub.disk_fault.is_some() {
                return true;
            }
            let journal = core.store.journal.as_ref();
            let figures = journal.map_or((true, false), |journal| (journal.is_empty(), journal.is_heavy()));
            (figures.0, figures.1, core.hub.config.durability)
        };
        if is_empty && disk.open.get() == disk.done.get() + 1 {
            return true;
        }
        disk.wanted.wake_all();
        match durability {
            // What others have changed is waited for too, as one does who has read it.
            Durability::EveryCommand => {
                disk.wait(if is_empty { disk.open.get() - 1 } else { disk.open.get() }).await
            }
            _ if is_heavy => {
                disk.wait(disk.open.get()).await;
                true
            }
            _ => true,
        }
    }

    /// After `SAVE`: waits until all is on the medium. False where it could not be brought there.
    pub(super) async fn saved(&self) -> bool {
        let Some(disk) = self.disk() else { return true };
        disk.wanted.wake_all();
        disk.wait(disk.open.get()).await
    }

    /// Writes batches for ever.
    pub(super) async fn flush(self: Rc<Self>) {
        let Some(disk) = self.disk() else { return };
        let mut pause = AGAIN;
        loop {
            self.wait_for_changes(&disk).await;
            self.gather(&disk).await;
            // Where it is room that is wanting, what makes room does not wait.
            if self.write_batch(&disk).await.is_err_and(|error| !error.is_room()) {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            } else {
                pause = AGAIN;
            }
        }
    }

    /// Waits until something has changed, or what is owed is to be tried again.
    async fn wait_for_changes(&self, disk: &Disk) {
        let changed = poll_fn(|cx| {
            if self.journal(Journal::is_empty) && !self.core_ref().hub.is_saving {
                disk.wanted.register(cx);
                return Poll::Pending;
            }
            Poll::Ready(())
        });
        if !self.journal(Journal::owes) && !self.is_broken() {
            return changed.await;
        }
        let left = disk.again.get().duration_since(Instant::now());
        let _ = fata::time::timeout(left, changed).await;
    }

    /// What the journal says.
    fn journal(&self, ask: fn(&Journal) -> bool) -> bool {
        self.core_ref().store.journal.as_ref().is_some_and(ask)
    }

    /// Whether it is the disk itself that fails.
    fn is_broken(&self) -> bool {
        self.core_ref().hub.disk_fault.is_some_and(|fault| !fault.is_room())
    }

    /// Waits for as much as may go into one batch.
    async fn gather(&self, disk: &Disk) {
        let period = match self.core_ref().hub.config.durability {
            Durability::EveryCommand => return,
            Durability::Every100Ms => PERIOD,
            Durability::None => LAZY,
        };
        let heavy = poll_fn(|cx| {
            let is_wanted = disk.is_over.get() || self.core_ref().hub.is_saving;
            if is_wanted || self.journal(Journal::is_heavy) {
                return Poll::Ready(());
            }
            disk.wanted.register(cx);
            Poll::Pending
        });
        let _ = fata::time::timeout(period, heavy).await;
    }

    /// Writes what has changed. Where something is owed, deletes are written by themselves, and what is owed when its time has
    /// come: a full disk has room for deletes, and then for more.
    fn write_batch<'a>(&'a self, disk: &'a Disk) -> Kept<'a> {
        Box::pin(self.try_write_batch(disk))
    }

    async fn try_write_batch(&self, disk: &Disk) -> Result<(), KeepError> {
        disk.is_busy.set(true);
        let batch = disk.open.get();
        disk.open.set(batch + 1);
        if self.is_broken()
            && let Err(error) = disk.keeper.mend().await
        {
            self.core_mut().hub.figures.failed_batches += 1;
            disk.again.set(Instant::now() + AGAIN);
            disk.failed.set(batch);
            disk.end(batch);
            disk.is_busy.set(false);
            disk.progress.wake_all();
            return Err(error);
        }
        // Who asked for what is safe waits for this batch: with what is owed, or its fault.
        let (changes, is_divided, safe) = {
            let Core { store, hub } = &mut *self.core_mut();
            let is_lazy = hub.config.durability == Durability::None && !disk.is_over.get();
            let is_saving = take(&mut hub.is_saving);
            let wants_flush = store.journal.as_ref().is_some_and(Journal::wants_flush);
            let safe = if is_saving || !is_lazy || wants_flush { Safe::Now } else { Safe::Later };
            let (mut changes, mut is_divided) = (Map::new(), false);
            if let Some(mut journal) = store.journal.take() {
                changes = journal.take();
                // What a disk that failed has lost goes with what came later, so that it has no state that never was.
                let may_divide = !is_saving && hub.disk_fault.is_some_and(KeepError::is_room);
                is_divided = may_divide && journal.owes() && is_deletes(store, &changes);
                if !is_divided {
                    journal::add(&mut changes, journal.take_owed());
                }
                store.journal = Some(journal);
            }
            (changes, is_divided, safe)
        };
        let mut result = Ok(());
        if !is_divided || !changes.is_empty() {
            result = self.write_changes(disk, changes, safe).await;
        }
        if result.is_err() {
            disk.failed.set(batch);
        }
        disk.end(batch);
        if is_divided && result.is_ok() && disk.again.get() <= Instant::now() {
            let owed = self.core_mut().store.journal.as_mut().map(Journal::take_owed);
            result = self.write_changes(disk, owed.unwrap_or_default(), safe).await;
        }
        disk.is_busy.set(false);
        disk.progress.wake_all();
        result
    }

    /// Writes changes; those that cannot be written are owed.
    fn write_changes<'a>(&'a self, disk: &'a Disk, changes: Map<Change>, safe: Safe) -> Kept<'a> {
        Box::pin(self.try_write_changes(disk, changes, safe))
    }

    async fn try_write_changes(
        &self,
        disk: &Disk,
        changes: Map<Change>,
        safe: Safe,
    ) -> Result<(), KeepError> {
        let result = self.commit(disk, &changes, safe).await;
        let Core { store, hub } = &mut *self.core_mut();
        match result {
            Ok(()) => {
                hub.figures.batches += 1;
                if let Some(journal) = &mut store.journal {
                    journal.written(changes, safe);
                }
                if safe == Safe::Now && !store.journal.as_ref().is_some_and(Journal::owes) {
                    hub.figures.saved = store.now;
                }
            }
            Err(error) => {
                if hub.disk_fault.is_none() {
                    fata::log::error!("what was changed is not on the disk: {error}");
                }
                hub.figures.failed_batches += 1;
                disk.again.set(Instant::now() + AGAIN);
                if let Some(journal) = &mut store.journal {
                    journal.owe(changes);
                    if !error.is_room() {
                        journal.lose_unflushed();
                        disk.has_header.set(false);
                    }
                }
            }
        }
        let owes = store.journal.as_ref().is_some_and(Journal::owes);
        if let Err(error) = result
            && (owes || !error.is_room())
        {
            hub.disk_fault = Some(error);
        } else if !owes && hub.disk_fault.take().is_some() {
            fata::log::info!("what was changed is on the disk again");
        }
        result
    }

    /// Gives the rows of changes to the keeper, in as many batches as memory wants.
    async fn commit(&self, disk: &Disk, changes: &Map<Change>, safe: Safe) -> Result<(), KeepError> {
        let mut batches = Batches::new(disk.rows, changes);
        loop {
            let mut rows = batches.next(&mut self.core_mut().store, spare_memory() / 2)?;
            if !disk.has_header.get() {
                rows.insert(0, disk.rows.header());
            }
            let is_last = batches.is_done();
            disk.keeper.commit(rows, if is_last { safe } else { Safe::Later }).await?;
            disk.has_header.set(true);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Writes what is left, at the end, when no client changes anything any more. `flushing` is the task that has written
    /// until now.
    pub(super) async fn flush_all(&self, flushing: Task<()>) -> Result<(), KeepError> {
        let Some(disk) = self.disk() else { return Ok(()) };
        disk.is_over.set(true);
        disk.wanted.wake_all();
        // A batch under way is waited for, so that none is written beside it.
        disk.rest().await;
        drop(flushing);
        disk.again.set(Instant::now());
        let mut is_again = false;
        loop {
            // An empty batch makes safe what was left for later.
            if let Err(error) = self.write_batch(&disk).await {
                // It may be this batch that finds out: the next one has the disk mended first.
                if error.is_room() || is_again {
                    return Err(error);
                }
                is_again = true;
                continue;
            }
            if self.journal(|journal| journal.is_empty() && !journal.owes()) {
                return Ok(());
            }
        }
    }
}

impl Disk {
    /// Something may have changed.
    pub(super) fn notice(&self) {
        self.wanted.wake_all();
    }

    /// A batch is over.
    fn end(&self, batch: u64) {
        self.done.set(batch);
        self.progress.wake_all();
    }

    /// Waits until nothing is being written.
    async fn rest(&self) {
        poll_fn(|cx| {
            if !self.is_busy.get() {
                return Poll::Ready(());
            }
            self.progress.register(cx);
            Poll::Pending
        })
        .await;
    }

    /// Waits until a batch is over; whether it is on the disk.
    async fn wait(&self, batch: u64) -> bool {
        poll_fn(|cx| {
            if self.done.get() >= batch {
                return Poll::Ready(self.failed.get() < batch);
            }
            self.progress.register(cx);
            Poll::Pending
        })
        .await
    }
}
