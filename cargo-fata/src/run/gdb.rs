//! `--gdb`: a guest that stands at its entry, and a port for gdb.
//!
//! In a Xen host of ours gdb talks with QEMU, which runs the processors that Xen runs on. It stops the whole machine, so that
//! time stands still for the guest too, and has all that a processor has: breakpoints without a trace in memory, watchpoints,
//! all registers. A breakpoint is an address in whatever runs; the image's are nobody else's, as dom0's kernel begins at
//! 0xffffffff81000000 and Xen above 0xffff820000000000.
//!
//! Of a PVH guest it has no memory: QEMU's stub walks the guest's page tables, and what those name is found by Xen's nested ones,
//! which it does not walk. (Shadow page tables would do; Debian's Xen is built without.) gdb takes code from the image's file then.
//!
//! A guest without Xen is all that its QEMU runs, which waits for gdb by itself.
//!
//! On a dom0 it is Xen's gdbsx, which stops the guest alone. It wants a hypervisor that was built with `CONFIG_GDBSX`, which
//! Debian's is not; it has no watchpoints, no hardware breakpoints, and no registers of SSE or the FPU. What it does otherwise
//! than gdb expects is said to the user ([`of_gdbsx`]).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::ports;
use crate::xen_host::Host;
use crate::xen_host::agent::Running;
use crate::xen_host::guest::Guest;
use crate::{interrupt, note, symbols, ui};

/// The port is the first free one from here on: it is the one that gdb's and QEMU's own documentation have.
const FIRST_PORT: u16 = 1234;
const PORTS: u16 = 100;
const START_LIMIT: Duration = Duration::from_secs(20);
const PERIOD: Duration = Duration::from_millis(100);
/// The image's first instruction.
const ENTRY: &str = "fata_pv_start";

/// QEMU's gdb stub reads memory by the page tables that the processor's CR3 names, and knows nothing of Xen's below them.
const OF_PVH: &str = "of a PVH guest gdb has breakpoints, registers and steps, but no stack and no data, as its memory is behind \
    Xen's nested page tables; the same image has all of them with --on qemu, and without --type pvh";

/// gdbsx takes a stop from Xen only, closes the connection where gdb waits for an answer to `detach`, and has no option for the
/// address it listens on.
fn of_gdbsx(guest: &str) -> String {
    format!(
        "gdbsx does not hear gdb's Ctrl-C: `xl pause {guest}` stops the guest for gdb; `disconnect` lets it go on, as `detach` \
         does, but without an error; until gdb connects, whoever reaches any address of this machine can do so first"
    )
}

/// Seen with Xen 4.17 on emulated SVM.
const PVH_OF_GDBSX: &str = "of a PVH guest gdbsx has registers, memory and steps; a breakpoint may go to the guest, which ends of \
    it; as a PV guest the same image has them";

/// What debugging needs before the guest is there.
pub struct Gdb {
    /// The image's symbols.
    symbols: PathBuf,
    /// Where gdb connects to on this machine.
    pub port: u16,
    /// The physical address at which a PVH guest begins.
    pvh_entry: Option<u64>,
}

/// What lets the guest go when gdb says so. Dropping it leaves the guest as it is.
pub struct Server {
    _running: Running,
}

impl Gdb {
    /// Finds, or links, the image's symbols, and a free port.
    pub fn prepare(image: &Path) -> Result<Self> {
        let symbols = symbols::file_of(image)?;
        let port = (FIRST_PORT..FIRST_PORT + PORTS).find(|port| ports::is_free(*port));
        Ok(Self { symbols, port: port.context("no port is free for gdb")?, pvh_entry: None })
    }

    /// For a PVH guest, which begins where its memory is not mapped yet.
    pub fn of_pvh(self, image: &Path) -> Result<Self> {
        let pvh_entry = note::entries(image)?.pvh;
        Ok(Self { pvh_entry, ..self })
    }

    /// Waits with a guest that was created paused until gdb is there; says what to type. It stops at its entry then.
    pub fn start(&self, host: &Host, guest: &Guest) -> Result<Server> {
        if host.is_local() {
            return self.start_gdbsx(host, guest);
        }
        let stop = match self.pvh_entry {
            Some(entry) => {
                ui::say(OF_PVH);
                format!("-ex 'set trust-readonly-sections on' {}", stop_at(entry))
            }
            None => format!("-ex 'tbreak {ENTRY}' -ex continue"),
        };
        self.announce(&format!("-ex 'target remote 127.0.0.1:{}' {stop}", self.port));
        while !self.is_connected() {
            interrupt::check()?;
            std::thread::sleep(PERIOD);
        }
        // The machine has stood still since gdb came, and with it what we ask for until gdb lets it go on.
        Ok(Server { _running: host.agent().start(&format!("xl unpause {}", guest.name()))? })
    }

    fn start_gdbsx(&self, host: &Host, guest: &Guest) -> Result<Server> {
        let script = format!(
            "gdbsx=$(command -v gdbsx || ls /usr/lib/xen-*/bin/gdbsx 2>/dev/null | head -n 1)
            [ -n \"$gdbsx\" ] || {{ echo 'no gdbsx: is xen-utils installed?' >&2; exit 1; }}
            exec stdbuf -oL $gdbsx -a {} 64 {} >&2",
            guest.domid(),
            self.port
        );
        let mut running = host.agent().start(&script)?;
        running
            .wait_stderr("Listening", START_LIMIT)
            .context("gdbsx, which needs a hypervisor with CONFIG_GDBSX")?;
        // Paused twice now, by `xl create` and by gdbsx: the second is gdb's to take back.
        guest.unpause()?;
        ui::say(of_gdbsx(guest.name()));
        if self.pvh_entry.is_some() {
            ui::say(PVH_OF_GDBSX);
        }
        self.announce(&format!("-ex 'target remote 127.0.0.1:{}'", self.port));
        Ok(Server { _running: running })
    }

    /// Says what to type for a machine without Xen, which waits for gdb before its first instruction. At the guest's entry, a
    /// physical address, no memory is mapped yet: gdb sees numbers there, and names from `main` on.
    pub fn announce_machine(&self, entry: u64) {
        let stop = stop_at(entry);
        self.announce(&format!("-ex 'target remote 127.0.0.1:{}' {stop}", self.port));
    }

    fn announce(&self, arguments: &str) {
        let line = format!("gdb {} {arguments}", self.symbols.display());
        if let Some(place) = symbols::place_of_main(&self.symbols) {
            ui::say(format!("in gdb its main is reached with: break {place}"));
        }
        ui::say(format!("the guest waits; in another terminal: {}", ui::paint(ui::Colour::Green, &line)));
    }

    /// Whether gdb is connected with QEMU.
    pub fn is_connected(&self) -> bool {
        fs::read_to_string("/proc/net/tcp").is_ok_and(|table| has_connection(&table, self.port))
    }
}

/// gdb's options to stop at a physical address, where nothing is mapped that a breakpoint could be written to.
fn stop_at(entry: u64) -> String {
    format!("-ex 'thbreak *{entry:#x}' -ex continue")
}

/// Whether the kernel's table has an established connection to a port of the loopback interface.
fn has_connection(table: &str, port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let local = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        words.get(1) == Some(&local.as_str()) && words.get(3) == Some(&ESTABLISHED)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue\n   0: 0100007F:04D2 00000000:0000 0A 0\n";
        assert!(!has_connection(table, 1234));
        let connected = format!("{table}   1: 0100007F:04D2 0100007F:D2F0 01 0\n");
        assert!(has_connection(&connected, 1234));
        assert!(!has_connection(&connected, 1235));
    }
}
