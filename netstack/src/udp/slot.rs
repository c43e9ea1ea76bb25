//! The place of UDP's sockets in a stack: only a socket fills it, so that an image without one has no code of theirs. DHCP
//! needs none.

use super::table::Table;
use crate::data::Data;
use crate::error::Error;
use crate::interface::Iface;
use crate::ip::Header;
use crate::memory::Memory;
use crate::stack::Core;
use crate::traffic::Lost;
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::OnceCell;
use core::net::SocketAddr;
use core::ops::Deref;

/// Sockets, as datagrams and ICMP see them.
pub(crate) trait Sockets {
    /// Gives a datagram to the socket that it is for.
    fn receive(
        &self,
        memory: &Rc<Memory>,
        local: SocketAddr,
        remote: SocketAddr,
        to_many: bool,
        data: Data<'_>,
    ) -> Result<(), Lost>;

    /// Takes a datagram of which the first octets are in `head`, and all in the frame that brought it: see [`super::take`].
    fn take(&self, core: &Core, iface: &Iface, header: Header, head: &[u8], datagram: Data<'_>) -> bool;

    /// Tells a connected socket of an ICMP error.
    fn unreachable(&self, local: SocketAddr, remote: SocketAddr, error: Error);

    /// The table itself.
    fn table(&self) -> &Table;
}

/// See the module. It dereferences to the table, which the first socket to do so makes.
#[derive(Default)]
pub(crate) struct Slot(OnceCell<Box<dyn Sockets>>);

impl Slot {
    /// The sockets, if there has been one.
    pub(crate) fn in_use(&self) -> Option<&dyn Sockets> {
        self.0.get().map(|sockets| &**sockets)
    }
}

impl Deref for Slot {
    type Target = Table;
    fn deref(&self) -> &Table {
        self.0.get_or_init(|| Box::new(Table::new())).table()
    }
}
