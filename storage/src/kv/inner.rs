//! What the handles, readers and tasks of a store share.

use super::cache::Cache;
use super::commit::Queue;
use super::layout::{Layout, Span};
use super::lock::Lock;
use super::log::{Log, Position};
use super::memtable::Memtable;
use super::space::Space;
use super::superblock::{Moved, Top};
use super::tree_log::TreeHead;
use super::{Error, Options, Stats};
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell, RefMut};
use fata_libos::block::Disk;
use fata_libos::task::WakerSet;

/// A tree. Readers hold it; segments that only older trees need are freed when nobody holds one.
#[derive(Debug)]
pub(crate) struct Root {
    pub(crate) top: Option<Top>,
    pub(crate) generation: u64,
}

/// A state of the store: the tree, and what came after it.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) root: Rc<Root>,
    pub(crate) frozen: Option<Rc<Memtable>>,
    pub(crate) active: Rc<Memtable>,
    /// The last commit that is seen.
    pub(crate) seq: u64,
}

/// Whether the store takes writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Open,
    ReadOnly,
    /// After a write or a flush that failed.
    Failed,
    /// `close` was called, or the last handle is gone: what waits is still committed.
    Closing,
    /// Nothing waits; the last checkpoint is to be made.
    Drained,
    Closed,
}

/// What the checkpoint task and those who wait for it tell each other.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Rounds that have begun.
    pub(crate) begun: Cell<u64>,
    /// Rounds that have ended.
    pub(crate) ended: Cell<u64>,
    /// A round is wanted, whether there is much to do or not.
    pub(crate) wanted: Cell<bool>,
    /// What became of the last.
    pub(crate) last: Cell<Option<Error>>,
    /// Woken when a round is to begin.
    pub(crate) begin: WakerSet,
    /// Woken when one has ended.
    pub(crate) end: WakerSet,
}

pub(crate) struct Inner {
    pub(crate) disk: Disk,
    pub(crate) layout: Layout,
    pub(crate) id: [u8; 16],
    pub(crate) salt: u32,
    pub(crate) options: Options,
    pub(crate) mode: Cell<Mode>,
    pub(crate) view: RefCell<View>,
    /// The last commit that any reader was shown.
    pub(crate) seen: Cell<u64>,
    pub(crate) roots: RefCell<Vec<Weak<Root>>>,
    pub(crate) log: RefCell<Log>,
    /// Where the checkpoints write.
    pub(crate) tree_head: Cell<Option<TreeHead>>,
    /// The table of the last checkpoint.
    pub(crate) table: Cell<Option<Span>>,
    /// Held while commits are appended and shown, and while the memtable is frozen.
    pub(crate) lock: Lock,
    /// Where the frozen memtable ends and the active one begins.
    pub(crate) frozen_at: Cell<Option<Position>>,
    /// Where replay begins.
    pub(crate) tail: Cell<Position>,
    pub(crate) generation: Cell<u64>,
    pub(crate) space: RefCell<Space>,
    pub(crate) cache: RefCell<Cache>,
    pub(crate) queue: Queue,
    pub(crate) rounds: Rounds,
    pub(crate) counters: RefCell<Stats>,
    /// Snapshots and cursors.
    pub(crate) snapshots: Cell<usize>,
    /// Woken when the mode changes, and when a task ends.
    pub(crate) mode_changed: WakerSet,
    /// The store's own tasks that have not ended: those that write.
    pub(crate) tasks: Cell<u32>,
    /// The highest epoch of an opening that was tried after this one failed, and may have written a superblock.
    pub(crate) tried: Cell<u64>,
    /// The segment whose header is being written again, or was when that failed: which one it names as next is not known.
    pub(crate) redirecting: Cell<Option<u32>>,
    /// Copies of the superblock that are in their spare sectors.
    pub(crate) moved: Moved,
}

/// What is borrowed in many places is borrowed by one piece of code.
impl Inner {
    /// The log's end.
    #[inline(never)]
    pub(crate) fn log(&self) -> Log {
        *self.log.borrow()
    }

    #[inline(never)]
    pub(crate) fn view(&self) -> Ref<'_, View> {
        self.view.borrow()
    }

    #[inline(never)]
    pub(crate) fn space(&self) -> Ref<'_, Space> {
        self.space.borrow()
    }

    #[inline(never)]
    pub(crate) fn space_mut(&self) -> RefMut<'_, Space> {
        self.space.borrow_mut()
    }

    /// The state of now.
    pub(crate) fn now(&self) -> View {
        let view = self.view().clone();
        self.seen.set(self.seen.get().max(view.seq));
        view
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        self.mode.set(mode);
        self.mode_changed.wake_all();
        self.queue.changed.wake_all();
        self.rounds.begin.wake_all();
        self.rounds.end.wake_all();
    }

    /// The store takes no more writes: what is on the medium is not known.
    pub(crate) fn fail(&self, error: Error) -> Error {
        self.set_mode(Mode::Failed);
        error
    }

    /// Takes notice that one of the store's tasks is over.
    pub(crate) fn task_ended(&self) {
        self.tasks.set(self.tasks.get() - 1);
        self.mode_changed.wake_all();
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.counters.borrow_mut());
    }

    /// Whether changes can be taken.
    pub(crate) fn writable(&self) -> Result<(), Error> {
        match self.mode.get() {
            Mode::Open => Ok(()),
            Mode::ReadOnly => Err(Error::ReadOnly),
            Mode::Failed => Err(Error::Failed),
            Mode::Closing | Mode::Drained | Mode::Closed => Err(Error::Closed),
        }
    }

    /// Frees segments that no reader needs any more.
    pub(crate) fn reap(&self) {
        let mut roots = self.roots.borrow_mut();
        roots.retain(|root| root.strong_count() > 0);
        let generations = roots.iter().filter_map(|root| root.upgrade().map(|r| r.generation));
        let oldest = generations.min().unwrap_or(u64::MAX);
        self.space_mut().reap(oldest);
    }

    /// Makes a tree the one that is read.
    pub(crate) fn set_root(&self, top: Option<Top>, generation: u64) {
        let root = Rc::new(Root { top, generation });
        self.roots.borrow_mut().push(Rc::downgrade(&root));
        self.view.borrow_mut().root = root;
    }

    pub(crate) fn stats(&self) -> Stats {
        let space = self.space();
        let view = self.view();
        let frozen = view.frozen.as_ref().map_or(0, |m| m.octets());
        Stats {
            segments: self.layout.segments,
            segment_octets: self.layout.segment,
            free_segments: space.free(),
            pinned_segments: space.pinned(),
            live_octets: space.live(),
            limit_octets: self.space_limit(),
            memtable_octets: view.active.octets() + frozen,
            cache_octets: self.cache.borrow().octets(),
            queue_octets: self.queue.octets(),
            snapshots: self.snapshots.get(),
            bad_superblocks: self.moved.count(),
            ..*self.counters.borrow()
        }
    }
}
