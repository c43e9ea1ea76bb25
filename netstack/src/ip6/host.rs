//! What a host keeps of its link: its addresses (RFC 4862), routers, prefixes and name servers (RFC 4861, 6.3; RFC 8106).
//!
//! Pure logic: the caller brings the time and what was received, and sends what [`Host::poll`] asks for. Whatever the link says,
//! no more is kept than the numbers below; what is more is refused and counted, and what was there first stays.
//!
//! A [`Host`] begins with the link down. Each [`Host::link_up`] may be another link: all is learned anew, and even addresses that
//! are the same are asked for again. Those who use an address are not told that it went by that, as it most often returns.

use super::choose::best_source;
use super::learned::{Noted, Table, is_in};
use super::message::{Nonce, Preference, Prefix, RouterAdvertisement, solicited_node};
use super::own::{Address, Claim, FIRST_DELAY, identifier};
use super::times::{NEVER, awaited, millis, part, part_of};
use crate::config::Fixed6;
use crate::version::LEAST_MTU;
use alloc::vec::{self, Vec};
use core::net::Ipv6Addr;
use fata_libos::net::MacAddress;
use fata_libos::time::{Duration, Instant};

/// What is kept at most.
const ROUTERS: usize = 8;
const PREFIXES: usize = 16;
const SERVERS: usize = 8;
/// Addresses made of prefixes.
const AUTOMATIC: usize = 8;

/// Between the first solicitations of routers, and the longest time that grows to (RFC 7559).
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Ask all routers, from that address, which may be none yet.
    RouterSolicitation {
        /// The link-local address, or `::`.
        source: Ipv6Addr,
    },
    /// Ask whether somebody has an address, from `::` to its solicited-node group.
    Probe {
        /// The address.
        address: Ipv6Addr,
        /// What the probe is known by.
        nonce: Nonce,
    },
    /// The address's lifetime is over: what uses it ends.
    Gone(Ipv6Addr),
    /// The address can be used.
    Ready(Ipv6Addr),
}

/// What another host's claim to an address of ours came to: to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// There is none.
    No,
    /// The address was being asked for and is another's: it is not used.
    Duplicate,
    /// So is the link-local one, which is to say the hardware address: the interface has no IPv6 until the link was down.
    Disabled,
    /// The address is in use here, and remains.
    Claimed,
}

/// Whether an address is this host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    No,
    /// It is still being asked for: nothing may be sent from it, and nobody is answered about it.
    Tentative,
    Assigned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Up,
    Disabled,
}

/// What is known of one interface's link.
#[derive(Debug)]
pub(crate) struct Host {
    mac: MacAddress,
    /// The largest packet of the interface, octets.
    largest: u16,
    fixed: Option<Fixed6>,
    random: fn() -> u32,
    state: State,
    /// The link-local one, the fixed one, those made of prefixes.
    addresses: Vec<Address>,
    routers: Table,
    prefixes: Table,
    servers: Table,
    /// When routers are asked for next, and the wait before that.
    solicit: Instant,
    wait: Duration,
    mtu: Option<u16>,
    refused: u64,
}

impl Host {
    /// A host on a link that is down. `largest`: the largest packet of the interface, octets. `random` is
    /// `fata_libos::entropy::u32`.
    pub(crate) fn new(mac: MacAddress, largest: u16, fixed: Option<Fixed6>, random: fn() -> u32) -> Self {
        Self {
            mac,
            largest,
            fixed,
            random,
            state: State::Down,
            addresses: Vec::new(),
            routers: Table::new(ROUTERS),
            prefixes: Table::new(PREFIXES),
            servers: Table::new(SERVERS),
            solicit: NEVER,
            wait: Duration::ZERO,
            mtu: None,
            refused: 0,
        }
    }

    /// The link is there, and may be another one: nothing is known but the link-local and the fixed address, and these are asked
    /// for.
    pub(crate) fn link_up(&mut self, now: Instant) {
        self.forget();
        self.state = State::Up;
        self.begin(now, self.link_local(), 64);
        if let Some(fixed) = self.fixed {
            self.begin(now, fixed.address, fixed.prefix_len);
        }
        let first = now + part((self.random)(), FIRST_DELAY);
        self.solicit = if self.gateway().is_some() { NEVER } else { first };
        self.wait = Duration::ZERO;
        self.mtu = None;
    }

    /// The link is gone: nothing happens until it is there again, and nothing is forgotten.
    pub(crate) fn link_down(&mut self) {
        self.state = State::Down;
    }

    fn forget(&mut self) {
        self.addresses.clear();
        self.routers.clear();
        self.prefixes.clear();
        self.servers.clear();
    }

    fn begin(&mut self, now: Instant, address: Ipv6Addr, prefix_len: u8) {
        self.addresses.push(Address::new(now, (self.random)(), address, prefix_len));
    }

    /// The link-local address.
    pub(crate) fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(identifier(self.mac)))
    }

    /// Does what is due, and says whether routers or name servers went.
    pub(crate) fn poll(&mut self, now: Instant, ask: &mut dyn FnMut(Ask)) -> bool {
        if self.state == State::Down {
            return false;
        }
        let random = self.random;
        self.addresses.retain_mut(|own| own.poll(now, random, ask));
        if self.solicit <= now {
            self.wait = longer(self.wait, random());
            self.solicit = now + self.wait;
            let own = self.link_local();
            let is_ours = self.state_of(own) == Own::Assigned;
            ask(Ask::RouterSolicitation { source: if is_ours { own } else { Ipv6Addr::UNSPECIFIED } });
        }
        self.prefixes.expire(now);
        let routers_went = self.routers.expire(now);
        self.servers.expire(now) || routers_went
    }

    /// When [`poll`](Self::poll) has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.state == State::Down {
            return None;
        }
        let learned = self.routers.deadline().min(self.prefixes.deadline()).min(self.servers.deadline());
        let own = self.addresses.iter().map(Address::deadline).min().unwrap_or(NEVER);
        awaited(learned.min(own).min(self.solicit))
    }

    /// Takes a router's advertisement; whether addresses, routers or name servers changed by it.
    pub(crate) fn advertisement(
        &mut self,
        now: Instant,
        source: Ipv6Addr,
        said: &RouterAdvertisement<'_>,
    ) -> bool {
        // Who was told of the router is told all that way: nothing of the link is believed.
        if self.state != State::Up || !source.is_unicast_link_local() || self.gateway().is_some() {
            return false;
        }
        if let Some(mtu) = said.mtu.filter(|mtu| (LEAST_MTU as u32..=u32::from(self.largest)).contains(mtu)) {
            self.mtu = Some(mtu as u16);
        }
        if said.lifetime > 0 {
            self.solicit = NEVER;
        }
        let mut changed = false;
        let noted = self.routers.said(now, (source, 128), said.lifetime.into(), said.preference);
        changed |= self.is_change(noted);
        for prefix in said.prefixes() {
            changed |= self.prefix(now, prefix);
        }
        for (server, lifetime) in said.servers() {
            if !(server.is_multicast() || server.is_unspecified() || server.is_loopback()) {
                let noted = self.servers.said(now, (server, 128), lifetime, Preference::Medium);
                changed |= self.is_change(noted);
            }
        }
        changed
    }

    /// Whether something changed; what was refused is counted.
    fn is_change(&mut self, noted: Noted) -> bool {
        self.refused += u64::from(noted == Noted::Refused);
        noted == Noted::Changed
    }

    /// Takes a prefix, and says whether an address changed by it.
    fn prefix(&mut self, now: Instant, prefix: Prefix) -> bool {
        let Prefix { address, len, .. } = prefix;
        if address.is_unicast_link_local() || address.is_multicast() {
            return false;
        }
        if prefix.on_link {
            let noted = self.prefixes.said(now, (address, len), prefix.valid, Preference::Medium);
            self.is_change(noted);
        }
        // Half of the address is the interface's identifier.
        let is_for_us = prefix.autonomous && self.fixed.is_none() && len == 64 && !address.is_unspecified();
        is_for_us && prefix.preferred <= prefix.valid && self.make_address(now, prefix)
    }

    /// Makes an address of a prefix, or has the one there is last as long as the prefix (RFC 4862, 5.5.3 d and e).
    fn make_address(&mut self, now: Instant, prefix: Prefix) -> bool {
        let (valid, preferred) = (prefix.valid, prefix.preferred);
        let address = Ipv6Addr::from_bits(prefix.address.to_bits() | u128::from(identifier(self.mac)));
        if let Some(own) = self.addresses.iter_mut().find(|own| own.address == address) {
            return own.renewed(now, valid, preferred);
        }
        if valid == 0 {
            return false;
        }
        if self.addresses.len() > AUTOMATIC {
            self.refused += 1;
            return false;
        }
        self.begin(now, address, 64);
        if let Some(own) = self.addresses.last_mut() {
            own.lasts(now, valid, preferred);
        }
        true
    }

    /// Another host sent a solicitation from `source` for `target`. Only one from `::` is a claim (RFC 4862, 5.4.3); the others
    /// want an answer, if [`state_of`](Self::state_of) says that the target is assigned.
    pub(crate) fn solicited(&mut self, target: Ipv6Addr, nonce: Option<Nonce>, source: Ipv6Addr) -> Conflict {
        if !source.is_unspecified() {
            return Conflict::No;
        }
        let claim = self.find(target).map(|own| own.asked(nonce));
        self.settle(target, claim)
    }

    /// Another host sent an advertisement of `target` (RFC 4862, 5.4.4).
    pub(crate) fn advertised(&mut self, target: Ipv6Addr) -> Conflict {
        let claim = self.find(target).map(Address::taken);
        self.settle(target, claim)
    }

    #[inline(never)]
    fn find(&mut self, address: Ipv6Addr) -> Option<&mut Address> {
        self.addresses.iter_mut().find(|own| own.address == address && self.state == State::Up)
    }

    fn settle(&mut self, target: Ipv6Addr, claim: Option<Claim>) -> Conflict {
        match claim {
            None | Some(Claim::Nothing) => Conflict::No,
            Some(Claim::Stands) => Conflict::Claimed,
            Some(Claim::Loses) if target != self.link_local() => Conflict::Duplicate,
            Some(Claim::Loses) => {
                self.disable();
                Conflict::Disabled
            }
        }
    }

    /// The hardware address is another's too, so that nothing made of it can work (RFC 4862, 5.4.5).
    fn disable(&mut self) {
        self.state = State::Disabled;
        self.solicit = NEVER;
        self.routers.clear();
        self.prefixes.clear();
        self.servers.clear();
        self.addresses.iter_mut().for_each(Address::end);
    }

    /// Whether an address is this host's.
    pub(crate) fn state_of(&self, address: Ipv6Addr) -> Own {
        match self.own().find(|own| own.address == address) {
            Some(own) if own.is_assigned() => Own::Assigned,
            Some(_) => Own::Tentative,
            None => Own::No,
        }
    }

    /// The addresses that are not another's.
    fn own(&self) -> impl Iterator<Item = &Address> {
        self.addresses
            .iter()
            .filter(|own| self.state != State::Disabled && (own.is_assigned() || own.is_tentative()))
    }

    /// The addresses: each with its prefix's length, whether it is deprecated, whether it is tentative.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = (Ipv6Addr, u8, bool, bool)> {
        self.own().map(|own| (own.address, own.prefix_len, own.is_deprecated, own.is_tentative()))
    }

    /// The solicited-node groups of all addresses, each once: what is reported to others as listened to.
    pub(crate) fn groups(&self) -> vec::IntoIter<Ipv6Addr> {
        let mut groups = Vec::new();
        for own in self.own() {
            let group = solicited_node(own.address);
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.into_iter()
    }

    /// Whether a packet to a group is for this host: all nodes, and the solicited-node groups.
    pub(crate) fn is_member(&self, group: Ipv6Addr) -> bool {
        group == super::message::ALL_NODES || self.own().any(|own| solicited_node(own.address) == group)
    }

    /// The source of a new flow to an address (RFC 6724, 5: rules 1, 2, 3 and 8).
    pub(crate) fn source_for(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        best_source(&mut self.own().filter(|own| own.is_assigned()), to)
    }

    /// The neighbour that a packet to a single host goes to, if there is one that leads there.
    pub(crate) fn next_hop(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        let is_nowhere = to.is_unspecified() || to.is_loopback() || to.is_multicast();
        if is_nowhere || self.state == State::Disabled {
            return None;
        }
        let is_near = to.is_unicast_link_local()
            || self.fixed.is_some_and(|fixed| is_in(to, fixed.address, fixed.prefix_len))
            || self.prefixes.iter().any(|prefix| prefix.contains(to));
        if is_near { Some(to) } else { self.router() }
    }

    fn gateway(&self) -> Option<Ipv6Addr> {
        self.fixed.and_then(|fixed| fixed.gateway)
    }

    /// A neighbour does not answer: if it is a router, another one is used.
    pub(crate) fn router_lost(&mut self, address: Ipv6Addr) {
        self.routers.lost(address);
    }

    /// A neighbour says that it is no router, or no longer (RFC 4861, 7.2.5), and whether it was one.
    pub(crate) fn is_no_router(&mut self, now: Instant, address: Ipv6Addr) -> bool {
        self.routers.said(now, (address, 128), 0, Preference::Medium) == Noted::Changed
    }

    /// A neighbour answers.
    pub(crate) fn router_found(&mut self, address: Ipv6Addr) {
        self.routers.found(address);
    }

    /// How many bits an address has in common with the network of the link that it lies in; 0 if it lies in none.
    pub(crate) fn direct(&self, to: Ipv6Addr) -> u8 {
        let local = if to.is_unicast_link_local() { 64 } else { 0 };
        let fixed = self.fixed.filter(|fixed| is_in(to, fixed.address, fixed.prefix_len));
        let fixed = fixed.map_or(0, |fixed| fixed.prefix_len);
        let learned =
            self.prefixes.iter().filter(|prefix| prefix.contains(to)).map(|prefix| prefix.len).max();
        local.max(fixed).max(learned.unwrap_or(0))
    }

    /// The router to everywhere else.
    pub(crate) fn router(&self) -> Option<Ipv6Addr> {
        self.gateway().or_else(|| self.routers.best())
    }

    /// The name servers that routers advertise.
    pub(crate) fn dns(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.servers.iter().map(|server| server.address)
    }

    /// The largest packet that all on the link take, octets, where a router says it: never more than the interface's.
    pub(crate) fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    /// How many routers, prefixes, addresses and name servers were not taken because there were enough, counted as often as they
    /// were said, since this was asked last.
    pub(crate) fn take_refused(&mut self) -> u64 {
        core::mem::take(&mut self.refused)
    }
}

/// The wait after one of that length, which is zero at first: twice that, up to an hour, more or less a tenth (RFC 7559, 2).
fn longer(wait: Duration, random: u32) -> Duration {
    let next = if wait.is_zero() { FIRST_WAIT } else { LONGEST_WAIT.min(wait * 2) };
    let next = millis(next);
    let tenth = next / 10;
    Duration::from_millis(next - tenth + part_of(random, tenth * 2))
}

#[cfg(test)]
mod tests;
