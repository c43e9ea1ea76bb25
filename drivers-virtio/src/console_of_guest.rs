//! The guest's console, where it is a virtio device: reachable from everywhere that has something last to say.

use crate::VirtioError;
use crate::console::Port;
use crate::find::{self, Found};
use crate::hal::GuestHal;
use crate::transport::DeviceTransport;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::{OnceCell, RefCell};
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};
use fata_libos::console::Console;
use fata_xen::guest::GuestHypervisor;
use fata_xen::machine::{self, MachineBoot};
use virtio_drivers::transport::DeviceType;

struct VirtioConsole(RefCell<Port<DeviceTransport>>);

struct Place(OnceCell<Rc<VirtioConsole>>);

// SAFETY: a guest has one thread, and its interrupt handler touches nothing of this.
unsafe impl Sync for Place {}

static CONSOLE: Place = Place(OnceCell::new());

/// The machine's console device, which from now on takes all that the guest writes, its last words too.
pub fn open_console(boot: &MachineBoot) -> Result<Rc<dyn Console>, VirtioError> {
    let Found { transport, wake } = find::open(boot, DeviceType::Console, 0)?;
    let port = Port::new::<GuestHal>(transport, now, || wake.enable(1))?;
    let console = CONSOLE.0.get_or_init(|| Rc::new(VirtioConsole(RefCell::new(port)))).clone();
    machine::set_output(write);
    Ok(console)
}

fn now() -> u64 {
    GuestHypervisor::system_time().as_nanos()
}

fn write(bytes: &[u8]) {
    // Whoever panics inside of it cannot say so by it.
    if let Some(Ok(mut port)) = CONSOLE.0.get().map(|console| console.0.try_borrow_mut()) {
        port.write(bytes);
    }
}

impl VirtioConsole {
    fn poll_line(&self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if let Some(line) = self.0.borrow_mut().line() {
            return Poll::Ready(Some(String::from_utf8_lossy(&line).into_owned()));
        }
        machine::interrupted().register(cx);
        Poll::Pending
    }
}

impl Console for VirtioConsole {
    fn write(&self, bytes: &[u8]) {
        write(bytes);
    }

    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(poll_fn(|cx| self.poll_line(cx)))
    }
}
