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

/// From the first moment on the clock goes as the processor's counter does: it neither stands nor jumps.
pub fn passes_evenly(env: &Env) {
    /// Ticks of the counter: a tenth of a second or less where it counts gigahertz.
    const STEP: u64 = 100_000_000;
    let readings: Vec<_> = (0..9)
        .scan(reading(), |last, _| {
            while counter().wrapping_sub(last.0) < STEP {
                core::hint::spin_loop();
            }
            *last = reading();
            Some(*last)
        })
        .collect();
    let rate = |from: (u64, Instant), to: (u64, Instant)| {
        to.1.duration_since(from.1).as_secs_f64() / to.0.wrapping_sub(from.0) as f64
    };
    let mean = rate(readings[0], readings[8]);
    println!(env, "{:.3} GHz", 1e-9 / mean);
    for (n, step) in readings.windows(2).enumerate() {
        let slower = rate(step[0], step[1]) / mean;
        assert!(
            (0.8..1.25).contains(&slower),
            "step {n} took {slower} times as long as the others: {readings:?}"
        );
    }
    println!(env, "evenly");
}

/// The counter and the clock at one moment: of some looks the one that nothing came between.
fn reading() -> (u64, Instant) {
    let look = || {
        let (before, now) = (counter(), Instant::now());
        (counter().wrapping_sub(before), (before, now))
    };
    (0..20).map(|_| look()).min_by_key(|(took, _)| *took).expect("there are some").1
}

fn counter() -> u64 {
    // SAFETY: every x86-64 has it.
    unsafe { core::arch::x86_64::_rdtsc() }
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
