//! Names.

use super::stack::Below;
use super::{Error, Stack};
use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use fata_unix::Reactor;
use fata_unix::resolve::{self, ResolveError};

/// Finds addresses of names: with the name servers of the interfaces, or as the host does. Clones share one cache.
#[derive(Clone)]
pub struct Resolver(Which);

#[derive(Clone)]
enum Which {
    Netstack(fata_netstack::Resolver),
    Host(Rc<Reactor>),
}

impl Resolver {
    /// A resolver with an empty cache.
    pub fn new(stack: &Stack) -> Self {
        Self(match &stack.0 {
            Below::Netstack(stack) => Which::Netstack(fata_netstack::Resolver::new(stack)),
            Below::Host(host) => Which::Host(host.reactor.clone()),
        })
    }

    /// The addresses of a name, at least one. An address in text form is its own address.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        if let Ok(address) = name.parse() {
            return Ok(vec![address]);
        }
        match &self.0 {
            Which::Netstack(resolver) => resolver.resolve(name).await,
            Which::Host(reactor) => resolve::addresses(reactor, name).await.map_err(|error| match error {
                ResolveError::BadName => Error::InvalidInput,
                ResolveError::NotFound => Error::NameNotFound,
                ResolveError::Failed(code) => {
                    log::debug!("{name}: getaddrinfo failed with {code}");
                    Error::ResolveFailed
                }
            }),
        }
    }
    /// The addresses of IPv4 alone; see [`fata_netstack::Resolver::resolve_ipv4`].
    pub async fn resolve_ipv4(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        match &self.0 {
            Which::Netstack(resolver) => resolver.resolve_ipv4(name).await,
            Which::Host(_) => Ok(only(self.resolve(name).await?, IpAddr::is_ipv4)),
        }
    }

    /// The addresses of IPv6 alone.
    pub async fn resolve_ipv6(&self, name: &str) -> Result<Vec<IpAddr>, Error> {
        match &self.0 {
            Which::Netstack(resolver) => resolver.resolve_ipv6(name).await,
            Which::Host(_) => Ok(only(self.resolve(name).await?, IpAddr::is_ipv6)),
        }
    }
}

fn only(mut addresses: Vec<IpAddr>, wanted: fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    addresses.retain(wanted);
    addresses
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
