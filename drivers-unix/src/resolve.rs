//! Names, as the host resolves them: `/etc/hosts`, its name servers, whatever `nsswitch.conf` says.

use crate::reactor::Reactor;
use std::ffi::CString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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

/// The addresses of a name, at least one, those that this machine has a way to first (RFC 6724). A thread of its own asks, for `getaddrinfo` waits.
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
    hints.ai_family = libc::AF_UNSPEC;
    // Not those of a version that this machine has no address of.
    hints.ai_flags = libc::AI_ADDRCONFIG;
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
        if entry.ai_addr.is_null() {
            continue;
        }
        let address = match entry.ai_family {
            libc::AF_INET => {
                // SAFETY: the address of an entry of this family is a `sockaddr_in`.
                let address = unsafe { entry.ai_addr.cast::<libc::sockaddr_in>().read_unaligned() };
                IpAddr::V4(Ipv4Addr::from_bits(u32::from_be(address.sin_addr.s_addr)))
            }
            libc::AF_INET6 => {
                // SAFETY: that of one of this family is a `sockaddr_in6`.
                let address = unsafe { entry.ai_addr.cast::<libc::sockaddr_in6>().read_unaligned() };
                IpAddr::V6(Ipv6Addr::from(address.sin6_addr.s6_addr))
            }
            _ => continue,
        };
        // One of a link is of no use without the link, which an address alone does not tell.
        if !matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
            addresses.push(address);
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
        let found = look_up(&name).unwrap();
        assert!(
            found.contains(&Ipv4Addr::LOCALHOST.into()) && found.iter().all(IpAddr::is_loopback),
            "{found:?}"
        );
        assert!(look_up(&CString::new("name.invalid").unwrap()).is_err());
    }

    #[test]
    fn both_versions_are_read_and_addresses_of_a_link_are_not() {
        // SAFETY: integers and pointers, for which zeros are values.
        let (mut four, mut six): (libc::sockaddr_in, [libc::sockaddr_in6; 2]) = unsafe { std::mem::zeroed() };
        four.sin_addr.s_addr = u32::from(Ipv4Addr::new(192, 0, 2, 1)).to_be();
        six[0].sin6_addr.s6_addr = Ipv6Addr::LOCALHOST.octets();
        six[1].sin6_addr.s6_addr = "fe80::1".parse::<Ipv6Addr>().unwrap().octets();
        // SAFETY: as above.
        let mut list: [libc::addrinfo; 4] = unsafe { std::mem::zeroed() };
        let [one, other] = &mut six;
        for (entry, (family, address)) in list.iter_mut().zip([
            (libc::AF_INET6, ptr::from_mut(one).cast()),
            (libc::AF_INET6, ptr::from_mut(other).cast()),
            (libc::AF_UNIX, ptr::from_mut(&mut four).cast()),
            (libc::AF_INET, ptr::from_mut(&mut four).cast()),
        ]) {
            (entry.ai_family, entry.ai_addr) = (family, address);
        }
        for n in (1..list.len()).rev() {
            let next = ptr::from_mut(&mut list[n]);
            list[n - 1].ai_next = next;
        }
        let wanted: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::new(192, 0, 2, 1).into()];
        assert_eq!(collect(&list[0]), wanted);
    }
}
