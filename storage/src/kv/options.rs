//! What can be chosen, and what is counted.

use fata_libos::block::Access;
use fata_libos::time::Duration;

/// What a store is made and opened with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Octets of a segment, for [`format`](super::Store::format): a power of two; `None` is a thousandth of the disk.
    pub segment: Option<u32>,
    /// Octets of log, and of memory for what is in it, after which a checkpoint is made; twice that may be in use. An opening
    /// reads at most about that much.
    pub tail: usize,
    /// Octets of nodes of the index that are kept in memory.
    pub cache: usize,
    /// Octets of batches that may wait; who comes then waits before his batch is taken.
    pub queue: usize,
    /// The most octets of a batch; no more than half of what the store has room for in any case, see
    /// [`Store::max_batch`](super::Store::max_batch).
    /// While it is committed the short values of it are in memory twice; an opening after a crash reads the last batch in addition to the
    /// tail, and has its short values in memory.
    pub batch: u64,
    /// How many snapshots there may be at a time.
    pub snapshots: usize,
    /// Whether the disk is written to. A read-only disk can be opened for reading alone.
    pub access: Access,
    /// What to do where the log is damaged.
    pub damage: OnDamage,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment: None,
            tail: 1 << 20,
            cache: 512 << 10,
            queue: 256 << 10,
            batch: 20 << 20,
            snapshots: 64,
            access: Access::ReadWrite,
            damage: OnDamage::Refuse,
        }
    }
}

/// What to do where a part of the log that was flushed cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDamage {
    /// The store is not opened.
    Refuse,
    /// The store is opened for reading alone, with what is whole: [`Stats::lost_frames`] counts what is not.
    Salvage,
}

/// When a commit is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the medium.
    Flushed,
    /// When it has been handed to the device. It is on the medium after the next flush of the store; until then a crash may
    /// take it away, and with it all commits after it, but never one without those after it.
    Written,
}

/// Figures of an open store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Segments of the disk.
    pub segments: u32,
    /// Octets of a segment.
    pub segment_octets: u32,
    /// Segments that are free.
    pub free_segments: u32,
    /// Segments that hold nothing but what readers and snapshots of earlier states still need.
    pub pinned_segments: u32,
    /// Octets of the disk that hold the keys and values of the last checkpoint.
    pub live_octets: u64,
    /// The most that puts may lead `live_octets` to.
    pub limit_octets: u64,
    /// Octets of memory of what is not in the index yet.
    pub memtable_octets: usize,
    /// Octets of memory of nodes.
    pub cache_octets: usize,
    /// Octets of batches that wait.
    pub queue_octets: usize,
    /// Snapshots and cursors that are alive.
    pub snapshots: usize,
    /// Batches that were committed.
    pub commits: u64,
    /// Groups they were written in.
    pub groups: u64,
    /// Flushes of the log.
    pub flushes: u64,
    /// Octets appended to the log, of commits, nodes, and values that were moved.
    pub log_octets: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Checkpoints that failed, and are made again.
    pub failed_checkpoints: u64,
    /// Octets of values that were moved to empty segments.
    pub moved_octets: u64,
    /// How often a commit waited: for its turn and for room in the queue ([`Options::queue`]), or for checkpoints that make room on
    /// the disk or in memory. One that waited for both counts twice; who is in the queue behind one that waits does not count.
    pub stalls: u64,
    /// The longest of these waits, each from its beginning to its end, however many checkpoints it took.
    pub longest_stall: Duration,
    /// Batches that were refused because the store was full.
    pub refused: u64,
    /// Frames that could not be written where they were to be, and were written elsewhere.
    pub bad_writes: u64,
    /// Copies of the superblock, of two, whose sectors could not be written since the opening: they are in spare ones, and all goes on.
    pub bad_superblocks: u32,
    /// Frames of commits that the opening replayed.
    pub replayed_frames: u64,
    /// Octets that the opening read of the log.
    pub replayed_octets: u64,
    /// Frames that the opening found damaged ([`OnDamage::Salvage`]).
    pub lost_frames: u64,
}
