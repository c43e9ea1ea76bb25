//! Names, as the host resolves them: `/etc/hosts`, its name servers, whatever `nsswitch.conf` says.

use crate::reactor::Reactor;
use std::ffi::{CString, c_int};
use std::net::{IpAddr, Ipv4Addr};
use std::ptr;

/// Why a name has no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// It cannot be a name.
    #[error("not a name")]
    BadName,
    /// There is no such name, or it has no address.
    #[error("no such name")]
    NotFound,
    /// It cannot be found out now; `getaddrinfo`'s error.
    #[error("name resolution failed with {0}")]
    Failed(i32),
}

/// The longest name (RFC 1035, 2.3.4), and its longest part.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The IPv4 addresses of a name, at least one. A thread of its own asks, for `getaddrinfo` waits.
pub async fn addresses(reactor: &Reactor, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let name = check(name)?;
    let found = reactor.unblock(move || look_up(&name)).await;
    found.unwrap_or(Err(ResolveError::Failed(libc::EAI_SYSTEM)))
}

fn check(name: &str) -> Result<CString, ResolveError> {
    let bare = name.strip_suffix('.').unwrap_or(name);
    let is_good = bare.len() <= MAX_NAME && bare.split('.').all(|l| (1..=MAX_LABEL).contains(&l.len()));
    if is_good { CString::new(name).map_err(|_| ResolveError::BadName) } else { Err(ResolveError::BadName) }
}

fn look_up(name: &CString) -> Result<Vec<IpAddr>, ResolveError> {
    // SAFETY: the structure is made of integers and pointers, for which zeros are the values that ask for nothing.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = libc::AF_INET;
    hints.ai_socktype = libc::SOCK_STREAM;
    let mut list = ptr::null_mut();
    // SAFETY: name and hints live through the call; `list` takes one pointer.
    match unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &hints, &mut list) } {
        0 => {}
        libc::EAI_NONAME | libc::EAI_NODATA => return Err(ResolveError::NotFound),
        code => return Err(ResolveError::Failed(code)),
    }
    let addresses = collect(list);
    // SAFETY: `getaddrinfo` made the list, and nothing of it is kept.
    unsafe { libc::freeaddrinfo(list) };
    if addresses.is_empty() { Err(ResolveError::NotFound) } else { Ok(addresses) }
}

fn collect(list: *const libc::addrinfo) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: each entry of the list, which lives until it is freed, points to the next one or to nothing.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ai_next;
        if entry.ai_family == c_int::from(libc::AF_INET) && !entry.ai_addr.is_null() {
            // SAFETY: the address of an entry of this family is a `sockaddr_in`.
            let address = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
            let address = Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr));
            addresses.push(IpAddr::V4(address));
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_not_asked_for() {
        for bad in ["", "a..b", ".", &"a".repeat(64), "nul\0.example"] {
            assert_eq!(check(bad), Err(ResolveError::BadName), "{bad:?}");
        }
        assert!(check("www.example.org.").is_ok());
    }

    #[test]
    fn this_machine_knows_itself() {
        let name = CString::new("localhost").unwrap();
        assert_eq!(look_up(&name), Ok(vec![Ipv4Addr::LOCALHOST.into()]));
        assert!(look_up(&CString::new("name.invalid").unwrap()).is_err());
    }
}
