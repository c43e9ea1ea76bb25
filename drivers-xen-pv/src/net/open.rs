//! Finding a network interface.

use super::device::Netfront;
use super::frontend;
use super::link::Link;
use super::pool::Limits;
use super::session::Site;
use super::terms::Identity;
use crate::xen::Xen;
use crate::xenbus::{Device, devices};
use crate::xenstore::{StoreError, XenStore};
use alloc::format;
use alloc::rc::Rc;
use core::fmt;
use fata_libos::memory;

/// Why there is no such interface.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The domain has fewer.
    #[error(
        "network interface {index} is missing, the domain has {have}: its xl configuration needs the line \
         `{}`", VifLine(.index + 1)
    )]
    NoSuchVif {
        /// Which one was asked for, from 0.
        index: usize,
        /// How many there are.
        have: usize,
    },
    /// XenStore did not say what it is.
    #[error("network interface {index}: {error}")]
    Store {
        /// Which one was asked for, from 0.
        index: usize,
        /// What went wrong.
        error: StoreError,
    },
}

/// As text: `dyn Error` brings the `Debug` of every error that reaches `main` into the image, and a derived one is long.
impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The line of an xl configuration that gives a domain so many interfaces.
struct VifLine(usize);

impl fmt::Display for VifLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("vif = [ 'bridge=xenbr0'")?;
        (1..self.0).try_for_each(|_| f.write_str(", 'bridge=xenbr0'"))?;
        f.write_str(" ]")
    }
}

/// Opens the domain's `index`-th network interface, in the order of their numbers, and connects it in the background.
///
/// The interface is down at first: [`is_up`](fata_libos::net::NetDevice::is_up) says when its back end is connected.
///
/// `queues` is how many pairs of queues it has, 1 to 8, where its back end offers as many.
pub async fn open(
    xen: &Rc<Xen>,
    store: XenStore,
    index: usize,
    queues: usize,
) -> Result<Netfront, OpenError> {
    open_with(xen, store, index, Limits::for_memory(memory::stats().total, queues)).await
}

/// The same with other limits of memory.
pub async fn open_with(
    xen: &Rc<Xen>,
    store: XenStore,
    index: usize,
    limits: Limits,
) -> Result<Netfront, OpenError> {
    let store_error = |error| OpenError::Store { index, error };
    let number = find(&store, index).await?;
    let identity = Identity::read(&Device::new(&store, "vif", number)).await.map_err(store_error)?;
    let link = Link::new(identity.terms());
    let name: Rc<str> = format!("vif{number}").into();
    let site = Site { xen: xen.clone(), store, link: link.clone(), name: name.clone(), limits, number };
    fata_libos::spawn_detached(frontend::run(site));
    Ok(Netfront::new(name, link))
}

/// The number of the domain's `index`-th network interface. It is not touched.
pub async fn find(store: &XenStore, index: usize) -> Result<u32, OpenError> {
    let numbers = devices(store, "vif").await.map_err(|error| OpenError::Store { index, error })?;
    numbers.get(index).copied().ok_or(OpenError::NoSuchVif { index, have: numbers.len() })
}

#[cfg(test)]
mod tests {
    use super::OpenError;

    #[test]
    fn a_missing_interface_names_the_line_that_is_missing() {
        let message = OpenError::NoSuchVif { index: 0, have: 0 }.to_string();
        assert_eq!(
            message,
            "network interface 0 is missing, the domain has 0: its xl configuration needs the line \
             `vif = [ 'bridge=xenbr0' ]`"
        );
        let message = OpenError::NoSuchVif { index: 1, have: 1 }.to_string();
        assert!(message.ends_with("`vif = [ 'bridge=xenbr0', 'bridge=xenbr0' ]`"), "{message}");
    }
}
