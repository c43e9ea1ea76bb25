//! What an appliance's `main` is given.

use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use fata_libos::console::Console;
use fata_libos::param::{Key, Param, Params, Value};
use fata_libos::platform::Leave;

#[cfg(all(any(feature = "net", feature = "block"), target_os = "xen"))]
use crate::guest::Machine;
#[cfg(all(any(feature = "net", feature = "block"), not(target_os = "xen")))]
use crate::hosted::Machine;
#[cfg(feature = "net")]
use crate::net::Stack;

/// The appliance's surroundings: parameters, console, devices. Cheap to clone.
#[derive(Clone)]
pub struct Env {
    pub(crate) shared: Rc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) params: Params,
    pub(crate) console: Rc<dyn Console>,
    #[cfg(any(feature = "net", feature = "block"))]
    pub(crate) machine: Machine,
    /// The block devices that are open. Leaked, as the stack is.
    #[cfg(feature = "block")]
    pub(crate) disks: core::cell::OnceCell<&'static crate::block::Disks>,
    #[cfg(feature = "net")]
    /// Leaked: a value here would bring the stack's drop code into images that have no network.
    pub(crate) stack: core::cell::OnceCell<&'static Stack>,
    /// Waits until what was written to connections is on its way: set by the first network, so that an image without one
    /// has no code for it.
    #[cfg(feature = "net")]
    pub(crate) drain: core::cell::Cell<Option<Drain>>,
}

/// See [`Shared::drain`].
#[cfg(feature = "net")]
pub(crate) type Drain =
    fn(&'static Stack) -> alloc::boxed::Box<dyn core::future::Future<Output = ()> + Unpin>;

impl Env {
    /// The value of a boot parameter: `let port: u16 = env.param(params::PORT)`.
    pub fn param<T: Value + ?Sized>(&self, key: Key<T>) -> T::Of<'_> {
        match T::of(self.shared.params.value(key.param())) {
            Some(value) => value,
            None => not_of_its_kind(key.param()),
        }
    }

    /// The boot parameters.
    pub fn params(&self) -> &Params {
        &self.shared.params
    }

    /// Writes text to the console. Never waits.
    pub fn print(&self, text: fmt::Arguments<'_>) {
        let text = alloc::fmt::format(text);
        self.shared.console.write(text.as_bytes());
    }

    /// The next line typed on the console; `None` when there is no input.
    pub async fn read_line(&self) -> Option<String> {
        self.shared.console.read_line().await
    }

    /// Waits until the guest is asked to leave. An appliance that listens has [`SHUTDOWN_GRACE`] to end its `main`; one
    /// that does not is ended at once.
    pub async fn shutdown(&self) -> Leave {
        fata_libos::shutdown::requested().await
    }
}

/// Every value was checked when the guest booted.
#[cold]
fn not_of_its_kind(param: &Param) -> ! {
    panic!("boot parameter {} is of another kind", param.name)
}

/// The time between a request to leave and leaving all the same.
pub const SHUTDOWN_GRACE: core::time::Duration = core::time::Duration::from_secs(10);

/// Writes a line to the appliance's console: `println!(env, "{} requests", n)`.
#[macro_export]
macro_rules! println {
    ($env:expr) => { $env.print(format_args!("\n")) };
    ($env:expr, $($text:tt)*) => { $env.print(format_args!("{}\n", format_args!($($text)*))) };
}
