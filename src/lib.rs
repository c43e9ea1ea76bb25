//! What an appliance depends on: picks the platform, starts it, re-exports the libraries.
//!
//! An appliance is an ordinary crate whose `main.rs` reads like a hosted program:
//!
//! ```ignore
//! #![no_std]
//! #![no_main]
//!
//! use fata::prelude::*;
//!
//! fata::main!(main);
//!
//! async fn main(env: Env) -> Result<()> {
//!     println!(env, "hello");
//!     Ok(())
//! }
//! ```
#![no_std]

extern crate alloc;
#[cfg(not(target_os = "xen"))]
extern crate std;

#[cfg(feature = "acme")]
pub mod acme;
mod appliance;
#[cfg(feature = "block")]
pub mod block;
#[cfg(any(feature = "net", feature = "block"))]
mod devices;
mod env;
mod error;
#[cfg(feature = "fetch")]
pub mod fetch;
#[cfg(feature = "storage")]
pub mod files;
#[cfg(target_os = "xen")]
mod guest;
#[cfg(not(target_os = "xen"))]
mod hosted;
#[cfg(feature = "https")]
pub mod https;
#[cfg(feature = "net")]
pub mod net;
mod until_end;

#[doc(hidden)]
pub use appliance::DevicesCheck;
#[doc(hidden)]
pub use appliance::boxed as __boxed;
pub use appliance::{Appliance, MainFuture};
#[cfg(any(feature = "net", feature = "block"))]
#[doc(hidden)]
pub use devices::all_there as __all_there;
pub use embedded_io_async as io;
pub use env::{Env, SHUTDOWN_GRACE};
pub use error::{Error, Result};
#[cfg(feature = "http")]
pub use fata_http as http;
pub use fata_libos::{channel, entropy, logging, memory, param, platform, shutdown, task, time};
#[cfg(feature = "storage")]
pub use fata_storage as storage;
#[cfg(feature = "tls")]
pub use fata_tls as tls;
#[cfg(not(target_os = "xen"))]
#[doc(hidden)]
pub use hosted::hosted as __hosted;
#[cfg(not(target_os = "xen"))]
pub use hosted::testing;
pub use log;
pub use task::spawn;

/// What most appliances name.
pub mod prelude {
    pub use crate::{Env, Result, println, spawn};
    pub use fata_libos::time::{Duration, Instant, sleep};
}
