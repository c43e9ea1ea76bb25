//! Being asked to leave: the platform says so once, tasks that listen are told.

use crate::local::local;
use crate::platform::Leave;
use crate::task::WakerSet;
use core::cell::Cell;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

struct State {
    requested: Cell<Option<Leave>>,
    grace: Cell<Option<Duration>>,
    waiting: WakerSet,
}

local! {
    static STATE: State = State {
        requested: Cell::new(None),
        grace: Cell::new(None),
        waiting: WakerSet::new(),
    };
}

local! {
    // By itself, so that the linker sees where nothing listens, and leaves out what waits for listeners.
    static HAS_LISTENERS: Cell<bool> = Cell::new(false);
}

/// Waits until the guest is asked to leave (`xl shutdown`, `xl reboot`), and says how. Every waiting task is told.
pub async fn requested() -> Leave {
    HAS_LISTENERS.with(|has| has.set(true));
    poll_fn(poll_requested).await
}

/// [`requested`] for the platform itself, which is not a listener.
pub fn poll_requested(cx: &mut Context<'_>) -> Poll<Leave> {
    STATE.with(|s| match s.requested.get() {
        Some(how) => Poll::Ready(how),
        None => {
            s.waiting.register(cx);
            Poll::Pending
        }
    })
}

/// Whether any task has listened for the request: one that does wants time to leave in order.
pub fn has_listeners() -> bool {
    HAS_LISTENERS.with(Cell::get)
}

/// Whether the guest has been asked to leave.
pub fn is_requested() -> Option<Leave> {
    STATE.with(|s| s.requested.get())
}

/// Sets how long the appliance may take for leaving in order: for one whose answers take longer than the platform would wait.
pub fn set_grace(time: Duration) {
    STATE.with(|s| s.grace.set(Some(time)));
}

/// The time that was set.
pub fn grace() -> Option<Duration> {
    STATE.with(|s| s.grace.get())
}

/// Asks the guest to leave: for platforms, and for an appliance that ends itself. The first request counts.
pub fn request(how: Leave) {
    STATE.with(|s| {
        if s.requested.get().is_none() {
            s.requested.set(Some(how));
        }
        s.waiting.wake_all();
    });
}
