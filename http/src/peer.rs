//! Who is at the other end of a connection, and what else is known of it.

use alloc::rc::Rc;
use core::any::Any;
use core::net::SocketAddr;

/// The other end of a connection. A plain address is one: `address.into()`.
#[derive(Clone)]
pub struct Peer {
    address: SocketAddr,
    about: Option<Rc<dyn Any>>,
}

impl Peer {
    /// With what the handlers of its requests are to know, by [`Request::about`](crate::Request::about): what a handshake has
    /// found out, say.
    pub fn with(address: SocketAddr, about: Rc<dyn Any>) -> Self {
        Self { address, about: Some(about) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn about(&self) -> Option<&dyn Any> {
        self.about.as_deref()
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { address, about: None }
    }
}
