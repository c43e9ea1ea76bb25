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
use fata_libos::net::{Arrived, Checksum};
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
            let received = queue.receive_whole(&mut buf).unwrap().unwrap();
            assert_eq!((received.len, received.checksum), (len, checksum));
            assert!(buf[..len] == bytes);
            assert_eq!(queue.receive_whole(&mut buf).unwrap(), None);
            queue.flush();
        }
    });
}

#[test]
fn octets_are_taken_from_any_place_of_a_frame_and_its_pages_go_back() {
    with_pair(1514, |_, queue, back| {
        let mut buf = vec![0; 70_000];
        for n in 0..200 {
            let len = 60 + n * 331 % 65_000;
            let bytes = frame(len, n);
            assert!(
                back.deliver(&bytes, &Delivery { offset: (n % 64) as u16, ..Delivery::default() }),
                "{n}"
            );
            let (at, most) = (n * 7919 % len, n * 104_729 % len);
            let (mut read, mut behind) = (vec![0; most.min(len - at)], b"before".to_vec());
            let arrived = queue.receive(&mut buf, &mut |received, octets| {
                assert_eq!(received.len, len);
                octets.read(at, &mut read);
                octets.append(at, len - at, &mut behind);
                true
            });
            assert_eq!(arrived, Ok(Some(Arrived::Taken)));
            assert!(read == bytes[at..at + read.len()] && behind[6..] == bytes[at..], "frame {n}");
            queue.flush();
        }
        assert!(buf.iter().all(|octet| *octet == 0), "nothing was copied besides");
    });
}

#[test]
fn who_reads_beyond_a_frame_is_stopped() {
    with_pair(1514, |_, queue, back| {
        assert!(back.deliver(&frame(100, 1), &Delivery::default()));
        let arrived = queue.receive(&mut [0; 200], &mut |_, octets| {
            let read = |at, len| octets.read(at, &mut vec![0; len]);
            let panics =
                |at, len| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(at, len))).is_err();
            assert!(!panics(90, 10) && panics(90, 11) && panics(101, 1) && panics(usize::MAX, 1));
            true
        });
        assert_eq!(arrived, Ok(Some(Arrived::Taken)));
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
            let received = queue.receive_whole(&mut buf).unwrap().unwrap();
            assert!(buf[..received.len] == bytes, "frame {n} received");
        }
    });
}

#[test]
fn a_burst_that_finds_too_few_pages_brings_all_of_them() {
    with_pair(1514, |_, queue, back| {
        let mut buf = vec![0; 70000];
        // A frame now and then does not.
        for n in 0..100 {
            assert!(back.deliver(&frame(1500, n), &Delivery::default()));
            assert_eq!(queue.receive_whole(&mut buf).unwrap().map(|r| r.len), Some(1500));
            queue.flush();
        }
        assert_eq!(back.empty_pages(), 32);
        for n in 0..30 {
            assert!(back.deliver(&frame(1500, n), &Delivery::default()));
        }
        while queue.receive_whole(&mut buf).unwrap().is_some() {}
        queue.flush();
        assert_eq!(back.empty_pages(), Limits::FULL.rx_pages);
    });
}
