//! Time: tells the hour every second, and leaves in order when it is asked to.
//!
//!     cargo fata run clock
//!     cargo run --example clock
#![no_std]
#![no_main]

use fata::prelude::*;
use fata::time::{SystemTime, interval, timeout};

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    let started = Instant::now();
    let ticking = spawn(tick(env.clone()));

    // Until `xl shutdown`, but no longer than a minute. `timeout` drops what takes longer.
    let asked = timeout(Duration::from_secs(60), env.shutdown()).await;

    // Dropping a task cancels it.
    drop(ticking);
    let why = if asked.is_ok() { "asked to leave" } else { "the minute is over" };
    println!(env, "{why} after {} s", started.elapsed().as_secs());
    Ok(())
}

async fn tick(env: Env) {
    // Unlike `sleep` in a loop, an interval does not drift by what the loop itself takes.
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        println!(env, "{}", SystemTime::now().utc());
    }
}
