//! The appliance on Xen: from the boot's end to `main`, and out again.

mod console;
mod machine;
mod panic;
mod platform;

use crate::env::Shared;
use crate::until_end::until_end;
use crate::{Appliance, Env, Result};
use alloc::boxed::Box;
use alloc::rc::Rc;
use fata_libos::logging;
use fata_libos::memory::Heap;
use fata_libos::param::{self, Param, Params};
use fata_libos::platform::{Leave, Platform};
use fata_libos::task::block_on;
use fata_xen::pv::{self, Boot};
use fata_xen::xen::Xen;
use fata_xen::xenstore::XenStore;
pub(crate) use machine::Machine;
use platform::XenPlatform;

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

/// Called by `fata-xen` at the end of a boot.
#[unsafe(no_mangle)]
extern "Rust" fn fata_guest_main(boot: Boot) -> ! {
    HEAP.set_grow(pv::grow_heap);
    // SAFETY: the linker found exactly one, and `main!` gives it this signature.
    let appliance = unsafe { fata_appliance() };
    let xen = Xen::new(boot.hypervisor);
    let platform: &'static XenPlatform = Box::leak(Box::new(XenPlatform::new(xen.clone(), boot.hypervisor)));
    let left = block_on(platform, run(appliance, boot, xen));
    leave(platform, left)
}

fn leave(platform: &XenPlatform, left: Result<Leave>) -> ! {
    let how = left.unwrap_or_else(|error| {
        console::write_blocking(alloc::format!("fata: {error}\n").as_bytes());
        Leave::Crash
    });
    console::flush();
    platform.leave(how)
}

async fn run(appliance: Appliance, boot: Boot, xen: Rc<Xen>) -> Result<Leave> {
    let console = console::init(&xen, boot.console)?;
    logging::init(console::write);
    let params = Params::parse(boot.command_line, &[&PARAMS, appliance.params])?;
    if params.wants_help() {
        console::write(params.help().as_bytes());
        return Ok(Leave::PowerOff);
    }
    logging::set_filter(params.get_as("log").unwrap_or_default());
    let machine = Machine::connect(xen, boot.xenstore)?;
    let spent = pv::cpu_time().saturating_sub(boot.cpu_at_entry);
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
            #[cfg(feature = "net")]
            machine,
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
