//! What an appliance says of itself, and the macro that says it.

use crate::{Env, Result};
use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use fata_libos::param::Param;

/// A running `main`.
pub type MainFuture = Pin<Box<dyn Future<Output = Result<()>>>>;

/// An appliance, as [`main!`](crate::main) describes it.
pub struct Appliance {
    /// The image's name: of the binary or example.
    pub name: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// The names of its network interfaces: the first is the first `vif` of the configuration, and so on.
    pub networks: &'static [&'static str],
    /// The parameters that each interface has.
    pub network_params: &'static [Param],
    /// The appliance's own boot parameters.
    pub params: &'static [Param],
    /// Its `main`.
    pub main: fn(Env) -> MainFuture,
}

/// Names the appliance's `async fn main(env: Env) -> Result<()>`, its network interfaces and its boot parameters.
///
/// ```ignore
/// fata::main!(main);
/// fata::main!(main, networks: ["main"]);
/// fata::main!(main, networks: ["main", "back"], params: PARAMS);
/// ```
#[macro_export]
macro_rules! main {
    ($main:path $(, params: $params:expr)? $(,)?) => {
        $crate::__entry!($main, &[], &[], $crate::__own_params!($($params)?));
        $crate::__note!([]);
    };
    ($main:path, networks: [$($network:literal),+ $(,)?] $(, params: $params:expr)? $(,)?) => {
        $crate::__entry!($main, &[$($network),+], &$crate::net::PARAMS, $crate::__own_params!($($params)?));
        $crate::__note!([$($network),+]);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __own_params {
    () => {
        &[]
    };
    ($params:expr) => {
        &$params
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __appliance {
    ($main:path, $networks:expr, $network_params:expr, $params:expr) => {
        $crate::Appliance {
            name: env!("CARGO_BIN_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            networks: $networks,
            network_params: $network_params,
            params: $params,
            main: |env| $crate::__boxed($main(env)),
        }
    };
}

#[doc(hidden)]
pub fn boxed(main: impl Future<Output = Result<()>> + 'static) -> MainFuture {
    Box::pin(main)
}

/// The guest's entry code finds the appliance by this symbol.
#[cfg(target_os = "xen")]
#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    ($main:path, $networks:expr, $network_params:expr, $params:expr) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn fata_appliance() -> $crate::Appliance {
            $crate::__appliance!($main, $networks, $network_params, $params)
        }
    };
}

/// A process starts at C's `main`: the crate is `no_main`, as it is on a guest.
#[cfg(not(target_os = "xen"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    ($main:path, $networks:expr, $network_params:expr, $params:expr) => {
        // A test build has a `main` of its own.
        #[cfg_attr(not(test), unsafe(export_name = "main"))]
        #[cfg_attr(test, allow(dead_code))]
        extern "C" fn fata_process_main() -> i32 {
            $crate::__hosted($crate::__appliance!($main, $networks, $network_params, $params))
        }
    };
}

/// The ELF note in which an image says what it is, for tools to read: owner `Fata`, type 1, a text in TOML. The linker
/// script keeps its section.
#[cfg(target_os = "xen")]
#[doc(hidden)]
#[macro_export]
macro_rules! __note {
    ([$($first:literal $(, $more:literal)*)?]) => {
        const _: () = {
            const TEXT: &str = concat!(
                "name = \"", env!("CARGO_BIN_NAME"), "\"\n",
                "version = \"", env!("CARGO_PKG_VERSION"), "\"\n",
                "networks = [", $("\"", $first, "\"", $(", \"", $more, "\"",)*)? "]\n",
            );
            #[repr(C, align(4))]
            struct Note {
                sizes_and_type: [u32; 3],
                owner: [u8; 8],
                text: [u8; TEXT.len()],
            }
            #[used]
            #[unsafe(link_section = ".note.fata")]
            static NOTE: Note = Note {
                sizes_and_type: [5, TEXT.len() as u32, 1],
                owner: *b"Fata\0\0\0\0",
                text: *TEXT.as_bytes().first_chunk().unwrap(),
            };
        };
    };
}

#[cfg(not(target_os = "xen"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __note {
    ([$($network:literal),*]) => {};
}
