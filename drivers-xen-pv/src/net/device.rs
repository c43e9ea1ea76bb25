//! The stack's handle of a network interface.

use super::link::{Link, Terms};
use super::tx::Outgoing;
use crate::abi::netif::tx_flags;
use alloc::rc::Rc;
use core::task::{Context, Poll};
use fata_libos::net::{Arrived, Checksum, MacAddress, NetCounters, NetDevice, Offloads, Received};
use fata_libos::net::{Take, TransmitError, TransmitMeta};

/// A network interface. The stack keeps it while back ends come and go: [`is_up`](NetDevice::is_up) says whether there is
/// one, and [`poll`](NetDevice::poll) wakes when that changes. Dropping it disconnects the device.
///
/// A device that was detached and attached again may have another address: ask again when it comes up.
pub struct Netfront {
    name: Rc<str>,
    link: Rc<Link>,
}

impl Netfront {
    pub(super) fn new(name: Rc<str>, link: Rc<Link>) -> Self {
        Self { name, link }
    }

    /// The device's name in logs: `vif0`, say.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl NetDevice for Netfront {
    fn mac(&self) -> MacAddress {
        self.link.terms().mac
    }

    fn mtu(&self) -> usize {
        self.link.terms().mtu
    }

    fn offloads(&self) -> Offloads {
        self.link.terms().offloads
    }

    fn is_up(&self) -> bool {
        self.link.is_up()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.poll(cx)
    }

    fn receive(&mut self, buf: &mut [u8]) -> Option<Received> {
        self.receive_into(buf, &mut |_, _| false)?.whole()
    }

    fn receive_into(&mut self, buf: &mut [u8], take: &mut Take<'_>) -> Option<Arrived> {
        self.link.with(|queue| queue.receive(buf, take)).flatten()
    }

    fn can_transmit(&self) -> bool {
        self.link.with(|queue| queue.make_room(queue.max_frame())).unwrap_or(false)
    }

    fn transmit(
        &mut self,
        len: usize,
        meta: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let flags = match meta.checksum {
            Checksum::Partial => tx_flags::CSUM_BLANK | tx_flags::DATA_VALIDATED,
            Checksum::Verified => tx_flags::DATA_VALIDATED,
            Checksum::Complete => 0,
        };
        let Terms { mtu, offloads, .. } = self.link.terms();
        let is_cut = meta.segment_size > 0 && (offloads.tx_segmentation_v4 | offloads.tx_segmentation_v6) > 0;
        let taken = self.link.with(|queue| {
            let max = if is_cut { queue.longest() } else { queue.max_frame() };
            // Segments are no longer than what the link takes; without an agreement there are none.
            if len > max || meta.segment_size > if is_cut { mtu } else { 0 } {
                return Ok(Err(TransmitError::TooLong { len, max }));
            }
            if !queue.make_room(len)? {
                return Ok(Err(TransmitError::Full));
            }
            queue.transmit(Outgoing { len, flags, segment_size: meta.segment_size as u16 }, fill);
            Ok(Ok(()))
        });
        let result = taken.unwrap_or(Err(TransmitError::Down));
        if matches!(result, Err(TransmitError::Down | TransmitError::TooLong { .. })) {
            self.link.count_tx_error();
        }
        result
    }

    fn flush(&mut self) {
        let _ = self.link.with(|queue| {
            queue.flush();
            Ok(())
        });
    }

    fn counters(&self) -> NetCounters {
        self.link.counters()
    }
}

impl Drop for Netfront {
    fn drop(&mut self) {
        self.link.give_up();
    }
}
