//! IPv6 (RFC 8200) of an interface: neighbours (RFC 4861), addresses (RFC 4862), groups (RFC 3810), ICMPv6 (RFC 4443).
//!
//! The rest of the stack reaches it by way of [`Inet6`] alone, and only an [`Ipv6Config`](crate::Ipv6Config) brings it in: an
//! image without one has nothing of this code.

#[allow(dead_code)]
mod chain;
#[allow(dead_code)]
mod choose;
#[allow(dead_code)]
mod headers;
#[allow(dead_code)]
mod host;
#[allow(dead_code)]
mod learned;
#[allow(dead_code)]
mod message;
#[allow(dead_code)]
mod mld;
#[allow(dead_code)]
mod own;
#[allow(dead_code)]
mod times;

use alloc::boxed::Box;
use core::fmt;

/// IPv6 of one interface, as the rest of the stack sees it.
pub(crate) trait Inet6 {}

/// Makes the IPv6 of an interface.
#[derive(Clone, Copy)]
pub(crate) struct Start(pub(crate) fn() -> Option<Box<dyn Inet6>>);

/// There is one way.
pub(crate) const START: Start = Start(|| None);

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start")
    }
}

impl PartialEq for Start {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Start {}
