//! `cargo fata bench`: what a unit of work costs in guest CPU time, beside a Linux guest that does the same on the same host;
//! sizes, least memory, time to start.
//!
//! Under emulation neither clock nor throughput means anything by itself: what counts is the ratio, in one run on one host,
//! of the time the hypervisor accounted. A machine that does other work at the same time spoils even that ([`quiet`]), and a
//! run that lost requests has no figure.

mod boot;
mod contest;
mod disk;
pub mod http;
mod https;
pub mod idle;
mod iperf;
mod kv;
mod netem;
mod pair;
mod plot;
mod quiet;
mod results;
pub mod servers;
mod size;
pub mod wrk;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::BenchArgs;
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use crate::{interrupt, ui};

/// What all benchmarks are given.
pub struct Bench {
    /// Where images come from.
    pub workspace: Workspace,
    /// Where results go.
    pub folder: PathBuf,
    /// How long each run loads a server.
    pub seconds: u32,
    /// How often each server is loaded, in turns.
    pub rounds: u32,
    /// How many idle connections are many.
    pub connections: u32,
    /// Only the bad lines whose names contain this.
    pub line: Option<String>,
}

struct Benchmark {
    name: &'static str,
    needs: &'static [Need],
    run: fn(&Bench) -> Result<()>,
}

const ON_XEN: &[Need] = &[Need::Target, Need::XenHost];

/// All of them, in the order in which they run.
const BENCHMARKS: [Benchmark; 9] = [
    Benchmark { name: "size", needs: ON_XEN, run: size::run },
    Benchmark { name: "http", needs: ON_XEN, run: http::run },
    Benchmark { name: "https", needs: ON_XEN, run: https::run },
    Benchmark { name: "iperf", needs: ON_XEN, run: iperf::run },
    Benchmark { name: "netem", needs: ON_XEN, run: netem::run },
    Benchmark { name: "idle", needs: ON_XEN, run: idle::run },
    Benchmark { name: "kv", needs: ON_XEN, run: kv::run },
    Benchmark { name: "disk", needs: ON_XEN, run: disk::run },
    Benchmark { name: "boot", needs: &[Need::Target, Need::HostPackages], run: boot::run },
];

/// The command itself: one benchmark, or all.
pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    let wanted = select(args.name.as_deref())?;
    let needs: Vec<Need> = wanted.iter().flat_map(|benchmark| benchmark.needs).copied().collect();
    setup::ensure(&needs)?;
    let workspace = Workspace::current()?;
    let folder = workspace.target_dir.join("bench");
    fs::create_dir_all(&folder)?;
    let BenchArgs { seconds, rounds, connections, ref line, .. } = *args;
    let bench = Bench { workspace, folder, seconds, rounds, connections, line: line.clone() };
    quiet::warn_if_busy();
    let mut failed = Vec::new();
    for benchmark in &wanted {
        interrupt::check()?;
        if wanted.len() > 1 {
            println!("\n== {}", benchmark.name);
        }
        if let Err(error) = (benchmark.run)(&bench) {
            ui::warn(format!("{}: {error:#}", benchmark.name));
            failed.push(benchmark.name);
        }
    }
    if !failed.is_empty() {
        bail!("without all their figures: {}", failed.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn select(name: Option<&str>) -> Result<Vec<&'static Benchmark>> {
    let Some(name) = name else { return Ok(BENCHMARKS.iter().collect()) };
    let found: Vec<_> = BENCHMARKS.iter().filter(|benchmark| benchmark.name == name).collect();
    if found.is_empty() {
        let names: Vec<_> = BENCHMARKS.iter().map(|benchmark| benchmark.name).collect();
        bail!("there is no benchmark {name}; there are: {}", names.join(", "));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_there_is_not_is_told_the_others() {
        let error = select(Some("htp")).err().expect("no such benchmark").to_string();
        assert_eq!(
            error,
            "there is no benchmark htp; there are: size, http, https, iperf, netem, idle, kv, disk, boot"
        );
        assert_eq!(select(None).unwrap().len(), BENCHMARKS.len());
        assert_eq!(select(Some("iperf")).unwrap()[0].name, "iperf");
    }
}
