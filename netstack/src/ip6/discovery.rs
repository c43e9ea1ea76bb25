//! Neighbour and router discovery (RFC 4861): what messages do to the host's state and to the table of neighbours, and how ours
//! get onto the wire. Groups are told to multicast routers in the same way (RFC 3810).

use super::chain::HOP_BY_HOP;
use super::headers::{self, ICMPV6};
use super::host::{Ask, Conflict, Own};
use super::input::{At, Sign};
use super::message::{
    ADVERTISEMENT, ALL_NODES, ALL_ROUTERS, Advertisement, Outgoing, ROUTER_ADVERTISEMENT,
    RouterAdvertisement, Solicitation, solicited_node,
};
use super::mld::{self, Query};
use super::text::Text;
use super::{Ip6, icmp};
use crate::link::{Carries, Hop, Link, News, Send};
use crate::stats::Counters;
use crate::traffic::{Lost, Protocol};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use fata_libos::entropy;
use fata_libos::net::MacAddress;
use fata_libos::time::Instant;
use log::Level;

/// The hop limit of what must not have come from beyond the link.
const HOP_LIMIT: u8 = 255;

/// Takes a message with hop limit 255; false if it is not one.
pub(super) fn receive(
    ip6: &Ip6,
    at: &At<'_>,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &[u8],
) -> bool {
    match message.first() {
        Some(&ROUTER_ADVERTISEMENT) => router(ip6, at, source, message),
        Some(&ADVERTISEMENT) => advertised(ip6, at, destination, message),
        _ => solicited(ip6, at, source, destination, message),
    }
}

fn router(ip6: &Ip6, at: &At<'_>, source: Ipv6Addr, message: &[u8]) -> bool {
    let Some(advertisement) = RouterAdvertisement::parse(message, source) else { return false };
    if let Some(mac) = advertisement.link {
        learn(at, source, mac, News { create: true, answers: false, replace: true });
    }
    let mut host = ip6.host_mut();
    let had_none = host.router().is_none();
    let changed = host.advertisement(at.now, source, &advertisement);
    let is_first = had_none && host.router().is_some();
    at.core.counters.nd_refused.add(host.take_refused());
    drop(host);
    if changed {
        join(ip6, at);
        at.iface.has_changed();
    }
    // Who says again and again that he is one and none does not have all connections looked at each time.
    if is_first && ip6.says(at.now) {
        resume(at);
    }
    true
}

fn advertised(ip6: &Ip6, at: &At<'_>, destination: Ipv6Addr, message: &[u8]) -> bool {
    let Some(advertisement) = Advertisement::parse(message, destination) else { return false };
    let target = advertisement.target;
    let conflict = ip6.host_mut().advertised(target);
    if tell(at, target, conflict) {
        return true;
    }
    // One that was asked where it was known to be may leave that out (RFC 4861, 4.4), as Linux does.
    let known = || at.iface.link.borrow().neighbour(target.into());
    if let Some(mac) = advertisement.link.or_else(known) {
        let (answers, replace) = (advertisement.is_solicited, advertisement.overrides);
        learn(at, target, mac, News { create: false, answers, replace });
        ip6.host_mut().router_found(target);
    }
    if !advertisement.is_router && ip6.host_mut().is_no_router(at.now, target) {
        at.iface.has_changed();
    }
    true
}

fn solicited(ip6: &Ip6, at: &At<'_>, source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> bool {
    let Some(Solicitation { target, link, nonce }) = Solicitation::parse(message, source, destination) else {
        return false;
    };
    let conflict = ip6.host_mut().solicited(target, nonce, source);
    if tell(at, target, conflict) || ip6.host().state_of(target) != Own::Assigned {
        return true;
    }
    if let Some(mac) = link {
        learn(at, source, mac, News { create: true, answers: false, replace: true });
    }
    // Who only asks is none that we talk to: looking him up would make him one.
    let (to, place) = match (source.is_unspecified(), link) {
        (true, _) => (ALL_NODES, Place::Hop(Hop::Group(ALL_NODES.into()))),
        (false, Some(mac)) => (source, Place::At(mac)),
        (false, None) => (source, Place::Hop(Hop::Neighbour(source.into()))),
    };
    let mut link = at.iface.link.borrow_mut();
    let reply = Outgoing::advertisement(target, link.mac(), to);
    send(&mut link, (target, to), place, &reply, &at.core.counters);
    true
}

/// Says that an address of ours is another's too; true if it is.
fn tell(at: &At<'_>, target: Ipv6Addr, conflict: Conflict) -> bool {
    let (before, after) = match conflict {
        Conflict::No => return false,
        Conflict::Duplicate => ("another host has the address ", ", which is not used"),
        Conflict::Disabled => {
            ("another host has the address ", ", which is made of this one's hardware address: no IPv6")
        }
        Conflict::Claimed => {
            at.core.counters.arp_conflicts.one();
            if at.iface.defends(at.now) {
                say(at, Level::Warn, "another host claims the address ", target, "");
                let mut link = at.iface.link.borrow_mut();
                let claim = Outgoing::advertisement(target, link.mac(), ALL_NODES);
                let hop = Place::Hop(Hop::Group(ALL_NODES.into()));
                send(&mut link, (target, ALL_NODES), hop, &claim, &at.core.counters);
            }
            return true;
        }
    };
    say(at, Level::Warn, before, target, after);
    at.core.counters.arp_conflicts.one();
    lose(at, target);
    true
}

/// An address is no longer ours: connections of it end.
fn lose(at: &At<'_>, address: Ipv6Addr) {
    if let Some(tcp) = at.core.tcp.in_use() {
        tcp.address_lost(at.core, address.into());
    }
    at.iface.has_changed();
}

/// There is a way again: connections go on.
fn resume(at: &At<'_>) {
    if let Some(tcp) = at.core.tcp.in_use() {
        tcp.link_up(at.iface);
    }
}

/// Logs what became of an address.
#[inline(never)]
fn say(at: &At<'_>, level: Level, before: &str, address: Ipv6Addr, after: &str) {
    log::log!(level, "{}: {before}{}{after}", at.iface.name, Text(address));
}

fn learn(at: &At<'_>, neighbour: Ipv6Addr, mac: MacAddress, news: News) {
    let mut link = at.iface.link.borrow_mut();
    if mac != link.mac() && !mac.is_multicast() && mac.0 != [0; 6] {
        link.learn(at.now, IpAddr::V6(neighbour), mac, news, &at.core.counters);
    }
}

/// Does what the state of the host asks for.
pub(super) fn poll(ip6: &Ip6, at: &At<'_>) {
    let mut asks = Vec::new();
    if ip6.host_mut().poll(at.now, &mut |ask| asks.push(ask)) {
        at.iface.has_changed();
    }
    let mac = at.iface.link.borrow().mac();
    for ask in asks {
        let (own, to, message) = match ask {
            Ask::RouterSolicitation { source } => {
                let mac = Some(mac).filter(|_| !source.is_unspecified());
                (source, ALL_ROUTERS, Outgoing::router_solicitation(mac))
            }
            Ask::Probe { address, nonce } => {
                (Ipv6Addr::UNSPECIFIED, solicited_node(address), Outgoing::probe(address, nonce))
            }
            Ask::Ready(address) => {
                if ip6.says(at.now) {
                    say(at, Level::Info, "", address, "");
                }
                resume(at);
                // Without an address the group was told by nobody, whom not all believe.
                join(ip6, at);
                at.iface.has_changed();
                continue;
            }
            Ask::Gone(address) => {
                if ip6.says(at.now) {
                    say(at, Level::Warn, "no address ", address, " any more");
                }
                lose(at, address);
                continue;
            }
        };
        let (place, mut link) = (Place::Hop(Hop::Group(to.into())), at.iface.link.borrow_mut());
        send(&mut link, (own, to), place, &message, &at.core.counters);
    }
    report(ip6, at);
}

/// Tells routers and switches of new groups.
pub(super) fn join(ip6: &Ip6, at: &At<'_>) {
    ip6.groups.borrow_mut().joined(at.now);
}

/// Takes a question for groups.
pub(super) fn queried(ip6: &Ip6, at: &At<'_>, source: Ipv6Addr, sign: Sign, message: &[u8]) {
    match Query::parse(message, source).filter(|_| sign.hop_limit == 1 && sign.alert) {
        Some(query) if query.group.is_none_or(|group| ip6.listens(group)) => {
            ip6.groups.borrow_mut().queried(at.now, &query, entropy::u32());
        }
        Some(_) => {}
        None => at.lost(Lost::IcmpMalformed),
    }
}

/// Tells which groups this host listens to, where that is due.
fn report(ip6: &Ip6, at: &At<'_>) {
    while let Some(record) = ip6.groups.borrow_mut().poll(at.now, entropy::u32()) {
        let host = ip6.host();
        let groups = host.groups();
        let own = Some(host.link_local()).filter(|own| host.state_of(*own) == Own::Assigned);
        let (own, to) = (own.unwrap_or(Ipv6Addr::UNSPECIFIED), mld::REPORTS_TO);
        let len = headers::HEADER + mld::report_len(groups.len());
        let mut link = at.iface.link.borrow_mut();
        link.sends(Protocol::Icmp);
        let hop = Hop::Group(to.into());
        let send = Send { now: at.now, own: own.into(), hop, len, carries: Carries::Other, segment_size: 0 };
        link.send(send, &at.core.counters, &mut |packet| {
            headers::write(packet, own, to, HOP_BY_HOP, 1, false);
            let (_, payload) = packet.split_at_mut(headers::HEADER);
            mld::write_report(payload, record, &mut groups.as_slice().iter().copied());
            let body = &mut payload[mld::REPORT_AT..];
            icmp::sign(body, own.into(), to.into());
        });
    }
}

/// Asks for a neighbour: its group, or itself where it was.
pub(super) fn solicit(
    link: &mut Link,
    own: Ipv6Addr,
    hop: Ipv6Addr,
    mac: Option<MacAddress>,
    counters: &Counters,
) {
    let message = Outgoing::solicitation(hop, link.mac());
    let (to, place) = match mac {
        Some(mac) => (hop, Place::At(mac)),
        None => {
            let group = solicited_node(hop);
            (group, Place::Hop(Hop::Group(group.into())))
        }
    };
    send(link, (own, to), place, &message, counters);
}

/// Where a message goes.
enum Place {
    Hop(Hop),
    At(MacAddress),
}

fn send(
    link: &mut Link,
    (own, to): (Ipv6Addr, Ipv6Addr),
    place: Place,
    message: &Outgoing,
    counters: &Counters,
) {
    let len = headers::HEADER + message.len();
    link.sends(Protocol::Icmp);
    let fill = &mut |packet: &mut [u8]| {
        headers::write(packet, own, to, ICMPV6, HOP_LIMIT, false);
        let body = &mut packet[headers::HEADER..];
        message.write(body);
        icmp::sign(body, own.into(), to.into());
    };
    match place {
        Place::At(mac) => link.send_to(mac, len, counters, fill),
        Place::Hop(hop) => {
            let now = Instant::recent();
            let send = Send { now, own: own.into(), hop, len, carries: Carries::Other, segment_size: 0 };
            link.send(send, counters, fill);
        }
    }
}
