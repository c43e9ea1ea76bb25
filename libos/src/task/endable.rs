//! Tasks that can be ended all at once: what a host test has spawned goes when the test does, with what it holds. A test that
//! makes a thousand stacks would keep all of them otherwise.

use crate::local::local;
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

/// The future of a task, until it is ended.
struct Slot<T>(RefCell<Option<Boxed<T>>>);

trait End {
    fn end(&self);
}

impl<T> End for Slot<T> {
    fn end(&self) {
        // The one that runs, which ends the others, goes by itself.
        let future = self.0.try_borrow_mut().ok().and_then(|mut future| future.take());
        drop(future);
    }
}

struct Endable<T>(Rc<Slot<T>>);

impl<T> Future for Endable<T> {
    type Output = T;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.0.0.borrow_mut().as_mut() {
            Some(future) => future.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

struct Tasks {
    wanted: Cell<bool>,
    all: RefCell<Vec<Weak<dyn End>>>,
    /// How many there may be before those that have ended are taken out.
    limit: Cell<usize>,
}

local! {
    static TASKS: Tasks = Tasks { wanted: Cell::new(false), all: RefCell::new(Vec::new()), limit: Cell::new(0) };
}

/// Makes a task's future one that [`end_all`] ends, where [`collect`] was called.
pub(super) fn endable<T: 'static>(future: Boxed<T>) -> Boxed<T> {
    TASKS.with(|tasks| {
        if !tasks.wanted.get() {
            return future;
        }
        let slot = Rc::new(Slot(RefCell::new(Some(future))));
        let mut all = tasks.all.borrow_mut();
        if all.len() >= tasks.limit.get() {
            all.retain(|task| task.strong_count() > 0);
            tasks.limit.set(64 + 2 * all.len());
        }
        let task: Weak<dyn End> = Rc::downgrade(&(slot.clone() as Rc<dyn End>));
        all.push(task);
        Box::pin(Endable(slot))
    })
}

/// From now on tasks of this thread can be ended.
pub(crate) fn collect() {
    TASKS.with(|tasks| tasks.wanted.set(true));
}

/// Ends all tasks that were spawned since [`collect`], also those that others' ends spawn.
pub(crate) fn end_all() {
    loop {
        let all = TASKS.with(|tasks| tasks.all.take());
        if all.is_empty() {
            break;
        }
        all.iter().filter_map(Weak::upgrade).for_each(|task| task.end());
    }
    TASKS.with(|tasks| tasks.wanted.set(false));
}
