//! The devices of the guest, and what the host asks of it.

use super::*;
#[cfg(feature = "block")]
use fata_libos::block::{Access, Disk};
#[cfg(feature = "net")]
use fata_libos::net::NetDevice;
use fata_xen::events::Channel;
use fata_xen::xenstore::XenStore;

/// The way to the devices: XenStore, or the machine's own.
#[cfg_attr(not(any(feature = "net", feature = "block")), allow(dead_code))]
pub(crate) enum Machine {
    Xen(Rc<Xen>, XenStore),
    Pc(MachineBoot),
}

impl Machine {
    pub(super) fn connect(world: World) -> Result<Self> {
        let (boot, xen) = match world {
            World::Xen(boot, xen) => (boot, xen),
            World::Machine(boot) => return Ok(Self::Pc(boot)),
        };
        let (page, port) = boot.xenstore;
        let store = XenStore::connect(page, Channel::adopt(&xen, port)?);
        let asks = store.clone();
        fata_libos::spawn_detached(async move {
            if let Err(error) = fata_xen::control::run(&asks).await {
                log::error!("xl shutdown is no longer heard: {error}");
            }
        });
        Ok(Self::Xen(xen, store))
    }

    /// The guest's network interface of that number, with so many pairs of queues where it can have as many: of Xen's only.
    #[cfg(feature = "net")]
    pub(crate) async fn open_network(&self, index: usize, queues: usize) -> Result<Box<dyn NetDevice>> {
        match self {
            Self::Xen(xen, store) => {
                Ok(Box::new(fata_xen::net::open(xen, store.clone(), index, queues).await?))
            }
            Self::Pc(boot) => Ok(fata_virtio::open_net(boot, index)?),
        }
    }

    /// A disk of the guest: `which` is a value of the boot parameter `disk`. It has so many queues where it can have as many: of Xen's
    /// only.
    #[cfg(feature = "block")]
    pub(crate) async fn open_disk(
        &self,
        name: &str,
        which: &str,
        access: Access,
        queues: u32,
    ) -> Result<Disk> {
        match self {
            Self::Xen(xen, store) => {
                Ok(fata_xen::block::open(xen, store.clone(), name, which, access, queues).await?)
            }
            Self::Pc(boot) => Ok(fata_virtio::open_block(boot, name, which, access)?),
        }
    }

    /// An error that names the first network interface of so many that is not there.
    #[cfg(feature = "net")]
    pub(crate) async fn find_networks(&self, count: usize) -> Result<()> {
        let Some(last) = count.checked_sub(1) else { return Ok(()) };
        match self {
            Self::Xen(_, store) => drop(fata_xen::net::find(store, last).await?),
            Self::Pc(boot) => fata_virtio::find_net(boot, last)?,
        }
        Ok(())
    }

    /// Whether the guest has the disk that [`open_disk`](Self::open_disk) would open.
    #[cfg(feature = "block")]
    pub(crate) async fn has_disk(&self, name: &str, which: &str) -> Result<bool> {
        Ok(match self {
            Self::Xen(_, store) => match fata_xen::block::find(store, name, which).await {
                Err(fata_xen::block::OpenError::Missing { .. }) => false,
                found => found.map(|_| true)?,
            },
            // Nothing else can be wrong there.
            Self::Pc(boot) => fata_virtio::find_block(boot, name, which).is_ok(),
        })
    }

    /// The number of the disk that [`open_disk`](Self::open_disk) would open.
    #[cfg(feature = "block")]
    pub(crate) async fn find_disk(&self, name: &str, which: &str) -> Result<u32> {
        Ok(match self {
            Self::Xen(_, store) => fata_xen::block::find(store, name, which).await?,
            Self::Pc(boot) => fata_virtio::find_block(boot, name, which)?,
        })
    }
}
