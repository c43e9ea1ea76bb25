//! From `main`'s start to its end, on every platform.

use crate::env::SHUTDOWN_GRACE;
use crate::{MainFuture, Result};
use alloc::boxed::Box;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use fata_libos::platform::Leave;
use fata_libos::shutdown;
use fata_libos::time::sleep;

/// Runs `main` to its end, or until the guest was asked to leave and the time for leaving in order is over.
pub(crate) async fn until_end(mut main: MainFuture) -> Result<Leave> {
    let mut grace = None;
    let result = poll_fn(|cx| match main.as_mut().poll(cx) {
        Poll::Pending => poll_end(&mut grace, cx).map(Ok),
        ended => ended,
    });
    result.await.map(|()| shutdown::is_requested().unwrap_or(Leave::PowerOff))
}

/// The time that `main` has for leaving in order. On the heap, so that images where nothing listens have no timers.
type Grace = Pin<Box<dyn Future<Output = ()>>>;

/// Ready when the guest was asked to leave and `main` has had its time, if it listens.
fn poll_end(grace: &mut Option<Grace>, cx: &mut Context<'_>) -> Poll<()> {
    if let Some(grace) = grace {
        return grace.as_mut().poll(cx);
    }
    ready!(shutdown::poll_requested(cx));
    if !shutdown::has_listeners() {
        return Poll::Ready(());
    }
    grace.insert(Box::pin(sleep(shutdown::grace().unwrap_or(SHUTDOWN_GRACE)))).as_mut().poll(cx)
}
