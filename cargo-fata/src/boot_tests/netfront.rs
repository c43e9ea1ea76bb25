//! What netfront has negotiated with netback: segmentation both ways, several queues.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{GuestSpec, Vif};

const SOON: Duration = Duration::from_secs(30);
const SLOW: Duration = Duration::from_secs(130);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::netfront::large_segments_both_ways", 240, large_segments)
        .on_xen_only("it is about netfront; virtio::large_frames_of_the_hosts_kernel is the like"),
    BootTest::new("boot::netfront::two_queues", 240, two_queues)
        .on_xen_only("it is about netfront; virtio-net has one pair"),
];

const GUEST_MAC: &str = "00:16:3e:00:00:77";
const PEER_MAC: &str = "02:00:00:00:00:99";

/// A host that echoes, in a namespace of dom0's: the wire to it takes no large packets, so that the kernel has to cut up what
/// comes from the guest as the guest has said.
const START_PEER: &str = "
    modprobe veth
    ip netns add peer
    ip link add peer0 type veth peer name peer1 address 02:00:00:00:00:99 netns peer
    ip link set peer0 gso_max_segs 1 master xenbr1 up
    P='ip -n peer'
    $P link set lo up; $P link set peer1 up
    $P addr add 10.0.3.99/24 dev peer1; $P addr add fd00:3::99/64 dev peer1 nodad
    $P neigh replace 10.0.3.77 lladdr 00:16:3e:00:00:77 dev peer1 nud permanent
    $P neigh replace fd00:3::77 lladdr 00:16:3e:00:00:77 dev peer1 nud permanent
    ip netns exec peer socat -b 65536 TCP6-LISTEN:7,ipv6only=0,fork,reuseaddr EXEC:cat >/dev/null 2>&1 &
    ip netns exec peer tcpdump -Z root -n -U -s 100 -i peer1 -w /tmp/peer.pcap port 7 >/dev/null 2>&1 &
    sleep 1; ip netns exec peer pgrep -c socat";

/// Ends it.
const END_PEER: &str = "
    ip netns pids peer | xargs -r kill; sleep 1; ip netns del peer; ip link del peer0 2>/dev/null
    true";

fn large_segments(host: &mut Host) -> Result<()> {
    host.sh(START_PEER, SOON)?.ok().context("a host behind the bridge")?;
    let result = talk(host);
    host.sh(END_PEER, SOON)?;
    result
}

fn talk(host: &mut Host) -> Result<()> {
    let mut spec = GuestSpec::new("segments", image("segments")?).extra(&format!("peer={PEER_MAC}"));
    spec.vifs.push(Vif { mac: Some(GUEST_MAC.to_owned()), ..Vif::on("xenbr1") });
    let guest = host.create(&spec)?;
    let console = guest.wait_console("faults 0 errors 0 0", SLOW)?;
    ensure!(console.contains("offered: 65401 65401"), "no segmentation: {console}");
    for family in ["V4", "V6"] {
        received_long(&console, family)?;
    }
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    sent_as_said(host)
}

/// What came back was put together of segments by the kernel, and stayed so up to the guest.
fn received_long(console: &str, family: &str) -> Result<()> {
    let line = console.lines().find_map(|line| line.split(&format!("{family}: 20 rounds, ")).nth(1));
    let line = line.with_context(|| format!("{family}: nothing came back: {console}"))?;
    let after = |words: &str| line.split(words).nth(1).unwrap_or_default();
    let number = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse();
    let longest: usize = number(after("the longest of "))?;
    let (long, unsummed): (usize, usize) = (number(after("long ones "))?, number(after("unsummed "))?);
    ensure!(longest > 10_000, "{family}: the longest frame received has {longest} octets: {line}");
    ensure!(long >= 20, "{family}: {long} frames longer than the link takes: {line}");
    ensure!(unsummed == long, "{family}: {unsummed} of {long} have no checksum made: {line}");
    Ok(())
}

/// What the guest sent arrived in segments of the size that it said, 20 times 41 of each family.
fn sent_as_said(host: &Host) -> Result<()> {
    let script = "sleep 2; kill -INT $(pgrep tcpdump); sleep 1; tcpdump -Z root -n -r /tmp/peer.pcap dst port 7 2>/dev/null | \
        awk '{ for (i = 1; i < NF; i++) if ($i == \"length\") n[$2 \" \" $(i + 1) + 0]++ } \
        END { for (k in n) print k, n[k] }'";
    let said = host.sh(script, SOON)?.ok()?.stdout;
    for family in ["IP", "IP6"] {
        let line = format!("{family} 1400 820");
        ensure!(said.lines().any(|l| l == line), "no line {line:?}: {said}");
        let others = said.lines().filter(|l| l.starts_with(&format!("{family} "))).count();
        ensure!(others == 2, "segments of other lengths than 1400 and 0: {said}");
    }
    Ok(())
}

/// netback offers as many queues as dom0 has processors, unless it is told otherwise.
const OFFER_TWO: &str = "cd /sys/module/xen_netback/parameters; cat max_queues; echo 2 > max_queues";

fn two_queues(host: &mut Host) -> Result<()> {
    let before = host.sh(OFFER_TWO, SOON)?.ok()?.stdout;
    let result = serve_on_two(host);
    host.sh(&format!("echo {} > /sys/module/xen_netback/parameters/max_queues", before.trim()), SOON)?
        .ok()?;
    result
}

fn serve_on_two(host: &mut Host) -> Result<()> {
    let guest = host.create(&GuestSpec::new("queues", image("echo")?).network().extra("queues=2"))?;
    guest.wait_console("vif0: 2 queues", SOON)?;
    guest.wait_console("link up", SOON)?;
    let script = "head -c 300000 /dev/urandom > /tmp/in; rm -f /tmp/out.*
        for n in $(seq 24); do timeout 60 socat -t30 - TCP:10.0.2.15:7 < /tmp/in > /tmp/out.$n & done; wait
        for n in $(seq 24); do cmp /tmp/in /tmp/out.$n || exit 1; done";
    host.sh(script, SLOW)?.ok().context("24 echoes at once")?;
    // What came to netback and what it was told of the pages it had filled, queue by queue.
    let interrupts = format!("awk '/vif{0}\\.0-q/ {{ print $NF, $2 }}' /proc/interrupts", guest.domid());
    let counts = host.sh(&interrupts, SOON)?.ok()?.stdout;
    for channel in ["q0-tx", "q0-rx", "q1-tx", "q1-rx"] {
        let count =
            counts.lines().find_map(|line| line.split_once(&format!("{channel} "))?.1.parse::<u64>().ok());
        ensure!(count.is_some_and(|count| count > 0), "nothing on {channel}: {counts}");
    }
    ensure!(guest.end()?.is_none(), "the guest is gone: {}", guest.console());
    Ok(())
}
