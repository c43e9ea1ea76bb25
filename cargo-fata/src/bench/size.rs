//! What an appliance is and needs: octets of images, the least memory that they work in, guest CPU to the first answer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::http::{self, ANSWERS, PAGE};
use super::servers::{self, FATA, Server};
use super::{Bench, kv, plot, results};
use crate::xen_host::Host;
use crate::xen_host::guest::{End, GuestSpec};
use crate::xen_host::linux_guest;

/// What images there are sizes of, beside the web server's without a site.
const IMAGES: [&str; 7] = ["hello", "disk", "udp_echo", "echo", "web", "iperf", "kv"];
/// The least that xl builds.
const LEAST_MB: u32 = 4;
const MOST_MB: u32 = 64;
const SOON: Duration = Duration::from_secs(30);
/// Boots of which the cheapest counts.
const BOOTS: usize = 3;
const FATA_MEMORY_MB: u32 = 16;

/// Runs it; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let sizes = sizes(bench)?;
    println!("images, octets");
    for (name, octets) in &sizes {
        println!("  {name:20} {octets:>9}");
    }
    let page = http::page();
    let hello = bench.workspace.find("hello", false)?.build(&["--quiet"])?;
    let store = bench.workspace.find("kv", false)?.build(&["--quiet"])?;
    let web = http::build_web(&bench.workspace, &bench.folder, &page)?;
    let linux = linux_guest::build(&linux_guest::SERVERS, &[(PAGE, &page)])?;
    let linux_octets = fs::metadata(&linux.kernel)?.len() + fs::metadata(&linux.initramfs)?.len();
    println!("  {:20} {linux_octets:>9}", "linux + nginx");
    let mut host = servers::host(&bench.folder)?;
    let least = [
        ("hello", floor(&mut host, &hello, greets)?),
        ("web", floor(&mut host, &web, serves)?),
        ("kv", floor(&mut host, &store, stores)?),
    ];
    println!("least memory, MiB");
    least.iter().for_each(|(name, mb)| println!("  {name:20} {mb:>9}"));
    let (mut ours, mut first) = (Vec::new(), Vec::new());
    for _ in 0..BOOTS {
        let spec = GuestSpec::new("web", web.clone()).memory(FATA_MEMORY_MB);
        let server = Server::fata(&mut host, &web, spec, ANSWERS)?;
        ours.push(server.first_answer_cpu_ns() as f64 / 1e6);
        first.push(server.guest.create_time.as_secs_f64());
        server.guest.destroy()?;
    }
    let theirs = Server::linux(&mut host, &linux, ANSWERS)?;
    let theirs_ms = theirs.first_answer_cpu_ns() as f64 / 1e6;
    let best = ours.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "guest CPU to the first HTTP answer: fata {best:.1} ms, linux {theirs_ms:.0} ms, {:.0} times",
        theirs_ms / best
    );
    let json = json!({
        "image_octets": sizes.iter().map(|(name, octets)| ((*name).to_owned(), json!(octets))).collect::<serde_json::Map<String, Value>>(),
        "linux_octets": linux_octets,
        "least_memory_mib": least.iter().map(|(name, mb)| ((*name).to_owned(), json!(mb))).collect::<serde_json::Map<String, Value>>(),
        "first_answer_cpu_ms": { "fata": ours, "linux": theirs_ms },
        "xl_create_s": { "fata": first, "linux": theirs.guest.create_time.as_secs_f64() },
    });
    let bars: Vec<plot::Group> = sizes
        .iter()
        .map(|(name, octets)| plot::Group { name, bars: vec![("fata", *octets as f64 / 1e3)] })
        .collect();
    results::write_both(bench, "size", &json, &plot::bars("images, kilobytes", &bars))
}

fn sizes(bench: &Bench) -> Result<Vec<(&'static str, u64)>> {
    let mut sizes = Vec::new();
    for name in IMAGES {
        let image = bench.workspace.find(name, false)?.build(&["--quiet"])?;
        sizes.push((name, fs::metadata(image)?.len()));
    }
    let site = bench.folder.join("empty-site");
    fs::create_dir_all(&site)?;
    let image = bench.workspace.find("web", false)?.with_site(&site).build(&["--quiet"])?;
    sizes.push(("web without content", fs::metadata(image)?.len()));
    Ok(sizes)
}

/// The least memory that an image works in: each MiB is tried, from the least that xl builds.
fn floor(host: &mut Host, image: &Path, works: fn(&mut Host, &GuestSpec) -> Result<()>) -> Result<u32> {
    let mut last = None;
    for mb in LEAST_MB..=MOST_MB {
        let spec = GuestSpec::new("floor", PathBuf::from(image)).memory(mb);
        match works(host, &spec) {
            Ok(()) => return Ok(mb),
            Err(error) => last = Some(error),
        }
        crate::interrupt::check()?;
    }
    let error = last.context("nothing was tried")?;
    Err(error.context(format!("{} does not work in {MOST_MB} MiB", image.display())))
}

fn greets(host: &mut Host, spec: &GuestSpec) -> Result<()> {
    let guest = host.create(spec)?;
    guest.wait_console("hello from Fata", SOON)?;
    anyhow::ensure!(guest.wait_gone(SOON)? == End::PowerOff, "it did not power off");
    Ok(())
}

/// Serves a short load without losing a request.
fn serves(host: &mut Host, spec: &GuestSpec) -> Result<()> {
    let guest = host.create(&spec.clone().network())?;
    guest.wait_console("link up", SOON)?;
    http::load_with_wrk(host, FATA, PAGE, "", 3)?;
    http::load_with_wrk(host, FATA, PAGE, "-H 'Connection: close'", 3)?;
    anyhow::ensure!(guest.end()?.is_none(), "the guest is gone");
    Ok(())
}

/// Keeps a few thousand values, in memory.
fn stores(host: &mut Host, spec: &GuestSpec) -> Result<()> {
    let guest = host.create(&spec.clone().network())?;
    guest.wait_console("link up", SOON)?;
    kv::benchmark(host, FATA, "-t set,get", 4000)?;
    anyhow::ensure!(guest.end()?.is_none(), "the guest is gone");
    Ok(())
}
