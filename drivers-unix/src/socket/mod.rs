//! The host's own sockets, which wait through the [`Reactor`](crate::Reactor). They need no privilege and no set-up.
//!
//! Addresses of IPv4 peers are IPv4 addresses, also where one socket serves both families. Ports that are for root alone
//! are opened [`PRIVILEGED_OFFSET`] higher where this process may not.

mod listener;
mod tcp;
mod udp;

pub use listener::TcpListener;
pub use tcp::TcpStream;
pub use udp::UdpSocket;

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where ports below 1024 are when this process may not open them: port 80 is port 8080.
pub const PRIVILEGED_OFFSET: u16 = 8000;

/// A bound socket that does not block.
fn bind(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    match try_bind(address, kind, protocol) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && (1..1024).contains(&address.port()) => {
            let port = address.port() + PRIVILEGED_OFFSET;
            log::warn!(
                "port {} is for root alone on this machine: it is port {port} instead",
                address.port()
            );
            try_bind(SocketAddr::new(address.ip(), port), kind, protocol)
        }
        // A machine without IPv6: all addresses are those of IPv4.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) && address.ip().is_unspecified() => {
            try_bind((Ipv4Addr::UNSPECIFIED, address.port()).into(), kind, protocol)
        }
        bound => bound,
    }
}

fn try_bind(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if kind == Type::STREAM {
        // A server that is started again finds connections of the last one in TIME-WAIT.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// The address that a socket has; one of a link keeps the number of its interface, without which nothing can be sent to it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

/// The address from which this machine speaks to others, if it can: no packet is sent to find it out.
pub fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    // RFC 5737: an address for documentation, which only the default route leads to.
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
