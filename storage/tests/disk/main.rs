//! Block devices over block devices.

mod cache;
mod checksum;
mod crypt;
mod faults;
mod partition;
mod slice;
