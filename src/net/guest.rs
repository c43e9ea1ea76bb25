//! On a guest: netstack over the devices that the hypervisor gives.

use crate::Result;
use crate::env::Shared;
use crate::net::Name;
pub use fata_netstack::*;

pub(super) fn new_stack(_shared: &Shared) -> Stack {
    Stack::new()
}

/// Opens an interface.
pub(super) async fn open(shared: &Shared, stack: &Stack, name: Name, config: Config) -> Result<Interface> {
    let device = shared.machine.open_network(name.index).await?;
    let interface = stack.add_interface(name.name, device, config);
    super::drain_at_end(shared);
    Ok(interface)
}
