//! The two versions of IP, as what lies below both knows them: how long their headers are, and whether the second is in use.

use core::net::{IpAddr, Ipv6Addr};
use core::sync::atomic::{AtomicBool, Ordering};

/// Protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// An IPv4 header without options, octets.
pub(crate) const HEADER: usize = smoltcp::wire::IPV4_HEADER_LEN;

/// An IPv6 header without extensions, octets.
pub(crate) const HEADER6: usize = 40;

/// The header of a packet to an address, without options or extensions, octets.
pub(crate) fn header_len(to: IpAddr) -> usize {
    if of6(to).is_none() { HEADER } else { HEADER6 }
}

/// What every link of IPv6 takes (RFC 8200, 5), octets.
pub(crate) const LEAST_MTU: usize = 1280;

/// Whether an interface has ever had IPv6.
///
/// Only what makes the IPv6 of an interface sets it. Where nothing names that, the linked image has no store to it, so that the optimizer takes it for the
/// constant that it is, and drops what is done for IPv6 alone.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Whether an interface may have IPv6. Tests of parts have no interface.
#[inline(always)]
pub(crate) fn in_use() -> bool {
    cfg!(test) || IN_USE.load(Ordering::Relaxed)
}

/// What an address that stands for one of IPv4 begins with (RFC 4291, 2.5.5.2), as a number.
pub(crate) const MAPPED: u128 = 0xffff;

/// From now on it may.
pub(crate) fn begin_ipv6() {
    IN_USE.store(true, Ordering::Relaxed);
}

/// The address, if it is one of IPv6 that an interface may know.
#[inline(always)]
pub(crate) fn of6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(address) if in_use() => Some(address),
        _ => None,
    }
}
