//! The handles: a store, and a snapshot of one.

use super::batch::Batch;
use super::check::{self, Report};
use super::cursor::Cursor;
use super::inner::{Inner, Mode, View};
use super::item::change_len;
use super::lock::until;
use super::{Durability, Error, MAX_KEY, MAX_VALUE, Options, Stats, open};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::RangeBounds;
use fata_libos::block::Disk;

/// An open store. A clone is the same store; when the last is gone, it is closed as by [`close`](Self::close).
#[derive(Clone)]
pub struct Store {
    handle: Rc<Handle>,
}

struct Handle {
    inner: Rc<Inner>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.inner.mode.get() == Mode::Open {
            self.inner.set_mode(Mode::Closing);
        }
    }
}

impl Inner {
    /// The most octets of a value: what a leaf of the index can say where it is, and a batch can have under the longest key.
    pub(crate) fn max_value(&self) -> usize {
        let parts = 288;
        let batch = self.max_batch().saturating_sub(change_len(MAX_KEY, 0)) as usize;
        MAX_VALUE.min(parts * (self.layout.capacity() as usize - 2048)).min(batch)
    }

    /// The most octets of a batch.
    pub(crate) fn max_batch(&self) -> u64 {
        self.options.batch.min(self.space_limit() / 2)
    }
}

impl Store {
    /// Makes an empty store on a disk. What the disk held is lost.
    pub async fn format(disk: &Disk, options: &Options) -> Result<(), Error> {
        open::format(disk, options).await
    }

    /// Opens the store on a disk. There must be only one at a time.
    pub async fn open(disk: &Disk, options: Options) -> Result<Self, Error> {
        let inner = open::open(disk, options).await?;
        Ok(Self { handle: Rc::new(Handle { inner }) })
    }

    /// Opens a store that has failed anew on the same disk, as its last flush left it. One that has not failed is the same store.
    ///
    /// What was committed since that flush is gone, whole, although a cache of the device may still show it: who has it in
    /// memory commits it again. Handles, cursors and snapshots of before are of no use any more.
    ///
    /// As long as the disk does not work this fails, and can be tried again; so does [`Error::OtherStore`], if the disk came back as
    /// another one, or was written to by somebody else.
    pub async fn reopen(&self) -> Result<Self, Error> {
        if !self.has_failed() {
            return Ok(self.clone());
        }
        let inner = open::reopen(self.inner()).await?;
        Ok(Self { handle: Rc::new(Handle { inner }) })
    }

    /// Whether the store takes no more writes, as a write or a flush failed.
    pub fn has_failed(&self) -> bool {
        self.inner().mode.get() == Mode::Failed
    }

    fn inner(&self) -> &Rc<Inner> {
        &self.handle.inner
    }

    /// The value of a key, as of the last commit.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let view = self.inner().now();
        get(self.inner(), &view, key.as_ref()).await
    }

    /// Sets a key's value; it is on the medium when this returns. As with [`commit`](Self::commit) the future is to be polled to
    /// its end, or dropped.
    pub async fn put(&self, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.put(key, value);
        self.commit(batch, Durability::Flushed).await
    }

    /// Removes a key; that is on the medium when this returns.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut batch = Batch::new();
        batch.delete(key);
        self.commit(batch, Durability::Flushed).await
    }

    /// Does the changes of a batch, all or none. Readers see them when this returns, not before.
    ///
    /// If the future is dropped the batch may be done all the same.
    /// One that was polled has to be polled until it is done, or dropped: one that is only kept may hold up all other writers.
    pub async fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        self.inner().commit(batch, durability).await
    }

    /// Brings all that was committed before onto the medium.
    pub async fn flush(&self) -> Result<(), Error> {
        self.commit(Batch::new(), Durability::Flushed).await
    }

    /// The keys within bounds and their values, in order, as of now.
    pub fn range<K: AsRef<[u8]>>(&self, bounds: impl RangeBounds<K>) -> Cursor {
        self.held().range(bounds)
    }

    /// The keys that begin with a prefix and their values, in order, as of now.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Cursor {
        self.held().prefix(prefix)
    }

    fn held(&self) -> Snapshot {
        Snapshot { held: Rc::new(Held::new(self.inner().clone())) }
    }

    /// The store as it is now, for as long as the snapshot is held: segments that it needs are not used again meanwhile.
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        let limit = self.inner().options.snapshots;
        if self.inner().snapshots.get() >= limit { Err(Error::Snapshots { limit }) } else { Ok(self.held()) }
    }

    /// Figures.
    pub fn stats(&self) -> Stats {
        self.inner().stats()
    }

    /// The most octets of a value that a commit takes, under the longest key; at most [`MAX_VALUE`]. It depends on the size of
    /// the disk and of its segments, and stays the same while the store is open.
    pub fn max_value(&self) -> usize {
        self.inner().max_value()
    }

    /// The most octets of a batch ([`Batch::octets`]) that a commit takes. It stays the same while the store is open.
    pub fn max_batch(&self) -> u64 {
        self.inner().max_batch()
    }

    /// The store's identity, drawn when it was made.
    pub fn id(&self) -> [u8; 16] {
        self.inner().id
    }

    /// Makes a checkpoint now, and has segments emptied if few are free.
    pub async fn checkpoint(&self) -> Result<(), Error> {
        self.inner().writable()?;
        self.inner().checkpoint_now().await
    }

    /// Ends the store: what waits is committed, and a checkpoint made, so that the next opening has nothing to replay.
    pub async fn close(self) -> Result<(), Error> {
        let inner = self.inner().clone();
        if inner.mode.get() == Mode::Open {
            inner.set_mode(Mode::Closing);
        }
        let end = |mode| matches!(mode, Mode::Closed | Mode::Failed | Mode::ReadOnly);
        until(&inner.mode_changed, || end(inner.mode.get()).then_some(())).await;
        match inner.mode.get() {
            Mode::Failed => Err(Error::Failed),
            Mode::ReadOnly => Ok(()),
            _ => inner.rounds.last.get().map_or(Ok(()), Err),
        }
    }

    /// Reads everything, and says what was found: for tools that look after a store.
    pub async fn check(&self) -> Result<Report, Error> {
        check::check(self.inner(), &self.held()).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store on {:?}, {:?}", self.inner().disk, self.inner().mode.get())
    }
}

async fn get(inner: &Inner, view: &View, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    match inner.slot(view, key).await? {
        Some(slot) => inner.value(&slot).await.map(Some),
        None => Ok(None),
    }
}

/// A state that is held; it counts as a snapshot.
pub(crate) struct Held {
    pub(crate) inner: Rc<Inner>,
    pub(crate) view: View,
}

impl Held {
    fn new(inner: Rc<Inner>) -> Self {
        inner.snapshots.set(inner.snapshots.get() + 1);
        let view = inner.now();
        Self { inner, view }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.snapshots.set(self.inner.snapshots.get() - 1);
    }
}

/// A store as it was at one moment. A clone is the same moment.
#[derive(Clone)]
pub struct Snapshot {
    pub(crate) held: Rc<Held>,
}

impl Snapshot {
    /// The value of a key.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        get(&self.held.inner, &self.held.view, key.as_ref()).await
    }

    /// The keys within bounds and their values, in order.
    pub fn range<K: AsRef<[u8]>>(&self, bounds: impl RangeBounds<K>) -> Cursor {
        Cursor::of_range(self.held.clone(), &bounds)
    }

    /// The keys that begin with a prefix and their values, in order.
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Cursor {
        Cursor::of_prefix(self.held.clone(), prefix.as_ref())
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot of commit {}", self.held.view.seq)
    }
}
