//! Tests of a queue over the fake hypervisor, without XenStore.

use super::cut::Segmentation;
use super::fault::NetFault;
use super::pool::Limits;
use super::queue::{Channels, Queue, QueueConfig};
use super::tx::Outgoing;
use crate::abi::netif::{rx_flags, tx_flags};
use crate::fake::FakeHypervisor;
use crate::fake::netback::{Delivery, NetbackRings, QueueAddress};
use crate::types::DomId;
use crate::xen::Xen;
use fata_libos::net::Checksum;
use fata_libos::time::Duration;
use std::rc::Rc;

pub(super) const BACKEND: DomId = DomId(3);

fn pair(hv: &'static FakeHypervisor, xen: &Rc<Xen>, max_frame: usize) -> (Queue, NetbackRings) {
    let (channels, hypercall) = (Channels::Split, Duration::ZERO);
    let segmentation = Segmentation { v4: true, v6: true };
    let limits = Limits::FULL;
    let config = QueueConfig { remote: BACKEND, channels, limits, max_frame, segmentation, hypercall };
    let mut queue = Queue::new(xen, config).unwrap();
    let (tx_ring, rx_ring) = queue.ring_refs();
    let (tx_port, rx_port) = queue.ports();
    let back = NetbackRings::map(hv, BACKEND, QueueAddress { tx_ring, rx_ring, tx_port, rx_port }).unwrap();
    queue.flush();
    (queue, back)
}

pub(super) fn with_pair(
    max_frame: usize,
    test: impl FnOnce(&'static FakeHypervisor, &mut Queue, &mut NetbackRings),
) {
    let hv = FakeHypervisor::new();
    let xen = Xen::new(hv);
    let (mut queue, mut back) = pair(hv, &xen, max_frame);
    test(hv, &mut queue, &mut back);
    drop(back);
    drop(queue);
    assert_eq!(hv.live_pages(), 0);
    assert_eq!(xen.grants().counts().in_use, 0);
    assert_eq!(hv.open_ports(), 0);
}

pub(super) fn frame(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 13 + i / 256) as u8).collect()
}

pub(super) fn send(queue: &mut Queue, bytes: &[u8], flags: u16) -> Result<bool, NetFault> {
    let room = queue.make_room(bytes.len())?;
    if room {
        let frame = Outgoing { len: bytes.len(), flags, segment_size: 0 };
        queue.transmit(frame, &mut |buf| buf.copy_from_slice(bytes));
    }
    Ok(room)
}

/// Sends a TCP segment to be cut into such of `size` octets.
pub(super) fn send_to_be_cut(queue: &mut Queue, bytes: &[u8], size: u16) -> Result<bool, NetFault> {
    let room = queue.make_room(bytes.len())?;
    if room {
        let flags = tx_flags::CSUM_BLANK | tx_flags::DATA_VALIDATED;
        let frame = Outgoing { len: bytes.len(), flags, segment_size: size };
        queue.transmit(frame, &mut |buf| buf.copy_from_slice(bytes));
    }
    Ok(room)
}

#[test]
fn frames_of_any_length_arrive_whole_and_in_slots_of_one_page() {
    with_pair(65535, |_, queue, back| {
        for len in [1, 14, 60, 1514, 4095, 4096, 4097, 8192, 8193, 65535] {
            let bytes = frame(len, len);
            assert!(send(queue, &bytes, tx_flags::CSUM_BLANK | tx_flags::DATA_VALIDATED).unwrap());
            queue.flush();
            let sent = back.take_sent();
            assert_eq!(sent.len(), 1);
            assert!(sent[0].bytes == bytes, "{len} octets");
            assert_eq!((sent[0].slots, sent[0].flags), (len.div_ceil(4096), 3));
        }
    });
}

#[test]
fn a_full_ring_takes_no_more_until_answered() {
    with_pair(1514, |_, queue, back| {
        let mut taken = 0;
        while send(queue, &frame(100, taken), 0).unwrap() {
            taken += 1;
        }
        // One slot is for extra info, should the frame have any.
        assert_eq!(taken, 255);
        queue.flush();
        assert_eq!(back.take_sent().len(), 255);
        assert!(send(queue, &frame(100, 0), 0).unwrap());
    });
}

#[test]
fn received_frames_are_gathered_with_what_is_known_of_their_checksum() {
    with_pair(1514, |_, queue, back| {
        let mut buf = vec![0; 70000];
        let cases = [
            (60, 0, Checksum::Complete),
            (1514, rx_flags::DATA_VALIDATED, Checksum::Verified),
            (4096, rx_flags::CSUM_BLANK | rx_flags::DATA_VALIDATED, Checksum::Partial),
            (9000, rx_flags::CSUM_BLANK, Checksum::Partial),
            (65535, 0, Checksum::Complete),
        ];
        for (len, flags, checksum) in cases {
            let bytes = frame(len, len);
            let how = Delivery { flags, ..Delivery::default() };
            assert!(back.deliver(&bytes, &how), "{len}");
            let received = queue.receive(&mut buf).unwrap().unwrap();
            assert_eq!((received.len, received.checksum), (len, checksum));
            assert!(buf[..len] == bytes);
            assert_eq!(queue.receive(&mut buf).unwrap(), None);
            queue.flush();
        }
    });
}

#[test]
fn a_hundred_thousand_frames_each_way_wrap_the_rings() {
    with_pair(9014, |_, queue, back| {
        let mut buf = vec![0; 10000];
        for n in 0..100_000 {
            let len = 14 + n * 37 % if n % 16 == 0 { 9000 } else { 200 };
            let bytes = frame(len, n);
            assert!(send(queue, &bytes, 0).unwrap());
            assert!(back.deliver(&bytes, &Delivery { offset: (n % 64) as u16, ..Delivery::default() }));
            queue.flush();
            let sent = back.take_sent();
            assert!(sent.len() == 1 && sent[0].bytes == bytes, "frame {n} sent");
            let received = queue.receive(&mut buf).unwrap().unwrap();
            assert!(buf[..received.len] == bytes, "frame {n} received");
        }
    });
}
