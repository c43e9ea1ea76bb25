//! One image for the boot tests: the boot parameter `case` says what it does, and each line it prints is for a test to
//! look at. The tests are in `cargo-fata/src/boot_tests`.
#![no_std]
#![no_main]

extern crate alloc;

mod crypto;
mod faults;
mod memory;
mod time;

use fata::prelude::*;

fata::main!(main);

async fn main(env: Env) -> Result<()> {
    match env.param(params::CASE) {
        "memory" => memory::fill(&env),
        "clock" => time::print_clocks(&env),
        "timers" => time::many_timers(&env).await,
        "even" => time::passes_evenly(&env),
        "ticks" => time::ticks(&env).await,
        "idle" => time::idle(&env).await,
        "console" => echo_lines(&env).await,
        "flood" => flood(&env),
        "shutdown" => wait_for_shutdown(&env).await,
        "deaf" => core::future::pending().await,
        "reboot" => {
            println!(env, "once more");
            fata::shutdown::request(fata::platform::Leave::Reboot);
            env.shutdown().await;
        }
        "error" => return Err("this main ends with an error".into()),
        "panic" => panic!("this panic is the test: {}", 6 * 7),
        "panic-in-task" => spawn(async { faults::panic_deep_inside(3) }).await,
        "log" => log_lines(),
        "random" => crypto::random(&env),
        "randoms" => crypto::randoms(&env).await,
        "vectors" => crypto::vectors(&env).await,
        case => match faults::by_name(case) {
            Some(fault) => fault(),
            None => return Err(alloc::format!("there is no case {case:?}").into()),
        },
    }
    Ok(())
}

/// Answers each line until one says `end`.
async fn echo_lines(env: &Env) {
    println!(env, "type");
    while let Some(line) = env.read_line().await {
        println!(env, "{} octets: {line}", line.len());
        if line == "end" {
            break;
        }
    }
}

/// More output at once than the console's ring holds, then a crash: every line must arrive.
fn flood(env: &Env) {
    for n in 0..1000 {
        println!(env, "line {n} of a flood that must arrive before the crash");
    }
    panic!("after the flood");
}

/// Ends in order, after some work that shutting down takes.
async fn wait_for_shutdown(env: &Env) {
    println!(env, "waiting");
    let how = env.shutdown().await;
    sleep(Duration::from_millis(300)).await;
    println!(env, "leaving in order: {how:?}");
}

fn log_lines() {
    for target in ["probe", "other::inner"] {
        fata::log::error!(target: target, "an error");
        fata::log::info!(target: target, "some news");
        fata::log::debug!(target: target, "a detail");
    }
}
