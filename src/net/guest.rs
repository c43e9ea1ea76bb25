//! On a guest: netstack over the devices that the hypervisor gives.

use crate::Result;
use crate::env::Shared;
pub use fata_netstack::*;

pub(super) fn new_stack(_shared: &Shared) -> Stack {
    Stack::new()
}

/// Opens the interface of that number.
pub(super) async fn open(shared: &Shared, stack: &Stack, index: usize, config: Config) -> Result<Interface> {
    let device = shared.machine.open_network(index).await?;
    let interface = stack.add_interface(shared.networks[index], device, config);
    super::drain_at_end(shared);
    Ok(interface)
}
