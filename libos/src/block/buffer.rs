//! Memory for sectors, in whole pages.

use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Octets of a page.
const PAGE_SIZE: usize = 4096;

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_SIZE]);

/// Octets on their way to a device or from it: an ordinary slice that begins at a page's start and has its pages to itself,
/// so that a device can be given access to them and to nothing else.
pub struct Buffer {
    pages: Vec<Page>,
    len: usize,
    #[cfg(feature = "secret")]
    is_secret: bool,
}

impl Buffer {
    /// A buffer of `len` zeroed octets; `None` where there is no memory for it.
    pub fn try_zeroed(len: usize) -> Option<Self> {
        let count = len.div_ceil(PAGE_SIZE);
        let mut pages = Vec::new();
        pages.try_reserve_exact(count).ok()?;
        pages.resize(count, Page([0; PAGE_SIZE]));
        Some(Self {
            pages,
            len,
            #[cfg(feature = "secret")]
            is_secret: false,
        })
    }

    /// A buffer of `len` zeroed octets.
    ///
    /// # Panics
    /// Where there is no memory for it, as everything does that allocates.
    pub fn zeroed(len: usize) -> Self {
        Self::try_zeroed(len).unwrap_or_else(|| panic!("no memory for a buffer of {len} octets"))
    }

    /// A buffer with a copy of these octets.
    pub fn copy_of(octets: &[u8]) -> Self {
        let mut buffer = Self::zeroed(octets.len());
        buffer.copy_from_slice(octets);
        buffer
    }

    /// Has it zeroed when it is dropped, whoever drops it: a task, or a driver whose task was cancelled.
    #[cfg(feature = "secret")]
    pub fn set_secret(&mut self) {
        self.is_secret = true;
    }

    /// Where the pages begin, for drivers. The pages are valid for reads and writes, to their ends, as long as the buffer;
    /// who uses the address sees to it that nobody else uses the buffer meanwhile.
    pub fn start(&mut self) -> NonNull<u8> {
        NonNull::from(self.pages.as_mut_slice()).cast()
    }
}

#[cfg(feature = "secret")]
impl Drop for Buffer {
    fn drop(&mut self) {
        if self.is_secret {
            zeroize::Zeroize::zeroize(&mut **self);
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: pages are arrays of octets without anything between, and `len` octets are within them.
        unsafe { core::slice::from_raw_parts(self.pages.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; borrowed for the buffer's own time.
        unsafe { core::slice::from_raw_parts_mut(self.pages.as_mut_ptr().cast(), self.len) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer of {} octets", self.len)
    }
}
