//! Memory figures: the machine's, and this process's part as its heap.

use fata_libos::platform::MemoryStats;
use fata_libos::time::{Duration, Instant};
use std::cell::Cell;
use std::fs;

/// How old figures may be: reading them takes longer than what asks for them.
const AGE: Duration = Duration::from_millis(500);

/// The figures last read.
#[derive(Default)]
pub(crate) struct Watch(Cell<Option<(Instant, MemoryStats)>>);

impl Watch {
    pub(crate) fn stats(&self, now: Instant) -> MemoryStats {
        let (_, stats) = self.0.get().filter(|(at, _)| now.duration_since(*at) < AGE).unwrap_or_else(|| {
            let read = (now, read());
            self.0.set(Some(read));
            read
        });
        stats
    }
}

fn read() -> MemoryStats {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut stats = MemoryStats::default();
    stats.total = octets(&meminfo, "MemTotal:");
    stats.free = octets(&meminfo, "MemAvailable:");
    stats.heap = octets(&status, "VmData:");
    stats.heap_used = octets(&status, "RssAnon:");
    stats
}

/// The value of a line `NAME:   123 kB`; 0 where there is none.
fn octets(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_this_machine_make_sense() {
        let stats = read();
        assert!(stats.total > stats.free && stats.free > 0, "{stats:?}");
        assert!(stats.heap >= stats.heap_used && stats.heap_used > 0, "{stats:?}");
        assert_eq!(octets("MemTotal:  12 kB\n", "MemTotal:"), 12_288);
        assert_eq!(octets("", "MemTotal:"), 0);
    }
}
