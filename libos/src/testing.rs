//! A platform for host tests whose time stands still until every task waits, then jumps to the next deadline.

use crate::platform::{Leave, MemoryStats, Platform};
use crate::task::endable;
use crate::time::{Duration, Instant, SystemTime};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::Future;

/// 2026-01-01T00:00:00Z: the wall clock when virtual time starts.
pub const WALL_START: Duration = Duration::from_secs(1_767_225_600);

/// Virtual time, and a machine whose other sides a test sets.
pub struct VirtualPlatform {
    now: Cell<u64>,
    /// The wall clock when virtual time starts: [`WALL_START`].
    pub wall_start: Cell<Duration>,
    memory: RefCell<Box<dyn Fn() -> MemoryStats>>,
    /// Octets of its random source, if it has one.
    pub seed: Cell<Option<u8>>,
    /// See [`Platform::generation`].
    pub generation: Cell<u64>,
}

impl VirtualPlatform {
    /// A machine, for ever.
    pub fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            now: Cell::new(1_000_000),
            wall_start: Cell::new(WALL_START),
            memory: RefCell::new(Box::new(MemoryStats::default)),
            seed: Cell::new(Some(7)),
            generation: Cell::new(0),
        }))
    }

    /// What it says of its memory from now on, whenever it is asked; until then nothing.
    pub fn set_memory(&self, memory: impl Fn() -> MemoryStats + 'static) {
        *self.memory.borrow_mut() = Box::new(memory);
    }
}

impl fmt::Debug for VirtualPlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualPlatform").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Platform for VirtualPlatform {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.now.get())
    }
    fn wall_clock(&self, at: Instant) -> SystemTime {
        SystemTime::from_unix(self.wall_start.get() + Duration::from_nanos(at.as_nanos()))
    }
    fn wait(&self, deadline: Option<Instant>) {
        let deadline = deadline.expect("every task waits for something that can never happen");
        self.now.set(self.now.get().max(deadline.as_nanos()));
    }
    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        let octet = self.seed.get();
        seed.fill(octet.unwrap_or_default());
        octet.is_some()
    }
    fn generation(&self) -> u64 {
        self.generation.get()
    }
    fn memory(&self) -> MemoryStats {
        (self.memory.borrow())()
    }
    fn leave(&self, how: Leave) -> ! {
        panic!("the guest leaves: {how:?}")
    }
}

/// Runs `test` and what it spawns in virtual time. Tasks that still run when the test has ended are dropped.
///
/// # Panics
/// If all tasks wait and no timer is set: the test hangs.
pub fn run<F: Future>(test: F) -> F::Output {
    run_on(VirtualPlatform::new(), test)
}

/// The same in a guest whose memory is what `memory` says whenever it is asked; the default says nothing of it.
///
/// # Panics
/// As [`run`].
pub fn run_with_memory<F: Future>(memory: impl Fn() -> MemoryStats + 'static, test: F) -> F::Output {
    let platform = VirtualPlatform::new();
    platform.set_memory(memory);
    run_on(platform, test)
}

/// [`run`] on a machine that the test has set up.
///
/// # Panics
/// As [`run`].
pub fn run_on<F: Future>(platform: &'static VirtualPlatform, test: F) -> F::Output {
    crate::task::block_on(platform, async {
        endable::collect();
        let output = test.await;
        endable::end_all();
        output
    })
}

#[cfg(test)]
mod tests {
    use super::{run, run_with_memory};
    use crate::channel;
    use crate::platform::MemoryStats;
    use crate::task::{spawn, yield_now};
    use crate::time::{Duration, Instant, interval, sleep, timeout};
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn memory_is_what_the_test_says() {
        let free = Rc::new(Cell::new(7));
        let told = free.clone();
        let memory = move || MemoryStats { free: told.get(), ..MemoryStats::default() };
        run_with_memory(memory, async {
            assert_eq!(crate::memory::stats().free, 7);
            free.set(5);
            assert_eq!(crate::memory::stats().free, 5);
        });
    }

    #[test]
    fn sleeping_takes_exactly_its_time() {
        run(async {
            let start = Instant::now();
            sleep(Duration::from_secs(3600)).await;
            assert_eq!(start.elapsed(), Duration::from_secs(3600));
        });
    }

    #[test]
    fn tasks_run_side_by_side_and_give_their_output() {
        run(async {
            let start = Instant::now();
            let tasks: Vec<_> = (1..=10u64)
                .map(|n| {
                    spawn(async move {
                        sleep(Duration::from_secs(n)).await;
                        n
                    })
                })
                .collect();
            let mut sum = 0;
            for t in tasks {
                sum += t.await;
            }
            assert_eq!((sum, start.elapsed()), (55, Duration::from_secs(10)));
        });
    }

    #[test]
    fn a_dropped_task_is_cancelled_and_a_detached_one_is_not() {
        run(async {
            let count = Rc::new(Cell::new(0));
            let add = |n| {
                let count = count.clone();
                async move {
                    sleep(Duration::from_secs(1)).await;
                    count.set(count.get() + n);
                }
            };
            drop(spawn(add(1)));
            spawn(add(10)).detach();
            sleep(Duration::from_secs(2)).await;
            assert_eq!(count.get(), 10);
            assert_eq!(Rc::strong_count(&count), 1, "the futures are gone");
        });
    }

    #[test]
    fn what_a_test_has_spawned_ends_with_it() {
        let held = Rc::new(Cell::new(0));
        let spawn_one = |held: Rc<Cell<i32>>| {
            spawn(async move {
                sleep(Duration::from_secs(60)).await;
                held.set(1);
            })
            .detach();
        };
        run(async {
            for _ in 0..500 {
                spawn_one(held.clone());
            }
            assert_eq!(Rc::strong_count(&held), 501);
            sleep(Duration::from_secs(1)).await;
        });
        assert_eq!((Rc::strong_count(&held), held.get()), (1, 0));
        // The next one's tasks run as ever.
        run(async {
            spawn_one(held.clone());
            sleep(Duration::from_secs(61)).await;
        });
        assert_eq!((Rc::strong_count(&held), held.get()), (1, 1));
    }

    #[test]
    fn timeout_drops_what_takes_too_long() {
        run(async {
            assert!(timeout(Duration::from_secs(1), sleep(Duration::from_secs(2))).await.is_err());
            assert!(timeout(Duration::from_secs(2), sleep(Duration::from_secs(1))).await.is_ok());
            assert_eq!(crate::task::with_timers(|t| t.next_deadline()), None);
        });
    }

    #[test]
    fn an_interval_does_not_make_up_for_missed_ticks() {
        run(async {
            let start = Instant::now();
            let mut ticks = interval(Duration::from_secs(1));
            ticks.tick().await;
            sleep(Duration::from_millis(2500)).await;
            ticks.tick().await;
            ticks.tick().await;
            assert_eq!(start.elapsed(), Duration::from_millis(4500));
        });
    }

    #[test]
    fn channels_and_yields_order_tasks() {
        run(async {
            let (tx, rx) = channel::bounded(1);
            let sender = spawn(async move {
                for n in 0..100 {
                    tx.send(n).await.unwrap();
                }
            });
            for n in 0..100 {
                yield_now().await;
                assert_eq!(rx.recv().await, Ok(n));
            }
            sender.await;
            assert!(rx.recv().await.is_err(), "closed when the last sender is gone");
        });
    }

    #[test]
    fn a_busy_task_does_not_keep_timers_from_firing() {
        run(async {
            let busy = spawn(async {
                loop {
                    yield_now().await;
                }
            });
            // Virtual time moves only when all wait, so a busy task holds it; a deadline of now must fire all the same.
            sleep(Duration::ZERO).await;
            drop(busy);
        });
    }
}
