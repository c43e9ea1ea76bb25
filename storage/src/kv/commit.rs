//! Group commit: batches wait in a queue, one task writes all that wait as one group, and tells each what became of it.

use super::batch::Batch;
use super::group;
use super::inner::{Inner, Mode};
use super::lock::until;
use super::{Durability, Error, Key};
use crate::kv::memtable::Slot;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use fata_libos::task::WakerSet;
use fata_libos::time::Instant;

/// A group takes batches until it has so many octets.
const GROUP: u64 = 256 << 10;
/// Rounds of checkpoint and cleaning that a batch waits for before it is refused.
const PATIENCE: u32 = 6;

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Ticket {
    result: Cell<Option<Result<(), Error>>>,
    told: WakerSet,
}

impl Ticket {
    fn tell(&self, result: Result<(), Error>) {
        self.result.set(Some(result));
        self.told.wake_all();
    }
}

pub(crate) struct Waiting {
    batch: Batch,
    octets: u64,
    durability: Durability,
    ticket: Rc<Ticket>,
}

/// Batches that wait.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: RefCell<VecDeque<Waiting>>,
    octets: Cell<u64>,
    /// Who waits for room in the queue, in the order of asking.
    line: RefCell<VecDeque<u64>>,
    asked: Cell<u64>,
    /// Woken when something was added or taken, and when the mode changes.
    pub(crate) changed: WakerSet,
}

impl Queue {
    pub(crate) fn octets(&self) -> usize {
        self.octets.get() as usize
    }

    fn turn(&self) -> Turn<'_> {
        let number = self.asked.replace(self.asked.get() + 1);
        self.line.borrow_mut().push_back(number);
        Turn { queue: self, number }
    }
}

/// A place in the line of those who wait for room: a large batch, for which there is room only when little else waits, would
/// otherwise never find it beside somebody who has always a small one. Who does not want to wait any longer drops it.
struct Turn<'a> {
    queue: &'a Queue,
    number: u64,
}

impl Turn<'_> {
    fn is_first(&self) -> bool {
        self.queue.line.borrow().front() == Some(&self.number)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.queue.line.borrow_mut().retain(|number| *number != self.number);
        self.queue.changed.wake_all();
    }
}

impl Inner {
    /// Queues a batch and waits for what becomes of it.
    pub(crate) async fn commit(&self, batch: Batch, durability: Durability) -> Result<(), Error> {
        self.writable()?;
        batch.check(self.max_value(), self.max_batch())?;
        let octets = batch.octets();
        let limit = self.options.queue as u64;
        let turn = self.queue.turn();
        let has_room = || {
            let queued = self.queue.octets.get();
            let is_mine = turn.is_first() && (queued == 0 || queued + octets <= limit);
            (is_mine || self.mode.get() != Mode::Open).then_some(())
        };
        if has_room().is_none() {
            let start = Instant::now();
            until(&self.queue.changed, has_room).await;
            self.count_stall(start);
        }
        self.writable()?;
        let ticket = Rc::<Ticket>::default();
        self.queue.octets.set(self.queue.octets.get() + octets);
        let waiting = Waiting { batch, octets, durability, ticket: ticket.clone() };
        self.queue.waiting.borrow_mut().push_back(waiting);
        // Wakes who is next, and the task that commits.
        drop(turn);
        until(&ticket.told, || ticket.result.get()).await
    }

    /// The task that commits. Ends when the store is closed or has failed, and nobody waits.
    pub(crate) async fn commit_all(self: Rc<Self>) {
        while let Some(group) = self.next_group().await {
            self.commit_group(group).await;
            self.queue.changed.wake_all();
        }
        self.set_mode(match self.mode.get() {
            Mode::Failed => Mode::Failed,
            _ => Mode::Drained,
        });
        self.task_ended();
    }

    /// All that waits, up to the size of a group.
    async fn next_group(&self) -> Option<Vec<Waiting>> {
        until(&self.queue.changed, || {
            let mut waiting = self.queue.waiting.borrow_mut();
            if waiting.is_empty() {
                return (self.mode.get() != Mode::Open).then_some(None);
            }
            let mut octets = 0;
            let mut group = Vec::new();
            while let Some(first) = waiting.front() {
                if !group.is_empty() && octets + first.octets > GROUP {
                    break;
                }
                octets += first.octets;
                group.extend(waiting.pop_front());
            }
            self.queue.octets.set(self.queue.octets.get() - octets);
            // There is room for others, while this group is written.
            self.queue.changed.wake_all();
            Some(Some(group))
        })
        .await
    }

    async fn commit_group(&self, group: Vec<Waiting>) {
        let mut accepted: Vec<Waiting> = Vec::new();
        let mut ahead = 0;
        // What the space was like when a batch was refused after all patience: rounds would not help the next ones either.
        let mut full = None;
        for waiting in group {
            let is_in_vain = waiting.batch.puts() && full == Some(self.fullness());
            let patience = if is_in_vain { 0 } else { PATIENCE };
            match self.admit(&waiting, ahead, patience).await {
                Ok(()) => {
                    ahead += waiting.octets;
                    accepted.push(waiting);
                }
                Err(e) => {
                    if matches!(e, Error::Full { .. }) {
                        full = Some(self.fullness());
                    }
                    self.count(|c| c.refused += 1);
                    waiting.ticket.tell(Err(e));
                }
            }
        }
        if accepted.is_empty() {
            return;
        }
        let mut result = self.write_group(&accepted).await;
        let mut stall = None;
        for _ in 0..PATIENCE {
            if !matches!(result, Err(Error::Full { .. })) {
                break;
            }
            stall.get_or_insert_with(Instant::now);
            self.wait_for_round().await;
            result = self.write_group(&accepted).await;
        }
        stall.into_iter().for_each(|start| self.count_stall(start));
        if result.is_ok() {
            self.count(|c| {
                c.commits += accepted.len() as u64;
                c.groups += 1;
            });
        }
        for waiting in accepted {
            waiting.ticket.tell(result);
        }
    }

    /// Waits until there is room for a batch behind `ahead` octets, for at most `patience` rounds of checkpoint and cleaning.
    async fn admit(&self, waiting: &Waiting, ahead: u64, patience: u32) -> Result<(), Error> {
        let mut stall = None;
        let mut rounds = 0;
        let result = loop {
            if let Mode::Failed | Mode::ReadOnly = self.mode.get() {
                break Err(Error::Failed);
            }
            if !self.is_behind() && self.fits(&waiting.batch, ahead + waiting.octets) {
                break Ok(());
            }
            // A round that was needed and came upon a damaged node is not better the next time.
            let is_stuck = rounds > 0 && matches!(self.rounds.last.get(), Some(Error::DamagedIndex { .. }));
            if rounds == patience || is_stuck {
                break Err(self.rounds.last.get().unwrap_or(Error::Full { free: self.space().free() }));
            }
            rounds += 1;
            stall.get_or_insert_with(Instant::now);
            self.wait_for_round().await;
        };
        stall.into_iter().for_each(|start| self.count_stall(start));
        result
    }

    /// What a round of checkpoint and cleaning changes if it is of use: where it does not, another is of none.
    fn fullness(&self) -> (u32, u64) {
        let space = self.space();
        (space.free(), space.live())
    }

    /// Whether the log or the memory for what is in it has grown to its bound while an earlier part is in a checkpoint.
    fn is_behind(&self) -> bool {
        self.view().frozen.is_some() && self.is_tail_long()
    }

    fn fits(&self, batch: &Batch, octets: u64) -> bool {
        let space = self.space();
        let capacity = u64::from(self.layout.capacity());
        // Frames end with sectors, segments with what was too short for the next frame: an eighth more, and one segment.
        let needed = (octets + octets / 8).div_ceil(capacity) + 1;
        let free = u64::from(space.free());
        let checkpoint = u64::from(space.reserve_of_checkpoint());
        if !batch.puts() {
            return free >= checkpoint.min(2) + needed;
        }
        let view = self.view();
        let frozen = view.frozen.as_ref().map_or(0, |m| m.growth());
        let grown = space.live() + frozen + view.active.growth() + octets + octets / 16;
        free >= checkpoint + u64::from(space.reserve_of_deletes()) + needed && grown <= self.space_limit()
    }

    /// Has a round made that begins after now, and gives what became of it.
    pub(crate) async fn checkpoint_now(&self) -> Result<(), Error> {
        self.wait_for_round().await;
        match self.mode.get() {
            Mode::Failed => Err(Error::Failed),
            _ => self.rounds.last.get().map_or(Ok(()), Err),
        }
    }

    /// Counts a wait for room in the queue, for space or for memory, that is over.
    fn count_stall(&self, start: Instant) {
        let time = start.elapsed();
        self.count(|c| {
            c.stalls += 1;
            c.longest_stall = c.longest_stall.max(time);
        });
    }

    /// Has a round made that begins after now, and waits for its end.
    async fn wait_for_round(&self) {
        let wanted = self.rounds.begun.get() + 1;
        self.rounds.wanted.set(true);
        self.rounds.begin.wake_all();
        until(&self.rounds.end, || {
            (self.rounds.ended.get() >= wanted || self.mode.get() == Mode::Failed).then_some(())
        })
        .await;
    }

    /// Writes a group, flushes if one of it asks for that, and shows it to readers.
    async fn write_group(&self, group: &[Waiting]) -> Result<(), Error> {
        let _guard = self.lock.acquire().await;
        if self.mode.get() == Mode::Failed {
            return Err(Error::Failed);
        }
        if group.iter().any(|waiting| !waiting.batch.is_empty()) {
            self.write_changes(group).await
        } else {
            // Somebody wants what was written before to be flushed, and no more.
            self.flush_log().await.map(|_| ())
        }
    }

    async fn write_changes(&self, group: &[Waiting]) -> Result<(), Error> {
        let changes = group.iter().flat_map(|waiting| &waiting.batch.changes);
        let slots = group::Writer::new(self).write(changes).await?;
        if group.iter().any(|waiting| waiting.durability == Durability::Flushed) {
            self.flush_log().await?;
        }
        self.show(slots);
        self.wake_checkpoint();
        Ok(())
    }

    fn show(&self, slots: Vec<(Key, Slot)>) {
        let mut view = self.view.borrow_mut();
        let seq = self.log().head.seq - 1;
        for (key, slot) in slots {
            view.active.insert(key, seq, slot, self.seen.get());
        }
        view.seq = seq;
    }
}
