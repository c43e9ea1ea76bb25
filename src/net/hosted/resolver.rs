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
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}
