//! What is said in the end: lines for people, JSON as iperf3's `-J` writes it.

use crate::params::{Flow, Protocol, Until};
use crate::results::{Results, StreamResults};
use crate::run::Run;
use crate::state::Cookie;
use crate::tally::{Role, Tally};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::SocketAddr;
use fata::time::SystemTime;
use serde_json::{Value, json};

/// A second of a test.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// Seconds since it counts.
    pub start: f64,
    /// Likewise.
    pub end: f64,
    /// Octets.
    pub sent: u64,
    /// Octets.
    pub received: u64,
}

/// A client's results.
pub struct Report {
    /// What was counted here.
    pub run: Rc<Run>,
    /// What the server has counted.
    pub theirs: Results,
    /// Each second.
    pub intervals: Vec<Interval>,
    /// This end and the other of each stream.
    pub connected: Vec<(SocketAddr, SocketAddr)>,
    /// The server.
    pub server: SocketAddr,
    /// What the test was called.
    pub cookie: Cookie,
}

/// What was sent one way: what each end has counted.
struct Way<'a> {
    name: &'static str,
    /// Which end is here.
    role: Role,
    /// Each stream: what its sender has, and its receiver.
    streams: Vec<Ends<'a>>,
}

/// What a stream's sender has counted, and what its receiver.
type Ends<'a> = (&'a StreamResults, &'a StreamResults);

/// One of the two.
type End = for<'a> fn(&Ends<'a>) -> &'a StreamResults;

fn sender<'a>(ends: &Ends<'a>) -> &'a StreamResults {
    ends.0
}

fn receiver<'a>(ends: &Ends<'a>) -> &'a StreamResults {
    ends.1
}

impl Report {
    /// A line for each direction.
    pub fn lines(&self) -> String {
        let ours = self.ours();
        let mut text = String::new();
        for way in self.ways(&ours) {
            let (sent, received) = (way.sum(|s| s.0.bytes), way.sum(|s| s.1.bytes));
            let (out, arrived) = (way.most(|s| s.0.end_time), way.most(|s| s.1.end_time));
            let _ = write!(
                text,
                "iperf: {} streams {}: sent {:.2} MB, {:.2} Mbit/s; received {:.2} MB, {:.2} Mbit/s, in {:.2} s",
                way.streams.len(),
                way.name,
                sent / 1e6,
                rate(sent, out) / 1e6,
                received / 1e6,
                rate(received, arrived) / 1e6,
                out.max(arrived)
            );
            if let Some(segments) = way.retransmits() {
                let _ = write!(text, "; {segments} segments sent again");
            }
            if self.run.plan.protocol == Protocol::Udp {
                let (lost, packets) = (way.lost(), way.packets());
                let percent = if packets > 0.0 { lost * 100.0 / packets } else { 0.0 };
                let _ = write!(
                    text,
                    "; lost {lost} of {packets} ({percent:.2} %), jitter {:.3} ms",
                    way.jitter() * 1e3
                );
            }
            text.push('\n');
        }
        text
    }

    /// One line of JSON with the names of iperf3's.
    pub fn json(&self) -> String {
        let ours = self.ours();
        let ways = self.ways(&ours);
        let mut end = json!({
            "streams": ways.iter().flat_map(|way| way.stream_values(&self.run)).collect::<Vec<Value>>(),
            "cpu_utilization_percent": {
                "host_total": 0.0, "host_user": 0.0, "host_system": 0.0,
                "remote_total": self.theirs.cpu_util_total,
                "remote_user": self.theirs.cpu_util_user,
                "remote_system": self.theirs.cpu_util_system,
            },
        });
        for (number, way) in ways.iter().enumerate() {
            // As iperf3 names the other direction of `--bidir`.
            let suffix = if number == 0 { "" } else { "_bidir_reverse" };
            end[format!("sum_sent{suffix}")] = self.sum(way, sender);
            if let Some(segments) = way.retransmits() {
                end[format!("sum_sent{suffix}")]["retransmits"] = (segments as u64).into();
            }
            end[format!("sum_received{suffix}")] = self.sum(way, receiver);
            if self.run.plan.protocol == Protocol::Udp {
                end[format!("sum{suffix}")] = self.sum(way, receiver);
            }
        }
        let mut report = json!({
            "start": self.start_value(),
            "intervals": self.intervals.iter().map(|interval| self.interval_value(interval)).collect::<Vec<Value>>(),
            "end": end,
        });
        if let Some(text) = &self.theirs.server_output_text {
            report["server_output_text"] = text.as_str().into();
        }
        format!("{report}\n")
    }

    fn ours(&self) -> Vec<StreamResults> {
        let seconds = self.run.seconds();
        self.run.streams().iter().map(|tally| tally.results(seconds)).collect()
    }

    fn ways<'a>(&'a self, ours: &'a [StreamResults]) -> Vec<Way<'a>> {
        let tallies = self.run.streams();
        let of = |role: Role, name| Way {
            name,
            role,
            streams: tallies
                .iter()
                .zip(ours)
                .filter(|(tally, _)| tally.role == role)
                .filter_map(|(tally, own)| {
                    let their = self.theirs.streams.iter().find(|stream| stream.id == tally.id)?;
                    Some(if role == Role::Sender { (own, their) } else { (their, own) })
                })
                .collect(),
        };
        match self.run.plan.flow {
            Flow::ToServer => alloc::vec![of(Role::Sender, "to the server")],
            Flow::ToClient => alloc::vec![of(Role::Receiver, "from the server")],
            Flow::Both => {
                alloc::vec![of(Role::Sender, "to the server"), of(Role::Receiver, "from the server")]
            }
        }
    }

    fn sum(&self, way: &Way, end: End) -> Value {
        let (octets, seconds) = (way.sum(|s| end(s).bytes), way.most(|s| end(s).end_time));
        let mut value = json!({
            "start": 0, "end": seconds, "seconds": seconds, "bytes": octets as u64,
            "bits_per_second": rate(octets, seconds), "sender": true,
        });
        if self.run.plan.protocol == Protocol::Udp {
            let (lost, packets) = (way.lost(), way.packets());
            value["jitter_ms"] = (way.jitter() * 1e3).into();
            value["lost_packets"] = lost.into();
            value["packets"] = packets.into();
            value["lost_percent"] = if packets > 0.0 { lost * 100.0 / packets } else { 0.0 }.into();
        }
        value
    }

    fn interval_value(&self, interval: &Interval) -> Value {
        let seconds = interval.end - interval.start;
        let value = |octets: u64, sender: bool| {
            json!({
                "start": interval.start, "end": interval.end, "seconds": seconds, "bytes": octets,
                "bits_per_second": rate(octets as f64, seconds), "omitted": false, "sender": sender,
            })
        };
        match self.run.plan.flow {
            Flow::ToServer => json!({ "sum": value(interval.sent, true) }),
            Flow::ToClient => json!({ "sum": value(interval.received, false) }),
            Flow::Both => {
                json!({ "sum": value(interval.sent, true), "sum_bidir_reverse": value(interval.received, false) })
            }
        }
    }

    fn start_value(&self) -> Value {
        let plan = &self.run.plan;
        let streams = self.run.streams();
        let connected = |(tally, (local, peer)): (&Rc<Tally>, &(SocketAddr, SocketAddr))| {
            json!({
                "socket": tally.id,
                "local_host": format!("{}", local.ip()), "local_port": local.port(),
                "remote_host": format!("{}", peer.ip()), "remote_port": peer.port(),
            })
        };
        let (duration, octets, blocks) = match plan.until {
            Until::Time(time) => (time.as_secs(), 0, 0),
            Until::Octets(octets) => (0, octets, 0),
            Until::Blocks(blocks) => (0, 0, blocks),
        };
        json!({
            "connected": streams.iter().zip(&self.connected).map(connected).collect::<Vec<Value>>(),
            "version": concat!("fata iperf ", env!("CARGO_PKG_VERSION")),
            "timestamp": { "timesecs": SystemTime::now().utc().to_unix_seconds() },
            "connecting_to": { "host": format!("{}", self.server.ip()), "port": self.server.port() },
            "cookie": self.cookie.as_str(),
            "test_start": {
                "protocol": if plan.protocol == Protocol::Tcp { "TCP" } else { "UDP" },
                "num_streams": plan.parallel, "blksize": plan.block, "omit": plan.omit.as_secs(),
                "duration": duration, "bytes": octets, "blocks": blocks,
                "reverse": u8::from(plan.flow == Flow::ToClient), "bidir": u8::from(plan.flow == Flow::Both),
                "target_bitrate": plan.bitrate,
            },
        })
    }
}

impl Way<'_> {
    fn sum(&self, figure: impl Fn(&Ends) -> f64) -> f64 {
        self.streams.iter().map(figure).sum()
    }

    fn most(&self, figure: impl Fn(&Ends) -> f64) -> f64 {
        self.streams.iter().map(figure).fold(0.0, f64::max)
    }

    /// Segments sent again, where all senders count them.
    fn retransmits(&self) -> Option<f64> {
        self.streams.iter().map(|(sender, _)| counted(sender)).sum()
    }

    /// Datagrams that did not come, as the receivers count.
    fn lost(&self) -> f64 {
        self.sum(|s| s.1.errors - s.1.omitted_errors)
    }

    /// Datagrams that were sent, as this end knows: iperf3 3.12 does not say how many it has left out.
    fn packets(&self) -> f64 {
        self.sum(|ends| self.of_stream(ends))
    }

    fn of_stream(&self, ends: &Ends) -> f64 {
        let own = if self.role == Role::Sender { ends.0 } else { ends.1 };
        own.packets - own.omitted_packets
    }

    /// Seconds, on average.
    fn jitter(&self) -> f64 {
        self.sum(|s| s.1.jitter) / self.streams.len().max(1) as f64
    }

    fn stream_values(&self, run: &Run) -> Vec<Value> {
        let end = |end: &StreamResults, is_sender: bool| {
            json!({
                "socket": end.id, "start": 0, "end": end.end_time, "seconds": end.end_time,
                "bytes": end.bytes as u64, "bits_per_second": rate(end.bytes, end.end_time), "sender": is_sender,
            })
        };
        let value = |ends @ (sender, receiver): &Ends| match run.plan.protocol {
            Protocol::Tcp => {
                let mut sent = end(sender, true);
                if let Some(segments) = counted(sender) {
                    sent["retransmits"] = (segments as u64).into();
                }
                json!({ "sender": sent, "receiver": end(receiver, false) })
            }
            Protocol::Udp => {
                let mut udp = end(sender, true);
                udp["jitter_ms"] = (receiver.jitter * 1e3).into();
                udp["lost_packets"] = (receiver.errors - receiver.omitted_errors).into();
                udp["packets"] = self.of_stream(ends).into();
                let received =
                    run.streams().iter().find(|t| t.id == receiver.id).map_or(0, |t| t.out_of_order());
                udp["out_of_order"] = received.into();
                json!({ "udp": udp })
            }
        };
        self.streams.iter().map(value).collect()
    }
}

/// Segments that a stream's sender has sent again, where it counts them. It says -1 where it does not; iperf3 3.12 that of 64
/// bits without a sign, for datagrams. No count is that large.
fn counted(sender: &StreamResults) -> Option<f64> {
    (0.0..9e15).contains(&sender.retransmits).then_some(sender.retransmits)
}

/// Bits a second.
fn rate(octets: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { octets * 8.0 / seconds } else { 0.0 }
}

/// A server's line of a test.
pub fn server_line(run: &Run, theirs: &Results, peer: SocketAddr) -> String {
    let ((sent, received), seconds) = (run.octets(), run.seconds());
    let mbit = |octets: u64| rate(octets as f64, seconds) / 1e6;
    let mut text = format!("{} streams of {peer} in {seconds:.2} s:", run.plan.streams());
    if run.has(Role::Receiver) {
        let _ = write!(text, " received {:.2} MB, {:.2} Mbit/s", received as f64 / 1e6, mbit(received));
    }
    if run.has(Role::Sender) {
        let of_senders: Vec<u32> =
            run.streams().iter().filter(|t| t.role == Role::Sender).map(|t| t.id).collect();
        let arrived: f64 =
            theirs.streams.iter().filter(|s| of_senders.contains(&s.id)).map(|s| s.bytes).sum();
        let _ = write!(
            text,
            " sent {:.2} MB, {:.2} Mbit/s, of which {:.2} MB arrived",
            sent as f64 / 1e6,
            mbit(sent),
            arrived / 1e6
        );
        let again: Option<u64> =
            run.streams().iter().filter(|t| t.role == Role::Sender).map(|t| t.retransmits()).sum();
        if let Some(again) = again {
            let _ = write!(text, ", {again} segments sent again");
        }
    }
    if run.plan.protocol == Protocol::Udp && run.has(Role::Receiver) {
        let results = run.results(None);
        let (lost, packets) = results.streams.iter().fold((0.0, 0.0), |(lost, packets), s| {
            (lost + s.errors - s.omitted_errors, packets + s.packets - s.omitted_packets)
        });
        let _ = write!(text, ", lost {lost} of {packets}");
    }
    text
}

/// A server's report for a client that wants it.
pub fn server_text(run: &Run, peer: SocketAddr) -> String {
    let seconds = run.seconds();
    let mut text = format!("fata iperf {}, test of {peer}\n", env!("CARGO_PKG_VERSION"));
    for tally in run.streams() {
        let octets = tally.octets();
        let _ = writeln!(
            text,
            "[{:3}]   0.00-{seconds:.2} sec  {octets} bytes  {:.0} bits/sec  {}",
            tally.id,
            rate(octets as f64, seconds),
            if tally.role == Role::Sender { "sender" } else { "receiver" }
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_count_is_none() {
        let said = [0.0, 5.0, -1.0, u64::MAX as f64, f64::NAN];
        let counts =
            said.map(|retransmits| counted(&StreamResults { retransmits, ..StreamResults::default() }));
        assert_eq!(counts, [Some(0.0), Some(5.0), None, None, None]);
    }
}
