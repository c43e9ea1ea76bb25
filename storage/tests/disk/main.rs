//! Block devices over block devices.

mod faults;
mod partition;
mod slice;
