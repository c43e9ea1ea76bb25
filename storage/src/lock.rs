//! One at a time, for tasks.

use core::cell::{RefCell, RefMut};
use core::future::poll_fn;
use core::ops::{Deref, DerefMut};
use core::task::Poll;
use fata_libos::task::WakerSet;

/// A value that one task has at a time.
pub struct Lock<T> {
    value: RefCell<T>,
    waiting: WakerSet,
}

/// The value, until this is dropped.
pub struct Guard<'a, T> {
    value: RefMut<'a, T>,
    waiting: &'a WakerSet,
}

impl<T> Lock<T> {
    pub fn new(value: T) -> Self {
        Self { value: RefCell::new(value), waiting: WakerSet::new() }
    }

    /// Waits until nobody has it.
    pub async fn lock(&self) -> Guard<'_, T> {
        poll_fn(|cx| match self.value.try_borrow_mut() {
            Ok(value) => Poll::Ready(Guard { value, waiting: &self.waiting }),
            Err(_) => {
                self.waiting.register(cx);
                Poll::Pending
            }
        })
        .await
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // Who is woken is polled later, when the value is free.
        self.waiting.wake_all();
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}
