//! Opening a tap device.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// Opens the cable's end; makes the interface at the other end where there is none of that name. Frames have the header of
/// [`header`](super::header) before them, and the host may leave checksums to us.
pub(super) fn open(name: &str) -> io::Result<File> {
    let tun =
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun")?;
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: the descriptor is open; this request reads and writes one `ifreq`.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as _, &mut request) })?;
    // SAFETY: the descriptor is open; this request takes its argument by value.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETOFFLOAD as _, libc::TUN_F_CSUM) })?;
    Ok(tun)
}

/// Whether the host has an interface of that name.
pub(super) fn exists(name: &str) -> bool {
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: the text ends with a zero, and is only read.
    unsafe { libc::if_nametoindex(name.as_ptr()) != 0 }
}

/// The largest packet that the host's end sends, octets.
pub(super) fn mtu(name: &str) -> Option<usize> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    let mut request = request(name);
    // SAFETY: the descriptor is open; this request reads and writes one `ifreq`.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU as _, &mut request) }).ok()?;
    // SAFETY: after this request the union has the MTU.
    usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).ok()
}

/// A request about an interface.
fn request(name: &str) -> libc::ifreq {
    // SAFETY: the structure is made of integers and pointers, for which zeros are values.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let places = request.ifr_name.len() - 1;
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()).take(places) {
        *place = byte as libc::c_char;
    }
    request
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
