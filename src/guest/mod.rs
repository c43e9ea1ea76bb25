//! The appliance on Xen: from the boot's end to `main`, and out again.

mod panic;
mod platform;

use crate::{Appliance, Env};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use core::future::Future;
use core::pin::Pin;
use fata_libos::console::Console;
use fata_libos::memory::Heap;
use fata_xen::pv::{self, Boot};

#[global_allocator]
static HEAP: Heap = Heap::new();

/// What `Env` needs of the guest.
pub(crate) struct Machine;

unsafe extern "Rust" {
    fn fata_appliance() -> Appliance;
}

struct Early;
impl Console for Early {
    fn write(&self, bytes: &[u8]) {
        pv::early_write(bytes)
    }
    fn read_line(&self) -> Pin<Box<dyn Future<Output = Option<String>> + '_>> {
        Box::pin(async { None })
    }
}

#[unsafe(no_mangle)]
extern "Rust" fn fata_guest_main(boot: Boot) -> ! {
    HEAP.set_grow(pv::grow_heap);
    let appliance = unsafe { fata_appliance() };
    let xen = fata_xen::xen::Xen::new(boot.hypervisor);
    let platform = Box::leak(Box::new(platform::XenPlatform::new(xen, boot.hypervisor)));
    fata_libos::logging::init(pv::early_write);
    let params = fata_libos::param::Params::parse(
        boot.command_line,
        &[appliance.params],
        appliance.networks,
        appliance.network_params,
    );
    let params = match params {
        Ok(p) => p,
        Err(e) => pv::crash(format_args!("fata: {e}\n")),
    };
    let env = Env {
        shared: Rc::new(crate::env::Shared {
            params,
            console: Rc::new(Early),
            machine: Machine,
            networks: appliance.networks,
        }),
    };
    let r = fata_libos::task::block_on(platform, (appliance.main)(env));
    if let Err(e) = r {
        pv::crash(format_args!("{}: {e}\n", appliance.name))
    }
    fata_libos::platform::Platform::leave(platform, fata_libos::platform::Leave::PowerOff)
}
