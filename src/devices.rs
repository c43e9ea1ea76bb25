//! What the manifest asks for and what the machine has: nothing of a guest that lacks a device starts.

use crate::{Env, Result};
#[cfg(feature = "block")]
use alloc::borrow::ToOwned;
use alloc::boxed::Box;
#[cfg(feature = "block")]
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;

/// A block device of the manifest, and the disk that the boot parameters say it is.
#[cfg(feature = "block")]
type Wanted<'a> = (&'static str, &'a str);

/// Two block devices of the manifest that would be one disk.
#[cfg(feature = "block")]
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
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
        for (name, which) in wanted(&shared.params, ".disk") {
            found.push((name, which, shared.machine.find_disk(name, which).await?));
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

/// The block devices that the manifest declares, each with the value of its parameter that ends so.
#[cfg(feature = "block")]
pub(crate) fn wanted<'a>(
    params: &'a fata_libos::param::Params,
    ending: &'static str,
) -> impl Iterator<Item = Wanted<'a>> {
    params.declared().filter_map(move |param| {
        Some((param.name.strip_suffix(ending)?, params.get(param.name).unwrap_or_default()))
    })
}

/// An error where two of them are the same.
#[cfg(feature = "block")]
pub(crate) fn no_two<T: PartialEq>(
    ending: &str,
    found: &[(&'static str, &str, T)],
) -> core::result::Result<(), OneDisk> {
    for (at, (name, value, one)) in found.iter().enumerate() {
        if let Some((other, ..)) = found[..at].iter().find(|(_, _, before)| before == one) {
            let name = (*name).to_owned() + ending;
            return Err(OneDisk { name, value: (*value).to_owned(), other });
        }
    }
    Ok(())
}
