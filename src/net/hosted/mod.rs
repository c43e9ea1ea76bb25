//! In a process: netstack over a tap device, or the host's own sockets, behind the names that netstack has.
//!
//! Which of the two is chosen by the boot parameters (`tap=NAME`), for the process as a whole; each type here is one or the other.
//! Errors are netstack's ([`error`]).

mod error;
mod resolver;
mod stack;
mod tcp;
mod udp;

pub use fata_netstack::{
    Buffers, Capture, CaptureError, Config, ConfigError, ConnectionInfo, Direction, Error, Figure,
    Ipv4Config, Ipv6Config, Kind, PARAMS, Packets, SendManyError, Snapshot, Stats, testing,
};
pub use resolver::Resolver;
pub use stack::{Addressing, Interface, NoTap, Stack};
pub(super) use stack::{check_params, new_stack, open, open_device};
pub use tcp::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use udp::UdpSocket;
