//! What crosses one interface: packets by protocol, and what was lost, by protocol and reason.
//!
//! [`Counters`] has the sums over all interfaces under the names they always had: a [`Lost`] knows which of them it is part of.

use crate::stats::{Counter, Counters, cut};

/// Whose packets are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Arp,
    Ip,
    Icmp,
    Udp,
    Tcp,
}

const PROTOCOLS: [&str; 5] = ["arp", "ip", "icmp", "udp", "tcp"];

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It was received.
    Rx,
    /// It was to be sent.
    Tx,
}

/// A number of packets, and what names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packets {
    /// Which way they went.
    pub direction: Direction,
    /// Their protocol: `ethernet`, `arp`, `ip`, `icmp`, `udp` or `tcp`. A packet counts for each layer that it came to.
    pub protocol: &'static str,
    /// Why they were dropped, one word; `None` where they were not.
    pub reason: Option<&'static str>,
    /// How many since boot.
    pub count: u64,
}

/// `NAME: DIRECTION PROTOCOL REASON => SUM,` with the counter of the stack that it is part of.
macro_rules! lost {
    (@mark Rx) => { "" };
    (@mark Tx) => { ">" };
    ($($name:ident: $direction:ident $protocol:literal $reason:literal => $sum:ident,)*) => {
        /// A packet that was dropped, and why.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Lost { $($name,)* }

        /// Of each a line: a mark if it was to be sent, protocol, reason. One text is smaller than a table.
        const LOST: &str = concat!($(lost!(@mark $direction), " ", $protocol, " ", $reason, "\n"),*);

        const LOST_COUNT: usize = [$(Lost::$name),*].len();

        impl Lost {
            fn sum(self, counters: &Counters) -> &Counter {
                match self {
                    $(Self::$name => &counters.$sum,)*
                }
            }
        }
    };
}

lost! {
    EthernetMalformed: Rx "ethernet" "malformed" => rx_bad,
    EthernetNotOurs: Rx "ethernet" "not_ours" => rx_not_ours,
    EthernetUnknown: Rx "ethernet" "unknown_protocol" => rx_unknown,
    ArpMalformed: Rx "arp" "malformed" => rx_bad,
    IpMalformed: Rx "ip" "malformed" => rx_bad,
    IpChecksum: Rx "ip" "checksum" => rx_bad_checksum,
    IpNotOurs: Rx "ip" "not_ours" => rx_not_ours,
    IpUnknown: Rx "ip" "unknown_protocol" => rx_unknown,
    IpFragment: Rx "ip" "fragment" => fragments_dropped,
    IcmpMalformed: Rx "icmp" "malformed" => rx_bad,
    IcmpChecksum: Rx "icmp" "checksum" => rx_bad_checksum,
    UdpMalformed: Rx "udp" "malformed" => rx_bad,
    UdpChecksum: Rx "udp" "checksum" => rx_bad_checksum,
    UdpNoPort: Rx "udp" "no_port" => udp_no_port,
    UdpQueueFull: Rx "udp" "queue_full" => udp_dropped,
    UdpNoMemory: Rx "udp" "no_memory" => udp_dropped,
    TcpMalformed: Rx "tcp" "malformed" => rx_bad,
    TcpChecksum: Rx "tcp" "checksum" => rx_bad_checksum,
    TcpBacklog: Rx "tcp" "backlog_full" => tcp_backlog_dropped,
    TcpNoMemory: Rx "tcp" "no_memory" => tcp_refused_memory,
    TcpNotBelieved: Rx "tcp" "not_believed" => tcp_resets_ignored,
    TcpNoConnection: Rx "tcp" "no_connection" => tcp_resets_ignored,
    EthernetFull: Tx "ethernet" "queue_full" => tx_dropped,
    EthernetDown: Tx "ethernet" "down" => tx_dropped,
    EthernetTooLong: Tx "ethernet" "too_long" => tx_dropped,
    IpNoNeighbour: Tx "ip" "no_neighbour" => arp_dropped,
    IpTooLong: Tx "ip" "too_long" => tx_dropped,
    IpNoMemory: Tx "ip" "no_memory" => tx_dropped,
    IcmpRationed: Tx "icmp" "rationed" => icmp_limited,
}

/// See the module.
pub(crate) struct Traffic {
    rx: [Counter; PROTOCOLS.len()],
    tx: [Counter; PROTOCOLS.len()],
    lost: [Counter; LOST_COUNT],
}

impl Default for Traffic {
    fn default() -> Self {
        let none = || core::array::from_fn(|_| Counter::default());
        Self { rx: none(), tx: none(), lost: core::array::from_fn(|_| Counter::default()) }
    }
}

impl Traffic {
    pub(crate) fn received(&self, protocol: Protocol) {
        self.rx[protocol as usize].one();
    }

    pub(crate) fn sent(&self, protocol: Protocol) {
        self.tx[protocol as usize].one();
    }

    /// Counts a packet that is dropped.
    pub(crate) fn lost(&self, counters: &Counters, what: Lost) {
        self.lost_many(counters, what, 1);
    }

    pub(crate) fn lost_many(&self, counters: &Counters, what: Lost, n: u64) {
        self.lost[what as usize].add(n);
        what.sum(counters).add(n);
    }

    /// Packets that were not lost on this side, by protocol.
    pub(crate) fn each_packets(&self, f: &mut dyn FnMut(Packets)) {
        for (direction, counters) in [(Direction::Rx, &self.rx), (Direction::Tx, &self.tx)] {
            for (protocol, counter) in PROTOCOLS.iter().zip(counters) {
                f(Packets { direction, protocol, reason: None, count: counter.get() });
            }
        }
    }

    /// Packets dropped, by protocol and reason.
    pub(crate) fn each_lost(&self, f: &mut dyn FnMut(Packets)) {
        let mut rest = LOST;
        for counter in &self.lost {
            let direction = if cut(&mut rest, b' ').is_empty() { Direction::Rx } else { Direction::Tx };
            let (protocol, reason) = (cut(&mut rest, b' '), Some(cut(&mut rest, b'\n')));
            f(Packets { direction, protocol, reason, count: counter.get() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_reasons_are_the_same() {
        let mut all = Vec::new();
        Traffic::default().each_lost(&mut |packets| all.push(packets));
        assert_eq!((all.len(), LOST.lines().count()), (LOST_COUNT, LOST_COUNT));
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{one:?}");
            assert!(one.protocol == "ethernet" || PROTOCOLS.contains(&one.protocol), "{one:?}");
            let is_word = |b: u8| b.is_ascii_lowercase() || b == b'_';
            assert!(one.reason.is_some_and(|reason| !reason.is_empty() && reason.bytes().all(is_word)));
        }
    }

    #[test]
    fn a_loss_counts_for_the_interface_and_for_the_stack() {
        let (counters, traffic) = (Counters::default(), Traffic::default());
        traffic.lost(&counters, Lost::UdpQueueFull);
        traffic.lost_many(&counters, Lost::UdpNoMemory, 2);
        traffic.lost(&counters, Lost::TcpChecksum);
        let stats = counters.snapshot();
        assert_eq!((stats.udp_dropped, stats.rx_bad_checksum), (3, 1));
        let mut lost = Vec::new();
        traffic.each_lost(&mut |packets| lost.extend((packets.count > 0).then_some(packets)));
        let lost: Vec<_> = lost.iter().map(|p| (p.protocol, p.reason, p.count)).collect();
        let expected =
            [("udp", Some("queue_full"), 1), ("udp", Some("no_memory"), 2), ("tcp", Some("checksum"), 1)];
        assert_eq!(lost, expected);
    }
}
