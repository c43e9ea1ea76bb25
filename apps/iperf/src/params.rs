//! What a client asks for: as JSON on the wire, and as a plan that was checked.

use crate::error::Refusal;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// The longest JSON of parameters, octets. iperf3's own, with all its options but those of authentication, has 500.
pub const MAX_JSON: u32 = 8 << 10;
/// The largest block of TCP, octets, as iperf3 has it.
pub const MAX_BLOCK: u32 = 1 << 20;
/// The largest datagram, octets.
pub const MAX_DATAGRAM: u32 = 65_507;
/// The smallest that has a number and a time in it.
pub const MIN_DATAGRAM: u32 = 16;
/// The block of TCP where nothing is said.
const DEFAULT_BLOCK: u32 = 128 << 10;
/// The datagram where nothing is said: it fits into a frame, time stamps and all.
pub const DEFAULT_DATAGRAM: u32 = 1448;
/// iperf3's limit on the time that does not count.
const MAX_OMIT: Duration = Duration::from_secs(600);
/// The largest buffer of a connection, octets.
const MAX_WINDOW: u32 = 4 << 20;

/// Parameters as they are on the wire. Numbers are floating: that is what iperf3's JSON has. What is not known is passed over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Params {
    #[serde(skip_serializing_if = "is_off")]
    tcp: bool,
    #[serde(skip_serializing_if = "is_off")]
    udp: bool,
    #[serde(skip_serializing_if = "is_off")]
    sctp: bool,
    omit: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blockcount: Option<f64>,
    #[serde(skip_serializing_if = "is_off")]
    nodelay: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel: Option<f64>,
    #[serde(skip_serializing_if = "is_off")]
    reverse: bool,
    #[serde(skip_serializing_if = "is_off")]
    bidirectional: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bandwidth: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    get_server_output: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    udp_counters_64bit: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_version: Option<alloc::string::String>,
}

fn is_off(value: &bool) -> bool {
    !*value
}

/// The transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The client.
    ToServer,
    /// The server.
    ToClient,
    /// Both.
    Both,
}

/// When a test is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so long; zero: when the client says so.
    Time(Duration),
    /// After so many octets.
    Octets(u64),
    /// After so many blocks or datagrams.
    Blocks(u64),
}

/// Numbers in datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Of 32 bits.
    Bits32,
    /// Of 64 bits.
    Bits64,
}

/// A test to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The transport.
    pub protocol: Protocol,
    /// Who sends.
    pub flow: Flow,
    /// Streams in each direction.
    pub parallel: u32,
    /// Octets of a block or datagram.
    pub block: u32,
    /// When it is over.
    pub until: Until,
    /// The time before that does not count.
    pub omit: Duration,
    /// Bits a second of each stream; 0: no limit.
    pub bitrate: u64,
    /// Octets of a connection's buffers, where the client says so.
    pub window: Option<u32>,
    /// Whether small segments are sent at once.
    pub nodelay: bool,
    /// Whether the client wants the server's report.
    pub server_output: bool,
    /// The numbers in datagrams.
    pub counter: Counter,
}

/// What a server lets clients have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Streams of a test, both directions together.
    pub streams: u32,
    /// The longest test.
    pub longest: Duration,
}

impl Plan {
    /// Streams of all directions.
    pub fn streams(&self) -> usize {
        let directions = if self.flow == Flow::Both { 2 } else { 1 };
        self.parallel as usize * directions
    }

    /// What is asked for, if it may be.
    pub fn of(params: &Params, limits: Limits) -> Result<Self, Refusal> {
        let protocol = match (params.tcp, params.udp, params.sctp) {
            (_, _, true) => return Err(Refusal::Sctp),
            (_, true, _) => Protocol::Udp,
            _ => Protocol::Tcp,
        };
        let flow = match (params.bidirectional, params.reverse) {
            (true, _) => Flow::Both,
            (_, true) => Flow::ToClient,
            _ => Flow::ToServer,
        };
        let omit = seconds(params.omit).filter(|omit| *omit <= MAX_OMIT).ok_or(Refusal::Omit)?;
        let until = match (given(params.num), given(params.blockcount)) {
            (Some(octets), _) => Until::Octets(octets as u64),
            (_, Some(blocks)) => Until::Blocks(blocks as u64),
            _ => Until::Time(seconds(params.time.unwrap_or(0.0)).ok_or(Refusal::Duration)?),
        };
        if matches!(until, Until::Time(time) if time.saturating_add(omit) > limits.longest) {
            return Err(Refusal::Duration);
        }
        let plan = Self {
            protocol,
            flow,
            parallel: number(params.parallel.unwrap_or(1.0)).ok_or(Refusal::Streams)?,
            block: block(protocol, params.len)?,
            until,
            omit,
            bitrate: given(params.bandwidth).unwrap_or(0.0) as u64,
            window: match given(params.window) {
                Some(octets) => {
                    Some(number(octets).filter(|octets| *octets <= MAX_WINDOW).ok_or(Refusal::Window)?)
                }
                None => None,
            },
            nodelay: params.nodelay,
            server_output: given(params.get_server_output).is_some(),
            counter: match given(params.udp_counters_64bit) {
                Some(_) => Counter::Bits64,
                None => Counter::Bits32,
            },
        };
        if plan.parallel == 0 || plan.parallel > limits.streams || plan.streams() > limits.streams as usize {
            return Err(Refusal::Streams);
        }
        Ok(plan)
    }

    /// As a client says it.
    pub fn to_params(&self) -> Params {
        let some = |wanted: bool, value: f64| wanted.then_some(value);
        Params {
            tcp: self.protocol == Protocol::Tcp,
            udp: self.protocol == Protocol::Udp,
            sctp: false,
            omit: self.omit.as_secs() as f64,
            time: match self.until {
                Until::Time(time) => Some(time.as_secs() as f64),
                _ => None,
            },
            num: match self.until {
                Until::Octets(octets) => Some(octets as f64),
                _ => None,
            },
            blockcount: match self.until {
                Until::Blocks(blocks) => Some(blocks as f64),
                _ => None,
            },
            nodelay: self.nodelay,
            parallel: Some(f64::from(self.parallel)),
            reverse: self.flow == Flow::ToClient,
            bidirectional: self.flow == Flow::Both,
            window: self.window.map(f64::from),
            len: Some(f64::from(self.block)),
            bandwidth: some(self.bitrate > 0, self.bitrate as f64),
            burst: None,
            get_server_output: some(self.server_output, 1.0),
            udp_counters_64bit: some(self.counter == Counter::Bits64, 1.0),
            client_version: Some("3.12".into()),
        }
    }
}

/// The size of a block that may be.
pub fn block(protocol: Protocol, asked: Option<f64>) -> Result<u32, Refusal> {
    let (least, usual, most) = match protocol {
        Protocol::Tcp => (1, DEFAULT_BLOCK, MAX_BLOCK),
        Protocol::Udp => (MIN_DATAGRAM, DEFAULT_DATAGRAM, MAX_DATAGRAM),
    };
    let Some(asked) = given(asked) else { return Ok(usual) };
    number(asked).filter(|octets| (least..=most).contains(octets)).ok_or(Refusal::BlockSize)
}

/// A number that says something: iperf3 writes 0 for what is not wanted.
fn given(number: Option<f64>) -> Option<f64> {
    number.filter(|number| *number > 0.0)
}

fn number(value: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&value).then_some(value as u32)
}

fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { streams: 8, longest: Duration::from_secs(60) };

    fn plan(json: &str) -> Result<Plan, Refusal> {
        Plan::of(&serde_json::from_str(json).unwrap(), LIMITS)
    }

    #[test]
    fn what_iperf3_sends_is_a_plan() {
        let json = r#"{"tcp":true,"omit":0,"time":2,"num":0,"blockcount":0,"parallel":4,"reverse":true,"len":131072,
            "pacing_timer":1000,"client_version":"3.12"}"#;
        let plan = plan(json).unwrap();
        assert_eq!((plan.protocol, plan.flow, plan.parallel), (Protocol::Tcp, Flow::ToClient, 4));
        assert_eq!((plan.block, plan.until), (131_072, Until::Time(Duration::from_secs(2))));
        let again = Plan::of(&plan.to_params(), LIMITS).unwrap();
        assert_eq!(again, plan);
    }

    #[test]
    fn datagrams_have_limits_of_their_own() {
        let udp = plan(r#"{"udp":true,"time":1,"bandwidth":1048576,"udp_counters_64bit":1}"#).unwrap();
        assert_eq!((udp.block, udp.bitrate, udp.counter), (DEFAULT_DATAGRAM, 1_048_576, Counter::Bits64));
        assert_eq!(plan(r#"{"udp":true,"len":15}"#), Err(Refusal::BlockSize));
        assert_eq!(plan(r#"{"udp":true,"len":65508}"#), Err(Refusal::BlockSize));
    }

    #[test]
    fn what_may_not_be_is_refused_by_its_number() {
        for (json, refusal) in [
            (r#"{"tcp":true,"parallel":9}"#, Refusal::Streams),
            (r#"{"tcp":true,"parallel":5,"bidirectional":true}"#, Refusal::Streams),
            (r#"{"tcp":true,"parallel":0}"#, Refusal::Streams),
            (r#"{"tcp":true,"parallel":4294967295}"#, Refusal::Streams),
            (r#"{"tcp":true,"parallel":-1}"#, Refusal::Streams),
            (r#"{"tcp":true,"time":61}"#, Refusal::Duration),
            (r#"{"tcp":true,"time":1e300}"#, Refusal::Duration),
            // The most seconds that there are.
            (r#"{"tcp":true,"time":18446744073709549568,"omit":600}"#, Refusal::Duration),
            (r#"{"tcp":true,"time":-5}"#, Refusal::Duration),
            (r#"{"tcp":true,"omit":601}"#, Refusal::Omit),
            (r#"{"tcp":true,"omit":-1}"#, Refusal::Omit),
            (r#"{"tcp":true,"len":1048577}"#, Refusal::BlockSize),
            (r#"{"tcp":true,"window":1e9}"#, Refusal::Window),
            (r#"{"sctp":true}"#, Refusal::Sctp),
        ] {
            assert_eq!(plan(json), Err(refusal), "{json}");
        }
    }
}
