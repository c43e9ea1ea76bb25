//! What each side tells the other that it has counted: JSON on the wire.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The longest JSON of results, octets: for so many streams, and the text of a server's report.
pub fn max_json(streams: usize) -> u32 {
    (64 << 10) + 1024 * u32::try_from(streams).unwrap_or(1024).min(1024)
}

/// Results of one side. The names are iperf3's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Percent of a processor. There is no figure of it here: 0.
    pub cpu_util_total: f64,
    /// Of it, the application's.
    pub cpu_util_user: f64,
    /// Of it, the system's.
    pub cpu_util_system: f64,
    /// 1 or 0: whether the sender counts what it sends again; -1: this is no sender.
    pub sender_has_retransmits: f64,
    /// A server's report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_output_text: Option<String>,
    /// Each stream.
    pub streams: Vec<StreamResults>,
}

/// What one side has counted of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StreamResults {
    /// Its number.
    pub id: u32,
    /// Octets sent, or received.
    pub bytes: f64,
    /// Segments sent again; -1: not counted.
    pub retransmits: f64,
    /// Seconds.
    pub jitter: f64,
    /// Datagrams lost.
    pub errors: f64,
    /// Of them, in the time that does not count.
    #[serde(default)]
    pub omitted_errors: f64,
    /// Datagrams sent, or the highest number received.
    pub packets: f64,
    /// Of them, in the time that does not count.
    #[serde(default)]
    pub omitted_packets: f64,
    /// Seconds.
    #[serde(default)]
    pub start_time: f64,
    /// Seconds.
    #[serde(default)]
    pub end_time: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_iperf3_sends_is_read() {
        let json = r#"{"cpu_util_total":12.5,"cpu_util_user":1.5,"cpu_util_system":11,"sender_has_retransmits":-1,
            "streams":[{"id":1,"bytes":1048576,"retransmits":-1,"jitter":0.25,"errors":3,"packets":724,"start_time":0,
            "end_time":2.000123}]}"#;
        let results: Results = serde_json::from_str(json).unwrap();
        assert_eq!((results.streams[0].id, results.streams[0].errors), (1, 3.0));
        let again: Results = serde_json::from_str(&serde_json::to_string(&results).unwrap()).unwrap();
        assert_eq!(again, results);
    }

    #[test]
    fn what_has_no_streams_is_no_result() {
        assert!(serde_json::from_str::<Results>(r#"{"cpu_util_total":0}"#).is_err());
        assert!(serde_json::from_str::<Results>("[]").is_err());
    }
}
