//! Which socket a datagram is for: found by a keyed hash of its port.
//!
//! On one port there is a socket for all addresses of this host, or one for each address at most, so that what a datagram
//! looks at does not grow with the number of sockets.

use super::queue::Bound;
use super::slot::Sockets;
use super::take;
use crate::data::Data;
use crate::error::Error;
use crate::hash::Key;
use crate::interface::Iface;
use crate::ip::Header;
use crate::memory::Memory;
use crate::stack::{Core, covers, same};
use crate::traffic::Lost;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::hash::{BuildHasher, Hasher};
use core::net::SocketAddr;
use hashbrown::HashTable;

/// All sockets of a stack.
pub(crate) struct Table {
    sockets: RefCell<HashTable<Rc<Bound>>>,
    key: Key,
    /// Sockets looked at.
    #[cfg(test)]
    looks: core::cell::Cell<usize>,
}

fn hash(key: &Key, port: u16) -> u64 {
    let mut hasher = key.build_hasher();
    hasher.write_u64(port.into());
    hasher.finish()
}

impl Table {
    pub(super) fn new() -> Self {
        Self::with(Key::random())
    }

    fn with(key: Key) -> Self {
        Self {
            sockets: RefCell::default(),
            key,
            #[cfg(test)]
            looks: Default::default(),
        }
    }

    /// The best of the sockets on a port that `rank` gives a rank.
    fn best<K: Ord>(&self, port: u16, rank: impl Fn(&Bound) -> Option<K>) -> Option<Rc<Bound>> {
        let sockets = self.sockets.borrow();
        let mut best: Option<(K, &Rc<Bound>)> = None;
        // Those whose hash is like it, and so perhaps one of another port.
        for bound in sockets.iter_hash(hash(&self.key, port)) {
            #[cfg(test)]
            self.looks.set(self.looks.get() + 1);
            if bound.local.port() == port
                && let Some(rank) = rank(bound)
                && best.as_ref().is_none_or(|(highest, _)| rank > *highest)
            {
                best = Some((rank, bound));
            }
        }
        best.map(|(_, bound)| bound.clone())
    }

    /// The socket that a datagram is for: one connected to its sender, else one bound to its address, else any.
    fn find(&self, local: SocketAddr, remote: SocketAddr, to_many: bool) -> Option<Rc<Bound>> {
        self.best(local.port(), |bound| {
            let (ip, peer) = (bound.local.ip(), bound.peer.get());
            let fits = covers(ip, local.ip()) || to_many && ip.is_ipv4() == local.is_ipv4();
            (fits && peer.is_none_or(|peer| same(peer, remote)))
                .then(|| (peer.is_some(), !ip.is_unspecified()))
        })
    }

    pub(super) fn is_free(&self, local: SocketAddr) -> bool {
        let clashes = |bound: &Bound| {
            let ip = bound.local.ip();
            (covers(ip, local.ip()) || covers(local.ip(), ip)).then_some(())
        };
        self.best(local.port(), clashes).is_none()
    }

    pub(super) fn insert(&self, bound: Rc<Bound>) -> Result<(), Error> {
        let key = &self.key;
        let rehash = |bound: &Rc<Bound>| hash(key, bound.local.port());
        let mut sockets = self.sockets.borrow_mut();
        sockets.try_reserve(1, rehash).map_err(|_| Error::OutOfMemory)?;
        sockets.insert_unique(rehash(&bound), bound, rehash);
        Ok(())
    }

    pub(super) fn remove(&self, bound: &Rc<Bound>) {
        let mut sockets = self.sockets.borrow_mut();
        if let Ok(entry) =
            sockets.find_entry(hash(&self.key, bound.local.port()), |other| Rc::ptr_eq(other, bound))
        {
            entry.remove();
        }
    }
}

impl Sockets for Table {
    fn receive(
        &self,
        memory: &Rc<Memory>,
        local: SocketAddr,
        remote: SocketAddr,
        to_many: bool,
        data: Data<'_>,
    ) -> Result<(), Lost> {
        self.find(local, remote, to_many).ok_or(Lost::UdpNoPort)?.push(memory, remote, data)
    }

    fn take(&self, core: &Core, iface: &Iface, header: Header, head: &[u8], datagram: Data<'_>) -> bool {
        take(self, core, iface, header, head, datagram)
    }

    fn unreachable(&self, local: SocketAddr, remote: SocketAddr, error: Error) {
        let found = self.find(local, remote, false);
        if let Some(bound) = found.filter(|bound| bound.peer.get().is_some_and(|peer| same(peer, remote))) {
            bound.fail(error);
        }
    }

    fn table(&self) -> &Table {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 1);
    const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

    fn at(ip: Ipv4Addr, port: u16) -> SocketAddr {
        SocketAddr::new(ip.into(), port)
    }

    fn table(sockets: impl Iterator<Item = SocketAddr>) -> Table {
        let table = Table::with(Key::fixed());
        for local in sockets {
            assert!(table.is_free(local), "{local}");
            table.insert(Rc::new(Bound::new(local))).unwrap();
        }
        table
    }

    #[test]
    fn the_nearest_socket() {
        let peer = at(Ipv4Addr::new(10, 0, 0, 9), 9);
        let table = table([at(OWN, 1), at(OTHER, 1), at(ANY, 2)].into_iter());
        let find = |local, to_many| table.find(local, peer, to_many).map(|bound| bound.local);
        assert_eq!(find(at(OWN, 1), false), Some(at(OWN, 1)));
        assert_eq!(find(at(OTHER, 1), false), Some(at(OTHER, 1)));
        assert_eq!(find(at(Ipv4Addr::new(10, 0, 2, 1), 1), false), None);
        assert!(find(at(Ipv4Addr::BROADCAST, 1), true).is_some());
        assert_eq!(find(at(OTHER, 2), false), Some(at(ANY, 2)));
        assert_eq!(find(at(OWN, 3), false), None);
        assert!(!table.is_free(at(ANY, 1)) && !table.is_free(at(OWN, 2)) && !table.is_free(at(OWN, 1)));
        let bound = table.find(at(OWN, 2), peer, false).unwrap();
        bound.peer.set(Some(peer));
        assert!(table.find(at(OWN, 2), peer, false).is_some());
        assert!(table.find(at(OWN, 2), at(OTHER, 9), false).is_none(), "of a stranger");
        table.remove(&bound);
        assert!(table.find(at(OWN, 2), peer, false).is_none() && table.is_free(at(OWN, 2)));
    }

    #[test]
    fn a_datagram_looks_at_as_many_sockets_of_50_000_as_of_10() {
        let peer = at(OTHER, 9);
        let looks = |sockets: u16| {
            let table = table((1..=sockets).map(|port| at(if port % 2 == 0 { OWN } else { ANY }, port)));
            table.looks.set(0);
            let mut most = 0;
            for port in 1..=sockets {
                let before = table.looks.get();
                assert_eq!(table.find(at(OWN, port), peer, false).unwrap().local.port(), port);
                most = most.max(table.looks.get() - before);
            }
            // And those that nobody has bound.
            for port in sockets + 1..=u16::MAX {
                let before = table.looks.get();
                assert!(table.find(at(OWN, port), peer, false).is_none());
                most = most.max(table.looks.get() - before);
            }
            (most, table.looks.get() as f64 / 65_535.0)
        };
        let ((few, _), (many, on_average)) = (looks(10), looks(50_000));
        // Beside its own a datagram meets those whose hash is alike in seven bits.
        assert!(few <= 2 && many <= 6 && on_average < 1.2, "{few}, {many}, {on_average}");
    }

    #[test]
    fn sockets_go_as_they_came() {
        let table = table((1..=20_000).map(|port| at(ANY, port)));
        let all: Vec<_> = table.sockets.borrow().iter().cloned().collect();
        all.iter().step_by(2).for_each(|bound| table.remove(bound));
        for (n, bound) in all.iter().enumerate() {
            assert_eq!(table.is_free(bound.local), n % 2 == 0, "{}", bound.local);
        }
        all.iter().for_each(|bound| table.remove(bound));
        assert_eq!(table.sockets.borrow().len(), 0);
    }
}
