//! An allocator that counts what each thread has in use.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Octets in use.
    pub static USED: Cell<isize> = const { Cell::new(0) };
    /// The most of it since somebody has set this.
    pub static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

impl Counting {
    fn add(octets: isize) {
        USED.set(USED.get() + octets);
        MOST.set(MOST.get().max(USED.get()));
    }
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size() as isize);
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::add(-(layout.size() as isize));
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `f` leaves in use each time, octets, and what was in use beside at most. What grows seldom, such as a list of timers, may do
/// so once.
#[allow(dead_code, reason = "each test file uses its part")]
pub async fn kept_each_time<T>(f: impl AsyncFn() -> T) -> (isize, isize) {
    drop(f().await);
    let (mut kept, mut most) = (isize::MAX, 0);
    for _ in 0..3 {
        let ((), held, beside) = measured(async { drop(f().await) }).await;
        (kept, most) = (kept.min(held), most.max(beside));
        if kept == 0 {
            break;
        }
    }
    (kept, most)
}

/// What `f` leaves in use, octets, and what was in use beside at most.
pub async fn measured<T>(f: impl Future<Output = T>) -> (T, isize, isize) {
    let before = USED.get();
    MOST.set(before);
    let value = f.await;
    (value, USED.get() - before, MOST.get() - before)
}
