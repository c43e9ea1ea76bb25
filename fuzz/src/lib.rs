//! Tests that give hostile input to the libraries for as long as the clock says: [`fuzz`] makes inputs until its time is
//! up, [`mutated`] makes them of a corpus of good ones.
//!
//! The inputs are proptest's, which makes a failing one smaller. There is no feedback of coverage: that needs a nightly
//! compiler. `FATA_FUZZ_SECONDS` is the time of each target (1), `FATA_FUZZ_SEED` where the inputs start (the same in
//! every run); a failure says the seed that makes its input the first.
#![forbid(unsafe_code)]

mod mutation;

pub use mutation::{Changes, changes, mutated};

use std::cell::Cell;
use std::env;
use std::io::Write as _;
use std::panic::{resume_unwind, set_hook, take_hook};
use std::sync::Once;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Builder;
use std::time::{Duration, Instant};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

/// An input that takes longer is one that never ends: all waiting is in virtual time.
const ONE_INPUT: Duration = Duration::from_secs(30);
/// How long a failing input is made smaller.
const SHRINKING: Duration = Duration::from_secs(20);
/// The name of threads that try a smaller input.
const SMALLER: &str = "smaller input";
/// From an input's seed to the next one's: odd, so that all are different.
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Gives inputs to `test`, which panics at what must not happen, until the time is up.
///
/// # Panics
/// With the failing input, made as small as may be, and its seed.
pub fn fuzz<S: Strategy>(inputs: &S, test: fn(S::Value))
where
    S::Value: Clone + Send + 'static,
{
    fuzz_for(1, inputs, test);
}

/// The same, for a protocol that has much to say: where the clock says how long, for `times` that long.
///
/// # Panics
/// As [`fuzz`].
pub fn fuzz_for<S: Strategy>(times: u32, inputs: &S, test: fn(S::Value))
where
    S::Value: Clone + Send + 'static,
{
    let asked = variable("FATA_FUZZ_SECONDS").map(Duration::from_secs);
    let time = asked.map_or(Duration::from_secs(1), |time| time * times);
    let mut seed = variable("FATA_FUZZ_SEED").unwrap_or(0);
    let (started, mut count) = (Instant::now(), 0_u64);
    while count == 0 || started.elapsed() < time {
        one(inputs, test, seed);
        seed = seed.wrapping_add(STRIDE);
        count += 1;
    }
    println!("{count} inputs");
}

fn one<S: Strategy>(inputs: &S, test: fn(S::Value), seed: u64)
where
    S::Value: Clone + Send + 'static,
{
    silence_shrinking();
    let config = Config {
        failure_persistence: None,
        max_shrink_time: SHRINKING.as_millis() as u32,
        max_shrink_iters: 1 << 20,
        ..Config::with_cases(1)
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let thread_name = Cell::new(None);
    let result = TestRunner::new_with_rng(config, rng).run(inputs, |input| {
        // All that follow the first failing one are tries to make it smaller.
        let name = thread_name.replace(Some(SMALLER)).unwrap_or("input");
        apart(test, input, seed, name)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, input)) => panic!("{reason}\n{}\ninput: {input:?}", again(seed)),
        Err(error) => panic!("{error}\n{}", again(seed)),
    }
}

/// On a thread of its own, so that a panic leaves nothing behind for the next input.
fn apart<T: Send + 'static>(test: fn(T), input: T, seed: u64, name: &str) -> Result<(), TestCaseError> {
    let (done, over) = mpsc::channel();
    let run = move || {
        test(input);
        let _ = done.send(());
    };
    let thread = Builder::new().name(name.to_owned()).spawn(run).expect("a thread");
    if over.recv_timeout(ONE_INPUT) == Err(RecvTimeoutError::Timeout) {
        // The thread cannot be stopped. Not `eprintln`, which the test runner would keep to itself.
        let _ = writeln!(std::io::stderr(), "an input without an end\n{}", again(seed));
        std::process::abort();
    }
    thread.join().map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        match text {
            Some(text) => TestCaseError::fail(text),
            None => resume_unwind(panic),
        }
    })
}

/// Thousands of tries to make an input smaller panic in silence; what the smallest one said comes at the end.
fn silence_shrinking() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = take_hook();
        set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some(SMALLER) {
                usual(panic);
            }
        }));
    });
}

/// How to see it again.
fn again(seed: u64) -> String {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    format!("again with: FATA_FUZZ_SEED={seed} cargo test -p fata-fuzz {name}")
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_failure_says_its_seed_and_a_small_input() {
        let failed = catch_unwind(|| one(&(0..1000_u32), |n| assert!(n < 10, "{n} is too much"), 7));
        let said = failed.unwrap_err().downcast::<String>().unwrap();
        assert!(said.contains("FATA_FUZZ_SEED=7 ") && said.ends_with("input: 10"), "{said}");
    }
}
