//! `book::pages`: every page is in SUMMARY.md and marked, every link leads somewhere, every include is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::page::{self, Page};

/// The table of contents.
pub const SUMMARY: &str = "SUMMARY.md";

/// Checks the whole book in `folder`.
pub fn check(folder: &Path) -> Result<()> {
    let chapters = chapters(folder)?;
    let listed: BTreeSet<&Path> = chapters.iter().map(PathBuf::as_path).collect();
    ensure!(listed.len() == chapters.len(), "a chapter is twice in {SUMMARY}");
    for page in pages(folder)? {
        let relative = page.strip_prefix(folder)?;
        ensure!(
            listed.contains(relative) || relative == Path::new(SUMMARY),
            "{} is not in {SUMMARY}",
            relative.display()
        );
        check_page(folder, &page).with_context(|| relative.display().to_string())?;
    }
    Ok(())
}

/// The chapters in their order, relative to the book's folder.
pub fn chapters(folder: &Path) -> Result<Vec<PathBuf>> {
    let links = read(&folder.join(SUMMARY))?.links;
    Ok(links.into_iter().map(|(_, target)| target.into()).collect())
}

/// Reads a page.
pub fn read(path: &Path) -> Result<Page> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    page::parse(&text)
}

fn check_page(folder: &Path, path: &Path) -> Result<()> {
    let page = read(path)?;
    let here = path.parent().context("a page has a folder")?;
    for (line, target) in &page.links {
        check_link(folder, here, path, target)
            .with_context(|| format!("line {line}: the link to {target}"))?;
    }
    for (line, include) in &page.includes {
        check_include(here, include).with_context(|| format!("line {line}: the include of {include}"))?;
    }
    Ok(())
}

fn check_link(folder: &Path, here: &Path, page: &Path, target: &str) -> Result<()> {
    if target.contains("://") {
        return Ok(());
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let file = if file.is_empty() { page.to_owned() } else { flat(&here.join(file)) };
    ensure!(file.is_file(), "there is no such file");
    // What mdBook makes of the folder is all there is of it elsewhere.
    ensure!(file.starts_with(flat(folder)), "it leads out of the book");
    if let Some(anchor) = anchor {
        let text = fs::read_to_string(&file)?;
        let headings = text.lines().filter(|line| line.starts_with('#')).map(slug);
        ensure!(headings.collect::<Vec<_>>().iter().any(|slug| slug == anchor), "there is no such heading");
    }
    Ok(())
}

fn check_include(here: &Path, include: &str) -> Result<()> {
    let (file, anchor) =
        include.split_once(':').map_or((include, None), |(file, anchor)| (file, Some(anchor)));
    let text = fs::read_to_string(here.join(file)).context("there is no such file")?;
    let Some(anchor) = anchor else { return Ok(()) };
    ensure!(!anchor.starts_with(|c: char| c.is_ascii_digit()), "lines move: an anchor stays where it is");
    for mark in ["ANCHOR", "ANCHOR_END"] {
        let mark = format!("{mark}: {anchor}");
        let found = text.lines().filter(|line| line.trim_end().ends_with(&mark)).count();
        ensure!(found == 1, "`{mark}` is there {found} times");
    }
    Ok(())
}

/// The name of a heading in an address, as mdBook makes it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// All pages below a folder.
fn pages(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("{} has no pages", folder.display());
    }
    Ok(found)
}

/// A path without `..`, of files that need not be there.
fn flat(path: &Path) -> PathBuf {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(flat.pop()),
            Component::CurDir => {}
            part => flat.push(part),
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_addresses() {
        assert_eq!(slug("## `[network.NAME]`"), "networkname");
        assert_eq!(slug("# What is wrong stops the boot"), "what-is-wrong-stops-the-boot");
    }

    #[test]
    fn a_book_with_a_fault_is_refused() {
        let folder = std::env::temp_dir().join(format!("fata-book-links-{}", std::process::id()));
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        let fault = || check(&folder).map_err(|error| format!("{error:#}")).unwrap_err();
        fs::create_dir_all(&folder).unwrap();
        write(SUMMARY, "- [a](a.md)\n");
        write("a.md", "# A b\n\n[here](#a-b)\n");
        write("x.rs", "// ANCHOR: one\n// ANCHOR_END: one\n");
        check(&folder).unwrap();
        write("a.md", "[b](b.md)\n");
        assert!(fault().contains("line 1: the link to b.md: there is no such file"), "{}", fault());
        write("a.md", "[b](#b)\n");
        assert!(fault().contains("no such heading"));
        write("a.md", "[b](../fata-book-links-x/b.md)\n");
        assert!(fault().contains("no such file"));
        write("a.md", "```rust\n{{#include x.rs:one}}\n```\n");
        check(&folder).unwrap();
        write("a.md", "{{#include x.rs:two}}\n");
        assert!(fault().contains("`ANCHOR: two` is there 0 times"));
        write("a.md", "");
        write("b.md", "");
        assert!(fault().contains("b.md is not in SUMMARY.md"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
