//! What an appliance's `main` is given.

use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use fata_libos::console::Console;
use fata_libos::param::Params;
use fata_libos::platform::Leave;

#[cfg(target_os = "xen")]
use crate::guest::Machine;
#[cfg(all(feature = "net", not(target_os = "xen")))]
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
    #[cfg(feature = "net")]
    pub(crate) machine: Machine,
    #[cfg(feature = "net")]
    pub(crate) networks: &'static [&'static str],
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
    /// The value of a boot parameter that the appliance declared.
    ///
    /// # Panics
    /// If it declared none of that name, or one without a default that was not given.
    pub fn param(&self, name: &str) -> &str {
        self.shared
            .params
            .get(name)
            .unwrap_or_else(|| panic!("no boot parameter \"{name}\" is declared with a default"))
    }

    /// The value of a boot parameter, as a type: `let port: u16 = env.param_as("port")`.
    ///
    /// # Panics
    /// As [`param`](Self::param), and if values of the parameter's kind are not of this type.
    pub fn param_as<T: core::str::FromStr>(&self, name: &str) -> T {
        let value = self.param(name);
        value.parse().unwrap_or_else(|_| panic!("boot parameter {name}={value} is of another kind"))
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

/// The time between a request to leave and leaving all the same.
pub const SHUTDOWN_GRACE: core::time::Duration = core::time::Duration::from_secs(10);

/// Writes a line to the appliance's console: `println!(env, "{} requests", n)`.
#[macro_export]
macro_rules! println {
    ($env:expr) => { $env.print(format_args!("\n")) };
    ($env:expr, $($text:tt)*) => { $env.print(format_args!("{}\n", format_args!($($text)*))) };
}
