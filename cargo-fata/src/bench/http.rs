//! A page of 4 kB over HTTP: our web server and nginx on Linux, in turns.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::contest::{FigureOf, Load, Run};
use super::pair::{Naming, Pair};
use super::servers::Server;
use super::{Bench, wrk};
use crate::workspace::Workspace;
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;
use crate::xen_host::linux_guest;

/// The page's name.
pub const PAGE: &str = "page.html";
/// The page's length, octets.
pub const PAGE_BYTES: usize = 4096;
const CONNECTIONS: u32 = 16;
const FATA_MEMORY_MB: u32 = 16;
const WARM_UP_S: u32 = 2;
const MICROSECOND: f64 = 1e3;
/// Asks once for the page.
pub const ANSWERS: &str = "curl -s -f -o /dev/null --max-time 2 http://ADDRESS/page.html";

/// The ways to load a server, each with wrk's option for it.
const LOADS: [(Load, &str); 2] =
    [(load("keep-alive"), ""), (load("connection per request"), "-H 'Connection: close'")];

const fn load(name: &'static str) -> Load {
    Load { name, cost_unit: "us a request", rate_unit: "requests/s", figure_of: FigureOf::Best }
}

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let page = page();
    let image = build_web(&bench.workspace, &bench.folder, &page)?;
    let linux = linux_guest::build(&linux_guest::SERVERS, &[(PAGE, &page)])?;
    let spec = GuestSpec::new("web", image.clone()).memory(FATA_MEMORY_MB);
    let pair = Pair::start(bench, &image, spec, &linux, ANSWERS)?;
    let naming = Naming {
        name: "http",
        title: "guest CPU a request, microseconds (4 kB page)",
        linux: "linux + nginx",
    };
    pair.hold(&naming, &LOADS, |host, server, option| one_run(host, server, option, bench.seconds))
}

/// Guest CPU a request, microseconds. The other server is paused meanwhile.
fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<Run> {
    let warm_up = || load_with_wrk(host, server.address, PAGE, option, WARM_UP_S).map(drop);
    server.measure(host, MICROSECOND, warm_up, || {
        let (requests, seconds) = load_with_wrk(host, server.address, PAGE, option, seconds)?;
        Ok((requests as f64, seconds))
    })
}

/// Loads a server with wrk; gives requests and seconds. An error if any request was lost. Of two options of a kind, wrk takes
/// the later.
pub fn load_with_wrk(
    host: &Host,
    address: &str,
    page: &str,
    option: &str,
    seconds: u32,
) -> Result<(u64, f64)> {
    let url = format!("http://{address}:80/{page}");
    let wrk = format!("wrk -t 1 -c {CONNECTIONS} -d {seconds}s --timeout 10s {option} {url}");
    wrk::run(host, &wrk, address, seconds)
}

/// Our web server with the page in it.
pub fn build_web(workspace: &Workspace, folder: &Path, page: &[u8]) -> Result<PathBuf> {
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
