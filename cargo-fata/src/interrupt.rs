//! Ctrl-C: the first asks the work under way to end in order, a third ends the tool at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};

static COUNT: AtomicUsize = AtomicUsize::new(0);
const PATIENCE: usize = 3;

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

/// An error once the user wants to stop; waiting loops call it.
pub fn check() -> Result<()> {
    if requested() {
        bail!("interrupted");
    }
    Ok(())
}

/// Forgets a request that has been obeyed, so that cleaning up can use what checks for one.
pub fn clear() {
    COUNT.store(0, Ordering::SeqCst);
}
