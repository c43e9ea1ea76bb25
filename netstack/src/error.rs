//! What can go wrong with a socket.

use embedded_io::ErrorKind;

/// Why an operation on a socket, or a name look-up, failed. The names are those of `std::io::ErrorKind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer has no listener there.
    #[error("connection refused")]
    ConnectionRefused,
    /// The peer reset the connection.
    #[error("connection reset by the peer")]
    ConnectionReset,
    /// This side gave the connection up: `abort`, or its local address is gone.
    #[error("connection aborted")]
    ConnectionAborted,
    /// The peer did not answer for too long.
    #[error("timed out")]
    TimedOut,
    /// The socket has no peer.
    #[error("not connected")]
    NotConnected,
    /// This side has finished writing.
    #[error("the stream is closed for writing")]
    BrokenPipe,
    /// Another socket uses that address and port.
    #[error("address already in use")]
    AddrInUse,
    /// No interface has that local address, or none is free.
    #[error("address not available")]
    AddrNotAvailable,
    /// No interface leads there.
    #[error("network unreachable")]
    NetworkUnreachable,
    /// A router, or the silence on the link, says that the host cannot be reached.
    #[error("host unreachable")]
    HostUnreachable,
    /// An argument makes no sense.
    #[error("invalid argument")]
    InvalidInput,
    /// Longer than a datagram can be.
    #[error("the message is too long")]
    MessageTooLong,
    /// The limit on connections or memory is reached.
    #[error("too many connections for the memory there is")]
    OutOfMemory,
    /// An address of IPv6, and a socket that is bound to one of IPv4; or in a process, whose machine has no IPv6.
    #[error("not supported")]
    Unsupported,
    /// The name has no address.
    #[error("no such name")]
    NameNotFound,
    /// The name servers could not be asked, or gave no sensible answer.
    #[error("name resolution failed")]
    ResolveFailed,
}

impl embedded_io::Error for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::ConnectionRefused => ErrorKind::ConnectionRefused,
            Self::ConnectionReset => ErrorKind::ConnectionReset,
            Self::ConnectionAborted => ErrorKind::ConnectionAborted,
            Self::TimedOut => ErrorKind::TimedOut,
            Self::NotConnected => ErrorKind::NotConnected,
            Self::BrokenPipe => ErrorKind::BrokenPipe,
            Self::AddrInUse => ErrorKind::AddrInUse,
            Self::AddrNotAvailable => ErrorKind::AddrNotAvailable,
            Self::InvalidInput | Self::MessageTooLong => ErrorKind::InvalidInput,
            Self::OutOfMemory => ErrorKind::OutOfMemory,
            Self::Unsupported => ErrorKind::Unsupported,
            Self::NameNotFound => ErrorKind::NotFound,
            Self::NetworkUnreachable | Self::HostUnreachable | Self::ResolveFailed => ErrorKind::Other,
        }
    }
}
