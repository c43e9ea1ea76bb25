//! Many connections that do nothing: what a request costs while they are held, and what each of them takes of the guest's
//! memory.
//!
//! The guest is compared with itself: few connections held, many, few again. dom0's agent holds them; a connection
//! that does not stay open spoils the figure, and there is none.

use std::fmt::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::contest::{Run, figure};
use super::http;
use super::quiet::Watch;
use super::servers::{self, FATA};
use super::{Bench, plot, results};
use crate::interrupt;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};

const MEMORY_MB: u32 = 128;
/// What the many are compared with.
const FEW: u32 = 10;
/// Few and many in turns, few first and last.
const ROUNDS: usize = 3;
const WARM_UP_S: u32 = 2;
const SOON: Duration = Duration::from_secs(60);
/// For each connection to be opened, beside a minute.
const PER_CONNECTION: Duration = Duration::from_millis(30);
/// Each source has some 28,000 ports.
const PER_SOURCE: u32 = 20_000;
/// Until memory of connections that were closed has been given back.
const SETTLE: Duration = Duration::from_secs(90);

/// What the guest says of its memory, octets.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Pages that are given to nobody.
    pub free_pages: u64,
    /// What the heap has been given; it gives nothing back.
    pub heap: u64,
    /// Of the heap, what is in use.
    pub heap_used: u64,
    /// Connections that linger for a minute, and take some of it.
    pub time_wait: u64,
}

impl Memory {
    /// From the text of `/metrics`.
    pub fn parse(metrics: &str) -> Result<Self> {
        let of = |name: &str| -> Result<u64> {
            let value =
                metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
            value.with_context(|| format!("no {name} in the metrics:\n{metrics}"))
        };
        let memory = |kind: &str| of(&format!("fata_memory_bytes{{kind=\"{kind}\"}}"));
        let heap_used = memory("heap_used")?;
        // What the guest calls free has the rest of the heap in it.
        let heap = memory("heap")?;
        let free_pages = memory("free")?.saturating_sub(heap.saturating_sub(heap_used));
        Ok(Self { free_pages, heap, heap_used, time_wait: of("fata_net_tcp_time_wait")? })
    }

    /// Of our web server in a guest.
    pub fn of_web(host: &Host) -> Result<Self> {
        let said = host.sh(&format!("curl -s -f --max-time 20 http://{FATA}/metrics"), SOON)?.ok()?;
        Self::parse(&said.stdout)
    }
}

/// Connections that dom0's agent holds, until this is dropped.
pub struct Held<'h> {
    host: &'h Host,
    count: u32,
    /// Its files in dom0.
    file: &'static str,
}

impl<'h> Held<'h> {
    /// Opens so many to our guest's port 80, and waits until all are there.
    pub fn open(host: &'h Host, count: u32) -> Result<Self> {
        let file = "/tmp/fata-hold";
        let sources = (0..count.div_ceil(PER_SOURCE)).fold(String::new(), |mut text, n| {
            let _ = write!(text, " 10.0.2.{}", 100 + n);
            text
        });
        let script = format!(
            "for source in{sources}; do ip address replace $source/24 dev xenbr0; done
            ulimit -n {files} || exit 1
            /fata/fata-agent hold {FATA}:80 {count}{sources} >{file}.out 2>{file}.err </dev/null &
            echo $! >{file}.pid",
            files = count + 1000
        );
        host.sh(&script, SOON)?.ok().context("dom0 cannot hold so many connections")?;
        let held = Self { host, count, file };
        let started = Instant::now();
        while !held.said()?.contains(&format!("held {count}\n")) {
            interrupt::check()?;
            let error = host.sh(&format!("cat {file}.err"), SOON)?.stdout;
            ensure!(error.is_empty(), "not all {count} connections could be opened: {error}");
            let limit = SOON + PER_CONNECTION * count;
            ensure!(started.elapsed() < limit, "not all {count} connections were there after {limit:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(held)
    }

    fn said(&self) -> Result<String> {
        Ok(self.host.sh(&format!("cat {}.out", self.file), SOON)?.ok()?.stdout)
    }

    /// An error if any of them has been closed.
    pub fn check(&self) -> Result<()> {
        // It looks every three seconds.
        std::thread::sleep(Duration::from_secs(4));
        let said = self.said()?;
        match said.lines().rfind(|line| line.starts_with("open ")) {
            Some(line) => {
                bail!("of {} connections {} are left: the server closed the others", self.count, &line[5..])
            }
            None => Ok(()),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = interrupt::ignored(|| self.host.sh(&format!("kill $(cat {}.pid)", self.file), SOON));
    }
}

/// Our web server with room for so many connections, and for wrk's.
pub fn spec(image: &std::path::Path, count: u32) -> GuestSpec {
    GuestSpec::new("web", image.to_path_buf())
        .memory(MEMORY_MB)
        .network()
        .extra(&format!("connections={} idle=2h", count + 100))
}

/// Waits until its page can be had.
pub fn wait_answers(host: &Host, guest: &Guest) -> Result<()> {
    let script = format!("until {}; do sleep 0.1; done", http::ANSWERS.replace("ADDRESS", FATA));
    host.sh(&script, SOON).with_context(|| format!("it does not answer: {}", guest.console())).map(drop)
}

/// Runs it; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let many = bench.connections;
    let image = http::build_web(&bench.workspace, &bench.folder, &http::page())?;
    let mut host = servers::host(&bench.folder)?;
    let guest = host.create(&spec(&image, many))?;
    wait_answers(&host, &guest)?;
    let before = settled(&host)?;
    let (mut with_few, mut with_many, mut octets) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round > 0 {
            let held = Held::open(&host, many)?;
            let memory = Memory::of_web(&host)?;
            octets.push(memory.heap_used.saturating_sub(before.heap_used) as f64 / f64::from(many));
            with_many.push(one_run(&host, &guest, http::PAGE, bench.seconds)?);
            held.check()?;
            drop(held);
            settled(&host)?;
        }
        let held = Held::open(&host, FEW)?;
        with_few.push(one_run(&host, &guest, http::PAGE, bench.seconds)?);
        held.check()?;
    }
    let after = settled(&host)?;
    let figures = Figures { many, with_few, with_many, octets, before, after };
    figures.print();
    let bars = plot::bars(
        "guest CPU a request, microseconds, with idle connections",
        &[plot::Group {
            name: "keep-alive, 4 kB",
            bars: vec![("10 idle", least(&figures.with_few)), ("many idle", least(&figures.with_many))],
        }],
    );
    results::write_both(bench, "idle", &figures.to_json(), &bars)
}

/// Guest CPU a request, microseconds.
pub fn one_run(host: &Host, guest: &Guest, page: &str, seconds: u32) -> Result<Run> {
    http::load_with_wrk(host, FATA, page, "", WARM_UP_S)?;
    let watch = Watch::start(host.process_id());
    let before = guest.cpu_ns()?;
    let (requests, seconds) = http::load_with_wrk(host, FATA, page, "", seconds)?;
    let spent = (guest.cpu_ns()? - before) as f64;
    let others = watch.end("web");
    Ok(Run { cost: spent / 1e3 / requests as f64, rate: requests as f64 / seconds, others })
}

/// The guest's memory when it does not change any more and no connection lingers, which takes a minute after it was closed.
pub fn settled(host: &Host) -> Result<Memory> {
    let started = Instant::now();
    let mut last = Memory::of_web(host)?;
    loop {
        interrupt::check()?;
        std::thread::sleep(Duration::from_secs(3));
        let now = Memory::of_web(host)?;
        let stands_still = now.heap_used.abs_diff(last.heap_used) < 1024 && now.time_wait == 0;
        if stands_still || started.elapsed() > SETTLE {
            return Ok(now);
        }
        last = now;
    }
}

fn least(runs: &[Run]) -> f64 {
    runs.iter().map(|run| run.cost).fold(f64::INFINITY, f64::min)
}

fn most(runs: &[Run]) -> f64 {
    runs.iter().map(|run| run.cost).fold(0.0, f64::max)
}

struct Figures {
    many: u32,
    with_few: Vec<Run>,
    with_many: Vec<Run>,
    /// Octets of heap a connection, as often as many were held.
    octets: Vec<f64>,
    before: Memory,
    after: Memory,
}

impl Figures {
    /// Many to few: of the best, and of the extremes against each other.
    fn ratio(&self) -> (f64, f64, f64) {
        let (few, many) = (&self.with_few, &self.with_many);
        (least(many) / least(few), least(many) / most(few), most(many) / least(few))
    }

    fn print(&self) {
        println!(
            "idle connections in a guest of {MEMORY_MB} MiB: guest CPU, us a request (keep-alive, 4 kB)"
        );
        for (count, runs) in [(FEW, &self.with_few), (self.many, &self.with_many)] {
            let list = runs.iter().map(|run| figure(run.cost)).collect::<Vec<_>>().join(" ");
            println!("  {count:>6} idle  best {:>7}   runs {list}", figure(least(runs)));
        }
        let (best, low, high) = self.ratio();
        println!("  with {} idle a request costs {best:.2} times as much ({low:.2} to {high:.2})", self.many);
        let octets = self.octets.iter().map(|octets| format!("{octets:.0}")).collect::<Vec<_>>().join(" ");
        println!("  heap an idle connection, octets: {octets}");
        println!(
            "  heap in use before {} and after {} octets; free pages {} and {} octets",
            self.before.heap_used, self.after.heap_used, self.before.free_pages, self.after.free_pages
        );
    }

    fn to_json(&self) -> Value {
        let runs = |runs: &[Run]| -> Vec<Value> {
            let run = |run: &Run| json!({ "us_per_request": run.cost, "requests_per_s": run.rate, "others_cores": run.others });
            runs.iter().map(run).collect()
        };
        let (best, low, high) = self.ratio();
        json!({
            "memory_mib": MEMORY_MB,
            "connections": { "few": FEW, "many": self.many },
            "with_few": runs(&self.with_few),
            "with_many": runs(&self.with_many),
            "many_cost_to_few": { "best": best, "least": low, "most": high },
            "heap_octets_per_idle_connection": self.octets,
            "heap_octets": { "before": self.before.heap, "after": self.after.heap },
            "heap_used_octets": { "before": self.before.heap_used, "after": self.after.heap_used },
            "free_pages_octets": { "before": self.before.free_pages, "after": self.after.free_pages },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_metrics() {
        let text = "# TYPE fata_memory_bytes gauge\nfata_memory_bytes{kind=\"given\"} 9\nfata_memory_bytes{kind=\"free\"} 12\n\
                    fata_memory_bytes{kind=\"heap\"} 7\nfata_memory_bytes{kind=\"heap_used\"} 5\n\
                    fata_net_tcp_time_wait 3\n";
        let memory = Memory::parse(text).unwrap();
        assert_eq!((memory.free_pages, memory.heap, memory.heap_used, memory.time_wait), (10, 7, 5, 3));
        assert!(Memory::parse("nothing").is_err());
    }

    #[test]
    fn the_ratio_is_of_the_best() {
        let run = |cost| Run { cost, rate: 1.0, others: 0.0 };
        let memory = Memory { free_pages: 0, heap: 0, heap_used: 0, time_wait: 0 };
        let figures = Figures {
            many: 100,
            with_few: vec![run(10.0), run(20.0)],
            with_many: vec![run(11.0), run(15.0)],
            octets: vec![],
            before: memory,
            after: memory,
        };
        assert_eq!(figures.ratio(), (1.1, 0.55, 1.5));
    }
}
