//! Clocks and timers.

use alloc::vec::Vec;
use fata::prelude::*;
use fata::time::SystemTime;

/// The wall clock, for comparison with dom0's.
pub fn print_clocks(env: &Env) {
    let now = SystemTime::now();
    println!(env, "wall {} {}", now.since_unix().as_secs(), now.utc());
}

/// A thousand tasks that sleep, each at most a little longer than asked.
pub async fn many_timers(env: &Env) {
    let start = Instant::now();
    let tasks: Vec<_> = (0..1000u64)
        .map(|n| {
            spawn(async move {
                let due = Instant::now() + Duration::from_millis(n % 100 * 10);
                fata::time::sleep_until(due).await;
                assert!(Instant::now() >= due, "woken early");
            })
        })
        .collect();
    for task in tasks {
        task.await;
    }
    let elapsed = start.elapsed().as_millis();
    assert!((990..3000).contains(&elapsed), "the longest sleeps 990 ms, all took {elapsed} ms");
    println!(env, "timers done");
}

/// Nothing to do for 12 s: what it costs is the test's to measure.
pub async fn idle(env: &Env) {
    println!(env, "idle");
    sleep(Duration::from_secs(12)).await;
    println!(env, "awake");
}

/// Wakes up five thousand times: what a wake-up costs is the test's to measure.
pub async fn ticks(env: &Env) {
    let mut ticks = fata::time::interval(Duration::from_millis(1));
    println!(env, "ticking");
    for _ in 0..5000 {
        ticks.tick().await;
    }
    println!(env, "ticked");
}
