//! Counters, all since boot, and gauges: what a state page and `/metrics` show.

use core::cell::Cell;

/// One number that only this crate's single thread touches.
#[derive(Debug, Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }
    pub(crate) fn one(&self) {
        self.add(1);
    }
    pub(crate) fn set(&self, n: u64) {
        self.0.set(n);
    }
    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }
}

/// How a figure moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counted since boot: never goes down.
    Counter,
    /// What there is at the moment.
    Gauge,
}

/// One of the [`Stats`], and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// Its field's name.
    pub name: &'static str,
    /// One sentence without its full stop.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// Its value.
    pub value: u64,
}

/// `NAME: HELP,` is a counter, `NAME: HELP => Gauge,` a gauge.
macro_rules! counters {
    (@mark) => { "" };
    (@mark Gauge) => { "=" };
    ($($name:ident: $help:literal $(=> $kind:ident)?,)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter,)* }

        /// The stack's figures at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats { $(#[doc = $help] pub $name: u64,)* }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.get(),)* }
            }
        }

        /// Of each figure a line: a mark if it is a gauge, a blank, its name, a colon, its help. One text is smaller than a table.
        const TEXT: &str = concat!($(counters!(@mark $($kind)?), " ", stringify!($name), ":", $help, "\n"),*);

        impl Stats {
            fn values(&self) -> impl Iterator<Item = u64> {
                [$(self.$name),*].into_iter()
            }
        }
    };
}

counters! {
    rx_packets: "IP packets received for this host",
    rx_bad: "Packets dropped because a header or length made no sense",
    rx_bad_checksum: "Packets dropped for a wrong checksum",
    rx_not_ours: "Frames and packets dropped because they were for somebody else",
    rx_unknown: "Packets dropped because their protocol is not spoken here",
    tx_packets: "IP packets sent",
    tx_dropped: "Packets dropped because the device or its queue had no room, or was down",
    tx_no_route: "Packets dropped because no interface leads to their destination",
    arp_unanswered: "Next hops given up because they did not answer ARP or neighbour solicitations",
    arp_dropped: "Packets dropped while their next hop was being looked for",
    arp_conflicts: "Times another host claimed an address of this one",
    nd_refused: "Routers, prefixes, addresses and name servers of IPv6 not taken because there were enough",
    fragments_received: "IP fragments received",
    fragments_reassembled: "Packets put together from fragments",
    fragments_dropped: "Fragments dropped: overlapping, too many, too late",
    icmp_echoes: "Echo requests answered",
    icmp_limited: "ICMP errors not sent because of the rate limit",
    memory_octets: "Memory in tables and buffers that remotes fill now, octets" => Gauge,
    memory_refused: "Times such a table or buffer did not get memory",
    tcp_connections: "TCP connections that exist now, beside half-open ones and TIME-WAIT" => Gauge,
    tcp_half_open: "Handshakes under way now" => Gauge,
    tcp_time_wait: "Connections in TIME-WAIT now" => Gauge,
    tcp_timers: "Timers of connections and handshakes set now" => Gauge,
    tcp_opened: "TCP connections established",
    tcp_buffer_octets: "Memory in TCP buffers now, octets" => Gauge,
    tcp_refused_memory: "Connections refused because the memory for connections was used up",
    tcp_cookies: "SYNs answered with a cookie because the table of half-open connections was full",
    tcp_cookies_good: "TCP connections established by a cookie",
    tcp_backlog_dropped: "Handshakes not completed because the listener's backlog was full",
    tcp_half_open_expired: "Handshakes that the peer never completed",
    tcp_resets_sent: "RST segments sent because nothing expected a segment",
    tcp_resets_ignored: "Segments not believed (RST, SYN, acknowledging what was not sent), answered with a challenge ACK at most, and ICMP errors",
    tcp_timed_out: "Connections given up because the peer was silent",
    tcp_retransmits: "Data segments sent again",
    tcp_retransmit_timeouts: "Times the retransmission timer of a connection ran out",
    tcp_out_of_order: "Data segments received before what precedes them",
    tcp_reordered: "Segments that reached the peer after later ones, as its acknowledgements say",
    tcp_recoveries: "Times a loss brought a congestion window down",
    tcp_undone: "Times that was taken back, because nothing had been lost",
    tcp_duplicates: "Segments that came twice",
    tcp_outside: "Segments dropped because they lay outside the window, or were old",
    tcp_no_memory: "Segments dropped because there was no memory for their data",
    tcp_marked: "Packets that a router had marked for congestion",
    udp_received: "UDP datagrams handed to sockets",
    udp_no_port: "UDP datagrams for ports nobody has bound",
    udp_dropped: "UDP datagrams dropped because the socket's queue was full or memory short",
    dns_queries: "Queries sent to name servers",
    dns_hits: "Names resolved from the cache",
}

impl Stats {
    /// Calls `f` with each figure, in a fixed order.
    pub fn each(&self, f: &mut dyn FnMut(Figure)) {
        let mut rest = TEXT;
        for value in self.values() {
            let kind = if cut(&mut rest, b' ').is_empty() { Kind::Counter } else { Kind::Gauge };
            f(Figure { name: cut(&mut rest, b':'), help: cut(&mut rest, b'\n'), kind, value });
        }
    }
}

/// Takes off a text what stands before `end`, and that.
#[inline(never)]
pub(crate) fn cut(rest: &mut &'static str, end: u8) -> &'static str {
    let len = rest.bytes().take_while(|byte| *byte != end).count();
    let cut = rest.get(..len).unwrap_or_default();
    *rest = rest.get(len + 1..).unwrap_or_default();
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_own_value() {
        let counters = Counters::default();
        counters.rx_packets.add(1);
        counters.tcp_half_open.set(2);
        counters.dns_hits.add(3);
        let mut seen = Vec::new();
        counters.snapshot().each(&mut |figure| seen.push((figure.name, figure.kind, figure.value)));
        assert_eq!(
            (seen[0], seen.last().copied()),
            (("rx_packets", Kind::Counter, 1), Some(("dns_hits", Kind::Counter, 3)))
        );
        assert!(seen.contains(&("tcp_half_open", Kind::Gauge, 2)));
    }

    #[test]
    fn what_is_so_now_is_a_gauge() {
        Stats::default().each(&mut |figure| {
            let is_gauge = figure.kind == Kind::Gauge;
            assert_eq!(figure.help.contains(" now"), is_gauge, "{}: {}", figure.name, figure.help);
        });
    }
}
