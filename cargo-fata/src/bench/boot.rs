//! From QEMU's start to the first HTTP answer: our web server, and Debian's Linux with busybox httpd, in turns on the same
//! boards, with the same page and network.
//!
//! The clock is what a user waits; it suffers from whatever else the machine does. The processor time of QEMU until then,
//! which is beside it, suffers less.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{Bench, http, plot, results};
use crate::qemu_guest::{Accelerator, Backend, Board, Machine, Nic, Process, linux};
use crate::xen_host::qemu::{Forward, free_port};
use crate::{interrupt, note};

/// Ours come first and last, so that a drift of the machine shows.
const ROUNDS: usize = 5;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const LIMIT: Duration = Duration::from_secs(180);
/// QEMU takes each connection itself and passes it on to a guest that may not be there yet: there is a new one so often, and
/// none waits longer than that.
const PERIOD: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_millis(250);

/// How long one boot took, and what it cost.
#[derive(Clone, Copy)]
struct Boot {
    wall_ms: f64,
    cpu_ms: f64,
}

/// The boots on one board.
struct Measured {
    board: Board,
    fata: Vec<Boot>,
    linux: Vec<Boot>,
}

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let page = http::page();
    let image = http::build_web(&bench.workspace, &bench.folder, &page)?;
    let linux = linux::build(&page)?;
    let memory_mb =
        note::Note::of(&image)?.and_then(|note| note.manifest.image.memory.as_mib()?.try_into().ok());
    println!("accelerator: {}", Accelerator::Best.name());
    let mut results = Vec::new();
    for board in [Board::Microvm, Board::Q35] {
        let ours = Machine {
            memory_mb: memory_mb.context("the web server's image does not say what memory it wants")?,
            command_line: format!("ipv4={ADDRESS}/24"),
            ..Machine::new(board, image.clone())
        };
        // Debian's kernel finds microvm's devices by ACPI, not on its command line.
        let theirs = linux.machine(if board == Board::Microvm { Board::MicrovmAcpi } else { board });
        let mut measured = Measured { board, fata: Vec::new(), linux: Vec::new() };
        for round in 0..ROUNDS {
            if round > 0 {
                measured.linux.push(boot(&theirs).with_context(|| format!("Linux on {board}"))?);
            }
            measured.fata.push(boot(&ours).with_context(|| format!("web on {board}"))?);
        }
        measured.print();
        results.push(measured);
    }
    write_results(bench, &results)
}

/// Starts a machine and waits for the page.
fn boot(machine: &Machine) -> Result<Boot> {
    let host_port = free_port()?;
    let forwards = vec![Forward { host_port, guest: ADDRESS, guest_port: 80 }];
    let mut machine = machine.clone();
    machine.nics = vec![Nic { backend: Backend::User { number: 2, forwards }, pcap: None }];
    let started = Instant::now();
    let mut process = Process::start(&machine, |_| {})?;
    let (sender, answers) = channel();
    loop {
        interrupt::check()?;
        ask(host_port, sender.clone());
        if let Ok(answered) = answers.recv_timeout(PERIOD) {
            let cpu_ms = process.cpu_ns()? as f64 / 1e6;
            return Ok(Boot { wall_ms: (answered - started).as_secs_f64() * 1e3, cpu_ms });
        }
        if let Some(end) = process.end()? {
            bail!("it {end} before it answered");
        }
        if started.elapsed() > LIMIT {
            bail!("no answer after {} s", LIMIT.as_secs());
        }
    }
}

/// Asks once for the page; when it is there, says so.
fn ask(port: u16, answered: Sender<Instant>) {
    std::thread::spawn(move || {
        let page = || -> std::io::Result<Vec<u8>> {
            let mut stream =
                TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /page.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        if page().is_ok_and(|answer| is_whole(&answer)) {
            let _ = answered.send(Instant::now());
        }
    });
}

fn is_whole(answer: &[u8]) -> bool {
    let has_status = answer.starts_with(b"HTTP/1.1 200 ") || answer.starts_with(b"HTTP/1.0 200 ");
    has_status && answer.len() > http::PAGE_BYTES
}

impl Measured {
    fn print(&self) {
        println!("{}: from QEMU's start to the first HTTP answer", self.board);
        for (name, boots) in [("fata", &self.fata), ("linux", &self.linux)] {
            let (wall, cpu) = (of(boots, |b| b.wall_ms), of(boots, |b| b.cpu_ms));
            println!(
                "  {name:5}  {:6.0} ms ({:.0} to {:.0}), CPU of QEMU {:6.0} ms ({:.0} to {:.0})",
                wall.median, wall.least, wall.most, cpu.median, cpu.least, cpu.most
            );
        }
        let (wall, cpu) = (self.ratio(|b| b.wall_ms), self.ratio(|b| b.cpu_ms));
        println!(
            "  linux takes {:.1} times as long ({:.1} to {:.1}), and {:.1} times the CPU ({:.1} to {:.1})",
            wall.median, wall.least, wall.most, cpu.median, cpu.least, cpu.most
        );
    }

    /// Linux to ours: of the medians, and of the extremes against each other.
    fn ratio(&self, figure: impl Fn(&Boot) -> f64) -> Spread {
        let (linux, fata) = (of(&self.linux, &figure), of(&self.fata, &figure));
        Spread {
            median: linux.median / fata.median,
            least: linux.least / fata.most,
            most: linux.most / fata.least,
        }
    }

    fn to_json(&self) -> Value {
        let figures = |boots: &[Boot]| -> Vec<Value> {
            boots.iter().map(|boot| json!({ "wall_ms": boot.wall_ms, "qemu_cpu_ms": boot.cpu_ms })).collect()
        };
        let ratio =
            |spread: Spread| json!({ "median": spread.median, "least": spread.least, "most": spread.most });
        json!({
            "board": self.board.name(),
            "fata": figures(&self.fata),
            "linux": figures(&self.linux),
            "ratio_of_wall": ratio(self.ratio(|b| b.wall_ms)),
            "ratio_of_qemu_cpu": ratio(self.ratio(|b| b.cpu_ms)),
        })
    }
}

/// The middle of several figures, and how far they lie apart.
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

fn of(boots: &[Boot], figure: impl Fn(&Boot) -> f64) -> Spread {
    let mut figures: Vec<f64> = boots.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures[(figures.len() - 1) / 2], figures[figures.len() / 2]);
    Spread { median: (low + high) / 2.0, least: figures[0], most: figures[figures.len() - 1] }
}

fn write_results(bench: &Bench, measured: &[Measured]) -> Result<()> {
    let boards: Vec<Value> = measured.iter().map(Measured::to_json).collect();
    let all = json!({ "accelerator": Accelerator::Best.name(), "boards": boards });
    let bars: Vec<plot::Group> = measured
        .iter()
        .map(|result| plot::Group {
            name: result.board.name(),
            bars: vec![
                ("fata", of(&result.fata, |b| b.wall_ms).median),
                ("linux + busybox", of(&result.linux, |b| b.wall_ms).median),
            ],
        })
        .collect();
    let plot = plot::bars("from QEMU's start to the first HTTP answer, milliseconds", &bars);
    results::write_both(bench, "boot", &all, &plot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boots(wall_ms: &[f64]) -> Vec<Boot> {
        wall_ms.iter().map(|&wall_ms| Boot { wall_ms, cpu_ms: 1.0 }).collect()
    }

    #[test]
    fn a_ratio_is_of_medians_and_spreads_from_worst_to_best() {
        let measured =
            Measured { board: Board::Q35, fata: boots(&[20.0, 10.0, 100.0]), linux: boots(&[500.0, 300.0]) };
        let ratio = measured.ratio(|boot| boot.wall_ms);
        assert_eq!((ratio.median, ratio.least, ratio.most), (20.0, 3.0, 50.0));
    }

    #[test]
    fn only_a_whole_page_is_an_answer() {
        let page = [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &[b'x'; http::PAGE_BYTES]].concat();
        assert!(is_whole(&page));
        assert!(!is_whole(&page[..1000]) && !is_whole(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"));
    }
}
