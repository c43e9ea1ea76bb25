//! On a guest: netstack over the devices that the hypervisor gives.

use crate::Result;
use crate::env::Shared;
use crate::net::Name;
use alloc::boxed::Box;
use fata_libos::net::NetDevice;
use fata_libos::param::Params;
pub use fata_netstack::*;

pub(super) fn new_stack(_shared: &Shared) -> Stack {
    Stack::new()
}

/// All that there is on a guest is known to netstack.
pub(super) fn check_params(_params: &Params, _interface: &str) -> Result<()> {
    Ok(())
}

/// Opens an interface's device.
pub(super) async fn open_device(shared: &Shared, name: Name) -> Result<Box<dyn NetDevice>> {
    let queues = shared.params.get(&alloc::format!("{}.queues", name.name)).and_then(|v| v.parse().ok());
    shared.machine.open_network(name.index, queues.unwrap_or(1)).await
}

/// Opens an interface.
pub(super) async fn open(shared: &Shared, stack: &Stack, name: Name, config: Config) -> Result<Interface> {
    let device = open_device(shared, name).await?;
    let interface = stack.add_interface(name.name, device, config);
    super::drain_at_end(shared);
    Ok(interface)
}
