//! What a guest asks of the hypervisor while it moves packets, counted by Xen's own trace.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::ui;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(60);

/// The tests of this topic.
pub const TESTS: &[BootTest] =
    &[BootTest::new("boot::hypercalls::fewer_than_packets", 240, fewer_than_packets)
        .pv_only("Xen traces the hypercalls of PV guests by their number")
        .on_xen_only("it is about Xen's hypercalls")];

/// How long the trace is, seconds, in the middle of a load of [`LOAD_S`].
const TRACED_S: u32 = 4;
const LOAD_S: u32 = 8;

/// `TRC_PV` of Xen's public/trace.h, all subclasses: the mask of what is traced.
const TRC_PV: u32 = 0x0020_f000;
/// `TRC_PV_HYPERCALL_V2`.
const TRC_PV_HYPERCALL: u32 = 0x0020_100d;
/// `TRC_LOST_RECORDS`.
const TRC_LOST: u32 = 0x0001_f001;

/// `__HYPERVISOR_sched_op`, which waits.
const SCHED_OP: u32 = 29;
/// Hypercalls of which there are some for each burst: it, `__HYPERVISOR_event_channel_op`, which tells the back end, and
/// `__HYPERVISOR_set_timer_op`.
const OF_BURSTS: [u32; 3] = [SCHED_OP, 32, 15];
/// So many others are of something else: memory that is taken into use, a clock that is read.
const OTHERS: u64 = 20;

/// Options of iperf3's client, and how many packets there are at least for each hypercall. With TCP a packet is a large frame, of up
/// to 64 KiB, and most bursts are of a few; with UDP it is a datagram. Waits are another matter: a guest that has nothing to do sleeps, before
/// each datagram where its sender paces them and the machine is fast.
const LOADS: [(&str, u64); 5] = [
    ("", 1),
    ("--reverse", 1),
    ("--parallel 4", 1),
    ("-u -b 30M -l 1000", 3),
    ("-u -b 30M -l 1000 --reverse", 3),
];
/// So many packets make a load.
const LEAST_PACKETS: u64 = 500;

/// Hypercalls by number, as in Xen's public/xen.h.
type Calls = BTreeMap<u32, u64>;

fn fewer_than_packets(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("iperf", image("iperf")?).memory(64).network())?;
    guest.wait_console("iperf: server on port 5201", SOON)?;
    guest.wait_console("link up", SOON)?;
    // dom0 has the first processor for itself: what is traced on the second one is the guest's.
    host.sh(&format!("xl vcpu-pin {} 0 1", guest.domid()), SOON)?.ok()?;
    for (options, each) in LOADS {
        let (packets, calls) = traced(host, &guest, options)?;
        let all: u64 = calls.values().sum();
        let of_bursts: u64 = OF_BURSTS.iter().filter_map(|number| calls.get(number)).sum();
        let said = format!("iperf3 {options}: {packets} packets, hypercalls by number {calls:?}");
        ui::say(&said);
        ensure!(packets >= LEAST_PACKETS && of_bursts > 0, "no load, or no trace: {said}");
        let beside_waits = all - calls.get(&SCHED_OP).copied().unwrap_or_default();
        ensure!(beside_waits * each <= packets, "more than one hypercall for {each} packets: {said}");
        ensure!(all - of_bursts <= OTHERS, "hypercalls that packets have no need of: {said}");
    }
    Ok(())
}

/// How many packets went to and from the guest in the middle of a run of iperf3's, and its hypercalls meanwhile.
fn traced(host: &Host, guest: &Guest, options: &str) -> Result<(u64, Calls)> {
    let script = format!(
        "cd /sys/class/net/vif{}.0/statistics
        iperf3 --client 10.0.2.15 --time {LOAD_S} {options} >/tmp/iperf3.said 2>&1 & load=$!
        sleep 2
        date +%s%N; cat rx_packets tx_packets
        xentrace -D -c 1 -e {TRC_PV:#x} -S 256 -T {TRACED_S} /tmp/trace >/tmp/trace.said 2>&1 || {{ cat /tmp/trace.said >&2; exit 1; }}
        date +%s%N; cat rx_packets tx_packets
        wait $load || {{ cat /tmp/iperf3.said >&2; exit 1; }}",
        guest.domid()
    );
    let said = host.sh(&script, SOON)?.ok()?.stdout;
    let counts: Vec<u64> =
        said.split_whitespace().map(str::parse).collect::<Result<_, _>>().context(said.clone())?;
    let &[begin, from, to, end, from_after, to_after] = &counts[..] else {
        anyhow::bail!("not two times with two counts each: {said}")
    };
    let calls = hypercalls(&host.get("/tmp/trace")?)?;
    // They are counted a little longer than the trace is.
    let (packets, time) = (from_after - from + to_after - to, (end - begin).max(1));
    Ok(((packets * u64::from(TRACED_S) * 1_000_000_000 / time).min(packets), calls))
}

/// Those of a file of xentrace's: records of a word with the event in its low 28 bits, the number of further words in three and
/// whether a time of two words comes first in the highest.
fn hypercalls(trace: &[u8]) -> Result<Calls> {
    let words: Vec<u32> =
        trace.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
    let mut calls = Calls::new();
    let mut rest = &words[..];
    while let [head, more @ ..] = rest {
        let (event, timed) = (head & 0x0fff_ffff, (head >> 31) as usize * 2);
        let length = timed + (head >> 28 & 7) as usize;
        ensure!(more.len() >= length, "a record without its end");
        ensure!(event != TRC_LOST, "records were lost");
        if event == TRC_PV_HYPERCALL {
            let number = more.get(timed).context("a hypercall without a number")? & 0xf_ffff;
            *calls.entry(number).or_default() += 1;
        }
        rest = &more[length..];
    }
    Ok(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: u32, timed: bool, words: &[u32]) -> Vec<u8> {
        let head = event | (words.len() as u32) << 28 | u32::from(timed) << 31;
        let time: &[u32] = if timed { &[7, 9] } else { &[] };
        [&[head], time, words].concat().into_iter().flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn hypercalls_of_a_trace_are_counted() {
        let change = record(0x0001_f003, false, &[1, 4096]);
        let call = |number| record(TRC_PV_HYPERCALL, true, &[number, 1, 2]);
        let trap = record(0x0020_1003, true, &[1]);
        // The bits above the number say which arguments follow.
        let trace = [change, call(29), trap, call(32 | 3 << 20), call(29)].concat();
        assert_eq!(hypercalls(&trace).unwrap(), Calls::from([(29, 2), (32, 1)]));
        assert!(hypercalls(&trace[..trace.len() - 4]).is_err(), "cut off");
        assert!(hypercalls(&record(TRC_LOST, true, &[1, 0, 0])).is_err());
    }
}
