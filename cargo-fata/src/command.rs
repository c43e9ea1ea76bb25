//! Runs other programs; an error carries the end of what they said.

use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::interrupt;

const LINES_IN_ERROR: usize = 15;

/// What a program said, once it has succeeded.
pub struct Said {
    /// Its standard output.
    pub stdout: String,
}

/// Runs a command to its end, quietly; it is killed if the user interrupts, or a test's time is up.
pub fn run(command: &mut Command) -> Result<Said> {
    let name = describe(command);
    if !command.get_envs().any(|(variable, _)| variable == "PATH") {
        command.env("PATH", search_path());
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{name}`"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupt::requested() || interrupt::check().is_err() {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    interrupt::check()?;
    let (stdout, stderr) = (join(stdout), join(stderr));
    if !status.success() {
        bail!("`{name}` failed ({status}):\n{}", last_lines(&format!("{stdout}{stderr}"), LINES_IN_ERROR));
    }
    Ok(Said { stdout })
}

/// `PATH` with the folders of system programs, which ordinary users lack.
fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}

/// Whether a command can be run and succeeds.
pub fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a program is in the search path.
pub fn is_found(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|folder| folder.join(program).is_file())
}

/// The end of a text, for messages.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("  | {line}\n")).collect()
}

/// The command as one would type it, cut where it gets long.
fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    if line.chars().count() > 160 { line.chars().take(160).chain("...".chars()).collect() } else { line }
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join(thread: JoinHandle<String>) -> String {
    thread.join().unwrap_or_default()
}
