//! What routers have said of the ways to other hosts (RFC 8201): how large a packet may be.
//!
//! For datagrams, and as what connections begin with, which then find out for themselves. Anybody may have sent what is learned
//! here: no way is ever taken to carry less than every link of IPv6 does.

use super::LEAST_MTU;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use fata_libos::time::{Duration, Instant};

/// Ways that are remembered; the oldest goes for a new one.
const PATHS: usize = 64;
/// How long (RFC 8201, 4: no less than five minutes before a larger packet is tried, ten are recommended).
const LIFETIME: Duration = Duration::from_secs(600);

/// See the module. Oldest first.
#[derive(Default)]
pub(super) struct Paths(Vec<(Ipv6Addr, usize, Instant)>);

impl Paths {
    /// It is another link.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The largest packet to a host, octets.
    pub(super) fn mtu(&self, to: Ipv6Addr, now: Instant) -> Option<usize> {
        self.0.iter().find(|(host, _, until)| *host == to && now < *until).map(|(_, mtu, _)| *mtu)
    }

    /// A router says that packets to a host may have so many octets.
    pub(super) fn learn(&mut self, to: Ipv6Addr, mtu: u32, now: Instant) {
        let mtu = (mtu as usize).max(LEAST_MTU);
        // Nobody makes a way larger: that is found out when this is forgotten.
        if self.mtu(to, now).is_some_and(|known| known <= mtu) {
            return;
        }
        let known = self.0.iter().position(|(host, ..)| *host == to);
        if let Some(gone) = known.or((self.0.len() >= PATHS).then_some(0)) {
            self.0.remove(gone);
        }
        if self.0.try_reserve(1).is_ok() {
            self.0.push((to, mtu, now + LIFETIME));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u16) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n)
    }

    fn at(seconds: u64) -> Instant {
        Instant::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_way_is_smaller_for_ten_minutes_and_never_below_what_each_link_takes() {
        let mut paths = Paths::default();
        paths.learn(host(1), 1400, at(0));
        paths.learn(host(1), 1450, at(1));
        paths.learn(host(2), 68, at(2));
        assert_eq!([1, 2, 3].map(|n| paths.mtu(host(n), at(3))), [Some(1400), Some(1280), None]);
        paths.learn(host(1), 1300, at(4));
        assert_eq!((paths.mtu(host(1), at(603)), paths.mtu(host(1), at(604))), (Some(1300), None));
    }

    #[test]
    fn a_flood_is_bounded_and_the_last_are_known() {
        let mut paths = Paths::default();
        for n in 0..10_000 {
            paths.learn(host(n), 1300, at(0));
        }
        assert_eq!(paths.0.len(), PATHS);
        assert_eq!((paths.mtu(host(9_999), at(0)), paths.mtu(host(0), at(0))), (Some(1300), None));
    }
}
