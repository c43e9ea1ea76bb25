//! The devices of the guest, and what the host asks of it.

use super::*;
#[cfg(feature = "net")]
use fata_libos::net::NetDevice;
use fata_xen::events::Channel;
use fata_xen::shared::SharedMemory;
use fata_xen::types::EvtchnPort;

/// XenStore, and through it the devices.
pub(crate) struct Machine {
    #[cfg(feature = "net")]
    xen: Rc<Xen>,
    #[cfg(feature = "net")]
    store: XenStore,
}

impl Machine {
    pub(super) fn connect(xen: Rc<Xen>, (page, port): (SharedMemory, EvtchnPort)) -> Result<Self> {
        let store = XenStore::connect(page, Channel::adopt(&xen, port)?);
        let asks = store.clone();
        fata_libos::spawn(async move {
            if let Err(error) = fata_xen::control::run(&asks).await {
                log::error!("xl shutdown is no longer heard: {error}");
            }
        })
        .detach();
        Ok(Self {
            #[cfg(feature = "net")]
            xen,
            #[cfg(feature = "net")]
            store,
        })
    }

    /// The guest's network interface of that number.
    #[cfg(feature = "net")]
    pub(crate) async fn open_network(&self, index: usize) -> Result<Box<dyn NetDevice>> {
        let device = fata_xen::net::open(&self.xen, self.store.clone(), index).await?;
        Ok(Box::new(device))
    }
}
