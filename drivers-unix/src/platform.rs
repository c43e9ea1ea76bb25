//! The [`Platform`] of a Linux process.

use crate::reactor::Reactor;
use crate::signals::Signals;
use crate::{console, exit, memory};
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::time::{Duration, Instant, SystemTime};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::rand::{GetRandomFlags, getrandom};
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time;

/// See the module.
pub struct UnixPlatform {
    reactor: Rc<Reactor>,
    signals: Cell<Option<Signals>>,
    started: time::Instant,
    memory: memory::Watch,
}

impl UnixPlatform {
    /// A platform, for ever.
    pub fn new() -> io::Result<&'static Self> {
        let (reactor, signals) = (Reactor::new()?, Cell::default());
        let (started, memory) = (time::Instant::now(), memory::Watch::default());
        Ok(Box::leak(Box::new(Self { reactor, signals, started, memory })))
    }

    /// The process's platform, which takes its signals over.
    pub fn start() -> io::Result<&'static Self> {
        allow_all_descriptors();
        let platform = Self::new()?;
        platform.signals.set(Some(Signals::catch(&platform.reactor)?));
        Ok(platform)
    }

    /// What waits for descriptors.
    pub fn reactor(&self) -> &Rc<Reactor> {
        &self.reactor
    }

    /// Passes signals on as requests to leave, from a task of its own. Once is enough.
    pub fn listen_to_signals(&self) {
        if let Some(signals) = self.signals.take() {
            signals.listen();
        }
    }
}

/// A server may have as many connections as the administrator allows, not as few as a shell asks for.
fn allow_all_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

impl Platform for UnixPlatform {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.started.elapsed().as_nanos() as u64)
    }

    fn wall_clock(&self, at: Instant) -> SystemTime {
        let now = time::SystemTime::now().duration_since(time::UNIX_EPOCH).unwrap_or_default();
        SystemTime::from_unix(now.saturating_sub(self.now().duration_since(at)))
    }

    fn wait(&self, deadline: Option<Instant>) {
        let now = self.now();
        let time = deadline.map(|at| at.duration_since(now));
        self.reactor.wait(time.map(|time| time.min(Duration::from_secs(86_400))));
    }

    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        // So few are given whole, once the kernel's generator is seeded (getrandom(2)).
        getrandom(seed.as_mut_slice(), GetRandomFlags::empty()) == Ok(32)
    }

    fn generation(&self) -> u64 {
        std::process::id().into()
    }

    fn fresh(&self) -> u64 {
        let mut octets = [0; 8];
        // Where the kernel has none, the key alone is as good as it was.
        let _ = getrandom(octets.as_mut_slice(), GetRandomFlags::empty());
        u64::from_le_bytes(octets)
    }

    fn memory(&self) -> MemoryStats {
        self.memory.stats(self.now())
    }

    fn leave(&self, how: Leave) -> ! {
        console::flush();
        std::process::exit(exit::status(how))
    }
}
