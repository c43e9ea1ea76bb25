//! Tests of frames that one end has the other cut up, of those that were put together, and of lies about them.

use super::cut::tests::segment;
use super::fault::NetFault;
use super::frontend_tests::{bench, frame, ready, until};
use super::queue_tests::{send, send_to_be_cut, with_pair};
use crate::abi::netif::{ExtraInfo, GsoInfo, RxResponse, TxResponse, extra_type, gso_type, rx_flags, status};
use crate::fake::netback::{Delivery, NetbackRings};
use crate::ring::IdFault;
use fata_libos::net::{Checksum, NetCounters, NetDevice, TransmitError, TransmitMeta};
use fata_libos::spawn;
use fata_libos::time::{Duration, Instant, sleep};

const KINDS: [u8; 2] = [gso_type::TCPV4, gso_type::TCPV6];

fn gso(size: u16, kind: u8) -> GsoInfo {
    GsoInfo { size, kind, features: 0 }
}

fn counters(queue: &super::queue::Queue) -> NetCounters {
    let mut counters = NetCounters::default();
    queue.add_counts(&mut counters);
    counters
}

#[test]
fn a_large_segment_goes_out_whole_with_how_it_is_to_be_cut() {
    with_pair(1514, |_, queue, back| {
        for kind in KINDS {
            for payload in [1461, 4096, 20_000, 65_401] {
                let bytes = segment(kind, 3, payload);
                assert!(send_to_be_cut(queue, &bytes, 1448).unwrap());
                queue.flush();
                let sent = back.take_sent();
                assert!(sent.len() == 1 && sent[0].bytes == bytes, "{payload} octets");
                assert_eq!((sent[0].gso, sent[0].flags), (Some(gso(1448, kind)), 3));
                assert_eq!(sent[0].slots, bytes.len().div_ceil(4096));
            }
        }
    });
}

#[test]
fn one_that_is_a_segment_already_goes_out_plain() {
    with_pair(1514, |_, queue, back| {
        assert!(send_to_be_cut(queue, &segment(gso_type::TCPV4, 0, 1460), 1460).unwrap());
        queue.flush();
        assert_eq!(back.take_sent()[0].gso, None);
    });
}

#[test]
fn what_is_no_tcp_segment_is_lost_and_counted_and_takes_no_pages() {
    with_pair(1514, |_, queue, back| {
        for _ in 0..1000 {
            assert!(send_to_be_cut(queue, &frame(60_000, 0), 1460).unwrap());
        }
        queue.flush();
        assert_eq!(back.take_sent(), []);
        assert_eq!((counters(queue).tx_errors, counters(queue).tx_frames), (1000, 0));
        assert!(send(queue, &frame(60, 0), 0).unwrap());
    });
}

#[test]
fn ten_thousand_of_any_length_among_short_ones_and_answers_out_of_order() {
    with_pair(1514, |_, queue, back| {
        for n in 0..10_000 {
            let bytes = segment(KINDS[n % 2], n % 11, n * 4999 % 65_000);
            assert!(send_to_be_cut(queue, &bytes, 1000).unwrap());
            // Some stay with the back end for a while, so that free pages come to lie apart.
            let acks = n % 7;
            (0..acks).for_each(|a| assert!(send(queue, &frame(60, a), 0).unwrap()));
            queue.flush();
            if n % 3 != 0 {
                let sent = back.take_sent();
                let last = &sent[sent.len() - 1 - acks];
                assert!(last.bytes == bytes, "frame {n}");
                assert_eq!(last.gso.is_some(), n * 4999 % 65_000 > 1000);
            }
        }
        assert_eq!(counters(queue).tx_errors, 0);
    });
}

#[test]
fn responses_that_mean_nothing_are_as_many_as_extra_infos() {
    with_pair(1514, |_, queue, back| {
        assert!(send(queue, &frame(60, 0), 0).unwrap());
        queue.flush();
        back.answer([TxResponse { id: 0, status: status::NULL }]);
        let fault = queue.make_room(usize::from(u16::MAX)).and_then(|_| exhaust(queue)).unwrap_err();
        assert_eq!(fault, NetFault::TxStatus { id: 0, seen: 1 });
    });
    with_pair(1514, |_, queue, back| {
        assert!(send_to_be_cut(queue, &segment(1, 0, 9000), 1000).unwrap());
        queue.flush();
        back.answer([0, 1].map(|id| TxResponse { id, status: status::NULL }));
        assert_eq!(exhaust(queue), Err(NetFault::TxStatus { id: 1, seen: 1 }));
    });
}

#[test]
fn an_answer_to_extra_info_with_another_status_is_taken_at_its_word() {
    with_pair(1514, |_, queue, back| {
        assert!(send_to_be_cut(queue, &segment(1, 0, 9000), 1000).unwrap());
        queue.flush();
        back.answer([0, 1, 2, 0xdead].map(|id| TxResponse { id, status: status::OKAY }));
        assert_eq!(exhaust(queue), Err(NetFault::TxId(IdFault::Unknown { seen: 0xdead, limit: 256 })));
    });
    with_pair(1514, |_, queue, back| {
        assert!(send_to_be_cut(queue, &segment(1, 0, 9000), 1000).unwrap());
        queue.flush();
        back.answer([(0, -1), (0, 1), (1, -1), (2, -1)].map(|(id, status)| TxResponse { id, status }));
        exhaust(queue).unwrap();
        assert_eq!(counters(queue).tx_errors, 1, "a frame that fails is one");
    });
}

/// Sends until there is no more room, which is when responses are looked at.
fn exhaust(queue: &mut super::queue::Queue) -> Result<(), NetFault> {
    while send(queue, &[0; 60], 0)? {}
    Ok(())
}

#[test]
fn a_packet_that_was_put_together_is_received_in_one_piece() {
    with_pair(1514, |_, queue, back| {
        let mut buf = vec![0; 70_000];
        let flags = rx_flags::CSUM_BLANK | rx_flags::DATA_VALIDATED;
        for n in 0..2000 {
            let kind = KINDS[n % 2];
            let bytes = segment(kind, 3, [65_449, 2000, 30_000][n % 3]);
            let extras = vec![ExtraInfo::segmentation(gso(1448, kind))];
            // Linux fills pages from their start; another may not.
            let how = Delivery { flags, extras, offset: (n % 5 * 64) as u16, ..Delivery::default() };
            assert!(back.deliver(&bytes, &how), "frame {n}");
            let received = queue.receive_whole(&mut buf).unwrap().unwrap();
            assert_eq!((received.len, received.checksum), (bytes.len(), Checksum::Partial));
            assert!(buf[..bytes.len()] == bytes, "frame {n}");
            queue.flush();
        }
    });
}

#[test]
fn a_stream_of_large_packets_gets_pages_for_several_at_once() {
    with_pair(1514, |_, queue, back| {
        let bytes = segment(gso_type::TCPV4, 0, 65_000);
        let extras = vec![ExtraInfo::segmentation(gso(1448, gso_type::TCPV4))];
        let how = Delivery { extras, ..Delivery::default() };
        let mut buf = vec![0; 70_000];
        let mut at_once = Vec::new();
        for _ in 0..10 {
            at_once.push((0..).take_while(|_| back.deliver(&bytes, &how)).count());
            while queue.receive_whole(&mut buf).unwrap().is_some() {}
            queue.flush();
        }
        assert_eq!(at_once[0], 1, "32 pages to begin with");
        assert_eq!(at_once[9], 15, "256 in the end, 17 slots each");
    });
}

#[test]
fn lies_about_packets_that_were_put_together_are_faults() {
    let fault_of = |extras: Vec<ExtraInfo>| {
        let mut fault = None;
        with_pair(1514, |_, queue, back| {
            assert!(back.deliver(&segment(1, 0, 9000), &Delivery { extras, ..Delivery::default() }));
            fault = queue.receive_whole(&mut [0; 70_000]).err();
        });
        fault
    };
    let good = ExtraInfo::segmentation(gso(1448, gso_type::TCPV4));
    assert_eq!(fault_of(vec![good]), None);
    let more = ExtraInfo { flags: 1, ..good };
    // The flag says that another follows, where a part of the frame does: its octets are no extra info.
    assert!(fault_of(vec![more]).is_some());
    // Twice the same is of no use, and of no harm.
    assert_eq!(fault_of(vec![more, good]), None);
    let five = vec![more, more, more, more, good];
    assert_eq!(fault_of(five), Some(NetFault::TooManyParts { seen: 5, most: 4 }));
    for (size, kind, features) in [(0, 1, 0), (1448, 0, 0), (1448, 3, 0), (1448, 255, 0), (1448, 1, 1)] {
        let bad = ExtraInfo::segmentation(GsoInfo { size, kind, features });
        assert_eq!(fault_of(vec![bad]), Some(NetFault::Gso { kind, size, features }));
    }
    let adds_multicast = ExtraInfo { kind: extra_type::MCAST_ADD, ..good };
    assert_eq!(fault_of(vec![adds_multicast]), Some(NetFault::ExtraType { seen: 2 }));
}

/// A response for the next empty page, not published.
fn respond(back: &mut NetbackRings, flags: u16, len: i16) {
    let id = back.take_empty().expect("an empty page").id;
    back.rx.response(RxResponse { id, offset: 0, flags, status: len }.into());
}

#[test]
fn extra_info_that_nobody_announced_is_no_response() {
    with_pair(1514, |_, queue, back| {
        respond(back, rx_flags::MORE_DATA, 1000);
        respond(back, rx_flags::MORE_DATA, 1000);
        back.take_empty();
        back.rx.response(ExtraInfo::segmentation(gso(1448, gso_type::TCPV4)).into());
        respond(back, 0, 1000);
        back.publish();
        // Its type and flags, read as an identifier.
        let fault = NetFault::RxId { slot: 2, seen: u16::from(extra_type::GSO), expected: 2 };
        let seen = queue.receive_whole(&mut [0; 70_000]).unwrap_err();
        assert_eq!(seen, fault);
    });
}

#[test]
fn a_packet_that_is_never_finished_is_never_handed_up() {
    with_pair(1514, |_, queue, back| {
        let mut buf = vec![0; 70_000];
        respond(back, rx_flags::EXTRA_INFO | rx_flags::MORE_DATA, 1000);
        back.publish();
        assert_eq!(queue.receive_whole(&mut buf), Ok(None), "extra info is to come");
        back.take_empty();
        back.rx.response(ExtraInfo::segmentation(gso(500, gso_type::TCPV4)).into());
        back.publish();
        assert_eq!(queue.receive_whole(&mut buf), Ok(None), "and more of the frame");
        respond(back, rx_flags::MORE_DATA, 1000);
        back.publish();
        assert_eq!(queue.receive_whole(&mut buf), Ok(None));
        respond(back, 0, 0);
        back.publish();
        assert_eq!(queue.receive_whole(&mut buf).unwrap().map(|r| r.len), Some(2000), "the last is empty");
    });
}

/// Has a device send a segment of so much payload, of this kind, to be cut into such of 1448.
fn transmit(net: &mut super::Netfront, kind: u8, payload: usize) -> Result<(), TransmitError> {
    let bytes = segment(kind, 0, payload);
    net.transmit(bytes.len(), TransmitMeta::segmented(1448), &mut |buf| buf.copy_from_slice(&bytes))
}

#[test]
fn only_what_the_back_end_offers_is_said_to_the_stack() {
    for (key, v4, v6) in [
        ("feature-gso-tcpv4", 0, 65_401),
        ("feature-gso-tcpv6", 65_401, 0),
        ("feature-ipv6-csum-offload", 65_401, 0),
        ("feature-sg", 0, 0),
    ] {
        bench(async |b| {
            b.back.offer(key, "0");
            let mut net = b.connected().await;
            let offloads = net.offloads();
            assert_eq!((offloads.tx_segmentation_v4, offloads.tx_segmentation_v6), (v4, v6), "{key}");
            for (kind, most) in [(gso_type::TCPV4, v4), (gso_type::TCPV6, v6)] {
                let done = transmit(&mut net, kind, 9000);
                net.flush();
                let sent = b.back.with_rings(|r| r.take_sent());
                assert_eq!(sent.len(), usize::from(most > 0), "{key}: {done:?}");
                let refused = matches!(done, Err(TransmitError::TooLong { max: 1514, .. }));
                assert_eq!(refused, (v4, v6) == (0, 0), "{key}: {done:?}");
            }
            net
        });
    }
}

#[test]
fn segments_longer_than_the_link_takes_are_refused() {
    bench(async |b| {
        let mut net = b.connected().await;
        let bytes = segment(gso_type::TCPV4, 0, 9000);
        let long = net.transmit(bytes.len(), TransmitMeta::segmented(1501), &mut |_| panic!("not taken"));
        assert_eq!(long, Err(TransmitError::TooLong { len: 9054, max: 65_535 }));
        let longest = net.transmit(65_536, TransmitMeta::segmented(1448), &mut |_| panic!("not taken"));
        assert_eq!(longest, Err(TransmitError::TooLong { len: 65_536, max: 65_535 }));
        net
    });
}

#[test]
fn with_little_memory_shorter_ones_are_offered() {
    bench(async |b| {
        // XenStore's is there; two rings, 32 pages, not 16, but 8.
        b.hv.fail_allocations_of(Some(16));
        let mut net = b.connected().await;
        assert_eq!(net.offloads().tx_segmentation_v4, 8 * 4096 - 134);
        transmit(&mut net, gso_type::TCPV4, 8 * 4096 - 134).unwrap();
        let long = transmit(&mut net, gso_type::TCPV4, 8 * 4096);
        assert_eq!(long, Err(TransmitError::TooLong { len: 8 * 4096 + 54, max: 8 * 4096 }));
        net.flush();
        assert_eq!(b.back.with_rings(|r| r.take_sent()).len(), 1);
        b.hv.fail_allocations_of(None);
        net
    });
}

#[test]
fn who_waits_to_send_a_large_one_is_woken_when_it_fits() {
    bench(async |b| {
        let mut net = b.connected().await;
        while transmit(&mut net, gso_type::TCPV4, 50_000).is_ok() {}
        net.flush();
        assert!(net.can_transmit(), "a short one fits still");
        let start = Instant::now();
        let back = b.back.clone();
        spawn(async move {
            sleep(Duration::from_secs(1)).await;
            back.with_rings(|r| r.take_sent());
        })
        .detach();
        // The first is that it came up.
        ready(&mut net).await;
        ready(&mut net).await;
        assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
        transmit(&mut net, gso_type::TCPV4, 50_000).unwrap();
        net.flush();
        until("it is sent", || b.back.with_rings(|r| r.take_sent()).len() == 1).await;
        net
    });
}

#[test]
fn a_burst_of_large_ones_is_one_notification_and_no_grant() {
    bench(async |b| {
        let mut net = b.connected().await;
        let round = |net: &mut super::Netfront| {
            (0..15).for_each(|_| transmit(net, gso_type::TCPV4, 60_000).unwrap());
            net.flush();
            b.back.with_rings(|r| (r.take_sent().len(), b.hv.take_notified(r.address.tx_port)))
        };
        round(&mut net);
        let grants = b.xen.grants().counts().in_use;
        for _ in 0..50 {
            assert_eq!(round(&mut net), (15, 1));
        }
        assert_eq!(b.xen.grants().counts().in_use, grants);
        net
    });
}
