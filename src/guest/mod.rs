//! The appliance as a guest: from the boot's end to `main`, and out again.

mod console;
mod machine;
mod panic;
mod platform;

use crate::env::Shared;
use crate::until_end::until_end;
use crate::{Appliance, Env, Result};
use alloc::boxed::Box;
use alloc::rc::Rc;
use fata_libos::console::Console;
use fata_libos::logging;
use fata_libos::memory::Heap;
use fata_libos::param::{self, Param, Params};
use fata_libos::platform::{Leave, Platform};
use fata_libos::task::block_on;
use fata_xen::guest::{self as xen_guest, Boot, GuestHypervisor};
use fata_xen::machine::{MachineBoot, SerialConsole};
use fata_xen::xen::Xen;
#[cfg_attr(not(any(feature = "net", feature = "block")), allow(unused_imports))]
pub(crate) use machine::Machine;
use platform::GuestPlatform;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// The parameters that every appliance has.
static PARAMS: [Param; 1] = [Param {
    name: "log",
    kind: &param::LOG,
    default: Some("info"),
    help: "what is logged: a level, and levels by module, as in warn,fata_xen=debug",
}];

unsafe extern "Rust" {
    /// Defined by [`main!`](crate::main) in the appliance's crate.
    fn fata_appliance() -> Appliance;
}

/// What is below the guest.
enum World {
    Xen(Boot, Rc<Xen>),
    Machine(MachineBoot),
}

/// Called by `fata-xen` at the end of a boot on Xen.
#[unsafe(no_mangle)]
extern "Rust" fn fata_guest_main(boot: Boot) -> ! {
    HEAP.set_grow(xen_guest::grow_heap);
    let xen = Xen::new(boot.hypervisor);
    start(boot.hypervisor, Some(xen.clone()), World::Xen(boot, xen))
}

/// Called by `fata-xen` at the end of a boot without Xen.
#[unsafe(no_mangle)]
extern "Rust" fn fata_machine_main(boot: MachineBoot) -> ! {
    HEAP.set_grow(xen_guest::grow_heap);
    start(boot.hypervisor, None, World::Machine(boot))
}

fn start(hypervisor: &'static GuestHypervisor, xen: Option<Rc<Xen>>, world: World) -> ! {
    // SAFETY: the linker found exactly one, and `main!` gives it this signature.
    let appliance = unsafe { fata_appliance() };
    let platform: &'static GuestPlatform = Box::leak(Box::new(GuestPlatform::new(xen, hypervisor)));
    let left = block_on(platform, run(appliance, world));
    leave(platform, left)
}

fn leave(platform: &GuestPlatform, left: Result<Leave>) -> ! {
    let how = left.unwrap_or_else(|error| {
        console::write_blocking(alloc::format!("fata: {error}\n").as_bytes());
        Leave::Crash
    });
    console::flush();
    platform.leave(how)
}

/// The serial port; where there is none, the first virtio device that is a console, in images that have a driver for it.
fn console_of_machine(_boot: &MachineBoot) -> Rc<dyn Console> {
    #[cfg(feature = "virtio-console")]
    if !fata_xen::machine::has_serial()
        && let Ok(console) = fata_virtio::open_console(_boot)
    {
        return console;
    }
    Rc::new(SerialConsole)
}

async fn run(appliance: Appliance, world: World) -> Result<Leave> {
    let (console, command_line) = match &world {
        World::Xen(boot, xen) => (console::init(xen, boot.console.clone())?, boot.command_line),
        World::Machine(boot) => (console_of_machine(boot), boot.command_line),
    };
    logging::init(console::write);
    let params = Params::parse(command_line, &[&PARAMS, appliance.params])?;
    if params.wants_help() {
        console::write(params.help().as_bytes());
        return Ok(Leave::PowerOff);
    }
    if let Some(check) = appliance.check {
        check(&params)?;
    }
    // The default is what the log begins with.
    if let Some(said) = params.get_given("log") {
        logging::set_filter(said.parse().unwrap_or_default());
    }
    let before = match &world {
        World::Xen(boot, _) => boot.cpu_at_entry,
        World::Machine(_) => Default::default(),
    };
    let machine = Machine::connect(world)?;
    let spent = xen_guest::cpu_time().saturating_sub(before);
    log::debug!(
        "{} {}: {} us of CPU since entry",
        appliance.name,
        appliance.version,
        spent.as_micros() as u64
    );
    let env = Env {
        shared: Rc::new(Shared {
            params,
            console,
            #[cfg(any(feature = "net", feature = "block"))]
            machine,
            #[cfg(feature = "block")]
            disks: Default::default(),
            #[cfg(feature = "net")]
            stack: Default::default(),
            #[cfg(feature = "net")]
            drain: Default::default(),
        }),
    };
    #[cfg(feature = "net")]
    let shared = env.shared.clone();
    let left = until_end((appliance.main)(env)).await;
    #[cfg(feature = "net")]
    if let (Some(stack), Some(drain)) = (shared.stack.get(), shared.drain.get()) {
        drain(stack).await;
    }
    left
}
