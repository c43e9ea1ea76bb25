//! What the host says, in netstack's words.

use fata_netstack::Error;
use std::io::{self, ErrorKind};

/// The error that netstack has for it. What it has none for is logged.
pub(super) fn named(error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectionRefused,
        ErrorKind::ConnectionReset => Error::ConnectionReset,
        ErrorKind::ConnectionAborted => Error::ConnectionAborted,
        ErrorKind::TimedOut => Error::TimedOut,
        ErrorKind::NotConnected => Error::NotConnected,
        ErrorKind::BrokenPipe => Error::BrokenPipe,
        ErrorKind::AddrInUse => Error::AddrInUse,
        ErrorKind::AddrNotAvailable => Error::AddrNotAvailable,
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => Error::NetworkUnreachable,
        ErrorKind::HostUnreachable => Error::HostUnreachable,
        ErrorKind::InvalidInput => Error::InvalidInput,
        ErrorKind::OutOfMemory => Error::OutOfMemory,
        ErrorKind::Unsupported => Error::Unsupported,
        _ => unnamed(error),
    }
}

/// `std` has no stable kind for these.
fn unnamed(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(fata_unix::errno::EMSGSIZE) => Error::MessageTooLong,
        Some(fata_unix::errno::EAFNOSUPPORT) => Error::Unsupported,
        Some(fata_unix::errno::ENOBUFS | fata_unix::errno::EMFILE | fata_unix::errno::ENFILE) => {
            Error::OutOfMemory
        }
        _ => {
            log::warn!("the host says: {error}");
            match error.kind() {
                ErrorKind::PermissionDenied => Error::AddrNotAvailable,
                _ => Error::ConnectionAborted,
            }
        }
    }
}
