//! The log: the `log` crate's macros, one line a record, a level for all and levels by module.

use crate::local::local;
use crate::text::split_once;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt::Write;
use core::str::FromStr;
use log::{Level, LevelFilter, Log, Metadata, Record};

/// Which records are written: `info`, or `warn,fata_xen=debug,fata_netstack::dhcp=trace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    general: LevelFilter,
    /// The longest path that matches decides; of two the same, the later.
    modules: Vec<(String, LevelFilter)>,
}

impl Default for Filter {
    fn default() -> Self {
        Self { general: LevelFilter::Info, modules: Vec::new() }
    }
}

/// A log filter that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no log level (off, error, warn, info, debug, trace)")]
pub struct BadFilter(pub String);

impl FromStr for Filter {
    type Err = BadFilter;
    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let level = |s: &str| LevelFilter::from_str(s).map_err(|_| BadFilter(s.into()));
        let mut filter = Self::default();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (part, more) = split_once(text, b',').map_or((text, None), |(part, more)| (part, Some(more)));
            match split_once(part, b'=') {
                Some((module, l)) => filter.modules.push((module.into(), level(l)?)),
                None => filter.general = level(part)?,
            }
            rest = more;
        }
        Ok(filter)
    }
}

impl Filter {
    fn level_for(&self, module: &str) -> LevelFilter {
        let matching = self.modules.iter().filter(|(m, _)| is_inside(module, m));
        let found = matching.max_by_key(|(m, _)| m.len());
        found.map_or(self.general, |(_, l)| *l)
    }

    fn max(&self) -> LevelFilter {
        self.modules.iter().map(|(_, l)| *l).fold(self.general, core::cmp::max)
    }
}

fn is_inside(module: &str, parent: &str) -> bool {
    module.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Where lines go: the console's write.
pub type Sink = fn(&[u8]);

struct State {
    filter: RefCell<Option<Filter>>,
    sink: Cell<Option<Sink>>,
}

local! {
    static STATE: State = State { filter: RefCell::new(None), sink: Cell::new(None) };
}

struct Logger;

/// Sends the log to `sink`, with the default filter.
pub fn init(sink: Sink) {
    STATE.with(|s| s.sink.set(Some(sink)));
    let _ = log::set_logger(&Logger);
    set_filter(Filter::default());
}

/// Changes what is written.
pub fn set_filter(filter: Filter) {
    log::set_max_level(filter.max());
    STATE.with(|s| *s.filter.borrow_mut() = Some(filter));
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        STATE.with(|s| {
            let filter = s.filter.borrow();
            filter.as_ref().is_some_and(|f| metadata.level() <= f.level_for(metadata.target()))
        })
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let micros = crate::task::try_platform().map_or(0, |p| p.now().as_nanos() / 1000);
        let mut line = String::new();
        let _ = writeln!(
            line,
            "[{:5}.{:06}] {} {}: {}",
            micros / 1_000_000,
            micros % 1_000_000,
            short(record.level()),
            record.target(),
            record.args()
        );
        if let Some(sink) = STATE.with(|s| s.sink.get()) {
            sink(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

fn short(level: Level) -> &'static str {
    ["ERROR", "WARN ", "INFO ", "DEBUG", "TRACE"][level as usize - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_matching_module_decides() {
        let f: Filter = "warn,fata_xen=debug,fata_xen::net=off".parse().unwrap();
        assert_eq!(f.level_for("web"), LevelFilter::Warn);
        assert_eq!(f.level_for("fata_xen"), LevelFilter::Debug);
        assert_eq!(f.level_for("fata_xen::console"), LevelFilter::Debug);
        assert_eq!(f.level_for("fata_xen::net::rx"), LevelFilter::Off);
        assert_eq!(f.level_for("fata_xenon"), LevelFilter::Warn);
        assert_eq!(f.max(), LevelFilter::Debug);
    }

    #[test]
    fn it_begins_with_what_guests_have_as_their_default() {
        assert_eq!("info".parse(), Ok(Filter::default()));
    }

    #[test]
    fn what_is_no_level_is_said() {
        for bad in ["", "loud", "info,", "web=loud", "info,web="] {
            assert!(bad.parse::<Filter>().is_err(), "{bad:?}");
        }
    }
}
