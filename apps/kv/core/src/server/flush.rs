//! Puts what was changed on the disk, in batches.

use super::config::Durability;
use super::{Core, Server};
use crate::keep::rows::{Loader, Rows};
use crate::keep::{Journal, KeepError, Keeper, Safe};
use alloc::rc::Rc;
use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;
use fata::entropy;
use fata::task::WakerSet;
use fata::time::{Duration, sleep};

/// How long changes wait for a batch.
const PERIOD: Duration = Duration::from_millis(100);
/// And where nobody cares how long.
const LAZY: Duration = Duration::from_secs(1);
/// After a batch that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// A disk, and how far it is.
pub struct Disk {
    keeper: Rc<dyn Keeper>,
    rows: Rows,
    /// The batch that is being gathered; those before it are under way or done.
    open: Cell<u64>,
    /// The last batch that is over, and the last one that failed.
    done: Cell<u64>,
    failed: Cell<u64>,
    /// Whether the last one failed: nothing is changed until one succeeds.
    pub is_broken: Cell<bool>,
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
        keeper.load(&mut |name, value| loader.row(&mut self.core.borrow_mut().store, name, value)).await?;
        let secret = loader.secret.unwrap_or_else(|| [entropy::u64(), entropy::u64()]);
        let Core { store, hub } = &mut *self.core.borrow_mut();
        hub.config.fit_rows(keeper.most_row());
        store.drop_empty();
        store.journal = Some(Journal::default());
        let disk = Disk {
            keeper,
            rows: Rows::new(secret),
            open: Cell::new(1),
            done: Cell::new(0),
            failed: Cell::new(0),
            is_broken: Cell::new(false),
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
        if changes == 0 && disk.is_broken.get() {
            return true;
        }
        let (is_empty, is_heavy, durability) = {
            let core = self.core.borrow();
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

    /// Writes batches for ever.
    pub(super) async fn flush(self: Rc<Self>) {
        let Some(disk) = self.disk() else { return };
        loop {
            poll_fn(|cx| {
                if !self.has_changes() {
                    disk.wanted.register(cx);
                    return Poll::Pending;
                }
                Poll::Ready(())
            })
            .await;
            self.gather(&disk).await;
            if self.write_batch(&disk).await.is_err() {
                sleep(AGAIN).await;
            }
        }
    }

    /// Waits for as much as may go into one batch.
    async fn gather(&self, disk: &Disk) {
        let period = match self.core.borrow().hub.config.durability {
            Durability::EveryCommand => return,
            Durability::Every100Ms => PERIOD,
            Durability::None => LAZY,
        };
        let heavy = poll_fn(|cx| {
            let is_heavy = self.core.borrow().store.journal.as_ref().is_some_and(Journal::is_heavy);
            if is_heavy || disk.is_over.get() {
                return Poll::Ready(());
            }
            disk.wanted.register(cx);
            Poll::Pending
        });
        let _ = fata::time::timeout(period, heavy).await;
    }

    fn has_changes(&self) -> bool {
        self.core.borrow().store.journal.as_ref().is_some_and(|journal| !journal.is_empty())
    }

    async fn write_batch(&self, disk: &Disk) -> Result<(), KeepError> {
        let (rows, changes, safe) = {
            let core = &mut *self.core.borrow_mut();
            let changes = core.store.journal.as_mut().map(Journal::take).unwrap_or_default();
            let mut rows = disk.rows.of(&mut core.store, &changes);
            if !disk.has_header.get() {
                rows.insert(0, disk.rows.header());
            }
            let is_lazy = core.hub.config.durability == Durability::None && !disk.is_over.get();
            (rows, changes, if is_lazy { Safe::Later } else { Safe::Now })
        };
        let batch = disk.open.get();
        disk.open.set(batch + 1);
        let result = disk.keeper.commit(rows, safe).await;
        let core = &mut *self.core.borrow_mut();
        match result {
            Ok(()) => {
                disk.has_header.set(true);
                core.hub.figures.batches += 1;
                core.hub.figures.saved = core.store.now;
            }
            Err(error) => {
                if !disk.is_broken.get() {
                    fata::log::error!("what was changed is not on the disk: {error}");
                }
                core.hub.figures.failed_batches += 1;
                disk.failed.set(batch);
                // All of these keys again, with the next batch.
                if let Some(journal) = &mut core.store.journal {
                    changes.iter().for_each(|(name, _)| journal.touch_all(name.clone()));
                }
            }
        }
        disk.is_broken.set(result.is_err());
        core.hub.is_disk_broken = result.is_err();
        disk.done.set(batch);
        disk.progress.wake_all();
        result
    }

    /// Writes what is left, at the end.
    pub(super) async fn flush_all(&self) -> Result<(), KeepError> {
        let Some(disk) = self.disk() else { return Ok(()) };
        disk.is_over.set(true);
        disk.wanted.wake_all();
        while disk.open.get() != disk.done.get() + 1 {
            disk.wait(disk.open.get() - 1).await;
        }
        // An empty batch makes safe what was left for later.
        self.write_batch(&disk).await
    }
}

impl Disk {
    /// Something may have changed.
    pub(super) fn notice(&self) {
        self.wanted.wake_all();
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
