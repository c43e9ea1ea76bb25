//! `cargo fata run --on qemu`: the tool itself, as its users see it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::host::answer_of_the_url;
use super::{BootTest, free_port, probe, tshark};
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{AtEnd, End, Kind};

const SOON: Duration = Duration::from_secs(20);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::run::serves_until_ctrl_c", 60, serves_until_ctrl_c).without_xen(),
    BootTest::new("boot::run::exit_status", 60, exit_status).without_xen(),
    BootTest::new("boot::run::crash_is_named", 200, crash_is_named).without_xen(),
    BootTest::new("boot::run::typed_lines", 60, typed_lines).without_xen(),
    BootTest::new("boot::run::refusals", 60, refusals).without_xen(),
    BootTest::new("boot::run::with_a_disk", 60, with_a_disk).without_xen(),
    BootTest::new("boot::run::with_a_port", 60, with_a_port).without_xen(),
    BootTest::new("boot::run::reboots", 60, reboots).without_xen(),
    BootTest::new("boot::run::gdb_stops_at_entry", 200, gdb_stops_at_entry).without_xen(),
];

/// `cargo fata exec --on qemu` with these options, and an image's boot parameters.
fn exec(host: &Host, options: &[&str], image_name: &str, params: &[&str]) -> Result<Command> {
    let Kind::Machine(board) = host.kind() else { bail!("not a test of Xen's guests") };
    let mut tool = Command::new(std::env::current_exe()?);
    tool.args(["exec", "--on", "qemu", "--machine", board.name()]).args(options);
    tool.arg(image(image_name)?).args(params);
    tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(tool)
}

/// What it said on both outputs, and its status.
fn said(output: &Output) -> (String, Option<i32>) {
    let text = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
    (text, output.status.code())
}

fn ends_with(mut tool: Command, status: i32, lines: &[&str]) -> Result<()> {
    let (text, ended) = said(&tool.output()?);
    for line in lines {
        ensure!(text.contains(line), "no {line:?} in {text}");
    }
    ensure!(ended == Some(status), "status {ended:?}, not {status}: {text}");
    Ok(())
}

/// A URL that answers, a capture of that, and an end in order by Ctrl-C.
fn serves_until_ctrl_c(host: &mut Host) -> Result<()> {
    let pcap = super::temporary("pcap");
    let path = pcap.display().to_string();
    let mut tool = Tool(exec(host, &["--pcap", &path], "web", &["log=debug"])?.spawn()?);
    // Nobody must make it wait for a reader.
    let mut stdout = tool.0.stdout.take().context("no stdout")?;
    std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let answer = answer_of_the_url(tool.0.stderr.take().context("no stderr")?)?;
    ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "the page: {answer}");
    // SAFETY: signals the child, which has not been waited for.
    unsafe { libc::kill(tool.0.id() as i32, libc::SIGINT) };
    let asked = Instant::now();
    let status = tool.0.wait()?;
    // A guest that did not hear it would have had its grace time.
    ensure!(status.success() && asked.elapsed() < Duration::from_secs(8), "{status}, {:?}", asked.elapsed());
    let captured = fs::read(&pcap)?;
    let as_tshark_reads_it = tshark::has_answered_requests(&pcap, "/");
    fs::remove_file(&pcap)?;
    as_tshark_reads_it?;
    host.put("/tmp/test.pcap", &captured)?;
    let packets = host.sh("tcpdump -Z root -n -vv -A -r /tmp/test.pcap", SOON)?.ok()?.stdout;
    for wanted in ["ARP", "10.0.2.15.80: Flags [S]", "HTTP/1.1 200 OK"] {
        ensure!(packets.contains(wanted), "no {wanted:?} in the capture: {packets}");
    }
    ensure!(!packets.contains("incorrect"), "a checksum is wrong: {packets}");
    Ok(())
}

fn exit_status(host: &mut Host) -> Result<()> {
    ends_with(exec(host, &[], "hello", &[])?, 0, &["hello from Fata\n", "fata: the guest powered off"])?;
    ends_with(exec(host, &["--memory", "64"], "probe", &["case=memory"])?, 0, &["round 2: 9"])?;
    let crashed = "fata: the guest crashed";
    ends_with(exec(host, &[], "probe", &["case=error"])?, 99, &["this main ends with an error", crashed])?;
    let unknown = "boot parameter \"colour\" is unknown; known are: log, case";
    ends_with(exec(host, &[], "probe", &["colour=red"])?, 99, &[unknown, crashed])
}

/// The report has functions and lines, as of a guest on Xen.
fn crash_is_named(host: &mut Host) -> Result<()> {
    let lines = [
        "at the bottom",
        "probe::faults::panic_deep_inside",
        "faults.rs:",
        "fata: the guest crashed (panic)",
    ];
    ends_with(exec(host, &[], "probe", &["case=panic-in-task"])?, 101, &lines)
}

fn typed_lines(host: &mut Host) -> Result<()> {
    let mut tool = exec(host, &[], "probe", &["case=console"])?.stdin(Stdio::piped()).spawn()?;
    let mut keyboard = tool.stdin.take().context("no stdin")?;
    keyboard.write_all(b"good morning\nend\n")?;
    let (text, status) = said(&tool.wait_with_output()?);
    ensure!(
        text.contains("12 octets: good morning\n3 octets: end\n") && status == Some(0),
        "{status:?}: {text}"
    );
    Ok(())
}

/// What means nothing there is not passed over.
fn refusals(host: &mut Host) -> Result<()> {
    for (options, line) in [
        (&["--type", "pvh"][..], "--type is for Xen"),
        (&["--host-memory", "4000"], "--host-memory is for the machine that Xen runs on"),
        (&["--forward", "7777:7"], "--forward leads nowhere: the guest has no network interface"),
    ] {
        ends_with(exec(host, options, "hello", &[])?, 1, &[line])?;
    }
    let mut on_xen = Command::new(std::env::current_exe()?);
    on_xen.args(["exec", "--machine", "q35"]).arg(image("hello")?);
    ends_with(on_xen, 1, &["--machine is for --on qemu"])
}

/// A reboot is told from a power-off; QEMU and the tool start the guest again, the tool not for ever.
fn reboots(host: &mut Host) -> Result<()> {
    let guest = host.create(&probe("reboot")?)?;
    let end = guest.wait_gone(SOON)?;
    ensure!(end == End::Reboot, "it ended with {end:?}: {}", guest.console());
    let mut spec = probe("reboot")?;
    spec.at_end = AtEnd::Act;
    let guest = host.create(&spec)?;
    let thrice = |console: &str| console.matches("once more").count() >= 3;
    guest.wait_console_until("a third start", SOON, thrice)?;
    drop(guest);
    let lines = ["the guest asked for a reboot: starting it again", "reset its machine 5 times"];
    ends_with(exec(host, &[], "probe", &["case=reboot"])?, 1, &lines)
}

/// gdb as the tool says to start it: at the entry nothing has run, then `main` has a place and callers.
fn gdb_stops_at_entry(host: &mut Host) -> Result<()> {
    let mut tool = Tool(exec(host, &["--gdb"], "hello", &[])?.spawn()?);
    let mut lines = BufReader::new(tool.0.stderr.take().context("no stderr")?).lines();
    let mut told = |text: &str| -> Result<String> {
        for line in lines.by_ref() {
            if let Some((_, rest)) = line?.split_once(text) {
                return Ok(rest.trim().to_owned());
            }
        }
        bail!("the tool did not say {text:?}")
    };
    let main = told("its main is reached with:")?;
    let start = told("in another terminal:")?;
    let more = "-ex 'info registers rip' -ex 'x/i $pc' -ex 'COMMAND' -ex continue -ex backtrace -ex delete -ex detach";
    let line = format!("timeout 120 {start} -batch {}", more.replace("COMMAND", &main));
    let gdb = Command::new("sh").args(["-c", &line]).stdin(Stdio::null()).output()?;
    let (output, _) = said(&gdb);
    let entry = crate::note::entries(&image("hello")?)?.pvh.context("no PVH entry")?;
    for wanted in [&format!("{entry:#x}"), "\tcli", "hello.rs:", "#0 ", "block_on<", "start_without_xen"] {
        ensure!(output.contains(wanted), "no {wanted:?} in what gdb says:\n{output}");
    }
    ensure!(tool.0.wait()?.success(), "the tool failed after gdb's end:\n{output}");
    Ok(())
}

/// A file as the guest's disk, twice: what the first has written is there for the second.
fn with_a_disk(host: &mut Host) -> Result<()> {
    let file = super::temporary("disk");
    fs::write(&file, [0; 1 << 20])?;
    let disk = format!("data={}", file.display());
    let counted = (1..=2).try_for_each(|boots: u8| {
        let line = format!("boot {boots} with this disk of 1048576 octets");
        ends_with(exec(host, &["--memory", "12", "--disk", &disk], "disk", &[])?, 0, &[&line])?;
        let count = fs::read(&file)?[0];
        ensure!(count == boots, "the file has {count} after boot {boots}");
        Ok(())
    });
    fs::remove_file(&file)?;
    counted
}

/// A port of this machine that leads to the guest.
fn with_a_port(host: &mut Host) -> Result<()> {
    let port = free_port()?;
    let mut tool = Tool(exec(host, &["--forward", &format!("{port}:7")], "echo", &[])?.spawn()?);
    let mut stderr = tool.0.stderr.take().context("no stderr")?;
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    let stdout = tool.0.stdout.take().context("no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let is_up = lines.by_ref().map_while(Result::ok).any(|line| line.contains("link up"));
    ensure!(is_up, "it ended before its network was there");
    std::thread::spawn(move || lines.for_each(drop));
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SOON))?;
    stream.write_all(b"there and back")?;
    let mut back = [0; 14];
    stream.read_exact(&mut back)?;
    ensure!(&back == b"there and back", "{back:?} came back");
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
