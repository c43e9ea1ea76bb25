//! Block devices over block devices.

mod cache;
mod crypt;
mod faults;
mod partition;
mod slice;
