//! Tests of a device with several queues, against a fake back end.

use super::frontend_tests::{Bench, bench, ready, send, until};
use super::queues::tests::of_flow;
use super::{Limits, Netfront};
use crate::abi::netif::{TxResponse, gso_type};
use crate::fake::netback::Delivery;
use crate::ring::layout;
use crate::xenbus::XenbusState;
use fata_libos::net::{NetDevice, TransmitError, TransmitMeta};
use fata_libos::spawn;
use fata_libos::time::{Duration, Instant, sleep};
use std::collections::BTreeMap;

async fn connected(b: &Bench, queues: usize) -> Netfront {
    let net = b.open_with_queues(queues).await;
    until("it connects", || net.is_up()).await;
    net
}

/// The frame number `n` of the flow with that port.
fn numbered(port: u16, n: usize) -> Vec<u8> {
    let mut frame = of_flow(gso_type::TCPV4, port, 100);
    let len = frame.len();
    frame[len - 4..].copy_from_slice(&(n as u32).to_le_bytes());
    frame
}

#[test]
fn each_has_its_rings_and_channels_where_the_back_end_looks_for_them() {
    bench(async |b| {
        let net = connected(b, 2).await;
        assert_eq!(b.back.queues(), 2);
        assert_eq!(b.back.front_key("multi-queue-num-queues").as_deref(), Some("2"));
        assert_eq!(b.back.front_key("tx-ring-ref"), None);
        for queue in 0..2 {
            let key = |name: &str| b.back.front_key(&format!("queue-{queue}/{name}"));
            assert!(key("tx-ring-ref").is_some() && key("rx-ring-ref").is_some());
            assert!(key("event-channel-tx") != key("event-channel-rx"));
            assert_eq!(key("event-channel"), None);
        }
        let addresses = [0, 1].map(|queue| b.back.with_queue(queue, |r| r.address));
        assert_ne!(addresses[0].tx_ring, addresses[1].tx_ring);
        assert_ne!(addresses[0].tx_port, addresses[1].tx_port);
        assert_eq!(b.back.front_key("queue-2/tx-ring-ref"), None);
        net
    });
}

#[test]
fn they_are_no_more_than_wanted_or_offered() {
    for (wanted, offered, got) in [(1, "4", 1), (4, "1", 1), (4, "3", 3), (8, "100", 8)] {
        bench(async |b| {
            b.back.offer("multi-queue-max-queues", offered);
            let net = b.open_with_queues(wanted).await;
            until("it connects", || net.is_up()).await;
            assert_eq!(b.back.queues(), got, "{wanted} of {offered}");
            net
        });
    }
}

#[test]
fn a_flow_goes_one_way_and_in_order_and_many_go_all_ways() {
    bench(async |b| {
        b.back.offer("multi-queue-max-queues", "4");
        let mut net = connected(b, 4).await;
        let mut queue_of = BTreeMap::new();
        let mut used = [0; 4];
        for round in 0..20 {
            for port in 5000..5032 {
                send(&mut net, &numbered(port, round)).unwrap();
            }
            net.flush();
            for (queue, used) in used.iter_mut().enumerate() {
                let (sent, notified) =
                    b.back.with_queue(queue, |r| (r.take_sent(), b.hv.take_notified(r.address.tx_port)));
                assert!(notified <= 1 + usize::from(round == 0), "one notification a burst and queue");
                *used += sent.len();
                for frame in sent {
                    let port = u16::from_be_bytes([frame.bytes[34], frame.bytes[35]]);
                    assert_eq!(frame.bytes, numbered(port, round));
                    assert_eq!(*queue_of.entry(port).or_insert(queue), queue, "port {port}");
                }
            }
        }
        assert_eq!(used.iter().sum::<usize>(), 20 * 32);
        assert!(used.iter().all(|used| *used > 0), "{used:?}");
        assert_eq!(net.counters().tx_frames, 20 * 32);
        net
    });
}

#[test]
fn frames_of_all_queues_are_received_each_in_turn() {
    bench(async |b| {
        let mut net = connected(b, 2).await;
        ready(&mut net).await;
        for n in 0..10 {
            for queue in 0..2 {
                let frame = numbered(queue as u16, n);
                assert!(b.back.with_queue(queue, |r| r.deliver(&frame, &Delivery::default())));
            }
        }
        let mut buf = [0; 1514];
        for n in 0..20 {
            let received = net.receive(&mut buf).unwrap();
            assert_eq!(buf[..received.len], numbered(n % 2, usize::from(n) / 2));
        }
        assert_eq!(net.receive(&mut buf), None);
        // Either wakes.
        for queue in [1, 0] {
            let back = b.back.clone();
            spawn(async move {
                sleep(Duration::from_secs(1)).await;
                back.with_queue(queue, |r| assert!(r.deliver(&numbered(1, 1), &Delivery::default())));
            })
            .detach();
            let start = Instant::now();
            while net.receive(&mut buf).is_none() {
                ready(&mut net).await;
            }
            assert_eq!(start.elapsed(), Duration::from_secs(1));
        }
        net
    });
}

#[test]
fn large_segments_and_short_frames_of_a_flow_stay_together() {
    bench(async |b| {
        let mut net = connected(b, 2).await;
        for port in 0..16 {
            let large = of_flow(gso_type::TCPV4, port, 30_000);
            net.transmit(large.len(), TransmitMeta::segmented(1448), &mut |buf| buf.copy_from_slice(&large))
                .unwrap();
            send(&mut net, &numbered(port, 7)).unwrap();
            net.flush();
            let sent = [0, 1].map(|queue| b.back.with_queue(queue, |r| r.take_sent()));
            assert_eq!(sent.each_ref().map(Vec::len).iter().sum::<usize>(), 2);
            let queue = usize::from(sent[0].is_empty());
            assert!(sent[queue][0].bytes == large && sent[queue][0].gso.is_some());
            assert_eq!(sent[queue][1].bytes, numbered(port, 7));
        }
        net
    });
}

#[test]
fn one_that_is_full_holds_up_sending_until_it_has_room() {
    bench(async |b| {
        let mut net = connected(b, 2).await;
        ready(&mut net).await;
        let mut taken = 0;
        while send(&mut net, &numbered(5000, taken)).is_ok() {
            taken += 1;
        }
        net.flush();
        assert_eq!((taken, net.can_transmit()), (255, false));
        assert_eq!(send(&mut net, &numbered(5001, 0)), Err(TransmitError::Full));
        let start = Instant::now();
        let back = b.back.clone();
        spawn(async move {
            sleep(Duration::from_secs(1)).await;
            (0..2).for_each(|queue| drop(back.with_queue(queue, |r| r.take_sent())));
        })
        .detach();
        while !net.can_transmit() {
            ready(&mut net).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        net
    });
}

#[test]
fn a_back_end_that_comes_back_with_fewer_gets_fewer() {
    bench(async |b| {
        let mut net = connected(b, 2).await;
        for (offered, queues) in [("1", 1), ("2", 2), ("1", 1)] {
            b.back.offer("multi-queue-max-queues", offered);
            b.back.show_state(XenbusState::Closing);
            until("it is down", || !net.is_up()).await;
            until("it is up", || net.is_up()).await;
            assert_eq!(b.back.queues(), queues);
            assert_eq!(b.back.front_key("multi-queue-num-queues"), Some(queues.to_string()));
            send(&mut net, &numbered(1, 1)).unwrap();
            net.flush();
            let sent = |queue| b.back.with_queue(queue, |r| r.take_sent().len());
            assert_eq!((0..queues).map(sent).sum::<usize>(), 1);
        }
        net
    });
}

#[test]
fn a_lie_on_any_queue_costs_the_device() {
    bench(async |b| {
        let mut net = connected(b, 2).await;
        b.back.with_queue(1, |r| r.rx.memory.store_u32(layout::RSP_PROD, 12345));
        assert_eq!(net.receive(&mut [0; 1514]), None);
        assert!(!net.is_up());
        until("it is counted", || net.counters().faults == 1).await;
        until("it is up again", || net.is_up()).await;
        b.back.with_queue(1, |r| r.answer([TxResponse { id: 3, status: 0 }]));
        let mut port = 0;
        while net.is_up() && send(&mut net, &numbered(port, 1)).is_ok() {
            port += 1;
        }
        until("it is counted", || net.counters().faults == 2).await;
        until("it is up again", || net.is_up()).await;
        net
    });
}

#[test]
fn without_memory_for_all_it_waits_for_some() {
    bench(async |b| {
        // Two rings and two pools are a queue's.
        b.hv.fail_allocations_after(Some(6));
        let net = b.open_with_queues(2).await;
        sleep(Duration::from_secs(20)).await;
        assert!(!net.is_up());
        assert_eq!(b.xen.grants().counts().in_use, 0);
        b.hv.fail_allocations_after(None);
        until("it is up", || net.is_up()).await;
        assert_eq!(b.back.queues(), 2);
        net
    });
}

#[test]
fn they_share_what_pages_there_are() {
    let limits = Limits { rx_pages: 130, tx_pages: 200, queues: 4 };
    assert_eq!((limits.queues_of(8), limits.share(2).rx_pages, limits.share(2).tx_pages), (2, 65, 100));
}
