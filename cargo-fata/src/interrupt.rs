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
    /// For how long it has been paused since it began.
    static PAUSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
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

/// Ends all work under way, as the user's Ctrl-C does.
pub fn request() {
    COUNT.fetch_add(1, Ordering::SeqCst);
}

/// Whether the user wants to stop.
pub fn requested() -> bool {
    COUNT.load(Ordering::SeqCst) > 0
}

/// Gives this thread's work under way so long, or, with `None`, as long as it takes.
pub fn set_limit(limit: Option<Duration>) {
    DEADLINE.set(limit.map(|limit| (Instant::now() + limit, limit)));
}

/// Does what is not of this thread's work under way, for which its time does not count.
pub fn paused<T>(other: impl FnOnce() -> T) -> T {
    let (started, deadline, before) = (Instant::now(), DEADLINE.take(), PAUSED.get());
    let result = other();
    let took = started.elapsed();
    DEADLINE.set(deadline.map(|(end, limit)| (end + took, limit)));
    PAUSED.set(before + took);
    result
}

/// Measures work of this thread, without what it was [`paused`] for.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let (started, before) = (Instant::now(), PAUSED.get());
    let result = work();
    let paused = PAUSED.get() - before;
    (result, started.elapsed().saturating_sub(paused))
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
    fn what_is_not_of_the_work_does_not_count() {
        let moment = Duration::from_millis(10);
        set_limit(Some(Duration::ZERO));
        let before = DEADLINE.get().unwrap().0;
        let ((), took) = timed(|| {
            std::thread::sleep(moment);
            paused(|| {
                paused(|| std::thread::sleep(moment));
                std::thread::sleep(moment);
                check().unwrap();
            });
        });
        let later = DEADLINE.get().unwrap().0 - before;
        assert!(took >= moment && later >= moment * 2, "{took:?}, {later:?} later");
        assert_eq!(PAUSED.get(), later);
        assert!(check().is_err());
        set_limit(None);
    }

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
