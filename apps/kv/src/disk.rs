//! The rows of [`keep`](kv_core::keep) in a store on a block device.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::mem::take;
use fata::block::{Access, BlockError, Disk};
use fata_storage::kv::{Batch, Durability, Error, OnDamage, Options, Store};
use kv_core::data::map::Map;
use kv_core::data::names::Names;
use kv_core::keep::{Figures, KeepError, Keeper, Kept, Row, Safe, Visit};
use kv_core::server::hub::has_memory;

/// Octets at the beginning and at the end of a disk that are all 0 where nobody has written to it yet: there are the headers of
/// file systems and tables of partitions, and the second copies of those.
const BLANK: usize = 128 << 10;

/// What a row takes beside name and value, octets, and some more.
const ROW: usize = 64;

/// Octets of names between two looks at the guest's memory.
const LOOK: usize = 64 << 10;

/// A store on a disk.
pub struct DiskKeeper {
    disk: Disk,
    /// The store: first for reading alone, until all rows were read; another one after the disk has failed.
    store: RefCell<Option<Store>>,
    /// Parts of it that cannot be read. Where there are any, nothing is written.
    damaged_parts: Cell<u64>,
    /// Its writes to bad sectors that the log has told of.
    bad_writes: Cell<u64>,
}

/// Why a disk cannot be used.
#[derive(thiserror::Error)]
pub enum OpenError {
    /// The store is damaged, or of another kind; or the device fails.
    #[error("the disk cannot be used: {0}")]
    Store(#[from] Error),
    /// Somebody else's.
    #[error("the disk holds something that is no store: format=on destroys it and makes one")]
    Foreign,
    /// There is nothing to serve, and nothing can be made.
    #[error("the disk is read-only, and holds no store")]
    ReadOnly,
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<BlockError> for OpenError {
    fn from(error: BlockError) -> Self {
        Self::Store(error.into())
    }
}

impl DiskKeeper {
    /// Opens the store of a disk. One that is blank, at its beginning and its end, gets a store; with `format` every one does that has none.
    pub async fn open(disk: &Disk, format: bool) -> Result<Self, OpenError> {
        let is_read_only = disk.geometry().access == Access::ReadOnly;
        let (mut damage, mut is_made, mut is_retry) = (OnDamage::Refuse, false, false);
        let store = loop {
            match open(disk, Access::ReadOnly, damage).await {
                Ok(store) => break store,
                Err(Error::NoStore) if !is_made => {
                    if is_read_only {
                        return Err(OpenError::ReadOnly);
                    }
                    if !format && !is_blank(disk).await? {
                        return Err(OpenError::Foreign);
                    }
                    fata::log::info!("a store is made on the disk, which has none");
                    Store::format(disk, &Options::default()).await?;
                    is_made = true;
                }
                Err(error) if damage == OnDamage::Refuse && is_damage(&error) => {
                    fata::log::error!("disk: {error}");
                    // A drive may fail to read once what it reads the next time.
                    if is_retry || !matches!(error, Error::Block(_)) {
                        damage = OnDamage::Salvage;
                    }
                    is_retry = true;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let damaged_parts = if damage == OnDamage::Refuse { 0 } else { store.stats().lost_frames.max(1) };
        Ok(Self {
            disk: disk.clone(),
            store: RefCell::new(Some(store)),
            damaged_parts: Cell::new(damaged_parts),
            bad_writes: Cell::new(0),
        })
    }

    fn store(&self) -> Result<Store, Error> {
        self.store.borrow().clone().ok_or(Error::Closed)
    }

    fn has_damage(&self) -> bool {
        self.damaged_parts.get() > 0
    }

    /// Shows what can be read, and counts what cannot.
    async fn read(&self, visit: &mut Visit<'_>) -> Result<(), KeepError> {
        let mut cursor = self.store().map_err(|error| said(&error))?.range::<&[u8]>(..);
        loop {
            match cursor.next().await {
                Ok(Some((name, value))) => visit(&name, &value)?,
                Ok(None) => return Ok(()),
                // The cursor goes on behind it.
                Err(error) if is_damage(&error) => {
                    if !self.has_damage() {
                        fata::log::error!("disk: {error}");
                    }
                    self.damaged_parts.set(self.damaged_parts.get() + 1);
                }
                Err(error) => return Err(said(&error)),
            }
        }
    }

    /// After all was read: opens the store for changes, unless it is damaged.
    async fn open_for_changes(&self) -> Result<(), Error> {
        if self.has_damage() || self.disk.geometry().access == Access::ReadOnly {
            return Ok(());
        }
        // What it has in memory makes room for what the next one has.
        drop(self.store.take());
        match open(&self.disk, Access::ReadWrite, OnDamage::Refuse).await {
            Ok(store) => drop(self.store.replace(Some(store))),
            Err(error) if is_damage(&error) => {
                fata::log::error!("disk: {error}");
                self.damaged_parts.set(1);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends the use of the disk: the next opening need not read what was written since the last checkpoint.
    pub async fn close(&self) -> Result<(), Error> {
        match self.store.take() {
            Some(store) => store.close().await,
            None => Ok(()),
        }
    }

    /// Has the log say that sectors are bad, once a batch.
    fn tell_bad_writes(&self) {
        let bad = self.store().map_or(0, |store| store.stats().bad_writes);
        let told = self.bad_writes.replace(bad);
        if bad > told {
            fata::log::warn!("disk: {} writes met bad sectors, and were made elsewhere", bad - told);
        }
    }

    /// What the rows come to.
    async fn changes(store: &Store, rows: Vec<Row>) -> Result<Changes, Error> {
        let mut changes = Changes::default();
        for row in rows {
            match row {
                Row::Put(name, value) => {
                    changes.deletes.remove(&name);
                    match changes.puts.get_mut(&name) {
                        Some(before) => *before = value,
                        None => drop(changes.puts.add(name.into(), value)),
                    }
                }
                Row::Delete(name) => {
                    changes.deletes.insert(&name);
                }
                Row::DeletePrefix(prefix) => {
                    let mut cursor = store.prefix(&prefix);
                    let mut octets = LOOK;
                    while let Some(name) = cursor.next_key().await? {
                        octets += name.len() + ROW;
                        if octets > LOOK {
                            if !has_memory(LOOK) {
                                return Err(Error::NoMemory { octets: LOOK });
                            }
                            octets = 0;
                        }
                        changes.deletes.insert(&name);
                    }
                }
            }
        }
        Ok(changes)
    }

    async fn write(&self, rows: Vec<Row>, durability: Durability) -> Result<(), Error> {
        let (store, mut batch, mut octets) = (self.store()?, Batch::new(), 0);
        let Changes { mut puts, deletes } = Self::changes(&store, rows).await?;
        let most = store.max_batch();
        // More than the store takes at once is several, each of them whole. If not all of them are kept there is too much
        // rather than too little: first what is there, then what is gone.
        for at in 0..puts.len() + deletes.len() {
            let (name, value) = match at.checked_sub(puts.len()) {
                None => {
                    let (name, value) = puts.both_mut(at as u32);
                    (name, Some(take(value)))
                }
                Some(at) => (deletes.at(at as u32), None),
            };
            let len = (name.len() + value.as_ref().map_or(0, Vec::len) + ROW) as u64;
            if octets > 0 && octets + len > most {
                store.commit(take(&mut batch), Durability::Written).await?;
                octets = 0;
            }
            octets += len;
            match value {
                Some(value) => batch.put(&**name, value),
                None => batch.delete(&**name),
            };
        }
        if batch.is_empty() {
            return if durability == Durability::Flushed { store.flush().await } else { Ok(()) };
        }
        store.commit(batch, durability).await
    }
}

/// What rows come to: each name in one of the two.
#[derive(Default)]
struct Changes {
    puts: Map<Vec<u8>>,
    deletes: Names,
}

impl Keeper for DiskKeeper {
    fn most_row(&self) -> usize {
        let Ok(store) = self.store() else { return 0 };
        let batch = usize::try_from(store.max_batch()).unwrap_or(usize::MAX);
        store.max_value().min(batch).saturating_sub(ROW)
    }

    fn commit(&self, rows: Vec<Row>, safe: Safe) -> Kept<'_> {
        let durability = match safe {
            Safe::Now => Durability::Flushed,
            Safe::Later => Durability::Written,
        };
        Box::pin(async move {
            let result = self.write(rows, durability).await;
            self.tell_bad_writes();
            result.map_err(|error| said(&error))
        })
    }

    fn refuses(&self) -> Option<KeepError> {
        match () {
            () if self.has_damage() => Some(KeepError::Damaged),
            () if self.disk.geometry().access == Access::ReadOnly => Some(KeepError::ReadOnly),
            () => None,
        }
    }

    fn figures(&self) -> Figures {
        let stats = self.store().map(|store| store.stats()).unwrap_or_default();
        Figures {
            damaged_parts: self.damaged_parts.get(),
            free: stats.limit_octets.saturating_sub(stats.live_octets),
            stalls: stats.stalls,
            longest_stall: stats.longest_stall,
        }
    }

    fn mend(&self) -> Kept<'_> {
        Box::pin(async move {
            let store = self.store().map_err(|error| said(&error))?;
            if store.has_failed() {
                let opened = store.reopen().await.map_err(|error| said(&error))?;
                self.store.replace(Some(opened));
                fata::log::info!("disk: the store was opened anew");
            }
            Ok(())
        })
    }

    fn load<'a>(&'a self, visit: &'a mut Visit<'a>) -> Kept<'a> {
        Box::pin(async move {
            self.read(visit).await?;
            self.open_for_changes().await.map_err(|error| said(&error))?;
            if self.has_damage() {
                fata::log::error!(
                    "disk: {} parts are damaged: what is whole is served, and nothing is written",
                    self.damaged_parts.get()
                );
            }
            Ok(())
        })
    }
}

/// Opens the store of a disk.
async fn open(disk: &Disk, access: Access, damage: OnDamage) -> Result<Store, Error> {
    Store::open(disk, Options { access, damage, ..Options::default() }).await
}

/// Whether an error is that a part cannot be read, and others may be.
fn is_damage(error: &Error) -> bool {
    matches!(error, Error::Corrupt { .. } | Error::Block(BlockError::Failed { .. }))
}

/// The log has the store's own words.
fn said(error: &Error) -> KeepError {
    match error {
        Error::NoMemory { .. } => {
            fata::log::warn!("disk: {error}");
            KeepError::NoMemory
        }
        Error::Full { .. } | Error::ValueLength { .. } | Error::BatchLength { .. } => {
            fata::log::warn!("disk: {error}");
            KeepError::Full
        }
        _ => {
            fata::log::error!("disk: {error}");
            if *error == Error::ReadOnly { KeepError::ReadOnly } else { KeepError::Disk }
        }
    }
}

/// Whether a disk looks as if nobody had written to it. What lies between its beginning and its end is not looked at.
async fn is_blank(disk: &Disk) -> Result<bool, BlockError> {
    let geometry = disk.geometry();
    let sectors = ((BLANK / geometry.sector_size) as u64).min(geometry.sectors);
    for first in [0, geometry.sectors - sectors] {
        let octets = disk.read(first, sectors as usize).await?;
        if octets.iter().any(|octet| *octet != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
