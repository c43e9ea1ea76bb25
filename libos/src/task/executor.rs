//! The executor: a run queue, the timers, and the loop over both.

use crate::local::local;
use crate::platform::Platform;
use crate::time::{Instant, Timers};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use async_task::{Runnable, Task};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::{Future, poll_fn};
use core::panic::Location;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};

/// Task runs between two looks for events.
pub const BURST: usize = 64;

struct Runtime {
    platform: Cell<Option<&'static dyn Platform>>,
    queue: RefCell<Option<Arc<Queue>>>,
    timers: RefCell<Timers>,
    recent: Cell<Instant>,
}

/// Tasks that are ready. Behind a lock because a waker may be used from another thread on a hosted platform; in a guest
/// nobody ever waits for it.
#[derive(Default)]
struct Queue(spin::Mutex<VecDeque<Runnable>>);

local! {
    static RUNTIME: Runtime = Runtime {
        platform: Cell::new(None),
        queue: RefCell::new(None),
        timers: RefCell::new(Timers::new()),
        recent: Cell::new(Instant::from_nanos(0)),
    };
}

local! {
    static DOING: Cell<Activity> = Cell::new(Activity::Starting);
}

#[derive(Clone, Copy)]
enum Activity {
    Starting,
    Main,
    Task(&'static Location<'static>),
    Waiting,
}

/// What the loop is doing now, one line: for reports of a crash.
#[derive(Clone, Copy, Debug)]
pub struct Doing;

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DOING.with(Cell::get) {
            Activity::Starting => f.write_str("  while starting, before the first task"),
            Activity::Main => f.write_str("  while running main"),
            Activity::Task(place) => {
                write!(f, "  while running the task spawned at {}:{}", place.file(), place.line())
            }
            Activity::Waiting => f.write_str("  while waiting for events"),
        }
    }
}

/// A future that says where it was spawned while it runs.
struct Tracked<T> {
    place: &'static Location<'static>,
    future: Pin<Box<dyn Future<Output = T>>>,
}

impl<T> Future for Tracked<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        DOING.with(|d| d.set(Activity::Task(self.place)));
        self.future.as_mut().poll(cx)
    }
}

/// The platform below the running loop.
pub(crate) fn try_platform() -> Option<&'static dyn Platform> {
    RUNTIME.with(|r| r.platform.get())
}

pub(crate) fn platform() -> &'static dyn Platform {
    try_platform().expect("time and tasks work only inside block_on")
}

pub(crate) fn recent() -> Instant {
    RUNTIME.with(|r| r.recent.get())
}

pub(crate) fn with_timers<R>(f: impl FnOnce(&mut Timers) -> R) -> R {
    RUNTIME.with(|r| f(&mut r.timers.borrow_mut()))
}

fn queue() -> Arc<Queue> {
    RUNTIME.with(|r| r.queue.borrow_mut().get_or_insert_default().clone())
}

/// Starts a task. Dropping the returned [`Task`] cancels it; awaiting it gives its output; `detach` lets it run alone.
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_boxed(Location::caller(), Box::pin(future))
}

/// Makes one type of task for each type of output, not for each future: a type of task is near 1 kB of code.
fn spawn_boxed<T: 'static>(
    place: &'static Location<'static>,
    future: Pin<Box<dyn Future<Output = T>>>,
) -> Task<T> {
    #[cfg(not(target_os = "xen"))]
    let future = super::endable::endable(future);
    let future = Tracked { place, future };
    let queue = queue();
    let schedule = move |runnable| queue.0.lock().push_back(runnable);
    // SAFETY: a future that is not Send stays on this thread: runnables are taken only by this thread's loop, from this
    // thread's queue, and are dropped with it. The schedule function is Send, Sync and 'static.
    let (runnable, task) = unsafe { async_task::spawn_unchecked(future, schedule) };
    runnable.schedule();
    task
}

/// Starts a task that nobody waits for and nobody cancels: `spawn(future).detach()`, which in a guest is 600 octets less code for
/// each crate that does it.
#[track_caller]
pub fn spawn_detached(future: impl Future<Output = ()> + 'static) {
    start(Location::caller(), Box::pin(future));
}

/// Not generic, so that there is one type of task without output, made in this crate.
fn start(place: &'static Location<'static>, future: Pin<Box<dyn Future<Output = ()>>>) {
    spawn_boxed(place, future).detach();
}

/// Lets the other ready tasks run first.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct MainWaker(AtomicBool);

impl Wake for MainWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs `main` and all tasks on `platform` until `main` is done. Tasks still waiting then are left where they are.
///
/// # Panics
/// If called from inside itself.
pub fn block_on<F: Future>(platform: &'static dyn Platform, main: F) -> F::Output {
    let outer = RUNTIME.with(|r| r.platform.replace(Some(platform)));
    assert!(outer.is_none(), "block_on called from a task");
    RUNTIME.with(|r| r.recent.set(platform.now()));
    let ready = Arc::new(MainWaker(AtomicBool::new(true)));
    let waker = Waker::from(ready.clone());
    let mut cx = Context::from_waker(&waker);
    let mut main = pin!(main);
    let queue = queue();
    let out = loop {
        DOING.with(|d| d.set(Activity::Main));
        if ready.0.swap(false, Ordering::AcqRel)
            && let Poll::Ready(out) = main.as_mut().poll(&mut cx)
        {
            break out;
        }
        let idle = run_burst(&queue) && !ready.0.load(Ordering::Acquire);
        wait_for_events(platform, idle);
    };
    RUNTIME.with(|r| r.platform.set(None));
    out
}

/// Runs ready tasks, at most [`BURST`]; true if none is left.
fn run_burst(queue: &Queue) -> bool {
    for _ in 0..BURST {
        let next = queue.0.lock().pop_front();
        match next {
            Some(task) => task.run(),
            None => return true,
        };
    }
    queue.0.lock().is_empty()
}

fn wait_for_events(platform: &'static dyn Platform, idle: bool) {
    DOING.with(|d| d.set(Activity::Waiting));
    let deadline = if idle { with_timers(|t| t.next_deadline()) } else { Some(Instant::default()) };
    platform.wait(deadline);
    let now = platform.resumed();
    RUNTIME.with(|r| r.recent.set(now));
    fire_due_timers(now);
}

fn fire_due_timers(now: Instant) {
    while let Some(waker) = with_timers(|t| t.pop_due(now)) {
        waker.wake();
    }
}
