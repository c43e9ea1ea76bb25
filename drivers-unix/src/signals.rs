//! Signals as requests to leave: `SIGTERM`, `SIGINT` and `SIGHUP` are `xl shutdown`, `SIGUSR1` is `xl reboot`.

use crate::exit;
use crate::reactor::{Direction, Reactor, Source};
use fata_libos::platform::Leave;
use fata_libos::{shutdown, spawn};
use mio::Interest;
use mio::net::UnixStream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1};
use signal_hook::{flag, low_level::pipe};
use std::io::{self, Read};
use std::os::unix::net;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What was asked for by signals, and the stream by which their handlers wake the loop.
pub(crate) struct Signals {
    wakes: Source<UnixStream>,
    reboot: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the signals over.
    pub(crate) fn catch(reactor: &Rc<Reactor>) -> io::Result<Self> {
        let (wakes, waking) = net::UnixStream::pair()?;
        wakes.set_nonblocking(true)?;
        let (reboot, interrupted) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        // Handlers of a signal run in this order: the second Ctrl-C finds the flag set and does not wait for any task.
        flag::register_conditional_shutdown(SIGINT, exit::INTERRUPTED, interrupted.clone())?;
        flag::register(SIGINT, interrupted)?;
        flag::register(SIGUSR1, reboot.clone())?;
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
            pipe::register(signal, waking.try_clone()?)?;
        }
        // Writing to a pipe that nobody reads is an error of that writing, no more.
        flag::register(SIGPIPE, Arc::default())?;
        let wakes = Source::new(reactor, UnixStream::from_std(wakes), Interest::READABLE)?;
        Ok(Self { wakes, reboot })
    }

    /// Starts the task that passes requests on.
    pub(crate) fn listen(self) {
        spawn(async move {
            while let Ok(1..) = self.wakes.run(Direction::Read, |mut io| io.read(&mut [0; 16])).await {
                let how = if self.reboot.load(Ordering::SeqCst) { Leave::Reboot } else { Leave::PowerOff };
                log::info!("asked to leave: {how:?}");
                shutdown::request(how);
            }
        })
        .detach();
    }
}
