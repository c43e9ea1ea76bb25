//! What ends waiting early: Ctrl-C and the time limit of the work under way.
//!
//! Every loop that waits calls [`check`]. The first Ctrl-C asks the work under way to end in order, a third ends the tool.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

static COUNT: AtomicUsize = AtomicUsize::new(0);
const PATIENCE: usize = 3;

thread_local! {
    /// When this thread's work under way is to end, and how long it was given.
    static DEADLINE: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
    /// Whether this thread is cleaning up.
    static IGNORED: Cell<bool> = const { Cell::new(false) };
}

/// Catches SIGINT, SIGTERM and SIGHUP from here on.
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if COUNT.fetch_add(1, Ordering::SeqCst) + 1 >= PATIENCE {
            // QEMU dies with us: it asked the kernel for that.
            std::process::exit(130);
        }
    })?;
    Ok(())
}

/// Whether the user wants to stop.
pub fn requested() -> bool {
    COUNT.load(Ordering::SeqCst) > 0
}

/// Gives this thread's work under way so long, or, with `None`, as long as it takes.
pub fn set_limit(limit: Option<Duration>) {
    DEADLINE.set(limit.map(|limit| (Instant::now() + limit, limit)));
}

/// An error once the user wants to stop or time is up; waiting loops call it.
pub fn check() -> Result<()> {
    if IGNORED.get() {
        return Ok(());
    }
    if requested() {
        bail!("interrupted");
    }
    match DEADLINE.get() {
        Some((end, limit)) if Instant::now() > end => {
            bail!("its time limit of {} s is over", limit.as_secs())
        }
        _ => Ok(()),
    }
}

/// Cleans up: whatever is pending, [`check`] lets this thread go on.
pub fn ignored<T>(clean_up: impl FnOnce() -> T) -> T {
    let before = IGNORED.replace(true);
    let result = clean_up();
    IGNORED.set(before);
    result
}

/// Forgets a request that has been obeyed, so that cleaning up can use what checks for one.
pub fn clear() {
    COUNT.store(0, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_up_is_not_interrupted() {
        IGNORED.set(false);
        ignored(|| {
            ignored(|| ());
            assert!(IGNORED.get());
            check().unwrap();
        });
        assert!(!IGNORED.get());
    }
}
