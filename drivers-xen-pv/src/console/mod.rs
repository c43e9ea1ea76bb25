//! The console: two rings of octets in a page (`io/console.h`), read and filled by a daemon of dom0.
//!
//! Output never waits: what the ring has no room for goes to a bounded backlog, sent on as the daemon takes from the ring.
//! Only the ways out of the guest wait, for a bounded time ([`XenConsole::write_blocking`]), so that the last lines get out.
//!
//! A line's end goes out as carriage return and line feed: `xl console` puts its terminal into raw mode, and the daemon passes
//! on what it gets, so a line feed alone would make stairs there. Linux does the same.

mod input;
mod output;
#[cfg(test)]
mod tests;

use crate::events::Channel;
use crate::shared::SharedMemory;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::Poll;
use fata_libos::console::Console;
use fata_libos::task::WakerSet;
use fata_libos::time::{Duration, Instant};
#[cfg(not(target_os = "xen"))]
pub(crate) use input::IN_RING;
use input::Input;
pub(crate) use output::OUT_RING;
use output::Output;

/// How long the daemon may take nothing before a blocking write gives up.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The guest's console.
pub struct XenConsole {
    page: SharedMemory,
    channel: Channel,
    output: RefCell<Output>,
    input: RefCell<Input>,
    readers: WakerSet,
    broken: Cell<bool>,
}

impl XenConsole {
    /// Takes over the page and the channel that the guest was started with, and spawns the task that drives them. From here on
    /// nobody else writes to the page.
    pub fn connect(page: SharedMemory, channel: Channel) -> Rc<Self> {
        let console = Rc::new(Self {
            page: page.clone(),
            channel,
            output: RefCell::new(Output::attach(page.clone())),
            input: RefCell::new(Input::attach(page)),
            readers: WakerSet::new(),
            broken: Cell::new(false),
        });
        fata_libos::spawn_detached(console.clone().drive());
        console
    }

    async fn drive(self: Rc<Self>) {
        while !self.broken.get() {
            self.channel.fired().await;
            self.flush();
            self.readers.wake_all();
        }
    }

    /// Sends on what the ring has room for.
    fn flush(&self) {
        let mut output = self.output.borrow_mut();
        let sent = output.flush();
        output.shrink();
        drop(output);
        self.sent(sent);
    }

    fn sent(&self, sent: Result<usize, crate::byte_ring::IndexFault>) {
        match sent {
            Ok(0) => {}
            Ok(_) => self.channel.notify(),
            // There is nowhere left to say it.
            Err(_) => self.fail(),
        }
    }

    fn fail(&self) {
        self.broken.set(true);
        self.readers.wake_all();
    }

    /// Writes, after all that was written before, and waits until the daemon has taken everything, or nothing for
    /// [`PATIENCE`]; says whether it has. For the ways out of the guest, a panic in the console itself included: leaves
    /// the heap alone, and drops the events of all other channels.
    pub fn write_blocking(&self, now: &dyn Fn() -> Instant, bytes: &[u8]) -> bool {
        match self.output.try_borrow_mut() {
            Ok(mut output) => self.drain(&mut output, now, bytes),
            Err(_) => self.drain(&mut Output::attach(self.page.clone()), now, bytes),
        }
    }

    /// [`write_blocking`](Self::write_blocking) of nothing: waits for what was written before.
    pub fn flush_blocking(&self, now: &dyn Fn() -> Instant) -> bool {
        self.write_blocking(now, b"")
    }

    fn drain(&self, output: &mut Output, now: &dyn Fn() -> Instant, mut bytes: &[u8]) -> bool {
        let hv = self.channel.hv();
        let mut deadline = now() + PATIENCE;
        let mut before = None;
        loop {
            let Ok(left) = output.push_all_that_fits(&mut bytes) else { return false };
            self.channel.notify();
            if left == 0 {
                return true;
            }
            let moment = now();
            if before.replace(left) != Some(left) {
                deadline = moment + PATIENCE;
            }
            if moment >= deadline {
                return false;
            }
            hv.poll(&[self.channel.port()], Some(deadline));
            hv.take_pending(&mut |_| {});
        }
    }
}

impl Console for XenConsole {
    fn write(&self, bytes: &[u8]) {
        if self.broken.get() {
            return;
        }
        // Writing while writing is a panic's doing, which has its own way.
        if let Ok(mut output) = self.output.try_borrow_mut() {
            let sent = output.write(bytes);
            drop(output);
            self.sent(sent);
        }
    }

    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(poll_fn(|cx| {
            if self.broken.get() {
                return Poll::Ready(None);
            }
            let Ok((line, taken)) = self.input.borrow_mut().next_line() else {
                self.fail();
                return Poll::Ready(None);
            };
            if taken > 0 {
                // The daemon may wait for room.
                self.channel.notify();
            }
            if line.is_none() {
                self.readers.register(cx);
            }
            line.map_or(Poll::Pending, |line| Poll::Ready(Some(line)))
        }))
    }
}
