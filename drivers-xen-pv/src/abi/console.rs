//! The console's shared page (`io/console.h`: `struct xencons_interface`).

use super::layout;

/// Octets of the ring to the guest.
pub const IN_SIZE: usize = 1024;
/// Octets of the ring from the guest.
pub const OUT_SIZE: usize = 2048;

/// `struct xencons_interface`: an octet-exact picture; the page itself is touched by copies only.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct XenconsInterface {
    /// To the guest.
    pub r#in: [u8; IN_SIZE],
    /// From the guest.
    pub out: [u8; OUT_SIZE],
    /// Octets of `in` that the guest has taken.
    pub in_cons: u32,
    /// Octets of `in` that the daemon has put.
    pub in_prod: u32,
    /// Octets of `out` that the daemon has taken.
    pub out_cons: u32,
    /// Octets of `out` that the guest has put.
    pub out_prod: u32,
}

layout!(XenconsInterface, size 3088,
    r#in at 0, out at 1024, in_cons at 3072, in_prod at 3076, out_cons at 3080, out_prod at 3084);
