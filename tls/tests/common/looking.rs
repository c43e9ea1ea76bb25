//! An allocator that looks for a secret in what is given back.

use fata_libos::memory::is_zeroing;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, RefCell};

/// Octets that are looked for.
pub const PART: usize = 16;

thread_local! {
    static SECRET: Cell<[u8; PART]> = const { Cell::new([0; PART]) };
    static FOUND: Cell<usize> = const { Cell::new(0) };
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    /// Whether blocks are zeroed where somebody asks for that, as a guest's heap does.
    static ZEROES: Cell<bool> = const { Cell::new(true) };
    static WHERE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// The system's allocator, which looks at what is given back.
struct Looking;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: by the caller. With zeros: what nobody has written is no secret of ours.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ZEROES.get() && is_zeroing() {
            // SAFETY: by the caller it is a block of so many octets, which nobody uses any more.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        if LOOKS.get() {
            // SAFETY: by the caller it is a block of so many octets; `alloc` has set all of them.
            let octets = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let secret = SECRET.get();
            if octets.windows(PART).any(|window| window == secret) {
                LOOKS.set(false);
                FOUND.set(FOUND.get() + 1);
                let place = std::backtrace::Backtrace::force_capture().to_string();
                WHERE.with_borrow_mut(|places| places.push(format!("{} octets: {place}", layout.size())));
                LOOKS.set(true);
            }
        }
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Looking = Looking;

/// Has these octets looked for, of which the first count.
pub fn look_for(secret: &[u8]) {
    SECRET.set(secret[..PART].try_into().unwrap());
}

/// Whether blocks are zeroed from now on where somebody asks for that, as a guest's heap does.
#[allow(dead_code, reason = "not every test asks")]
pub fn zero_as_a_guest(zeroes: bool) {
    ZEROES.set(zeroes);
}

/// Octets of a key's text in PEM: of its first line, the end of which has the number that the key is.
#[allow(dead_code, reason = "not every test has keys")]
pub fn text_of(pem: &str) -> &[u8] {
    &pem.lines().nth(1).unwrap().as_bytes()[40..40 + PART]
}

/// Runs `f`; where blocks with the secret were given back meanwhile.
pub async fn found_in<T>(secret: &[u8], f: impl Future<Output = T>) -> (T, Vec<String>) {
    look_for(secret);
    LOOKS.set(true);
    let value = f.await;
    LOOKS.set(false);
    (value, WHERE.take())
}
