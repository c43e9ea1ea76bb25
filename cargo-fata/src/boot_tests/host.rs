//! The Xen host itself: what all other boot tests stand on.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;

const QUICK: Duration = Duration::from_secs(20);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::host::scripts_and_files", 60, scripts_and_files).pv_only("makes no guest"),
    BootTest::new("boot::host::peers_of_the_tests_start", 60, peers_of_the_tests_start)
        .pv_only("makes no guest"),
    BootTest::new("boot::host::a_script_over_time_is_killed", 60, a_script_over_time_is_killed)
        .pv_only("makes no guest"),
    BootTest::new("boot::host::the_tool_on_a_dom0_uses_its_xl", 120, the_tool_on_a_dom0_uses_its_xl)
        .pv_only("makes no guest"),
    BootTest::new("boot::host::cpu_time_in_nanoseconds", 60, cpu_time_in_nanoseconds)
        .pv_only("makes no guest"),
];

fn scripts_and_files(host: &mut Host) -> Result<()> {
    let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number * 7) as u8).collect();
    host.put("/tmp/folder/file", &content)?;
    ensure!(host.get("/tmp/folder/file")? == content, "a file came back changed");
    let output = host.sh("echo out; echo err >&2; wc -c < /tmp/folder/file; exit 3", QUICK)?;
    ensure!(output.status == 3, "status {}", output.status);
    ensure!(output.stdout == "out\n3000000\n" && output.stderr == "err\n", "{output:?}");
    ensure!(output.ok().is_err(), "a status of 3 is no success");
    Ok(())
}

/// dom0's packages are unpacked, never configured: a program may miss a library's link.
fn peers_of_the_tests_start(host: &mut Host) -> Result<()> {
    let peers = [
        "curl --version",
        "dig -v",
        "dnsmasq --version",
        "hping3 --version",
        "iperf3 --version",
        "nft --version",
        "nmap --version",
        "ping -V",
        "socat -V",
        "tc -V",
        "tcpdump --version",
        "wrk --version",
        "xl info",
    ];
    for peer in peers {
        let output = host.sh(peer, QUICK)?;
        // wrk and hping3 end with 1 after a version; a program that the loader cannot start ends with 127.
        ensure!(output.status < 126, "{peer}: {output:?}");
    }
    Ok(())
}

fn a_script_over_time_is_killed(host: &mut Host) -> Result<()> {
    ensure!(host.sh("sleep 4321 & wait", Duration::from_secs(1)).is_err(), "the script had no limit");
    let left = "for _ in $(seq 50); do pgrep -f '[s]leep 4321' || exit 0; sleep 0.1; done; exit 1";
    host.sh(left, QUICK)?.ok()?;
    Ok(())
}

fn cpu_time_in_nanoseconds(host: &mut Host) -> Result<()> {
    let dom0 = |host: &Host| -> Result<u64> { Ok(host.agent().domains()?[0].cpu_ns) };
    let before = dom0(host)?;
    host.sh("for i in $(seq 2000); do :; done", QUICK)?.ok()?;
    let spent = dom0(host)? - before;
    ensure!(spent > 0 && spent < 20_000_000_000, "dom0 spent {spent} ns on a short loop");
    Ok(())
}

/// On a machine that is a dom0 there is no QEMU: the tool, its agent and the image run where the users' guests do.
fn the_tool_on_a_dom0_uses_its_xl(host: &mut Host) -> Result<()> {
    host.put("/tmp/tool/cargo-fata", &fs::read(std::env::current_exe()?)?)?;
    host.put("/tmp/tool/hello", &fs::read(image("hello")?)?)?;
    let exec = |options: &str| {
        format!("cd /tmp/tool; FATA_DOM0_AGENT=/fata/agent ./cargo-fata exec {options} hello </dev/null")
    };
    let output = host.sh(&exec(""), Duration::from_secs(60))?.ok()?;
    let pvh = host.sh(&exec("--type pvh"), Duration::from_secs(60))?.ok()?;
    for (option, said) in [
        ("--forward 7777:7", "--forward does nothing here"),
        ("--host-memory 4000", "for --host-memory to size"),
    ] {
        let refused =
            host.sh(&format!("cd /tmp/tool; ./cargo-fata exec {option} hello </dev/null"), QUICK)?;
        ensure!(refused.status == 1 && refused.stderr.contains(said), "{option}: {refused:?}");
    }
    host.sh("rm -r /tmp/tool", QUICK)?.ok()?;
    ensure!(output.stdout.contains("hello from Fata"), "{output:?}");
    ensure!(pvh.stdout.contains("hello from Fata"), "{pvh:?}");
    ensure!(output.stderr.contains("this machine is a dom0"), "{output:?}");
    Ok(())
}
