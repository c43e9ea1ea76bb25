//! Whether the machine does other work meanwhile: it spoils a figure, as time that it takes away is accounted to the guest.

use std::fs;
use std::time::Instant;

use crate::ui;

/// A load average above this is somebody else's work.
const QUIET_LOAD: f64 = 0.7;
/// Of one core, while something is measured: above this there is a warning.
const QUIET_OTHERS: f64 = 0.1;
/// A second has so many of the kernel's ticks, wherever Debian runs.
const TICKS: f64 = 100.0;

/// Warns if the machine does something before anything has begun.
pub fn warn_if_busy() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0);
    if load > QUIET_LOAD {
        ui::warn(format!(
            "this machine is busy (load average {load}): the figures will be worse than they should be"
        ));
    }
}

/// Watches what others do while something is measured.
pub struct Watch {
    started: Instant,
    all: f64,
    own: f64,
    process: Option<u32>,
}

impl Watch {
    /// From now on; `process` is QEMU's, whose work is not others'.
    pub fn start(process: Option<u32>) -> Self {
        Self { started: Instant::now(), all: all_ticks(), own: own_ticks(process), process }
    }

    /// Cores that others kept busy since then; warns where that is much.
    pub fn end(self, what: &str) -> f64 {
        let ticks = (all_ticks() - self.all) - (own_ticks(self.process) - self.own);
        let others = (ticks / TICKS / self.started.elapsed().as_secs_f64().max(0.01)).max(0.0);
        if others > QUIET_OTHERS {
            ui::warn(format!(
                "{what}: others kept {:.0} % of a core busy meanwhile: the figure is worse than it should be",
                others * 100.0
            ));
        }
        others
    }
}

fn all_ticks() -> f64 {
    busy_ticks(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// Of the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn busy_ticks(stat: &str) -> f64 {
    let numbers = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let numbers = numbers.take(8).map(|number| number.parse::<f64>().unwrap_or(0.0));
    numbers.enumerate().filter(|(field, _)| !matches!(field, 3 | 4)).map(|(_, ticks)| ticks).sum()
}

fn own_ticks(process: Option<u32>) -> f64 {
    let of = |path: String| process_ticks(&fs::read_to_string(path).unwrap_or_default());
    of("/proc/self/stat".to_owned()) + process.map_or(0.0, |id| of(format!("/proc/{id}/stat")))
}

/// Of `/proc/PID/stat`: its own time, user and system. Its name, in brackets, may have blanks in it.
fn process_ticks(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or(0.0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_of_the_right_columns() {
        assert_eq!(busy_ticks("cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9\ncpu0 1"), 87_600_321.0);
        let stat = "42 (a ) b) S 1 2 3 4 5 6 7 8 9 10 1000 2000 7 7";
        assert_eq!(process_ticks(stat), 3000.0);
        assert_eq!(process_ticks(""), 0.0);
    }

    #[test]
    fn an_own_loop_is_not_others_work() {
        let started = Instant::now();
        let before = own_ticks(None);
        while started.elapsed().as_millis() < 200 {
            std::hint::black_box(0);
        }
        assert!(own_ticks(None) > before);
    }
}
