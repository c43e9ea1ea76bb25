//! A page of 4 kB over HTTP: our web server and nginx on Linux, in turns.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{plot, wrk};
use crate::cli::BenchArgs;
use crate::ui;
use crate::workspace::Workspace;
use crate::xen_host::Host;
use crate::xen_host::guest::{Guest, GuestSpec};
use crate::xen_host::linux_guest::{self, LinuxGuest};
use crate::xen_host::qemu::Options;

const PAGE: &str = "page.html";
/// The page's length, octets.
pub const PAGE_BYTES: usize = 4096;
const CONNECTIONS: u32 = 16;
const HOST_MEMORY_MB: u32 = 3000;
const LINUX_MEMORY_MB: u32 = 256;
const FATA_MEMORY_MB: u32 = 16;
/// Our runs come first and last, so that a drift of the machine shows.
const ROUNDS: usize = 3;
const BOOT_LIMIT: Duration = Duration::from_secs(180);

/// One way to load a server.
struct Load {
    name: &'static str,
    header: &'static str,
}

const LOADS: [Load; 2] = [
    Load { name: "keep-alive", header: "" },
    Load { name: "connection per request", header: "-H 'Connection: close'" },
];

/// A server under measurement.
struct Server {
    name: &'static str,
    guest: Guest,
    address: &'static str,
    image_bytes: u64,
    memory_mb: u32,
    first_answer_cpu_ns: u64,
}

/// Runs it all; prints the figures and writes them to `folder`.
pub fn run(workspace: &Workspace, folder: &Path, args: &BenchArgs) -> Result<()> {
    let page = page();
    let image = build_web(workspace, folder, &page)?;
    let linux = linux_guest::build(&[(PAGE, &page)])?;
    let log = folder.join("serial.log");
    let mut host = Host::boot(Options {
        memory_mb: HOST_MEMORY_MB,
        forwards: Vec::new(),
        disks: Vec::new(),
        log,
        gdb_port: None,
    })?;
    let servers = [start_fata(&mut host, &image)?, start_linux(&mut host, &linux)?];
    for server in &servers {
        server.guest.xl("pause")?;
        println!(
            "{}: image {} kB, memory {} MiB, xl create {:.2} s, guest CPU to the first answer {:.1} ms",
            server.name,
            server.image_bytes / 1000,
            server.memory_mb,
            server.guest.create_time.as_secs_f64(),
            server.first_answer_cpu_ns as f64 / 1e6
        );
    }
    let mut results = Vec::new();
    for load in &LOADS {
        results.push(measure(&host, &servers, load, args.seconds)?);
    }
    write_results(folder, &servers, &results)
}

/// What one kind of load cost: microseconds of guest CPU a request, a figure a run.
struct Measured {
    name: &'static str,
    fata_us: Vec<f64>,
    linux_us: Vec<f64>,
}

impl Measured {
    /// The best of each: whatever disturbs a run makes it worse.
    fn ratio(&self) -> f64 {
        best(&self.linux_us) / best(&self.fata_us)
    }

    fn print(&self) {
        let list =
            |figures: &[f64]| figures.iter().map(|us| format!("{us:.0}")).collect::<Vec<_>>().join(" ");
        println!("{}: guest CPU a request, us", self.name);
        println!("  fata   best {:7.1}   runs {}", best(&self.fata_us), list(&self.fata_us));
        println!("  linux  best {:7.1}   runs {}", best(&self.linux_us), list(&self.linux_us));
        println!(
            "  linux costs {:.1} times as much (worst runs: {:.1})",
            self.ratio(),
            worst(&self.linux_us) / worst(&self.fata_us)
        );
    }
}

fn measure(host: &Host, servers: &[Server; 2], load: &Load, seconds: u32) -> Result<Measured> {
    let [fata, linux] = servers;
    let mut measured = Measured { name: load.name, fata_us: Vec::new(), linux_us: Vec::new() };
    for round in 0..ROUNDS {
        if round > 0 {
            measured.linux_us.push(one_run(host, linux, load, seconds)?);
        }
        measured.fata_us.push(one_run(host, fata, load, seconds)?);
    }
    measured.print();
    Ok(measured)
}

/// Guest CPU a request, microseconds. The other server is paused meanwhile.
fn one_run(host: &Host, server: &Server, load: &Load, seconds: u32) -> Result<f64> {
    server.guest.xl("unpause")?;
    let url = format!("http://{}:80/{PAGE}", server.address);
    let wrk =
        |seconds| format!("wrk -t 1 -c {CONNECTIONS} -d {seconds}s --timeout 10s {} {url}", load.header);
    let limit = Duration::from_secs(u64::from(seconds) + 60);
    host.sh(&wrk(2), limit)?.ok()?;
    let before = server.guest.cpu_ns()?;
    let output = host.sh(&wrk(seconds), limit)?.ok()?.stdout;
    let spent = server.guest.cpu_ns()? - before;
    let requests = wrk::requests(&output).with_context(|| format!("{}, {}", server.name, load.name))?;
    server.guest.xl("pause")?;
    Ok(spent as f64 / 1000.0 / requests as f64)
}

fn start_fata(host: &mut Host, image: &Path) -> Result<Server> {
    let spec = GuestSpec::new("web", image.to_path_buf()).memory(FATA_MEMORY_MB).network();
    let guest = host.create(&spec)?;
    let address = "10.0.2.15";
    let first_answer_cpu_ns = cpu_at_first_answer(host, &guest, address)?;
    let image_bytes = fs::metadata(image)?.len();
    Ok(Server { name: "fata", guest, address, image_bytes, memory_mb: FATA_MEMORY_MB, first_answer_cpu_ns })
}

fn start_linux(host: &mut Host, linux: &LinuxGuest) -> Result<Server> {
    let spec = linux.spec(host, "10.0.2.16/24", LINUX_MEMORY_MB)?;
    let guest = host.create(&spec)?;
    let address = "10.0.2.16";
    let first_answer_cpu_ns = cpu_at_first_answer(host, &guest, address)?;
    let image_bytes = fs::metadata(&linux.kernel)?.len() + fs::metadata(&linux.initramfs)?.len();
    Ok(Server { name: "linux", guest, address, image_bytes, memory_mb: LINUX_MEMORY_MB, first_answer_cpu_ns })
}

fn cpu_at_first_answer(host: &Host, guest: &Guest, address: &str) -> Result<u64> {
    let started = Instant::now();
    let script =
        format!("until curl -s -f -o /dev/null --max-time 2 http://{address}/{PAGE}; do sleep 0.05; done");
    host.sh(&script, BOOT_LIMIT)
        .with_context(|| format!("{} does not answer; its console:\n{}", guest.name(), guest.console()))?;
    let cpu = guest.cpu_ns()?;
    ui::say(format!("{} answers after {:.1} s", guest.name(), started.elapsed().as_secs_f64()));
    Ok(cpu)
}

/// Our web server with the page in it.
pub fn build_web(workspace: &Workspace, folder: &Path, page: &[u8]) -> Result<std::path::PathBuf> {
    let site = folder.join("site");
    fs::create_dir_all(&site)?;
    fs::write(site.join(PAGE), page)?;
    workspace.find("web", false)?.with_site(&site).build(&["--quiet"])
}

/// A page that does not compress, so that both servers send all of it.
pub fn page() -> Vec<u8> {
    let mut state = 1_u32;
    let mut letter = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 26) as usize]
    };
    (0..PAGE_BYTES).map(|_| letter()).collect()
}

fn write_results(folder: &Path, servers: &[Server], results: &[Measured]) -> Result<()> {
    let servers: Vec<Value> = servers.iter().map(server_json).collect();
    let loads: Vec<Value> = results.iter().map(load_json).collect();
    let path = folder.join("http.json");
    fs::write(&path, serde_json::to_string_pretty(&json!({ "servers": servers, "loads": loads }))?)?;
    let bars: Vec<plot::Group> = results
        .iter()
        .map(|result| plot::Group {
            name: result.name,
            bars: vec![("fata", best(&result.fata_us)), ("linux + nginx", best(&result.linux_us))],
        })
        .collect();
    let chart = folder.join("http.svg");
    fs::write(&chart, plot::bars("guest CPU a request, microseconds (4 kB page)", &bars))?;
    ui::say(format!("written: {} and {}", path.display(), chart.display()));
    Ok(())
}

fn server_json(server: &Server) -> Value {
    json!({
        "name": server.name,
        "image_bytes": server.image_bytes,
        "memory_mib": server.memory_mb,
        "xl_create_s": server.guest.create_time.as_secs_f64(),
        "first_answer_cpu_ms": server.first_answer_cpu_ns as f64 / 1e6,
    })
}

fn load_json(load: &Measured) -> Value {
    json!({
        "name": load.name,
        "fata_us_per_request": load.fata_us,
        "linux_us_per_request": load.linux_us,
        "ratio_of_best": load.ratio(),
    })
}

fn best(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

fn worst(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(0.0, f64::max)
}
