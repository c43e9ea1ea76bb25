//! Reads a page of the book: its blocks of commands with what becomes of them, its links, its includes.
//!
//! The first words of a fence say what a block is:
//!
//! | fence | the commands are |
//! |---|---|
//! | `sh,run` | run by every test run |
//! | `sh,long` | run with `--long`: they start a Xen, or take long |
//! | `sh,run,terminal`, `sh,long,terminal` | the same, in a terminal of their own: they go on until `<!-- Ctrl-C -->` |
//! | `sh,long,dom0` | run in the dom0 of a Xen host of ours, with `--long` |
//! | `sh,not-run` | not run, for the reason that the comment before it gives: `<!-- not run: REASON -->` |
//!
//! A `text` block right after one of these, or after `<!-- Ctrl-C -->`, is what they say: each of its lines must be there, and
//! `...` in it is anything.
//!
//! Other comments that say something: `<!-- before: COMMANDS -->` is run and not shown, `<!-- in the clone -->` leads what follows
//! there, `<!-- to dom0: FILES -->` puts files into the folder where its commands begin.

use anyhow::{Result, bail, ensure};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// When commands are run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum When {
    /// Always.
    #[default]
    Always,
    /// With `--long`.
    Long,
}

/// What a test does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Deed {
    /// Runs the commands to their end.
    #[default]
    Run,
    /// Starts them, and lets them go on.
    Start,
    /// Ends what was started last, as Ctrl-C does.
    Stop,
    /// Runs the commands in dom0.
    Dom0,
    /// Puts files there.
    Copy,
    /// Goes into the clone.
    Clone,
}

/// A step of a chapter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// The line of the page.
    pub line: usize,
    /// What is done.
    pub deed: Deed,
    /// When it is done.
    pub when: When,
    /// The commands.
    pub commands: String,
    /// What they must say, a line each.
    pub expected: Vec<String>,
    /// Whether the reader does not see it.
    pub is_hidden: bool,
}

/// A page.
#[derive(Debug, Default)]
pub struct Page {
    /// What its test does, in order.
    pub steps: Vec<Step>,
    /// Targets of its links, with their lines.
    pub links: Vec<(usize, String)>,
    /// What it includes: `FILE` or `FILE:ANCHOR`, with the lines.
    pub includes: Vec<(usize, String)>,
}

/// Reads a page. Commands that are neither run nor said not to be are an error.
pub fn parse(text: &str) -> Result<Page> {
    let mut page = Page { includes: includes(text), ..Page::default() };
    let mut reader = Reader::default();
    let mut events = Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter();
    while let Some((event, range)) = events.next() {
        let line = 1 + text[..range.start].matches('\n').count();
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let mut code = String::new();
                for (event, _) in events.by_ref() {
                    match event {
                        Event::Text(text) => code += &text,
                        Event::End(TagEnd::CodeBlock) => break,
                        _ => {}
                    }
                }
                reader.block(line, &kind, code)?;
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                page.links.push((line, dest_url.into_string()));
                reader.prose();
            }
            Event::Html(html) => reader.comment(line, html.trim())?,
            Event::Text(_) | Event::Code(_) => reader.prose(),
            _ => {}
        }
    }
    page.steps = reader.finish()?;
    Ok(page)
}

/// What has been read so far.
#[derive(Default)]
struct Reader {
    steps: Vec<Step>,
    /// Whether what comes next may be what the last step says.
    is_after_step: bool,
    /// The reason why the next block is not run.
    reason: Option<usize>,
}

impl Reader {
    fn block(&mut self, line: usize, kind: &CodeBlockKind<'_>, code: String) -> Result<()> {
        let info = match kind {
            CodeBlockKind::Fenced(info) => info.trim(),
            CodeBlockKind::Indented => "",
        };
        let is_after_step = std::mem::take(&mut self.is_after_step);
        let has_reason = self.reason.take().is_some();
        if info == "sh,not-run" {
            ensure!(has_reason, "line {line}: why is it not run? <!-- not run: REASON --> stands before it");
            return Ok(());
        }
        ensure!(!has_reason, "line {line}: a reason for what is not run stands before something else");
        if info == "text" && is_after_step {
            let lines = code.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
            self.steps.last_mut().into_iter().for_each(|step| step.expected = lines.clone().collect());
            return Ok(());
        }
        if let Some((deed, when)) = fence(info) {
            self.step(Step { line, deed, when, commands: code, ..Step::default() });
            return Ok(());
        }
        let is_shell =
            ["sh", "bash", "shell", "console"].contains(&info.split(',').next().unwrap_or_default());
        ensure!(
            !is_shell,
            "line {line}: {info:?} does not say whether it is run: see cargo-fata/src/test/book/page.rs"
        );
        if let Some(command) = code.lines().find(|line| is_command(line)).filter(|_| info.is_empty()) {
            bail!("line {line}: `{}` looks like a command: it belongs in a sh block", command.trim());
        }
        Ok(())
    }

    fn comment(&mut self, line: usize, html: &str) -> Result<()> {
        let Some(comment) = html.strip_prefix("<!--").and_then(|html| html.strip_suffix("-->")) else {
            return Ok(());
        };
        let comment = comment.trim();
        if let Some(reason) = comment.strip_prefix("not run:") {
            ensure!(!reason.trim().is_empty(), "line {line}: no reason");
            self.reason = Some(line);
        } else if let Some(commands) = comment.strip_prefix("before:") {
            let commands = commands.trim().to_owned();
            self.step(Step { line, commands, is_hidden: true, ..Step::default() });
        } else if let Some(files) = comment.strip_prefix("to dom0:") {
            let commands = files.trim().to_owned();
            self.step(Step {
                line,
                deed: Deed::Copy,
                when: When::Long,
                commands,
                is_hidden: true,
                ..Step::default()
            });
        } else if comment == "in the clone" {
            self.step(Step { line, deed: Deed::Clone, is_hidden: true, ..Step::default() });
        } else if comment == "Ctrl-C" {
            let started = self.running().pop();
            let Some(when) = started else { bail!("line {line}: nothing is running") };
            self.step(Step { line, deed: Deed::Stop, when, ..Step::default() });
        } else {
            bail!("line {line}: the comment {comment:?} says nothing to the test");
        }
        Ok(())
    }

    fn step(&mut self, step: Step) {
        self.steps.push(step);
        self.is_after_step = true;
    }

    fn prose(&mut self) {
        self.is_after_step = false;
    }

    /// What runs in terminals of its own.
    fn running(&self) -> Vec<When> {
        let mut running = Vec::new();
        for step in &self.steps {
            match step.deed {
                Deed::Run | Deed::Dom0 | Deed::Copy | Deed::Clone => {}
                Deed::Start => running.push(step.when),
                Deed::Stop => drop(running.pop()),
            }
        }
        running
    }

    fn finish(self) -> Result<Vec<Step>> {
        ensure!(self.running().is_empty(), "something is started and not ended: <!-- Ctrl-C --> is missing");
        ensure!(self.reason.is_none(), "a reason for what is not run stands before nothing");
        Ok(self.steps)
    }
}

/// What a fence says.
fn fence(info: &str) -> Option<(Deed, When)> {
    Some(match info {
        "sh,run" => (Deed::Run, When::Always),
        "sh,long" => (Deed::Run, When::Long),
        "sh,run,terminal" => (Deed::Start, When::Always),
        "sh,long,terminal" => (Deed::Start, When::Long),
        "sh,long,dom0" => (Deed::Dom0, When::Long),
        _ => return None,
    })
}

/// Whether a line without a fence's word would be typed into a shell.
fn is_command(line: &str) -> bool {
    let programs = ["cargo ", "xl ", "virsh ", "curl ", "qemu-", "gdb ", "mdbook ", "FATA_"];
    programs.iter().any(|program| line.trim_start().starts_with(program))
}

/// mdBook's `{{#include FILE}}` and `{{#include FILE:ANCHOR}}`.
fn includes(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate();
    let found = lines.filter_map(|(at, line)| {
        let (_, rest) = line.split_once("{{#include ")?;
        Some((at + 1, rest.split_once("}}")?.0.trim().to_owned()))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(line: usize, deed: Deed, when: When, commands: &str, expected: &[&str]) -> Step {
        let expected = expected.iter().map(|line| (*line).to_owned()).collect();
        Step { line, deed, when, commands: commands.to_owned(), expected, is_hidden: false }
    }

    #[test]
    fn blocks_and_what_they_say() {
        let text = "# A\n\n<!-- before: cd x -->\n\n```sh,run\na\n```\n```text\none\n\n  two ... three\n```\n\
                    ```sh,long,terminal\nb\n```\n\nSays:\n\n```text\nnot looked for\n```\n\n<!-- Ctrl-C -->\n";
        let steps = parse(text).unwrap().steps;
        let wanted = [
            Step { is_hidden: true, ..step(3, Deed::Run, When::Always, "cd x", &[]) },
            step(5, Deed::Run, When::Always, "a\n", &["one", "two ... three"]),
            step(13, Deed::Start, When::Long, "b\n", &[]),
            step(23, Deed::Stop, When::Long, "", &[]),
        ];
        assert_eq!(steps, wanted);
    }

    #[test]
    fn what_is_not_run_has_a_reason() {
        assert!(parse("```sh,not-run\nxl list\n```\n").is_err());
        assert!(parse("<!-- not run: -->\n\n```sh,not-run\nxl list\n```\n").is_err());
        assert!(parse("<!-- not run: no Xen -->\n\n```sh,run\nxl list\n```\n").is_err());
        assert!(parse("<!-- not run: no Xen -->\n").is_err());
        assert!(parse("<!-- not run: no Xen -->\n\n```sh,not-run\nxl list\n```\n").unwrap().steps.is_empty());
    }

    #[test]
    fn commands_that_say_nothing_are_refused() {
        for text in [
            "```sh\nls\n```\n",
            "```sh,rnu\nls\n```\n",
            "    cargo fata test\n",
            "```\nxl list\n```\n",
            "<!-- Ctrl-C -->\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("```sh,run,terminal\nls\n```\n").is_err(), "it never ends");
        assert!(parse("```toml\na = 1\n```\n\n    boot parameter x\n").is_ok());
    }

    #[test]
    fn links_and_includes() {
        let page = parse("[a](b.md#c) and ![d](e.svg)\n\n```rust\n{{#include ../x.rs:abi}}\n```\n").unwrap();
        assert_eq!(page.links, [(1, "b.md#c".to_owned()), (1, "e.svg".to_owned())]);
        assert_eq!(page.includes, [(4, "../x.rs:abi".to_owned())]);
    }
}
