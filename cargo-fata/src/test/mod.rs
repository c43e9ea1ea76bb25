//! `cargo fata test`: checks, host tests, sizes and contents of images, packages, the book, boot tests, one line each, and a last
//! line that counts them.
//!
//! What needs a Xen host runs beside all that does not, once the images are built; when that is done, a second Xen host helps.
//! What wants the machine for itself comes last.

mod book;
mod boot;
mod budget;
mod checks;
mod contents;
mod developer_tools;
pub mod elsewhere;
mod host_tests;
mod image_info;
mod inside;
mod libtest;
mod on_unix;
mod packages;
mod platforms;
mod report;
mod sizes;
mod space;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use self::book::BookTest;
use self::boot::Line;
use self::checks::Check;
use self::contents::Contents;
use self::report::Report;
use self::sizes::Size;
use crate::boot_tests::virtio::{self, MachineTest};
use crate::boot_tests::{self, BootTest};
use crate::cli::TestArgs;
use crate::setup;
use crate::workspace::{self, Workspace};
use crate::{interrupt, ui, xen_host};

/// The name under which the building of all images is reported.
const BUILD: &str = "build::images";

/// The command itself.
pub fn run(args: &TestArgs) -> Result<ExitCode> {
    let filter = args.filter.as_deref().unwrap_or_default();
    let workspace = Workspace::current()?;
    let mut tests = Selected::of(&workspace, filter, args.long)?;
    let names_ours = tests.count() > 0;
    tests.skip(&args.skip)?;
    if args.list {
        tests.list();
        return Ok(ExitCode::SUCCESS);
    }
    if filter.is_empty() {
        space::check(&workspace.target_dir)?;
    }
    let logs = workspace.target_dir.join("fata-logs");
    let _ = fs::remove_dir_all(&logs);
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    setup::ensure(&setup::ALL)?;
    let report = Report::new();
    // Those that say most for their time, and which the rest would hide.
    let (quick, other) = tests.checks.iter().partition::<Vec<&Check>, _>(|check| check.is_quick());
    for check in quick {
        report.run(check.name, || check.run(&logs));
    }
    // Before the images that the boot tests take, which have the same places.
    for size in &tests.sizes {
        report.run(size.name, || size.check(&workspace, &logs));
    }
    let needs_images = !tests.boot.is_empty() || !tests.machine.is_empty();
    let has_images = needs_images && (build_images(&workspace, &report) || args.keep_going);
    let (with_xen, without_xen): (Vec<&BootTest>, Vec<&BootTest>) =
        tests.boot.iter().filter(|_| has_images).partition(|test| test.needs_xen());
    let (alone, without_xen): (Vec<&BootTest>, Vec<&BootTest>) =
        without_xen.into_iter().partition(|test| test.is_alone);
    let line = Line::new(&with_xen);
    let on_this_machine = || -> Result<()> {
        for check in &other {
            report.run(check.name, || check.run(&logs));
        }
        // A filter that names none of ours is for the host tests.
        if host_tests::wanted(filter) || !names_ours {
            host_tests::run(filter, args.long, &logs, &report)?;
        }
        for contents in &tests.contents {
            report.run(contents.name, || contents.check(&workspace));
        }
        for test in &tests.own {
            report.run(test.name, || (test.run)(&workspace));
        }
        for test in &tests.book {
            interrupt::check()?;
            report.run(&test.name, || test.run(&workspace, args.long));
        }
        for test in tests.machine.iter().filter(|test| has_images && !test.is_alone()) {
            report.run(test.name, || test.run(&logs));
        }
        boot::run_without_xen(&without_xen, &logs, &report)?;
        boot::help_on_xen(&line, &logs, &report)
    };
    let on_xen = || boot::run_on_xen(&line, &logs, &report);
    // dom0 is one processor's work, and most of it is waiting.
    if line.is_empty() {
        on_this_machine()?;
    } else {
        side_by_side(on_this_machine, on_xen)?;
        // What a second host that could not be had has put back too late for the first.
        on_xen()?;
    }
    for test in tests.machine.iter().filter(|test| has_images && test.is_alone()) {
        report.run(test.name, || test.run(&logs));
    }
    boot::run_without_xen(&alone, &logs, &report)?;
    if needs_images && !has_images {
        let reason = "not run, as not all images could be built; --keep-going runs them all the same";
        report.failed(&format!("boot ({} tests)", tests.boot.len()), None, reason);
    }
    report.finish()
}

/// Runs one on a thread of its own beside the other; the first error of both.
fn side_by_side(beside: impl FnOnce() -> Result<()> + Send, here: impl FnOnce() -> Result<()>) -> Result<()> {
    ui::several_at_once(true);
    let outcomes = std::thread::scope(|scope| {
        let beside = scope.spawn(beside);
        let here = here();
        let beside = beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        [here, beside]
    });
    ui::several_at_once(false);
    outcomes.into_iter().collect()
}

/// All that a filter has left.
struct Selected {
    checks: Vec<&'static Check>,
    sizes: Vec<&'static Size>,
    contents: Vec<&'static Contents>,
    own: Vec<OwnTest>,
    machine: Vec<&'static MachineTest>,
    book: Vec<BookTest>,
    boot: Vec<BootTest>,
}

impl Selected {
    /// Those whose names contain `filter`; the long ones only if asked for.
    fn of(workspace: &Workspace, filter: &str, long: bool) -> Result<Self> {
        Ok(Self {
            checks: checks::select(filter, long),
            sizes: sizes::select(filter),
            contents: contents::select(filter),
            own: OwnTest::select(filter, long),
            machine: virtio::select(filter, long),
            book: book::select(workspace, filter, long)?,
            boot: boot::select(filter, long),
        })
    }

    /// Leaves out those whose names contain one of `words`; a word in no name is an error, as nothing would say so later.
    fn skip(&mut self, words: &[String]) -> Result<()> {
        let all = self.count();
        let mut met = vec![false; words.len()];
        let mut stays = |name: &str| {
            let of_it = words.iter().zip(&mut met).filter(|(word, _)| name.contains(word.as_str()));
            of_it.map(|(_, met)| *met = true).count() == 0
        };
        self.checks.retain(|test| stays(test.name));
        self.sizes.retain(|test| stays(test.name));
        self.contents.retain(|test| stays(test.name));
        self.own.retain(|test| stays(test.name));
        self.machine.retain(|test| stays(test.name));
        self.book.retain(|test| stays(&test.name));
        self.boot.retain(|test| stays(&test.full_name()));
        match words.iter().zip(&met).find(|(_, met)| !**met) {
            Some((word, _)) => bail!(
                "--skip {word}: no test that would run has it in its name (the host tests cannot be skipped)"
            ),
            None => {
                if !words.is_empty() {
                    ui::say(format!("{} of {all} tests are left out by --skip", all - self.count()));
                }
                Ok(())
            }
        }
    }

    fn count(&self) -> usize {
        let some = [self.checks.len(), self.sizes.len(), self.contents.len(), self.own.len()];
        some.iter().sum::<usize>() + self.machine.len() + self.book.len() + self.boot.len()
    }

    fn list(&self) {
        self.checks.iter().for_each(|check| println!("{}", check.name));
        self.sizes.iter().for_each(|size| println!("{}", size.name));
        self.contents.iter().for_each(|contents| println!("{}", contents.name));
        self.own.iter().for_each(|test| println!("{}", test.name));
        self.machine.iter().for_each(|test| println!("{}", test.name));
        self.book.iter().for_each(|test| println!("{}", test.name));
        self.boot.iter().for_each(|test| println!("{}", test.listed()));
    }
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
            .chain(on_unix::TESTS)
            .chain(image_info::TESTS)
            .chain(inside::TESTS)
            .chain(packages::TESTS);
        all.filter(|test| test.name.contains(filter) && (long || !test.long)).collect()
    }
}

/// Builds all images; whether it could.
fn build_images(workspace: &Workspace, report: &Report) -> bool {
    report.run(BUILD, || {
        // Before others build beside the boot tests, which would wait for them.
        xen_host::build_agent()?;
        let (images, errors) = workspace.build_all_images();
        workspace::set_images(images);
        errors.into_iter().next().map_or(Ok(()), Err)
    })
}

/// All boot tests there are.
fn all_boot_tests() -> Vec<boot_tests::BootTest> {
    boot_tests::all()
}
