//! Tests of the book in `docs/`: its links, its commands, and that mdBook takes it.
//!
//! [`page`] reads a page, [`links`] checks how pages hang together, [`chapter`] runs the commands of one, [`program`] is mdBook.

mod chapter;
mod links;
mod page;
mod program;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use self::chapter::Chapter;
use self::page::{Step, When};
use crate::workspace::Workspace;

/// Its place in the workspace.
const FOLDER: &str = "docs";

/// A test of the book.
pub struct BookTest {
    /// Its name in the report.
    pub name: String,
    what: What,
    /// Only with `--long`.
    long: bool,
}

enum What {
    /// Links, includes and marks of all pages.
    Pages,
    /// The commands of this page.
    Chapter(PathBuf),
    /// mdBook's own judgement.
    Build,
}

/// Those whose names contain `filter`; the long ones only if asked for.
pub fn select(workspace: &Workspace, filter: &str, long: bool) -> Result<Vec<BookTest>> {
    let folder = workspace.root.join(FOLDER);
    let mut tests = vec![BookTest { name: "book::pages".to_owned(), what: What::Pages, long: false }];
    for file in links::chapters(&folder)? {
        // What is wrong with a page is book::pages' to say.
        let steps = links::read(&folder.join(&file)).map(|page| page.steps).unwrap_or_default();
        let commands = || steps.iter().filter(|step| !step.is_hidden);
        if commands().next().is_some() {
            let name = format!("book::{}", name_of(&file));
            let long = commands().all(|step| step.when == When::Long);
            tests.push(BookTest { name, what: What::Chapter(file), long });
        }
    }
    tests.push(BookTest { name: "book::builds".to_owned(), what: What::Build, long: true });
    tests.retain(|test| test.name.contains(filter) && (long || !test.long));
    Ok(tests)
}

impl BookTest {
    /// Runs it; with `long`, a chapter's long blocks too.
    pub fn run(&self, workspace: &Workspace, long: bool) -> Result<()> {
        let folder = workspace.root.join(FOLDER);
        match &self.what {
            What::Pages => links::check(&folder),
            What::Chapter(file) => self.run_chapter(file, workspace, long),
            What::Build => program::check(&folder, &workspace.target_dir.join("fata-book")),
        }
    }

    fn run_chapter(&self, file: &Path, workspace: &Workspace, long: bool) -> Result<()> {
        let steps = links::read(&workspace.root.join(FOLDER).join(file))?.steps;
        let mut chapter = Chapter::new(&self.name.replace("::", "-"), workspace)?;
        let wanted = |step: &&Step| long || step.when == When::Always;
        let outcome = steps.iter().filter(wanted).try_for_each(|step| chapter.step(step));
        outcome.with_context(|| format!("docs/{}", file.display()))
    }
}

/// `boot/qemu.md` is `boot-qemu`.
fn name_of(file: &Path) -> String {
    file.with_extension("").to_string_lossy().replace('/', "-")
}
