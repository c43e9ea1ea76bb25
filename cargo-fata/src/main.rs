//! `cargo fata`: sets up, runs, tests and measures Fata appliances on a real Xen.
//!
//! [`setup`] makes the machine ready, [`xen_host`] is the Xen under test, [`qemu_guest`] a guest
//! without it, [`run`] shows one guest to the user, [`mod@test`] runs
//! the tests of [`boot_tests`], [`mod@bench`] measures, [`image`] looks into what is built, [`kv`] into stores. What they share stands beside them: [`cache`], [`cargo`], [`command`], [`interrupt`],
//! [`note`], [`symbols`], [`ui`], [`workspace`].

mod bench;
mod boot_tests;
mod cache;
mod cargo;
mod cli;
mod command;
mod image;
mod image_file;
mod images;
mod interrupt;
mod kv;
mod new;
mod note;
mod qemu_guest;
mod run;
mod setup;
mod symbols;
mod test;
mod ui;
mod workspace;
mod xen_host;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    if xen_host::is_agent() {
        return match fata_dom0::agent::main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("the agent cannot listen: {error}");
                ExitCode::FAILURE
            }
        };
    }
    // `cargo-fata` as a subcommand gets its own name as the first argument.
    let mut words: Vec<_> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "fata") {
        words.remove(1);
    }
    let cli = Cli::parse_from(words);
    match interrupt::install().and_then(|()| dispatch(&cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", ui::paint(ui::Colour::Red, "fata: error:"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Setup { check } => setup::run(*check)?,
        Command::Run(args) => return run::run(args),
        Command::Exec(args) => return run::exec(args),
        Command::Test(args) => return test::run(args),
        Command::Bench(args) => return bench::run(args),
        Command::Image(args) => image::run(&args.command)?,
        Command::Kv(args) => return kv::run(&args.command),
        Command::Symbols { image } => resolve_symbols(image)?,
        Command::New(args) => new::run(args)?,
        Command::Dom0 { script } => return run_in_dom0(script),
    }
    Ok(ExitCode::SUCCESS)
}

fn resolve_symbols(image: &Path) -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    print!("{}", symbols::resolve_text(image, &text)?);
    Ok(())
}

fn run_in_dom0(script: &str) -> Result<ExitCode> {
    setup::ensure(&[setup::Need::XenHost])?;
    let log = std::env::temp_dir().join(format!("fata-{}", std::process::id())).join("serial.log");
    let host = xen_host::Host::boot(xen_host::qemu::Options {
        memory_mb: 4500,
        forwards: Vec::new(),
        backwards: Vec::new(),
        log,
        disks: Vec::new(),
        gdb_port: None,
    })?;
    let output = host.sh(script, Duration::from_secs(600))?;
    print!("{}", output.stdout);
    eprint!("{}", output.stderr);
    Ok(ExitCode::from(output.status as u8))
}
