//! Which devices there are.

use super::device::Look;
use crate::xenstore::wire::parse_number;
use crate::xenstore::{Later, StoreError, Watch, XenStore};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Devices of a kind that a guest may have; what a list has more is not looked at.
const MAX_DEVICES: usize = 256;

/// The numbers of the devices of a kind (`vif`, `vbd`) that the guest has now, ascending.
pub fn devices<'a>(store: &'a XenStore, kind: &str) -> Later<'a, Vec<u32>> {
    let path = format!("device/{kind}");
    Box::pin(async move {
        let mut numbers = Vec::new();
        let names = match store.directory_octets(&path).await {
            Err(e) if e.is_absent() => return Ok(numbers),
            names => names?,
        };
        for name in names.split(|octet| *octet == 0) {
            if let Some(number) = parse_number(name).filter(|_| numbers.len() < MAX_DEVICES) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    })
}

/// The devices of a kind, as they come and go.
pub struct DeviceList {
    store: XenStore,
    kind: String,
    watch: Watch,
    last: Option<Vec<u32>>,
    look: Look,
}

impl DeviceList {
    /// Watches the devices of a kind (`vif`, `vbd`).
    pub async fn watch(store: &XenStore, kind: &str) -> Result<Self, StoreError> {
        let watch = store.watch(&format!("device/{kind}")).await?;
        Ok(Self { store: store.clone(), kind: kind.into(), watch, last: None, look: Look::Now })
    }

    /// The list: at the first call as it is, then each time it has become another one. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Vec<u32>, StoreError> {
        loop {
            if self.look == Look::AtNextEvent {
                self.watch.changed().await?;
                self.look = Look::Now;
            }
            let now = devices(&self.store, &self.kind).await?;
            self.look = Look::AtNextEvent;
            if self.last.as_ref() != Some(&now) {
                self.last = Some(now.clone());
                return Ok(now);
            }
        }
    }
}
