//! The console: bytes out that never wait, lines in.

use alloc::boxed::Box;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;

/// The longest line that [`Console::read_line`] returns; what a peer types beyond it is dropped and counted.
pub const MAX_LINE: usize = 4096;

/// A console of a platform.
pub trait Console {
    /// Writes bytes as they are; never waits. What a slow reader leaves no room for is kept up to a bound, then the oldest
    /// of it is dropped and a line says how much.
    fn write(&self, bytes: &[u8]);

    /// The next line typed, without its end; invalid UTF-8 is replaced. `None` when the platform has no input.
    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>>;
}
