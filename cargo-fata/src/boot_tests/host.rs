//! The Xen host itself: what all other boot tests stand on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{BootTest, gdbsx};
use crate::command;
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
    BootTest::new("boot::host::the_tool_on_a_dom0_uses_its_xl", 150, the_tool_on_a_dom0_uses_its_xl)
        .pv_only("makes no guest"),
    BootTest::new("boot::host::cpu_time_in_nanoseconds", 60, cpu_time_in_nanoseconds)
        .pv_only("makes no guest"),
    BootTest::new("boot::host::run_serves_until_ctrl_c_and_leaves_nothing_behind", 240, run_until_ctrl_c)
        .pv_only("is about the tool")
        .apart(),
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

/// The tool, without what debuggers want of it: that is six times as much, and takes dom0 half a minute to receive.
fn the_tool() -> Result<Vec<u8>> {
    let stripped = super::temporary("tool");
    let mut strip = Command::new("strip");
    strip.arg("-o").arg(&stripped).arg(std::env::current_exe()?);
    let tool = command::run(&mut strip).and_then(|_| Ok(fs::read(&stripped)?));
    let _ = fs::remove_file(&stripped);
    tool
}

/// On a machine that is a dom0 there is no QEMU: the tool, which is its own agent where it has no checkout, and the image run
/// where the users' guests do.
fn the_tool_on_a_dom0_uses_its_xl(host: &mut Host) -> Result<()> {
    host.put("/tmp/tool/cargo-fata", &the_tool()?)?;
    host.put("/tmp/tool/hello", &fs::read(image("hello")?)?)?;
    let exec = |options: &str| format!("cd /tmp/tool; ./cargo-fata exec {options} hello </dev/null");
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
    // A guest that crashes has its status, and does not stay.
    host.put("/tmp/tool/probe", &fs::read(image("probe")?)?)?;
    let line = "cd /tmp/tool; ./cargo-fata exec probe case=error </dev/null";
    let crash = host.sh(line, Duration::from_secs(60))?;
    ensure!(crash.status == 99 && crash.stderr.contains("the guest crashed"), "a crash: {crash:?}");
    ensure!(crash.stdout.contains("this main ends with an error"), "a crash: {crash:?}");
    // A terminal's Ctrl-C goes to all processes of the foreground: the tool needs its agent after it.
    let line = "cd /tmp/tool; set -m; ./cargo-fata exec probe case=idle </dev/null >said 2>&1 &
        for _ in $(seq 150); do grep -q ^idle said && break; sleep 0.2; done
        kill -INT -- -$!; wait $!; echo status $?; cat said";
    let interrupted = host.sh(line, Duration::from_secs(60))?;
    for said in ["status 0\n", "stopping the guest", "the guest powered off"] {
        ensure!(interrupted.stdout.contains(said), "Ctrl-C, no {said:?}: {interrupted:?}");
    }
    gdbsx::debugs_or_refuses(host)?;
    let left = host.sh("xl list | tail -n +3", QUICK)?.ok()?;
    ensure!(left.stdout.is_empty(), "a crash, Ctrl-C or --gdb left a guest behind: {left:?}");
    host.sh("rm -r /tmp/tool", QUICK)?.ok()?;
    ensure!(output.stdout.contains("hello from Fata"), "{output:?}");
    ensure!(pvh.stdout.contains("hello from Fata"), "{pvh:?}");
    ensure!(output.stderr.contains("this machine is a dom0"), "{output:?}");
    Ok(())
}

/// What README's first command does: a Xen host of its own, a guest, a URL that answers, and an end by Ctrl-C.
fn run_until_ctrl_c(_: &mut Host) -> Result<()> {
    let folder = super::temporary("ctrl-c");
    fs::create_dir_all(&folder)?;
    let mut tool = Command::new(std::env::current_exe()?)
        .arg("exec")
        .arg(image("web")?)
        .env("TMPDIR", &folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = tool.stderr.take().context("the tool's output")?;
    let served = answer_of_the_url(said);
    // SAFETY: signals the child, which has not been waited for.
    unsafe { libc::kill(tool.id() as i32, libc::SIGINT) };
    let asked = Instant::now();
    let status = loop {
        if let Some(status) = tool.try_wait()? {
            break status;
        }
        if asked.elapsed() > Duration::from_secs(60) {
            tool.kill()?;
            tool.wait()?;
            bail!("the tool did not end within a minute of Ctrl-C");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let answer = served?;
    ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "the page: {answer}");
    ensure!(status.success(), "the tool ended with {status}");
    let left: Vec<_> = fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    fs::remove_dir(&folder)?;
    ensure!(!is_named_by_a_process(&folder.display().to_string())?, "a process is left behind");
    Ok(())
}

/// Reads what the tool says up to the URL, and what that answers once the guest is up.
pub(super) fn answer_of_the_url(said: impl Read + Send + 'static) -> Result<String> {
    let mut lines = BufReader::new(said).lines();
    let port = loop {
        let line = lines.next().context("the tool ended without a URL")??;
        if let Some((_, after)) = line.split_once("open http://127.0.0.1:") {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            break digits.parse::<u16>()?;
        }
    };
    // Nobody must make the tool wait for a reader.
    std::thread::spawn(move || lines.for_each(drop));
    let asked = Instant::now();
    loop {
        match page(port) {
            Ok(answer) if !answer.is_empty() => return Ok(answer),
            _ if asked.elapsed() > Duration::from_secs(120) => bail!("the URL never answered"),
            _ => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn page(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Whether a process has `text` among its arguments.
fn is_named_by_a_process(text: &str) -> Result<bool> {
    for entry in fs::read_dir("/proc")? {
        // A process may end meanwhile, and not all in /proc are some.
        let arguments = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&arguments).contains(text) {
            return Ok(true);
        }
    }
    Ok(false)
}
