//! What the rest of the stack asks of TCP.
//!
//! Only here, by way of [`Transport`], does anything outside of `tcp` reach it, and only sockets of TCP fill a [`Slot`]: an
//! image without them has nothing of TCP's code. Segments are then answered as datagrams to closed ports are.

use crate::connections::ConnectionInfo;
use crate::data::Data;
use crate::icmp::Unreachable;
use crate::interface::Iface;
use crate::ip::Header;
use crate::memory::Memory;
use crate::stack::Core;
use crate::stats::Counters;
use crate::tcp::{Flow, Table};
use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::OnceCell;
use core::net::{IpAddr, SocketAddr};
use core::ops::Deref;
use fata_libos::time::Instant;

/// TCP, as interfaces, ICMP and the stack's owner see it.
pub(crate) trait Transport {
    /// Takes a segment. With `placed` it is still in the frame that brought it, from where its data is copied to its place:
    /// `segment` is its header at least, its checksum is good, and the link is in use. False, and nothing has come of it, if it
    /// is not of a connection, or if something may have to be sent for it at once: then it has to come whole.
    fn receive(
        &self,
        core: &Rc<Core>,
        iface: &Rc<Iface>,
        now: Instant,
        header: Header,
        segment: &[u8],
        placed: Option<Data<'_>>,
    ) -> bool;

    /// Acknowledges what has come last.
    fn acknowledge(&self, core: &Core, now: Instant);

    /// The timer of a handshake is due.
    fn half_open_due(&self, core: &Core, now: Instant, flow: &Flow);

    /// Takes an ICMP error about the segment with number `seq`.
    fn unreachable(&self, core: &Core, local: SocketAddr, remote: SocketAddr, seq: u32, what: Unreachable);

    /// The link is back: all connections go on.
    fn link_up(&self, iface: &Rc<Iface>);

    /// Ends the handshakes of ours that go by next hops that do not answer.
    fn neighbours_lost(&self, core: &Core, iface: &Rc<Iface>, lost: &[IpAddr]);

    /// Ends what used an address that this host no longer has.
    fn address_lost(&self, core: &Core, address: IpAddr);

    /// Resets all connections.
    fn abort_all(&self);

    /// Brings the gauges up to date.
    fn count(&self, counters: &Counters);

    /// Calls `visit` with at most `most` connections, those that carry data first, and returns how many there are.
    fn connections(&self, now: Instant, most: usize, visit: &mut dyn FnMut(&ConnectionInfo)) -> usize;

    /// The table itself.
    fn table(&self) -> &Table;
}

/// The place of TCP in a stack. It dereferences to the table, which the first socket to do so makes: that is for code of
/// TCP alone, as it links the table.
pub(crate) struct Slot {
    transport: OnceCell<Box<dyn Transport>>,
    memory: Rc<Memory>,
}

impl Slot {
    pub(crate) fn new(memory: Rc<Memory>) -> Self {
        Self { transport: OnceCell::new(), memory }
    }

    /// TCP, if there has been a socket of it.
    pub(crate) fn in_use(&self) -> Option<&dyn Transport> {
        self.transport.get().map(|transport| &**transport)
    }
}

impl Deref for Slot {
    type Target = Table;
    #[inline(never)]
    fn deref(&self) -> &Table {
        self.transport.get_or_init(|| Box::new(Table::new(self.memory.clone()))).table()
    }
}
