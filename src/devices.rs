//! What the manifest asks for and what the machine has: nothing of a guest that lacks a device starts.

use crate::Result;
use crate::env::Shared;
#[cfg(feature = "block")]
use alloc::borrow::ToOwned;
#[cfg(feature = "block")]
use alloc::string::String;
use alloc::vec::Vec;

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

/// Looks whether all devices of the manifest are there before the first of several is opened; with one alone its own
/// opening tells. None is touched.
pub(crate) async fn all_there(shared: &Shared) -> Result<()> {
    if shared.devices_are_there.get() {
        return Ok(());
    }
    #[cfg(feature = "net")]
    let networks = shared.params.declared().filter(|param| param.name.ends_with(".ipv4")).count();
    #[cfg(not(feature = "net"))]
    let networks = 0;
    #[cfg(feature = "block")]
    let disks = wanted(&shared.params, ".disk").collect::<Vec<_>>();
    #[cfg(not(feature = "block"))]
    let disks = Vec::<()>::new();
    if networks + disks.len() > 1 {
        #[cfg(feature = "net")]
        shared.machine.find_networks(networks).await?;
        #[cfg(feature = "block")]
        {
            let mut found = Vec::with_capacity(disks.len());
            for (name, which) in disks {
                found.push((name, which, shared.machine.find_disk(name, which).await?));
            }
            no_two(".disk", &found)?;
        }
    }
    shared.devices_are_there.set(true);
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
