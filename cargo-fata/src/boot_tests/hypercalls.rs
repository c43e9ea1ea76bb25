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

/// Hypercalls by number, as in Xen's public/xen.h.
type Calls = BTreeMap<u32, u64>;

fn fewer_than_packets(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("iperf", image("iperf")?).memory(64).network())?;
    guest.wait_console("iperf: server on port 5201", SOON)?;
    guest.wait_console("link up", SOON)?;
    // dom0 has the first processor for itself: what is traced on the second one is the guest's.
    host.sh(&format!("xl vcpu-pin {} 0 1", guest.domid()), SOON)?.ok()?;
    for options in ["", "-R", "-P 4", "-u -b 30M -l 1000", "-u -b 30M -l 1000 -R"] {
        let (packets, calls) = traced(host, &guest, options)?;
        ui::say(format!("{options}: {packets:?} {calls:?}"));
    }
    Ok(())
}

/// The packets from and to the guest, and its hypercalls, in the middle of a run of iperf3's.
fn traced(host: &Host, guest: &Guest, options: &str) -> Result<([u64; 2], Calls)> {
    let script = format!(
        "cd /sys/class/net/vif{}.0/statistics
        iperf3 --client 10.0.2.15 --time {LOAD_S} {options} >/tmp/iperf3.said 2>&1 & load=$!
        sleep 2
        cat rx_packets tx_packets
        xentrace -D -c 2 -e {TRC_PV:#x} -S 256 -T {TRACED_S} /tmp/trace >/tmp/trace.said 2>&1 || {{ cat /tmp/trace.said >&2; exit 1; }}
        cat rx_packets tx_packets
        wait $load || {{ cat /tmp/iperf3.said >&2; exit 1; }}",
        guest.domid()
    );
    let said = host.sh(&script, SOON)?.ok()?.stdout;
    let counts: Vec<u64> =
        said.split_whitespace().map(str::parse).collect::<Result<_, _>>().context(said.clone())?;
    let &[from, to, from_after, to_after] = &counts[..] else { anyhow::bail!("not four counts: {said}") };
    let calls = hypercalls(&host.get("/tmp/trace")?)?;
    Ok(([from_after - from, to_after - to], calls))
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
