//! What an appliance says of itself, and the macro that says it.

use crate::{Env, Result};
use alloc::boxed::Box;
use core::future::Future;
use core::pin::Pin;
use fata_libos::param::{Param, Params};

/// A running `main`.
pub type MainFuture = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Looks whether the devices of a manifest are there.
#[doc(hidden)]
pub type DevicesCheck = for<'e> fn(&'e Env) -> Pin<Box<dyn Future<Output = Result<()>> + 'e>>;

/// An appliance, as [`main!`](crate::main) describes it.
pub struct Appliance {
    /// The image's name: of the binary or example.
    pub name: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// Its boot parameters: its own, and those of its network interfaces.
    pub params: &'static [Param],
    /// Whether the parameters fit together, where that takes more than looking at each; asked before anything starts.
    pub check: Option<fn(&Params) -> Result<()>>,
    /// Its `main`.
    pub main: fn(Env) -> MainFuture,
}

/// Names the appliance's `async fn main(env: Env) -> Result<()>`, in the root of its crate.
///
/// What the build script made of the manifest becomes three modules beside it: `networks`, a constant for each interface, for
/// [`Env::network`], `blocks`, one for each block device, for [`Env::block`], and `params`, one for each boot parameter, for
/// [`Env::param`].
///
/// ```ignore
/// fata::main!(main);
/// ```
///
/// What `examples/echo.toml` declares is there, with its type:
///
/// ```
/// # include!(concat!(env!("OUT_DIR"), "/echo.rs"));
/// # fn main() {}
/// async fn with(env: fata::Env) -> fata::Result<()> {
///     let port: u16 = env.param(params::PORT);
///     let network: fata::net::Network = env.network(networks::MAIN).await?;
///     # let _ = (port, network);
///     Ok(())
/// }
/// ```
///
/// A parameter that it does not declare, or as another type, and a device that it does not have, do not compile:
///
/// ```compile_fail,E0425
/// # include!(concat!(env!("OUT_DIR"), "/disk.rs"));
/// # fn main() {}
/// async fn with(env: fata::Env) -> fata::Result<fata::block::Disk> {
///     env.block(blocks::DATE).await
/// }
/// ```
///
/// ```compile_fail,E0425
/// # include!(concat!(env!("OUT_DIR"), "/echo.rs"));
/// # fn main() {}
/// fn with(env: fata::Env) -> u16 {
///     env.param(params::PROT)
/// }
/// ```
///
/// ```compile_fail,E0308
/// # include!(concat!(env!("OUT_DIR"), "/echo.rs"));
/// # fn main() {}
/// fn with(env: &fata::Env) -> &str {
///     env.param(params::PORT)
/// }
/// ```
///
/// ```compile_fail,E0425
/// # include!(concat!(env!("OUT_DIR"), "/echo.rs"));
/// # fn main() {}
/// async fn with(env: fata::Env) -> fata::Result<fata::net::Network> {
///     env.network(networks::BACK).await
/// }
/// ```
///
/// ```compile_fail,E0425
/// # include!(concat!(env!("OUT_DIR"), "/hello.rs"));
/// # fn main() {}
/// async fn with(env: fata::Env) -> fata::Result<fata::net::Network> {
///     env.network(networks::MAIN).await
/// }
/// ```
///
/// ```compile_fail,E0308
/// # include!(concat!(env!("OUT_DIR"), "/hello.rs"));
/// # fn main() {}
/// async fn with(env: fata::Env) -> fata::Result<fata::net::Network> {
///     env.network("main").await
/// }
/// ```
#[macro_export]
macro_rules! main {
    ($main:path $(,)?) => {
        include!(concat!(
            env!("OUT_DIR", "fata::main! needs a build.rs with `fn main() { fata_build::manifest() }`"),
            "/",
            env!("CARGO_BIN_NAME"),
            ".rs"
        ));
        $crate::__entry!($main);
        $crate::__note!();
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __appliance {
    ($main:path) => {
        $crate::Appliance {
            name: fata_manifest::NAME,
            version: fata_manifest::VERSION,
            params: &fata_manifest::PARAMS,
            check: fata_manifest::CHECK,
            main: |env| match fata_manifest::DEVICES {
                None => $crate::__boxed($main(env)),
                Some(are_there) => $crate::__boxed(async move {
                    are_there(&env).await?;
                    $main(env).await
                }),
            },
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
    ($main:path) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn fata_appliance() -> $crate::Appliance {
            $crate::__appliance!($main)
        }
    };
}

/// A process starts at C's `main`: the crate is `no_main`, as it is on a guest.
#[cfg(not(target_os = "xen"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __entry {
    ($main:path) => {
        // A test build has a `main` of its own.
        #[cfg_attr(not(test), unsafe(export_name = "main"))]
        #[cfg_attr(test, allow(dead_code))]
        extern "C" fn fata_process_main() -> i32 {
            $crate::__hosted($crate::__appliance!($main))
        }
    };
}

/// The ELF note in which an image carries its manifest, for tools to read: owner `Fata`, type 1, a text in TOML. The linker
/// script keeps its section.
#[cfg(target_os = "xen")]
#[doc(hidden)]
#[macro_export]
macro_rules! __note {
    () => {
        const _: () = {
            const TEXT: &str = fata_manifest::NOTE;
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
    () => {};
}
