//! What a peer of the iperf appliance says: parameters, results, numbers and times in datagrams.

use fata_fuzz::{fuzz, mutated};
use iperf_core::params::{Counter, Flow, Limits, MAX_BLOCK, Params, Plan};
use iperf_core::results::Results;
use iperf_core::tally::{Role, Tally};
use iperf_core::udp::read_header;
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;

const GOOD: [&str; 4] = [
    r#"{"tcp":true,"omit":0,"time":10,"num":0,"blockcount":0,"parallel":4,"reverse":true,"len":131072,"pacing_timer":1000,"client_version":"3.12"}"#,
    r#"{"udp":true,"omit":1,"time":10,"parallel":1,"bidirectional":true,"window":65536,"len":1448,"bandwidth":1048576,"udp_counters_64bit":1,"get_server_output":1}"#,
    r#"{"tcp":true,"nodelay":true,"num":1e18,"MSS":1400,"TOS":16,"congestion":"cubic","title":"\u00e9","burst":10}"#,
    r#"{"cpu_util_total":1.5,"cpu_util_user":1,"cpu_util_system":0.5,"sender_has_retransmits":1,"congestion_used":"cubic","streams":[{"id":1,"bytes":1e9,"retransmits":0,"jitter":0.1,"errors":3,"packets":9,"start_time":0,"end_time":10.01}]}"#,
];

const LIMITS: Limits = Limits { streams: 128, longest: Duration::from_secs(3600) };

fn corpus() -> Vec<Vec<u8>> {
    GOOD.iter().map(|json| json.as_bytes().to_vec()).collect()
}

/// What is taken is within bounds, and comes back as it was when it is said again.
#[test]
fn iperf_parameters() {
    fuzz(&mutated(corpus()), |json| {
        let Ok(params) = serde_json::from_slice::<Params>(&json) else { return };
        let Ok(plan) = Plan::of(&params, LIMITS) else { return };
        assert!((1..=128).contains(&plan.streams()) && (1..=MAX_BLOCK).contains(&plan.block), "{plan:?}");
        assert!(plan.omit <= Duration::from_secs(600), "{plan:?}");
        assert_eq!(plan.streams(), plan.parallel as usize * if plan.flow == Flow::Both { 2 } else { 1 });
        let said = serde_json::to_vec(&plan.to_params()).expect("JSON");
        Plan::of(&serde_json::from_slice(&said).expect("our own"), LIMITS).expect("what was taken once");
    });
}

#[test]
fn iperf_results() {
    fuzz(&mutated(corpus()), |json| {
        let Ok(results) = serde_json::from_slice::<Results>(&json) else { return };
        // As long as there is a stream for each 60 octets at most.
        assert!(results.streams.len() * 60 <= json.len() + 60, "{} streams", results.streams.len());
        let said = serde_json::to_vec(&results).expect("JSON");
        serde_json::from_slice::<Results>(&said).expect("our own");
    });
}

/// Any datagrams leave figures that can be told.
#[test]
fn iperf_datagrams() {
    let counters = prop_oneof![Just(Counter::Bits32), Just(Counter::Bits64)];
    fuzz(&(vec(vec(any::<u8>(), 0..24), 1..40), counters, any::<u64>()), |(datagrams, counter, now)| {
        let tally = Tally::new(1, Role::Receiver);
        for (n, datagram) in datagrams.iter().enumerate() {
            if n == 10 {
                tally.begin();
            }
            if let Some((sent, number)) = read_header(datagram, counter) {
                tally.arrived(sent, number, Duration::from_nanos(now.wrapping_add(n as u64)));
                tally.add(datagram.len());
            }
        }
        let results = tally.results(1.0);
        assert!(
            results.jitter.is_finite() && results.errors >= 0.0 && results.packets >= results.omitted_packets
        );
        serde_json::to_string(&results).expect("JSON");
    });
}
