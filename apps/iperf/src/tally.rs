//! What is counted of one stream.

use crate::results::StreamResults;
use crate::udp::Arrivals;
use core::cell::Cell;
use fata::time::Duration;

/// Which end of a stream this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends.
    Sender,
    /// It receives.
    Receiver,
}

/// What is counted of one stream.
#[derive(Debug)]
pub struct Tally {
    /// Its number, as results have it.
    pub id: u32,
    /// Which end this is.
    pub role: Role,
    octets: Cell<u64>,
    /// Segments sent again, where that is counted.
    retransmits: Cell<Option<u64>>,
    /// Datagrams sent: the number of the last.
    sent: Cell<u64>,
    arrivals: Cell<Arrivals>,
    omitted: Cell<Omitted>,
}

/// What was there before the time that counts.
#[derive(Clone, Copy, Debug, Default)]
struct Omitted {
    sent: u64,
    retransmits: u64,
    highest: u64,
    lost: u64,
    out_of_order: u64,
}

impl Tally {
    /// Of a stream that has not begun.
    pub fn new(id: u32, role: Role) -> Self {
        Self {
            id,
            role,
            octets: Cell::default(),
            retransmits: Cell::default(),
            sent: Cell::default(),
            arrivals: Cell::default(),
            omitted: Cell::default(),
        }
    }

    /// Counts octets.
    pub fn add(&self, octets: usize) {
        self.octets.set(self.octets.get() + octets as u64);
    }

    /// Notes how many segments have been sent again so far.
    pub fn sent_again(&self, segments: u64) {
        self.retransmits.set(Some(segments));
    }

    /// The number of the next datagram to send.
    pub fn next_number(&self) -> u64 {
        self.sent.set(self.sent.get() + 1);
        self.sent.get()
    }

    /// Counts a datagram with that time and number, which came at `now`.
    pub fn arrived(&self, sent: Duration, number: u64, now: Duration) {
        let mut arrivals = self.arrivals.get();
        arrivals.count(sent, number, now);
        self.arrivals.set(arrivals);
    }

    /// From here on it counts.
    pub fn begin(&self) {
        let mut arrivals = self.arrivals.get();
        let Arrivals { highest, lost, out_of_order, .. } = arrivals;
        let retransmits = self.retransmits.get().unwrap_or(0);
        self.omitted.set(Omitted { sent: self.sent.get(), retransmits, highest, lost, out_of_order });
        arrivals.jitter = 0.0;
        self.arrivals.set(arrivals);
        self.octets.set(0);
    }

    /// Octets that count.
    pub fn octets(&self) -> u64 {
        self.octets.get()
    }

    /// Datagrams that came late or twice.
    pub fn out_of_order(&self) -> u64 {
        self.arrivals.get().out_of_order.saturating_sub(self.omitted.get().out_of_order)
    }

    /// Segments sent again that count, where that is counted.
    pub fn retransmits(&self) -> Option<u64> {
        Some(self.retransmits.get()?.saturating_sub(self.omitted.get().retransmits))
    }

    /// As it is told to the other side, after so many seconds.
    pub fn results(&self, seconds: f64) -> StreamResults {
        let (arrivals, omitted) = (self.arrivals.get(), self.omitted.get());
        let (packets, omitted_packets) = match self.role {
            Role::Sender => (self.sent.get(), omitted.sent),
            Role::Receiver => (arrivals.highest, omitted.highest),
        };
        StreamResults {
            id: self.id,
            bytes: self.octets() as f64,
            retransmits: self.retransmits().map_or(-1.0, |segments| segments as f64),
            jitter: arrivals.jitter,
            errors: arrivals.lost as f64,
            omitted_errors: omitted.lost as f64,
            packets: packets as f64,
            omitted_packets: omitted_packets as f64,
            start_time: 0.0,
            end_time: seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_before_does_not_count() {
        let tally = Tally::new(1, Role::Receiver);
        let zero = Duration::ZERO;
        tally.add(100);
        tally.arrived(zero, 3, zero);
        tally.begin();
        tally.add(50);
        tally.arrived(zero, 5, zero);
        tally.arrived(zero, 4, zero);
        let results = tally.results(1.0);
        assert_eq!((results.bytes, results.packets, results.omitted_packets), (50.0, 5.0, 3.0));
        assert_eq!((results.errors, results.omitted_errors, tally.out_of_order()), (2.0, 2.0, 1));
    }

    #[test]
    fn segments_sent_again_count_from_where_the_rest_does() {
        let tally = Tally::new(1, Role::Sender);
        assert_eq!((tally.retransmits(), tally.results(1.0).retransmits), (None, -1.0));
        tally.sent_again(3);
        tally.begin();
        tally.sent_again(8);
        assert_eq!((tally.retransmits(), tally.results(1.0).retransmits), (Some(5), 5.0));
    }
}
