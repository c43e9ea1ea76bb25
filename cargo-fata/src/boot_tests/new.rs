//! What `cargo fata new` makes: built with plain cargo in an empty folder elsewhere, then asked for its answer through each
//! door - as a process, as a PV and as a PVH guest of Xen, on QEMU's q35 and microvm. Each is made once.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::BootTest;
use super::bare_qemu::{BareQemu, free_port};
use crate::test::elsewhere::Elsewhere;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec, Kind};
use crate::{command, interrupt};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::new::hello", 600, |host| through_each_door(host, &HELLO))
        .pv_only("both types in one test"),
    BootTest::new("boot::new::service", 600, |host| through_each_door(host, &SERVICE))
        .pv_only("both types in one test")
        .long(),
    BootTest::new("boot::new::web", 600, |host| through_each_door(host, &WEB))
        .pv_only("both types in one test"),
    BootTest::new("boot::new::cargo_run_on_xen", 600, cargo_run_on_xen)
        .pv_only("the tool starts a host of its own")
        .apart()
        .long(),
];

/// A template, and how what it makes shows that it works.
struct Template {
    name: &'static str,
    /// The boot parameters it is given everywhere.
    parameters: &'static str,
    answer: Answer,
}

/// How an appliance answers.
enum Answer {
    /// By this line on its console; then it ends.
    Line(&'static str),
    /// From a port of its own: what a client sends to it, and what it gets.
    Port { port: u16, client: Client, answer: &'static str },
}

/// Who asks.
#[derive(Clone, Copy)]
enum Client {
    Curl,
    /// The line is sent, one is read: socat in dom0, a socket here.
    Line(&'static str),
}

const HELLO: Template = Template {
    name: "hello",
    parameters: "greeting=welcome",
    answer: Answer::Line("welcome from new-hello"),
};
const SERVICE: Template = Template {
    name: "service",
    parameters: "log=debug",
    answer: Answer::Port { port: 7000, client: Client::Line("hello"), answer: "6 octets\n" },
};
const WEB: Template = Template {
    name: "web",
    parameters: "log=debug",
    answer: Answer::Port { port: 80, client: Client::Curl, answer: "hello from new-web\n" },
};

fn through_each_door(host: &mut Host, template: &Template) -> Result<()> {
    let name = format!("new-{}", template.name);
    let elsewhere = Elsewhere::new(template.name)?;
    elsewhere.make(&name, &["--template", template.name])?;
    elsewhere.cargo(&name, &["test", "--quiet"])?;
    as_process(&elsewhere, &name, template).context("as a process")?;
    elsewhere.cargo(&name, &["build", "--quiet", "--release", "--target", "x86_64-xen-pv"])?;
    let image = elsewhere.image(&name);
    for kind in [Kind::Pv, Kind::Pvh] {
        let mut spec = GuestSpec::new(&name, image.clone()).extra(template.parameters);
        spec.kind = kind;
        on_xen(host, spec, template).with_context(|| format!("on Xen as {kind:?}"))?;
    }
    let readme = fs::read_to_string(elsewhere.folder().join(&name).join("README.md"))?;
    let lines = qemu_lines(&readme);
    ensure!(lines.len() == 2, "its README has {} lines for QEMU", lines.len());
    for (line, machine) in lines.iter().zip(["-M q35 ", "-M microvm,acpi=off "]) {
        ensure!(line.contains(machine), "no {machine}in {line}");
        let line =
            line.replace(&format!("target/x86_64-xen-pv/release/{name}"), &image.display().to_string());
        on_qemu(&line, template).with_context(|| line.clone())?;
    }
    if let Answer::Line(line) = template.answer {
        for machine in ["q35", "microvm"] {
            let run =
                ["fata", "run", &name, "--on", "qemu", "--machine", machine, "--param", template.parameters];
            let said = elsewhere.cargo(&name, &run)?;
            ensure!(said.contains(line), "by the tool on {machine} it said {said:?}");
        }
    }
    Ok(())
}

/// `cargo run`, as its README says.
fn as_process(elsewhere: &Elsewhere, name: &str, template: &Template) -> Result<()> {
    let (port, more) = match &template.answer {
        Answer::Line(line) => {
            let said = elsewhere.cargo(name, &["run", "--quiet", "--", template.parameters])?;
            ensure!(said == format!("{line}\n"), "it said {said:?}");
            return Ok(());
        }
        Answer::Port { .. } => {
            let port = free_port()?;
            (port, format!("port={port}"))
        }
    };
    let mut run = elsewhere.command(name, &["run", "--quiet", "--", template.parameters, &more]);
    let mut process = Running(run.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let stdout = process.0.stdout.take().context("no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let serves = format!("{name} on port {port}");
    ensure!(lines.any(|line| line.is_ok_and(|line| line == serves)), "it ended before it served");
    // What else it says is read, or it would wait.
    std::thread::spawn(move || lines.count());
    asked_from_here(template, port)?;
    process.leave()
}

fn on_xen(host: &mut Host, spec: GuestSpec, template: &Template) -> Result<()> {
    let Answer::Port { port, client, answer } = &template.answer else {
        let Answer::Line(line) = &template.answer else { bail!("no answer") };
        let guest = host.create(&spec)?;
        guest.wait_console(line, SOON)?;
        return ends(&guest);
    };
    let mut spec = spec.network();
    // As on a Debian dom0, whose script takes longer than ours.
    if spec.kind == Kind::Pv {
        spec.vifs.iter_mut().for_each(|vif| vif.more = "script=vif-bridge".to_owned());
    }
    let guest = host.create(&spec)?;
    guest.wait_console(" on port ", SOON)?;
    guest.wait_console("link up", SOON)?;
    let script = match client {
        Client::Curl => format!("curl -sf -m 10 http://10.0.2.15:{port}/"),
        Client::Line(line) => format!("echo {line} | timeout 10 socat -t5 - TCP:10.0.2.15:{port}"),
    };
    let said = host.sh(&script, SOON)?.ok()?.stdout;
    ensure!(said == *answer, "it answered {said:?}");
    guest.xl("shutdown")?;
    ends(&guest)
}

fn ends(guest: &Guest) -> Result<()> {
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off: {}", guest.console());
    Ok(())
}

/// The lines for QEMU that a README has, each put together from its parts.
fn qemu_lines(readme: &str) -> Vec<String> {
    let text = readme.replace("\\\n", " ");
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("qemu-system-x86_64 "))
        .map(str::to_owned)
        .collect()
}

/// As its README says, but for the port of this machine, which may be taken.
fn on_qemu(line: &str, template: &Template) -> Result<()> {
    match template.answer {
        Answer::Line(greeting) => {
            let mut qemu = BareQemu::start(line)?;
            qemu.wait_console(greeting, SOON)?;
            qemu.wait_end(SOON)
        }
        Answer::Port { port, .. } => {
            let (before, after) = line.split_once("hostfwd=tcp:127.0.0.1:").context("it leads no port")?;
            let (_, after) = after.split_once('-').context("it leads no port")?;
            ensure!(after.starts_with(&format!(":{port} ")), "it leads to another port");
            let here = free_port()?;
            let mut qemu = BareQemu::start(&format!("{before}hostfwd=tcp:127.0.0.1:{here}-{after}"))?;
            // Its address is from the DHCP server in QEMU.
            qemu.wait_console("main: 10.0.2.15/24", SOON)?;
            asked_from_here(template, here).with_context(|| format!("its console:\n{}", qemu.console()))
        }
    }
}

/// Asks a port of this machine.
fn asked_from_here(template: &Template, port: u16) -> Result<()> {
    let Answer::Port { client, answer, .. } = template.answer else { bail!("it has no port") };
    let said = match client {
        Client::Curl => {
            let url = format!("http://127.0.0.1:{port}/");
            command::run(Command::new("curl").args(["-sf", "-m", "20", "--retry", "3", &url]))?.stdout
        }
        Client::Line(line) => {
            let mut stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_read_timeout(Some(SOON))?;
            writeln!(stream, "{line}")?;
            let mut said = String::new();
            BufReader::new(stream).read_line(&mut said)?;
            said
        }
    };
    ensure!(said == answer, "it answered {said:?}");
    Ok(())
}

/// Plain `cargo run` for the guest goes through the runner that the appliance's configuration names: the tool, with a Xen
/// host of its own. As its README says, as a PV and as a PVH guest.
fn cargo_run_on_xen(_: &mut Host) -> Result<()> {
    let elsewhere = Elsewhere::new("runner")?;
    elsewhere.make("runner", &[])?;
    for options in [&["greeting=welcome"][..], &["--type", "pvh", "greeting=welcome"]] {
        let run = ["run", "--quiet", "--release", "--target", "x86_64-xen-pv", "--"];
        let said = elsewhere.cargo("runner", &[&run, options].concat())?;
        ensure!(said.contains("welcome from runner"), "with {options:?} it said {said:?}");
    }
    Ok(())
}

/// Cargo with what it runs; ended when dropped.
struct Running(Child);

impl Running {
    /// Asks it to leave, as Ctrl-C does.
    fn leave(&mut self) -> Result<()> {
        // SAFETY: kill(2) touches no memory; the child has not been waited for.
        unsafe { libc::kill(self.0.id() as i32, libc::SIGTERM) };
        let started = Instant::now();
        while started.elapsed() < SOON {
            interrupt::check()?;
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "it ended with {status}");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("it does not leave")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Cargo has replaced itself with the program, which so has its number.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
