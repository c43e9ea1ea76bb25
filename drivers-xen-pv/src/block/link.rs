//! What the handle and the task that keeps the device connected share.
//!
//! Requests are kept here from their submission until there is room on the ring. The task brings the link up with queues and
//! takes them away; whoever sees the back end break the protocol leaves the fault for the task, which closes the device.

use super::cache::Cache;
use super::fault::BlockFault;
use super::job::Job;
use super::merge::Kind;
use super::queues::Queues;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::task::{Context, Poll};
use fata_libos::block::{Access, Geometry, Outcome, Request};
use fata_libos::task::WakerSet;
use fata_libos::time::{Duration, sleep};

/// How long requests wait for a back end that went away to come back; then they end with an error, and so do new ones until
/// it is back.
pub const AWAY: Duration = Duration::from_secs(30);

/// Whether requests go to a back end, or wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Up,
    Away,
    Gone,
}

/// Why the handle's side has no use for the connection any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// The back end broke the protocol.
    Fault(BlockFault),
    /// Nobody has the handle any more.
    Unwanted,
}

struct State {
    geometry: Geometry,
    status: Status,
    queues: Option<Queues>,
    waiting: VecDeque<Rc<Job>>,
    lost: Option<Lost>,
    /// Times that the link went up or down.
    changes: usize,
}

pub(super) struct Link {
    state: RefCell<State>,
    /// What the appliance wants to do with the device.
    wanted: Access,
    cache: Rc<Cache>,
    /// Who waits for the first connection.
    opener: WakerSet,
    task: WakerSet,
}

impl Link {
    pub(super) fn new(wanted: Access) -> Rc<Self> {
        let state = State {
            geometry: Geometry::new(512, 0, wanted),
            status: Status::Away,
            queues: None,
            waiting: VecDeque::new(),
            lost: None,
            changes: 0,
        };
        let (opener, task) = (WakerSet::new(), WakerSet::new());
        Rc::new(Self { state: RefCell::new(state), wanted, cache: Rc::default(), opener, task })
    }

    pub(super) fn geometry(&self) -> Geometry {
        self.state.borrow().geometry
    }

    /// Whether the device has been connected.
    pub(super) fn poll_up(&self, cx: &Context<'_>) -> Poll<()> {
        if self.state.borrow().status == Status::Up {
            return Poll::Ready(());
        }
        self.opener.register(cx);
        Poll::Pending
    }

    /// Begins a request, which waits if it has to.
    pub(super) fn submit(&self, request: Request) -> Result<Rc<Job>, Outcome> {
        let mut state = self.state.borrow_mut();
        if let Err(error) = state.geometry.check(&request) {
            return Err(Outcome::refused(request, error));
        }
        let job = Job::new(request, state.geometry.sector_size, &self.cache);
        let tells = job.kind() == Kind::Flush && self.cache.is_lost();
        if tells {
            self.cache.told();
        }
        match state.status {
            Status::Up | Status::Away if !tells => state.waiting.push_back(job.clone()),
            _ => job.fail(job.gone()),
        }
        drop(state);
        job.finish();
        // The task issues it when those that are ready now have run: what they ask for goes as one, with one notification.
        self.task.wake_all();
        Ok(job)
    }

    /// The device is so from now on: false if it was already.
    pub(super) fn set_geometry(&self, mut geometry: Geometry) -> bool {
        if self.wanted == Access::ReadOnly {
            geometry.access = Access::ReadOnly;
        }
        let known = &mut self.state.borrow_mut().geometry;
        core::mem::replace(known, geometry) != geometry
    }

    /// Requests move from now on. Those that have waited for another disk than this one are refused where they do not fit it.
    pub(super) fn bring_up(&self, geometry: Geometry, queues: Queues) {
        self.set_geometry(geometry);
        let mut state = self.state.borrow_mut();
        let State { geometry, waiting, .. } = &mut *state;
        waiting.retain(|job| {
            let checked = job.check(geometry).map_err(|error| job.fail(error));
            job.finish();
            checked.is_ok()
        });
        state.queues = Some(queues);
        state.status = Status::Up;
        state.changes += 1;
        state.pump();
        drop(state);
        self.opener.wake_all();
    }

    /// No requests move from now on; those in the queues are the caller's to end, and then to [`return`](Self::retry).
    pub(super) fn take_down(self: &Rc<Self>) -> Option<Queues> {
        let mut state = self.state.borrow_mut();
        let queues = state.queues.take()?;
        state.status = Status::Away;
        state.changes += 1;
        drop(state);
        self.wait_no_longer();
        Some(queues)
    }

    /// Gives up in time, if there is no connection before.
    pub(super) fn wait_no_longer(self: &Rc<Self>) {
        let (link, changes) = (self.clone(), self.state.borrow().changes);
        fata_libos::spawn_detached(async move {
            sleep(AWAY).await;
            if link.state.borrow().changes == changes {
                link.give_up();
            }
        });
    }

    /// Takes what was in flight on a lost connection: it is issued again, once.
    pub(super) fn retry(&self, jobs: impl DoubleEndedIterator<Item = Rc<Job>>) {
        let mut state = self.state.borrow_mut();
        for job in jobs.rev() {
            let is_anew = job.begin_anew();
            let is_known = state.waiting.iter().any(|known| Rc::ptr_eq(known, &job));
            match is_anew {
                true if !is_known => state.waiting.push_front(job),
                true => {}
                false => {
                    state.waiting.retain(|known| !Rc::ptr_eq(known, &job));
                    job.finish();
                }
            }
        }
    }

    /// Takes notice that the connection, whose queues have ended, was not closed by its back end: what that had not flushed may be
    /// lost. The next back end knows nothing of it, so that the flushes that wait tell, or the next one.
    pub(super) fn lose_writes(&self) {
        self.cache.lose();
        if !self.cache.is_lost() {
            return;
        }
        let is_flush = |job: &Rc<Job>| job.kind() == Kind::Flush;
        self.state.borrow_mut().waiting.retain(|job| {
            if is_flush(job) {
                self.cache.told();
                job.fail(job.gone());
                job.finish();
            }
            !is_flush(job)
        });
    }

    /// Ends all requests that wait, and refuses new ones until a back end is there.
    pub(super) fn give_up(&self) {
        let mut state = self.state.borrow_mut();
        state.status = Status::Gone;
        let waiting = core::mem::take(&mut state.waiting);
        drop(state);
        for job in waiting {
            job.fail(job.gone());
            job.finish();
        }
    }

    /// The handle is gone: the task closes the device and ends.
    pub(super) fn abandon(&self) {
        self.lose(Lost::Unwanted);
    }

    fn lose(&self, lost: Lost) {
        self.state.borrow_mut().lost = Some(lost);
        self.task.wake_all();
    }

    /// Moves requests and responses; ready when the connection is of no use any more. Each reason is told once.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Lost> {
        self.serve(cx);
        if let Some(lost) = self.state.borrow_mut().lost.take() {
            return Poll::Ready(lost);
        }
        self.task.register(cx);
        Poll::Pending
    }

    fn serve(&self, cx: &mut Context<'_>) {
        let mut state = self.state.borrow_mut();
        let State { queues: Some(queues), waiting, .. } = &mut *state else { return };
        // One that has broken the rules once is not listened to any more.
        if let Err(fault) = queues.reap(cx, waiting) {
            state.lost.get_or_insert(Lost::Fault(fault));
            return;
        }
        state.pump();
    }
}

impl State {
    /// Puts onto the ring what there is room for.
    fn pump(&mut self) {
        let Some(queues) = &mut self.queues else { return };
        if matches!(self.lost, Some(Lost::Fault(_))) {
            return;
        }
        queues.issue(&mut self.waiting);
        queues.push();
    }
}
