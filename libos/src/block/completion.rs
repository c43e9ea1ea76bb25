//! The two ends of a request in flight: the driver's and the waiting task's.

use super::{InFlight, Outcome};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;

use crate::task::WakerSet;

#[derive(Default)]
struct Shared {
    outcome: RefCell<Option<Outcome>>,
    waiting: WakerSet,
}

/// The driver's end of a request.
pub struct Completer(Rc<Shared>);

impl Completer {
    /// Tells the outcome.
    pub fn complete(self, outcome: Outcome) {
        *self.0.outcome.borrow_mut() = Some(outcome);
        self.0.waiting.wake_all();
    }
}

/// Both ends of a request, which ends when the first completes it.
pub fn completion() -> (Completer, InFlight) {
    let shared = Rc::<Shared>::default();
    let completer = Completer(shared.clone());
    let in_flight = poll_fn(move |cx| match shared.outcome.borrow_mut().take() {
        Some(outcome) => Poll::Ready(outcome),
        None => {
            shared.waiting.register(cx);
            Poll::Pending
        }
    });
    (completer, Box::pin(in_flight))
}
