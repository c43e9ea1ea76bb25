//! `--pcap`: what crosses a guest's interfaces, from tcpdump on their back ends in dom0 into files here. Without Xen QEMU itself
//! writes them.
//!
//! What a guest or dom0 leaves to the other side to compute, checksums that is, is not there yet in what is captured.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::ui;
use crate::xen_host::Host;
use crate::xen_host::agent::{Running, Said};
use crate::xen_host::guest::Guest;

/// tcpdump is up at once, but dom0 may share its processors with a build.
const START_LIMIT: Duration = Duration::from_secs(20);
/// How long tcpdump may take to say what it still has.
const PERIOD: Duration = Duration::from_millis(50);
/// Before the first packet of a file (pcap-savefile(5)).
const HEADER: usize = 24;

/// The files; a guest that is started again goes on in them.
pub struct Pcap {
    files: Vec<(PathBuf, File)>,
    lives: u32,
}

/// A capture under way.
pub struct Capture(Vec<Tap>);

struct Tap {
    stop: std::sync::mpsc::Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl Pcap {
    /// Makes a file for each interface.
    pub fn create(path: &Path, interfaces: usize) -> Result<Self> {
        if interfaces == 0 {
            return Err(anyhow!("--pcap: the guest has no network interface"));
        }
        let make = |n: usize| {
            let mut path = path.as_os_str().to_owned();
            if n > 0 {
                path.push(format!(".{n}"));
            }
            let path = PathBuf::from(path);
            let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            Ok((path, file))
        };
        Ok(Self { files: (0..interfaces).map(make).collect::<Result<_>>()?, lives: 0 })
    }

    /// Captures from now on. The guest should not run yet, or its first packets are not seen.
    pub fn start(&mut self, host: &Host, guest: &Guest) -> Result<Capture> {
        self.lives += 1;
        let skipped = if self.lives > 1 { HEADER } else { 0 };
        let taps = self.files.iter().enumerate().map(|(n, (path, file))| {
            let vif = format!("vif{}.{n}", guest.domid());
            // A buffer for bursts, and to the end of what was there when standard input ends: packets wait in the kernel for
            // a second at most.
            let script = format!(
                "tcpdump -Z root -i {vif} -B 16384 -U -s 0 -w - & tcpdump=$!
                cat >/dev/null; sleep 1.5; kill -INT $tcpdump; wait $tcpdump"
            );
            let mut running = host.agent().start(&script)?;
            let first = running
                .wait_stderr("listening on", START_LIMIT)
                .with_context(|| format!("tcpdump on {vif} in dom0"))?;
            let (stop, stopped) = std::sync::mpsc::channel();
            let mut out = Out { file: file.try_clone()?, skip: skipped };
            out.write(&first)?;
            let path = path.clone();
            let thread = std::thread::spawn(move || {
                copy(running, out, &stopped).with_context(|| format!("cannot write {}", path.display()))
            });
            Ok(Tap { stop, thread })
        });
        Ok(Capture(taps.collect::<Result<_>>()?))
    }

    /// Where QEMU is to write in the guest's next life, which it does from each file's beginning.
    pub fn next_life(&mut self) -> Vec<PathBuf> {
        self.lives += 1;
        let place = |path: &PathBuf| if self.lives > 1 { beside(path) } else { path.clone() };
        self.files.iter().map(|(path, _)| place(path)).collect()
    }

    /// Puts what QEMU has written in a later life behind what there is.
    pub fn keep(&mut self, written: &[PathBuf]) -> Result<()> {
        for ((path, _), from) in self.files.iter().zip(written).filter(|((path, _), from)| path != *from) {
            let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
            let mut file = File::options().append(true).open(path)?;
            file.write_all(bytes.get(HEADER..).unwrap_or_default())?;
            std::fs::remove_file(from)?;
        }
        Ok(())
    }

    /// Says where the packets are.
    pub fn announce(&self) {
        for (path, file) in &self.files {
            let octets = file.metadata().map_or(0, |metadata| metadata.len());
            ui::say(format!("{octets} octets of packets: {}", path.display()));
        }
    }
}

impl Capture {
    /// Ends it; the files are complete then.
    pub fn finish(self) -> Result<()> {
        let threads: Vec<_> =
            self.0.into_iter().map(|Tap { stop, thread }| (stop.send(()), thread)).collect();
        for (_, thread) in threads {
            thread.join().map_err(|_| anyhow!("the thread that writes packets panicked"))??;
        }
        Ok(())
    }
}

/// The file for a life that is not the first.
fn beside(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".again");
    path.into()
}

/// Copies until tcpdump has ended, which it is asked to when `stopped` says so.
fn copy(mut running: Running, mut out: Out, stopped: &std::sync::mpsc::Receiver<()>) -> Result<()> {
    let mut is_asked = false;
    loop {
        if !is_asked && !matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
            running.end_input()?;
            is_asked = true;
        }
        match running.read()? {
            Said::Stdout(bytes) => out.write(&bytes)?,
            Said::Stderr(said) => warn_of_lost(&said),
            Said::Nothing => std::thread::sleep(PERIOD),
            Said::End => return Ok(()),
        }
    }
}

/// What dom0 was too slow for is not in the file: `17 packets dropped by kernel`.
fn warn_of_lost(said: &str) {
    let lost = said.lines().find(|line| line.contains("dropped by kernel") && !line.starts_with("0 "));
    if let Some(line) = lost {
        ui::warn(format!("--pcap: {line}"));
    }
}

/// A file of packets.
struct Out {
    file: File,
    /// Octets to leave out: the header, where the file has one.
    skip: usize,
}

impl Out {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        Ok(self.file.write_all(&bytes[skipped..])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_qemu_writes_of_a_second_life_goes_behind_the_first() {
        let path = std::env::temp_dir().join(format!("fata-pcap-test-again-{}", std::process::id()));
        let mut pcap = Pcap::create(&path, 1).unwrap();
        for life in [b"first", b"again"] {
            let written = pcap.next_life();
            std::fs::write(&written[0], [[0; HEADER].as_slice(), life].concat()).unwrap();
            pcap.keep(&written).unwrap();
        }
        let all = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(all, [[0; HEADER].as_slice(), b"firstagain"].concat());
    }

    #[test]
    fn without_an_interface_there_is_nothing_to_capture() {
        let path = std::env::temp_dir().join(format!("fata-pcap-test-none-{}", std::process::id()));
        let said = Pcap::create(&path, 0).err().map(|error| error.to_string());
        assert_eq!(said.as_deref(), Some("--pcap: the guest has no network interface"));
        assert!(!path.exists());
    }

    #[test]
    fn a_second_life_brings_no_second_header() {
        let path = std::env::temp_dir().join(format!("fata-pcap-test-{}", std::process::id()));
        let pcap = Pcap::create(&path, 1).unwrap();
        let mut out = Out { file: pcap.files[0].1.try_clone().unwrap(), skip: HEADER };
        out.write(&[1; 10]).unwrap();
        out.write(&[[1; 14].as_slice(), b"packet"].concat()).unwrap();
        let written = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(written, b"packet");
    }
}
