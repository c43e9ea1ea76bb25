//! `cargo fata test`: checks, host tests, sizes and contents of images, packages, the book, boot tests, one line each, and a last
//! line that counts them.
//!
//! Three things go on at a time: lints, host tests, and what else has cargo build for this machine; images are built and looked at,
//! then come guests of QEMU alone; and the tests that need a Xen host run on one, which a second one helps when one of the others is
//! done. Who needs an image that is not there yet has it built next ([`crate::images`]). What wants the machine for itself comes last.

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
mod web_features;

use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

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
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use crate::xen_host::guest::Kind;
use crate::{cargo, images, interrupt, ui, xen_host};

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
        space::check(&workspace.target_dir, args.long)?;
    }
    let logs = workspace.target_dir.join("fata-logs");
    let _ = fs::remove_dir_all(&logs);
    fs::create_dir_all(&logs).with_context(|| format!("cannot make {}", logs.display()))?;
    // All tests begin with what needs nothing, while the rest is made to be there. Who may not do that is told so at once.
    if !filter.is_empty() || !setup::packages::is_root() {
        setup::ensure(&setup::ALL)?;
    }
    let report = Report::new();
    // Those that say most for their time, and which the rest would hide.
    let (quick, other) = tests.checks.iter().partition::<Vec<&Check>, _>(|check| check.is_quick());
    for check in quick {
        report.run(check.name, || check.run(&logs));
    }
    if !tests.boot.is_empty() {
        // Before others build in the same place, for whom the first host would wait.
        xen_host::build_agent()?;
    }
    let (with_xen, without_xen): (Vec<&BootTest>, Vec<&BootTest>) =
        tests.boot.iter().partition(|test| test.needs_xen());
    let (alone, without_xen): (Vec<&BootTest>, Vec<&BootTest>) =
        without_xen.into_iter().partition(|test| test.is_alone);
    let (of_qemu, of_cargo): (Vec<&BootTest>, Vec<&BootTest>) =
        without_xen.into_iter().partition(|test| matches!(test.kind, Kind::Machine(_)));
    let line = Line::new(&with_xen);
    // With a filter, those that are asked for.
    let builds_all = filter.is_empty() && !tests.boot.is_empty();
    let lacks_images = AtomicBool::new(false);
    let has_images = || !lacks_images.load(Ordering::SeqCst);
    let helps = AtomicBool::new(true);
    let help_on_xen = || match helps.swap(false, Ordering::SeqCst) {
        true => boot::help_on_xen(&line, &logs, &report),
        false => Ok(()),
    };
    let on_images = || -> Result<()> {
        setup::ensure(&setup::PROGRAMS)?;
        setup::ensure(&[Need::Target])?;
        if builds_all && !build_images(&workspace, &report) && !args.keep_going {
            lacks_images.store(true, Ordering::SeqCst);
            line.clear();
        }
        for contents in &tests.contents {
            interrupt::check()?;
            report.run(contents.name, || contents.check());
        }
        for size in &tests.sizes {
            interrupt::check()?;
            report.run(size.name, || size.check(&workspace, &logs));
        }
        setup::ensure(&[Need::XenHost])?;
        for test in tests.machine.iter().filter(|test| has_images() && !test.is_alone()) {
            interrupt::check()?;
            report.run(test.name, || test.run(&logs));
        }
        if has_images() {
            boot::run_without_xen(&of_qemu, "qemu", &logs, &report)?;
        }
        help_on_xen()
    };
    // Whatever has cargo build for this machine: builds wait for each other, and take each other's places.
    let on_source = || -> Result<()> {
        for check in &other {
            interrupt::check()?;
            report.run(check.name, || check.run(&logs));
        }
        setup::ensure(&setup::ALL)?;
        // A filter that names none of ours is for the host tests.
        if host_tests::wanted(filter) || !names_ours {
            host_tests::run(filter, args.long, &logs, &report)?;
        }
        for test in &tests.own {
            interrupt::check()?;
            report.run(test.name, || (test.run)(&workspace));
        }
        for test in &tests.book {
            interrupt::check()?;
            report.run(&test.name, || test.run(&workspace, args.long));
        }
        if has_images() {
            boot::run_without_xen(&of_cargo, "process", &logs, &report)?;
        }
        help_on_xen()
    };
    let on_xen = || -> Result<()> {
        setup::ensure(&setup::PROGRAMS)?;
        setup::ensure(&[Need::XenHost])?;
        boot::run_on_xen(&line, &logs, &report)
    };
    let mut works: Vec<Work<'_>> = vec![Box::new(on_source), Box::new(on_images)];
    if !line.is_empty() {
        // dom0 is one processor's work, and much of it is waiting.
        works.push(Box::new(on_xen));
        cargo::beside_guests(true);
    }
    side_by_side(works)?;
    cargo::beside_guests(false);
    // What a second host that could not be had has put back too late for the first.
    if !line.is_empty() {
        boot::run_on_xen(&line, &logs, &report)?;
    }
    for test in tests.machine.iter().filter(|test| has_images() && test.is_alone()) {
        report.run(test.name, || test.run(&logs));
    }
    if has_images() {
        boot::run_without_xen(&alone, "qemu", &logs, &report)?;
    } else {
        let reason =
            "not all have run, as not all images could be built; --keep-going runs them all the same";
        report.failed("boot", None, reason);
    }
    report.finish()
}

/// What goes on beside other things.
type Work<'a> = Box<dyn FnOnce() -> Result<()> + Send + 'a>;

/// Does all of them at a time, each on a thread of its own. The first error ends the others, and is the outcome.
fn side_by_side(works: Vec<Work<'_>>) -> Result<()> {
    ui::several_at_once(works.len() > 1);
    let first = Mutex::new(Ok(()));
    std::thread::scope(|scope| {
        for work in works {
            scope.spawn(|| {
                let Err(error) = work() else { return };
                let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                if first.is_ok() && !interrupt::requested() {
                    ui::warn(format!("the other tests are ended: {error:#}"));
                    interrupt::request();
                }
                *first = std::mem::replace(&mut *first, Ok(())).and(Err(error));
            });
        }
    });
    ui::several_at_once(false);
    first.into_inner().unwrap_or_else(PoisonError::into_inner)
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
            .chain(packages::TESTS)
            .chain(web_features::TESTS);
        all.filter(|test| test.name.contains(filter) && (long || !test.long)).collect()
    }
}

/// Builds all images; whether it could.
fn build_images(workspace: &Workspace, report: &Report) -> bool {
    report.run(BUILD, || images::build(workspace.images()).into_iter().next().map_or(Ok(()), Err))
}

/// All boot tests there are.
fn all_boot_tests() -> Vec<boot_tests::BootTest> {
    boot_tests::all()
}
