//! `cargo fata test`: checks, host tests, sizes and contents of images, packages, the book, boot tests, one line each, and a last
//! line that counts them.

mod book;
mod boot;
mod budget;
mod checks;
mod contents;
mod developer_tools;
pub mod elsewhere;
mod host_tests;
mod libtest;
mod packages;
mod platforms;
mod report;
mod sizes;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::report::Report;
use crate::boot_tests::{self, virtio};
use crate::cli::TestArgs;
use crate::interrupt;
use crate::setup;
use crate::workspace::{self, Workspace};

/// The name under which the building of all images is reported.
const BUILD: &str = "build::images";

/// The command itself.
pub fn run(args: &TestArgs) -> Result<ExitCode> {
    let filter = args.filter.as_deref().unwrap_or_default();
    let boot_tests = boot::select(filter, args.long);
    let (checks, sizes) = (checks::select(filter, args.long), sizes::select(filter));
    let (contents, own_tests) = (contents::select(filter), OwnTest::select(filter, args.long));
    let machine_tests = virtio::select(filter, args.long);
    let workspace = Workspace::current()?;
    let book = book::select(&workspace, filter, args.long)?;
    if args.list {
        checks.iter().for_each(|check| println!("{}", check.name));
        sizes.iter().for_each(|size| println!("{}", size.name));
        contents.iter().for_each(|contents| println!("{}", contents.name));
        own_tests.iter().for_each(|test| println!("{}", test.name));
        machine_tests.iter().for_each(|test| println!("{}", test.name));
        book.iter().for_each(|test| println!("{}", test.name));
        boot_tests.iter().for_each(|test| println!("{}", test.listed()));
        return Ok(ExitCode::SUCCESS);
    }
    let logs = workspace.target_dir.join("fata-logs");
    let _ = fs::remove_dir_all(&logs);
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    setup::ensure(&setup::ALL)?;
    let mut report = Report::default();
    for check in &checks {
        report.run(check.name, || check.run(&logs));
    }
    // A filter that names none of ours is for the host tests.
    let counts =
        [checks.len(), sizes.len(), contents.len(), own_tests.len(), machine_tests.len(), book.len()];
    let ours = counts.iter().sum::<usize>() + boot_tests.len();
    if host_tests::wanted(filter) || ours == 0 {
        host_tests::run(filter, args.long, &logs, &mut report)?;
    }
    // Before the images that the boot tests take, which have the same places.
    for size in &sizes {
        report.run(size.name, || size.check(&workspace, &logs));
    }
    for contents in &contents {
        report.run(contents.name, || contents.check(&workspace));
    }
    for test in &own_tests {
        report.run(test.name, || (test.run)(&workspace));
    }
    for test in &book {
        interrupt::check()?;
        report.run(&test.name, || test.run(&workspace, args.long));
    }
    if !boot_tests.is_empty() || !machine_tests.is_empty() {
        let built = build_images(&workspace, &mut report);
        for test in machine_tests.iter().filter(|_| built || args.keep_going) {
            report.run(test.name, || test.run(&logs));
        }
        if built || args.keep_going {
            boot::run(&boot_tests, &logs, &mut report)?;
        } else {
            let reason = "not run, as not all images could be built; --keep-going runs them all the same";
            report.failed(&format!("boot ({} tests)", boot_tests.len()), None, reason);
        }
    }
    report.finish()
}

/// A test by the tool itself that needs no Xen host: of what it makes, of what cargo makes, of what others do with it.
struct OwnTest {
    name: &'static str,
    /// Only with `--long`.
    long: bool,
    run: fn(&Workspace) -> Result<()>,
}

impl OwnTest {
    const fn new(name: &'static str, run: fn(&Workspace) -> Result<()>) -> Self {
        Self { name, long: false, run }
    }

    const fn long(mut self) -> Self {
        self.long = true;
        self
    }

    /// Those whose names contain `filter`; the long ones only if asked for.
    fn select(filter: &str, long: bool) -> Vec<Self> {
        let all = platforms::TESTS
            .into_iter()
            .chain(budget::TESTS)
            .chain(developer_tools::TESTS)
            .chain(packages::TESTS);
        all.filter(|test| test.name.contains(filter) && (long || !test.long)).collect()
    }
}

/// Builds all images; whether it could.
fn build_images(workspace: &Workspace, report: &mut Report) -> bool {
    report.run(BUILD, || {
        let (images, errors) = workspace.build_all_images();
        workspace::set_images(images);
        errors.into_iter().next().map_or(Ok(()), Err)
    })
}

/// All boot tests there are.
fn all_boot_tests() -> Vec<boot_tests::BootTest> {
    boot_tests::all()
}
