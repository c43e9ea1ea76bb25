//! What the manifest asks for and what the machine has: nothing of a guest that lacks a device starts.

use crate::{Env, Result};
#[cfg(feature = "block")]
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
#[cfg(feature = "block")]
use alloc::string::{String, ToString};
#[cfg(feature = "block")]
use core::fmt;
use core::future::Future;
use core::pin::Pin;

/// A block device of the manifest.
#[cfg(feature = "block")]
pub(crate) struct Wanted {
    pub(crate) name: &'static str,
    /// The disk that the boot parameters say it is, or its place among the block devices.
    pub(crate) which: String,
    /// They do not say, and it may be missing.
    pub(crate) optional: bool,
}

/// Two block devices of the manifest that would be one disk.
#[cfg(feature = "block")]
#[derive(PartialEq, Eq, thiserror::Error)]
#[error(
    "boot parameter {name}: {value} is what {other} is too: two drivers of one disk would destroy what is on it"
)]
pub struct OneDisk {
    /// The parameter of the later one.
    pub name: String,
    /// Its value.
    pub value: String,
    /// The other one.
    pub other: &'static str,
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
#[cfg(feature = "block")]
impl fmt::Debug for OneDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Looks whether all devices of the manifest are there, before `main`; none is touched. The manifest's code asks for it where there
/// are several: one alone is missed when it is opened, and this is some kB.
#[doc(hidden)]
pub fn all_there(env: &Env) -> Pin<Box<dyn Future<Output = Result<()>> + '_>> {
    Box::pin(look(env))
}

#[cfg(target_os = "xen")]
async fn look(env: &Env) -> Result<()> {
    let shared = &env.shared;
    #[cfg(feature = "net")]
    {
        let count = shared.params.declared().filter(|param| param.name.ends_with(".ipv4")).count();
        shared.machine.find_networks(count).await?;
    }
    #[cfg(feature = "block")]
    {
        let mut found = alloc::vec::Vec::new();
        for Wanted { name, which, optional } in wanted(&shared.params) {
            if !optional || shared.machine.has_disk(name, &which).await? {
                let number = shared.machine.find_disk(name, &which).await?;
                found.push((name, which, number));
            }
        }
        no_two(".disk", &found)?;
    }
    Ok(())
}

/// A process has its files by its parameters, which were looked at before; an interface is a tap device, which tells when it is
/// opened, or the host's own sockets, which are always there.
#[cfg(not(target_os = "xen"))]
async fn look(_env: &Env) -> Result<()> {
    Ok(())
}

/// The block devices that the manifest declares, in its order.
#[cfg(feature = "block")]
pub(crate) fn wanted(params: &fata_libos::param::Params) -> impl Iterator<Item = Wanted> {
    let names = params.declared().filter_map(|param| Some((param.name, param.name.strip_suffix(".disk")?)));
    names.enumerate().map(|(place, (param, name))| {
        let said = params.get(param);
        let which = said.map_or_else(|| place.to_string(), ToOwned::to_owned);
        Wanted { name, which, optional: said.is_none() }
    })
}

/// An error where two of them are the same.
#[cfg(feature = "block")]
pub(crate) fn no_two<T: PartialEq>(
    ending: &str,
    found: &[(&'static str, String, T)],
) -> core::result::Result<(), OneDisk> {
    for (at, (name, value, one)) in found.iter().enumerate() {
        if let Some((other, ..)) = found[..at].iter().find(|(_, _, before)| before == one) {
            let name = (*name).to_owned() + ending;
            return Err(OneDisk { name, value: value.clone(), other });
        }
    }
    Ok(())
}
