//! The guest's console on this terminal, and the keyboard on the guest's console.

use std::io::{self, BufRead, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ports;
use crate::symbols::{Symbols, may_become_frame};
use crate::xen_host::agent::Stream;
use crate::xen_host::guest::Guest;

/// How long the last lines of an ended guest may take to reach us.
const LAST_LINES: Duration = Duration::from_millis(700);

/// A guest's console on the Xen host, printed as it comes.
pub struct Console<'a> {
    stream: Stream,
    screen: Screen<'a>,
}

impl<'a> Console<'a> {
    /// The console of a guest: from the log that xenconsoled writes on a host of ours, elsewhere from the console itself.
    pub fn of(guest: &Guest, is_local: bool, symbols: &'a Symbols) -> Result<Self> {
        let stream = if is_local { guest.open_console()? } else { guest.follow_console()? };
        let screen = Screen { is_local, ..Screen::new(symbols) };
        Ok(Self { stream, screen })
    }

    /// Prints what has come; waits a moment if there is nothing.
    pub fn copy(&mut self) -> Result<()> {
        if let Some(bytes) = self.stream.read()? {
            self.screen.print(&bytes)?;
        }
        Ok(())
    }

    /// Prints what still comes from a guest that has ended.
    pub fn drain(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < LAST_LINES {
            self.copy()?;
        }
        self.screen.end()
    }
}

/// What a guest prints on this terminal, with function names in backtraces.
pub struct Screen<'a> {
    symbols: &'a Symbols,
    /// Whether the guest's addresses are reached from here, and are to be told.
    is_local: bool,
    /// The line under way.
    line: String,
    /// How much of it has been printed already.
    printed: usize,
}

impl<'a> Screen<'a> {
    /// For a guest whose addresses are not reached from here.
    pub fn new(symbols: &'a Symbols) -> Self {
        Self { symbols, is_local: false, line: String::new(), printed: 0 }
    }

    /// Prints what has come.
    pub fn print(&mut self, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let mut stdout = io::stdout().lock();
        for character in text.chars().filter(|character| *character != '\r') {
            if character != '\n' {
                self.line.push(character);
                continue;
            }
            if self.printed == 0 {
                writeln!(stdout, "{}", self.symbols.resolve(&self.line))?;
            } else {
                writeln!(stdout, "{}", &self.line[self.printed..])?;
            }
            if let Some(address) = ports::address_in(&self.line).filter(|_| self.is_local) {
                ports::announce_address(address);
            }
            self.line.clear();
            self.printed = 0;
        }
        // A prompt has no end of line; a frame is printed when it is whole.
        if !may_become_frame(&self.line) {
            write!(stdout, "{}", &self.line[self.printed..])?;
            self.printed = self.line.len();
        }
        Ok(stdout.flush()?)
    }

    /// Ends the line under way, if there is one.
    pub fn end(&mut self) -> Result<()> {
        if self.line.is_empty() { Ok(()) } else { self.print(b"\n") }
    }
}

/// Lines typed on this terminal.
pub struct Keyboard(Receiver<String>);

impl Keyboard {
    /// Listens from now on.
    pub fn listen() -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// Types on the guest's console what has been typed here: `type_line` is given the lines.
    pub fn forward(&self, type_line: impl FnMut(String) -> Result<()>) -> Result<()> {
        self.0.try_iter().try_for_each(type_line)
    }
}
