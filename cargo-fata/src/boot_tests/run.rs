//! What `cargo fata run` does beside running: captures of packets.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{BootTest, tshark};
use crate::note;
use crate::run::pcap::Pcap;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec, Kind};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] =
    &[BootTest::new("boot::run::pcap", 180, pcap).long(), BootTest::new("boot::run::gdb", 400, gdb).long()];

/// A capture over three lives of a guest: from the first packet to the last one, as tcpdump and tshark read it.
fn pcap(host: &mut Host) -> Result<()> {
    let file = super::temporary("run.pcap");
    let outcome = captured(host, &file).and_then(|()| is_all_there(host, &file));
    let _ = fs::remove_file(&file);
    outcome
}

/// An echo server twice, then a web server.
fn captured(host: &mut Host, file: &Path) -> Result<()> {
    let mut pcap = Pcap::create(file, 1)?;
    let mut in_a_life = |name: &str, scripts: &[String]| -> Result<()> {
        let guest = paused(host, GuestSpec::new("pcap", image(name)?).network())?;
        let capture = pcap.start(host, &guest)?;
        guest.unpause()?;
        guest.wait_console("link up", SOON)?;
        for script in scripts {
            host.sh(script, SOON)?.ok()?;
        }
        capture.finish()
    };
    for size in [100, 1200] {
        let ping = format!("ping -c 5 -i 0.2 -W 3 -s {size} 10.0.2.15");
        let echo =
            "head -c 500000 /dev/zero | timeout 20 socat -t5 - TCP:10.0.2.15:7 | cmp -n 500000 - /dev/zero";
        in_a_life("echo", &[ping, echo.to_owned()])?;
    }
    in_a_life("web", &["curl -sf --max-time 10 -o /dev/null http://10.0.2.15/".to_owned()])
}

fn is_all_there(host: &Host, file: &Path) -> Result<()> {
    host.put("/tmp/test.pcap", &fs::read(file)?)?;
    let read = |filter: &str| -> Result<String> {
        Ok(host.sh(&format!("tcpdump -Z root -n -r /tmp/test.pcap {filter}"), SOON)?.ok()?.stdout)
    };
    // The announcement of its address is the first thing a guest sends.
    // dom0 may have said something on the bridge, in IPv6, before.
    let first = read("-c 1 'arp or ip'")?;
    ensure!(first.contains("ARP") && first.contains("10.0.2.15"), "the first packet: {first}");
    for (what, wanted) in [("echo request", 10), ("echo reply", 10)] {
        let found = read("icmp")?.lines().filter(|line| line.contains(what)).count();
        ensure!(found == wanted, "{found} packets with {what}");
    }
    let sent: u64 = read("src 10.0.2.15 and tcp src port 7")?.lines().filter_map(tcp_octets).sum();
    ensure!((1_000_000..1_100_000).contains(&sent), "{sent} octets of TCP from the guest");
    let pings = tshark::fields(file, "icmp.type == 8", "icmp.seq")?;
    ensure!(pings.len() == 10, "tshark sees echo requests {pings:?}");
    tshark::has_answered_requests(file, "/")
}

/// The tool itself, with a Xen host of its own, and gdb as the tool says to start it.
fn gdb(host: &mut Host) -> Result<()> {
    let is_pvh = host.kind() == Kind::Pvh;
    let mut tool = Command::new(std::env::current_exe()?);
    tool.args(["exec", "--no-net", "--gdb", "--type", if is_pvh { "pvh" } else { "pv" }])
        .arg(image("hello")?);
    tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = Tool(tool.spawn()?);
    let mut lines = BufReader::new(tool.0.stderr.take().context("no stderr")?).lines();
    let mut said = |text: &str| -> Result<String> {
        for line in lines.by_ref() {
            if let Some((_, rest)) = line?.split_once(text) {
                return Ok(rest.trim().to_owned());
            }
        }
        anyhow::bail!("the tool did not say {text:?}")
    };
    let main = said("its main is reached with:")?;
    let start = said("in another terminal:")?;
    let more = "-ex 'info registers rip' -ex 'COMMAND' -ex continue -ex backtrace -ex delete -ex detach";
    let line = format!("timeout 120 {start} -batch {}", more.replace("COMMAND", &main));
    let output = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output()?;
    let output =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    // It stands at the entry, and then in `main`; of a PVH guest gdb cannot read the stack.
    let entry = note::entries(&image("hello")?)?.pvh.context("no PVH entry")?;
    let at_entry = format!("breakpoint 1, 0x{entry:016x} in ?? ()");
    let of_pv = ["<fata_pv_start>", "hello.rs:", "#0 ", "block_on<", "pv_main ()"];
    let of_pvh = [at_entry.as_str(), "hello.rs:", "#0 ", "main(env: Env)"];
    for wanted in if is_pvh { &of_pvh[..] } else { &of_pv } {
        ensure!(output.contains(wanted), "no {wanted:?} in what gdb says:\n{output}");
    }
    // Let go, it runs to its end.
    ensure!(tool.0.wait()?.success(), "the tool failed after gdb's end:\n{output}");
    Ok(())
}

/// The tool as a process; ended when dropped.
struct Tool(Child);

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A guest that stands before its first instruction.
fn paused(host: &mut Host, mut spec: GuestSpec) -> Result<Guest> {
    spec.paused = true;
    host.create(&spec)
}

/// `... length 1448` at a line's end.
fn tcp_octets(line: &str) -> Option<u64> {
    line.rsplit_once("length ")?.1.trim().parse().ok()
}
