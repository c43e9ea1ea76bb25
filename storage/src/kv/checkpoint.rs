//! Checkpoints: the memtable goes into the tree, the tail of the log is let go, segments are emptied and freed.
//!
//! One task makes them, beside commits. A round takes the memtable as it is, builds the tree in as many steps as there is space
//! for, and has each step on the medium, with the superblocks that say so, before it frees what the step made superfluous.

use super::build::{Build, Work};
use super::checksum::crc32c;
use super::clean;
use super::frame::Kind;
use super::inner::{Inner, Mode};
use super::layout::Span;
use super::lock::until;
use super::space::encode_table;
use super::superblock::{self, Superblock, Top};
use super::{Error, Key};
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// The most octets that one step of a build writes.
const STEP: u64 = 32 << 20;

impl Inner {
    /// Octets of log, and of memory, after which the memtable goes into the tree.
    pub(crate) fn tail_limit(&self) -> u64 {
        let eighth = u64::from(self.layout.segments) * u64::from(self.layout.segment) / 8;
        (self.options.tail as u64).min(eighth).max(u64::from(self.layout.segment))
    }

    /// Wakes the task if there is reason to.
    pub(crate) fn wake_checkpoint(&self) {
        if self.is_due() {
            self.rounds.begin.wake_all();
        }
    }

    fn is_due(&self) -> bool {
        let tail = self.log.borrow().tail;
        let limit = self.tail_limit();
        let space = self.space.borrow();
        let is_scarce = space.free() < space.low() && tail >= u64::from(self.layout.segment) / 2;
        let active = self.view.borrow().active.octets() as u64;
        tail >= limit || active >= limit || is_scarce
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
    }

    async fn round(&self) {
        self.rounds.begun.set(self.rounds.begun.get() + 1);
        self.rounds.wanted.set(false);
        let result = self.checkpoint().await;
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
        let (victims, touches) = self.choose_victims().await?;
        let mut work = Work { changes: self.frozen(), victims, touches, from: Rc::from(&[][..]), budget: 0 };
        loop {
            work.budget = self.budget()?;
            let mut build = Build::new(self, &work);
            let root = self.view.borrow().root.clone();
            let top = build.run(&root).await?;
            drop(root);
            let (rest, deltas) = (build.rest.take(), core::mem::take(&mut build.packer.deltas));
            let live = self.space.borrow().after(&deltas);
            self.install(top, &live, rest.is_none()).await?;
            match rest {
                Some(from) => work.from = from,
                None => return Ok(()),
            }
        }
    }

    fn frozen(&self) -> Option<Rc<super::memtable::Memtable>> {
        self.view.borrow().frozen.clone()
    }

    /// Octets that a step may write: half of what is free, so that the next step has as much.
    fn budget(&self) -> Result<u64, Error> {
        let free = self.space.borrow().free();
        let capacity = u64::from(self.layout.capacity());
        match u64::from(free.saturating_sub(1)) * capacity / 2 {
            0 => Err(Error::Full { free }),
            octets => Ok(octets.min(STEP)),
        }
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

    /// The segments to be emptied, and the keys at which the tree has something in them.
    async fn choose_victims(&self) -> Result<(BTreeSet<u32>, BTreeSet<Key>), Error> {
        let tail = self.tail.get().log;
        let victims: Vec<u32> = {
            let space = self.space.borrow();
            let budget = u64::from(space.free().saturating_sub(2)) * u64::from(self.layout.capacity()) / 2;
            if space.free() < space.low() { space.victims(tail, budget.min(STEP)) } else { Vec::new() }
        };
        let mut touches = BTreeSet::new();
        for victim in &victims {
            clean::scan(self, *victim, &mut touches).await?;
        }
        Ok((victims.into_iter().collect(), touches))
    }

    /// Has a tree on the medium, then makes it the one that is read, and frees what it does not need.
    async fn install(&self, top: Option<Top>, live: &[u32], is_complete: bool) -> Result<(), Error> {
        let table = {
            let _guard = self.lock.acquire().await;
            let octets = encode_table(live);
            let (segment, offset) = self.append(Kind::Table, 0, &octets).await?;
            Span { segment, offset, len: octets.len() as u32, crc: crc32c(&octets) }
        };
        let durable = self.flush_log().await?;
        let tail = self.frozen_at.get().filter(|_| is_complete).unwrap_or(self.tail.get());
        let generation = self.generation.get() + 1;
        let superblock = Superblock {
            id: self.id,
            layout: self.layout,
            generation,
            epoch: self.log.borrow().epoch,
            top,
            table: Some(table),
            tail,
            durable,
        };
        if let Err(e) = superblock::write(&self.disk, &superblock).await {
            return Err(self.fail(e));
        }
        self.generation.set(generation);
        self.tail.set(tail);
        self.set_root(top, generation);
        if is_complete {
            self.view.borrow_mut().frozen = None;
            self.frozen_at.set(None);
        }
        self.space.borrow_mut().install(live, tail.log, generation);
        self.reap();
        Ok(())
    }
}
