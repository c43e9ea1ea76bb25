//! Checkpoints: the memtable goes into the tree, the tail of the log is let go, segments are emptied and freed.
//!
//! One task makes them, beside commits. A round takes the memtable as it is, builds the tree in as many steps as there is space
//! for, and has each step on the medium, with the superblocks that say so, before it frees what the step made superfluous.

use super::build::{Build, Work};
use super::checksum::crc32c;
use super::clean::{self, Touches};
use super::frame::Kind;
use super::inner::{Inner, Mode};
use super::layout::Span;
use super::lock::until;
use super::space::encode_table;
use super::superblock::{self, Superblock, Top};
use super::{Error, Key};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The most octets that one step of a build writes.
const STEP: u64 = 32 << 20;
/// How often segments are emptied between two steps, at most.
const CLEANINGS: u32 = 16;

impl Inner {
    /// Octets of log after which the memtable goes into the tree.
    fn tail_limit(&self) -> u64 {
        let part = u64::from(self.layout.segments) * u64::from(self.layout.segment) / 16;
        (self.options.tail.max(1) as u64).min(part)
    }

    /// The most live octets that puts may lead to. The tails of the log take a segment each at least.
    pub(crate) fn space_limit(&self) -> u64 {
        self.space().limit(self.tail_limit().max(u64::from(self.layout.segment)))
    }

    /// Whether the log since the last checkpoint, or the memory for what is in it, is as large as may be.
    pub(crate) fn is_tail_long(&self) -> bool {
        self.log().tail >= self.tail_limit() || self.view().active.octets() >= self.options.tail.max(1)
    }

    /// Wakes the task if there is reason to.
    pub(crate) fn wake_checkpoint(&self) {
        if self.is_due() {
            self.rounds.begin.wake_all();
        }
    }

    fn is_due(&self) -> bool {
        let tail = self.log().tail;
        let space = self.space();
        let is_scarce = space.free() < space.low() && tail >= u64::from(self.layout.segment) / 2;
        is_scarce || self.is_tail_long()
    }

    /// The task that makes checkpoints. Its last act is that of closing.
    pub(crate) async fn checkpoint_all(self: Rc<Self>) {
        loop {
            let is_closing = until(&self.rounds.begin, || {
                let wanted = self.rounds.wanted.get() || (self.rounds.last.get().is_none() && self.is_due());
                match self.mode.get() {
                    Mode::Open | Mode::Closing if !wanted => None,
                    Mode::Open | Mode::Closing => Some(false),
                    _ => Some(true),
                }
            })
            .await;
            if self.mode.get() == Mode::Failed {
                break;
            }
            self.round().await;
            if is_closing {
                break;
            }
        }
        if self.mode.get() == Mode::Drained {
            self.set_mode(Mode::Closed);
        }
        self.task_ended();
    }

    async fn round(&self) {
        self.rounds.begun.set(self.rounds.begun.get() + 1);
        self.rounds.wanted.set(false);
        let result = self.checkpoint().await;
        if let Err(error @ Error::DamagedIndex { .. }) = result
            && self.rounds.last.get() != Some(error)
        {
            log::error!("kv: {error}");
        }
        self.rounds.last.set(result.err());
        self.count(|c| match result {
            Ok(()) => c.checkpoints += 1,
            Err(_) => c.failed_checkpoints += 1,
        });
        self.rounds.ended.set(self.rounds.ended.get() + 1);
        self.rounds.end.wake_all();
    }

    async fn checkpoint(&self) -> Result<(), Error> {
        self.freeze().await;
        self.reap();
        let mut work = Work { changes: self.frozen(), ..Work::default() };
        loop {
            self.clean().await?;
            work.budget = self.budget()?;
            match self.step(&work).await? {
                Some(from) => work.from = from,
                None => break,
            }
        }
        // What the log's tail held can be freed only now.
        self.clean().await
    }

    /// Builds a tree and installs it; gives where the next step has to go on.
    async fn step(&self, work: &Work) -> Result<Option<Key>, Error> {
        let result = self.try_step(work).await;
        if result.is_err() {
            let head = self.tree_head.get().map(|head| head.segment);
            self.space_mut().abandon(head);
        }
        result
    }

    async fn try_step(&self, work: &Work) -> Result<Option<Key>, Error> {
        let mut build = Build::new(self, work);
        let root = self.view().root.clone();
        let top = build.run(&root).await?;
        drop(root);
        let (rest, deltas) = (build.rest.take(), core::mem::take(&mut build.packer.deltas));
        let live = self.space().after(&deltas);
        let is_complete = rest.is_none() && work.changes.is_some();
        self.install(top, &live, is_complete).await?;
        Ok(rest)
    }

    fn frozen(&self) -> Option<Rc<super::memtable::Memtable>> {
        self.view().frozen.clone()
    }

    /// Octets of free segments, and of what is left of the log's.
    fn workspace(&self) -> u64 {
        let capacity = u64::from(self.layout.capacity());
        u64::from(self.space().free()) * capacity + u64::from(self.tree_room())
    }

    /// Octets that a step may write: half of what is free, so that the next step has as much.
    fn budget(&self) -> Result<u64, Error> {
        let capacity = u64::from(self.layout.capacity());
        match self.workspace().saturating_sub(2 * capacity) / 2 {
            0 => Err(Error::Full { free: self.space().free() }),
            octets => Ok(octets.min(STEP)),
        }
    }

    /// Empties segments while few are free and that helps.
    async fn clean(&self) -> Result<(), Error> {
        for _ in 0..CLEANINGS {
            let (free, low) = {
                let space = self.space();
                (space.free(), space.low())
            };
            if free >= low || !self.clean_once().await? {
                break;
            }
        }
        Ok(())
    }

    /// Empties a few segments, or some of what they hold; whether there was anything to move.
    async fn clean_once(&self) -> Result<bool, Error> {
        let margin = u64::from(self.layout.capacity()) / 4;
        let space = self.workspace().saturating_sub(margin);
        let budget = space.min(STEP);
        let tail = self.tail.get().log;
        let mut victims = self.space().victims(tail, budget / 4 * 3, space / 4 * 3);
        let mut touches = Touches::default();
        for victim in &victims {
            let before = touches.keys.len();
            clean::scan(self, *victim, &mut touches).await?;
            if touches.keys.len() == before && !touches.is_full() {
                self.space_mut().give_up(*victim);
            }
        }
        if touches.keys.is_empty() {
            return Ok(false);
        }
        victims.sort_unstable();
        let work = Work { victims, touches: touches.keys, budget, ..Work::default() };
        self.step(&work).await?;
        Ok(true)
    }

    /// Makes the memtable the one that goes into the tree, unless there still is one.
    async fn freeze(&self) {
        let _guard = self.lock.acquire().await;
        let mut view = self.view.borrow_mut();
        if view.frozen.is_some() {
            return;
        }
        let active = core::mem::take(&mut view.active);
        view.frozen = Some(active);
        let mut log = self.log.borrow_mut();
        log.tail = 0;
        self.frozen_at.set(Some(log.head));
    }

    /// Has a tree on the medium, then makes it the one that is read, and frees what it does not need.
    async fn install(&self, top: Option<Top>, live: &[u32], is_complete: bool) -> Result<(), Error> {
        let (table, live) = self.write_table(live).await?;
        let durable = self.flush_log().await?;
        let tail = self.frozen_at.get().filter(|_| is_complete).unwrap_or(self.tail.get());
        let generation = self.generation.get() + 1;
        let superblock = Superblock {
            id: self.id,
            layout: self.layout,
            generation,
            epoch: self.log().epoch,
            top,
            table: Some(table),
            tail,
            durable,
        };
        if let Err(e) = superblock::write(&self.disk, &superblock, &self.moved).await {
            return Err(self.fail(e));
        }
        self.generation.set(generation);
        self.tail.set(tail);
        self.set_root(top, generation);
        if is_complete {
            self.view.borrow_mut().frozen = None;
            self.frozen_at.set(None);
        }
        let head = self.tree_head.get().map(|head| head.segment);
        self.space_mut().install(&live, tail.log, generation, head);
        self.table.set(Some(table));
        self.reap();
        Ok(())
    }

    /// Writes the table of live octets, which counts itself in the place of the one before.
    async fn write_table(&self, live: &[u32]) -> Result<(Span, Vec<u32>), Error> {
        let len = live.len() as u32 * 4;
        loop {
            let mut live = live.to_vec();
            let (segment, offset) = self.tree_place(len)?;
            if let Some(before) = self.table.get() {
                live[before.segment as usize] -= before.len.min(live[before.segment as usize]);
            }
            live[segment as usize] = live[segment as usize].saturating_add(len);
            let octets = encode_table(&live);
            if self.tree_append(Kind::Table, &octets).await? {
                return Ok((Span { segment, offset, len, crc: crc32c(&octets) }, live));
            }
        }
    }
}
