//! A tap device: an Ethernet cable whose other end is an interface of the host (Linux,
//! `Documentation/networking/tuntap.rst`).
//!
//! `header` is what stands before each frame, `ioctl` makes the cable, `device` sends and receives.

mod device;
mod header;
mod ioctl;

pub use device::TapDevice;

use std::io;

/// The longest name of an interface, without the zero at its end (`linux/if.h`: IFNAMSIZ).
const MAX_NAME: usize = 15;

/// Whether an interface may have that name.
pub fn is_name(name: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_graphic() && b != b'/' && b != b'%';
    (1..=MAX_NAME).contains(&name.len()) && name != "." && name != ".." && name.bytes().all(is_good)
}

/// Why a tap device cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// The kernel has none.
    #[error(
        "tap device {name}: this machine has no /dev/net/tun (kernel module tun, or a container without it)"
    )]
    Missing {
        /// The device asked for.
        name: String,
    },
    /// The user may not.
    #[error(
        "tap device {name}: this user may not open it; once, as root: \
         ip tuntap add {name} mode tap user {user} && ip link set {name} up"
    )]
    Denied {
        /// The device asked for.
        name: String,
        /// Who asked.
        user: u32,
    },
    /// Somebody else has it.
    #[error("tap device {name}: another process uses it")]
    Busy {
        /// The device asked for.
        name: String,
    },
    /// An interface of another kind has the name.
    #[error("tap device {name}: the interface of that name is no tap device with one queue")]
    NoTap {
        /// The device asked for.
        name: String,
    },
    /// Anything else.
    #[error("tap device {name}: {error}")]
    Other {
        /// The device asked for.
        name: String,
        /// What the kernel says.
        error: io::Error,
    },
}

impl TapError {
    fn of(name: &str, error: io::Error) -> Self {
        let name = name.to_owned();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Self::Missing { name },
            Some(libc::EPERM | libc::EACCES) => {
                Self::Denied { name, user: rustix::process::geteuid().as_raw() }
            }
            Some(libc::EBUSY) => Self::Busy { name },
            Some(libc::EINVAL) => Self::NoTap { name },
            _ => Self::Other { name, error },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces() {
        for good in ["tap0", "a", "fata.web-1", &"t".repeat(15)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "tap 0", "tap%d", "täp", &"t".repeat(16)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
