//! What ends an appliance's `main`.

use alloc::boxed::Box;

/// Any error: `?` turns every error type into it, and text too.
pub type Error = Box<dyn core::error::Error>;

/// The result of an appliance's `main`.
pub type Result<T, E = Error> = core::result::Result<T, E>;
