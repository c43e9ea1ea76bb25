//! What the user sees of longer work: a spinner with the time on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A piece of work under way; ends with [`done`](Step::done), or is wiped when dropped by an error.
pub struct Step {
    what: String,
    started: Instant,
    bar: Option<ProgressBar>,
}

/// Whether work is under way beside other work, whose lines a spinner would spoil.
static BESIDE: AtomicBool = AtomicBool::new(false);

/// From now on there may be several pieces of work at a time, or not.
pub fn several_at_once(several: bool) {
    BESIDE.store(several, Ordering::Relaxed);
}

/// Announces a piece of work.
pub fn step(what: impl Into<String>) -> Step {
    let what = what.into();
    let is_alone = !BESIDE.load(Ordering::Relaxed);
    let bar = (is_alone && std::io::stderr().is_terminal()).then(|| spinner(&what));
    if bar.is_none() {
        eprintln!("fata: {what} ...");
    }
    Step { what, started: Instant::now(), bar }
}

/// Says one line to the user.
pub fn say(line: impl AsRef<str>) {
    eprintln!("fata: {}", line.as_ref());
}

/// Says one line that asks for attention.
pub fn warn(line: impl AsRef<str>) {
    eprintln!("{} {}", paint(Colour::Yellow, "fata: warning:"), line.as_ref());
}

impl Step {
    /// Says which part is under way, where that can be shown without flooding a log.
    pub fn detail(&self, detail: impl AsRef<str>) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {}", self.what, detail.as_ref()));
        }
    }

    /// The work is done; says how long it took.
    pub fn done(self) {
        let line = format!("fata: {} ({:.1} s)", self.what, self.started.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                eprintln!("{line}");
            }
            None => eprintln!("{line} done"),
        }
    }
}

fn spinner(what: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} fata: {msg} [{elapsed}]") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Colours for words that should be found at a glance.
#[derive(Clone, Copy)]
pub enum Colour {
    /// Failure.
    Red,
    /// Success.
    Green,
    /// Attention.
    Yellow,
}

/// `text` in a colour, if standard output is a terminal.
pub fn paint(colour: Colour, text: &str) -> String {
    if !std::io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some() {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Red => 31,
        Colour::Green => 32,
        Colour::Yellow => 33,
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
