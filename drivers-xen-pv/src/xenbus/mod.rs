//! XenBus: how the two ends of a device find each other through XenStore (`io/xenbus.h`).
//!
//! A device of this guest is a directory `device/TYPE/NUMBER`, which names its other end, the [`Backend`], in another domain.
//! Each end shows its [`XenbusState`] in its directory and watches the other's. [`DeviceList`] tells of devices coming and
//! going.

mod device;
mod list;
mod read;
mod state;
#[cfg(test)]
mod tests;

pub use device::{Backend, BackendStates, Device, Keys};
pub use list::{DeviceList, devices};
pub use read::{FromText, HasFeature, Numbers, Read, ReadOptional};
pub use state::XenbusState;
