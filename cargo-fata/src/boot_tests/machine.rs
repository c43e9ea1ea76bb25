//! Machines without Xen that are not as they should be: a busy host, hosts that take nothing, tables that lie.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::virtio::{Machine, MachineTest};
use crate::xen_host::qemu::end_with_this_thread;

/// The tests of this topic.
pub const TESTS: &[MachineTest] =
    &[MachineTest { name: "machine::clock_on_a_busy_host", run: clock_on_a_busy_host }];

/// A process that leaves the processors to nobody; dropping it ends it.
struct Spinner(Child);

impl Spinner {
    fn start() -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", "while :; do :; done"]);
        end_with_this_thread(&mut shell);
        Ok(Self(shell.spawn()?))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the processor does not tell its counter's rate the guest measures it, and others run meanwhile.
fn clock_on_a_busy_host(logs: &Path) -> Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    let spinners = (0..6 * processors).map(|_| Spinner::start()).collect::<Result<Vec<_>>>()?;
    for machine in ["-M q35", "-M microvm", "-M microvm,pit=off,pic=off"] {
        let guests = (0..4).map(|_| Machine::start(logs, "probe", "case=idle", machine));
        let guests = guests.collect::<Result<Vec<_>>>()?;
        // What passes of the guest's 12 s is seen as late as the guest and this process come to run.
        let mut seen = vec![(None, None); guests.len()];
        while seen.iter().any(|(_, awake)| awake.is_none()) {
            crate::interrupt::check()?;
            for (guest, (idle, awake)) in guests.iter().zip(&mut seen) {
                let log = guest.log();
                for (at, word) in [(idle, "idle\n"), (awake, "awake\n")] {
                    if at.is_none() && log.contains(word) {
                        *at = Some(Instant::now());
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for (idle, awake) in seen {
            let slept = awake.zip(idle).map_or(0.0, |(awake, idle)| (awake - idle).as_secs_f64());
            ensure!((11.64..12.36).contains(&slept), "{machine}: 12 s of the guest took {slept:.2} s");
        }
    }
    drop(spinners);
    Ok(())
}
