//! Tests of the whole front end against a fake back end and XenStore.

use super::{Limits, Netfront, OpenError, open, open_with};
use crate::abi::netif::{RxResponse, TxResponse, rx_flags};
use crate::fake::netback::{Delivery, FakeNetback};
use crate::fake::{FakeHypervisor, FakeXenstored, run};
use crate::types::DomId;
use crate::xen::Xen;
use crate::xenbus::XenbusState;
use crate::xenstore::XenStore;
use fata_libos::net::{Checksum, MacAddress, NetDevice, TransmitError, TransmitMeta};
use fata_libos::spawn;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use std::future::poll_fn;
use std::rc::Rc;

const BACKEND: DomId = DomId(3);

/// A guest with one interface.
struct Bench {
    hv: &'static FakeHypervisor,
    xen: Rc<Xen>,
    daemon: Rc<FakeXenstored>,
    store: XenStore,
    back: Rc<FakeNetback>,
}

impl Bench {
    fn new(hv: &'static FakeHypervisor, xen: &Rc<Xen>) -> Self {
        let (daemon, store) = FakeXenstored::start(hv, xen);
        let back = FakeNetback::attach(hv, &daemon, BACKEND, 0);
        Self { hv, xen: xen.clone(), daemon, store, back }
    }

    async fn open(&self) -> Netfront {
        open_with(&self.xen, self.store.clone(), 0, Limits::FULL).await.unwrap()
    }

    async fn connected(&self) -> Netfront {
        let net = self.open().await;
        until("it connects", || net.is_up()).await;
        net
    }

    /// Drops the handle and sees that nothing is left but the daemon's page and channel.
    async fn end(self, net: Netfront) {
        drop(net);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(self.xen.grants().counts().in_use, 0);
        assert_eq!(self.xen.grants().counts().parked_pages, 0);
        assert_eq!((self.hv.live_pages(), self.hv.open_ports()), (1, 1));
        assert_eq!((self.daemon.watch_count(), self.daemon.open_transactions()), (0, 0));
    }
}

fn bench(test: impl AsyncFnOnce(&Bench) -> Netfront) {
    run(async |hv, xen| {
        let bench = Bench::new(hv, &xen);
        let net = test(&bench).await;
        bench.end(net).await;
    });
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("100 s long not so: {what}");
}

fn frame(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 13 + i / 256) as u8).collect()
}

fn send(net: &mut Netfront, bytes: &[u8]) -> Result<(), TransmitError> {
    net.transmit(bytes.len(), TransmitMeta::default(), &mut |buf| buf.copy_from_slice(bytes))
}

async fn ready(net: &mut Netfront) {
    poll_fn(|cx| net.poll(cx)).await;
}

/// Waits for a frame as a stack does.
async fn receive(net: &mut Netfront) -> Vec<u8> {
    let mut buf = vec![0; 70000];
    loop {
        if let Some(received) = net.receive(&mut buf) {
            net.flush();
            buf.truncate(received.len);
            return buf;
        }
        ready(net).await;
    }
}

#[test]
fn it_connects_on_the_terms_of_both() {
    bench(async |b| {
        b.back.set_front_key("mtu", "9000");
        let net = b.open().await;
        assert!(!net.is_up());
        assert_eq!((net.name(), net.mtu()), ("vif0", 1500));
        until("it connects", || net.is_up()).await;
        assert_eq!(net.mac(), MacAddress([0, 0x16, 0x3e, 0, 0, 0]));
        assert_eq!(net.mtu(), 9000);
        let offloads = net.offloads();
        assert!(offloads.tx_checksum_v4 && offloads.tx_checksum_v6);
        for key in ["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-ipv6-csum-offload"] {
            assert_eq!(b.back.front_key(key).as_deref(), Some("1"), "{key}");
        }
        assert_eq!(b.back.front_key("feature-gso-tcpv4"), None);
        assert_eq!(b.back.front_key("event-channel"), None);
        assert_eq!(b.back.with_rings(|r| r.empty_pages()), 32);
        assert_eq!(net.counters().connects, 1);
        net
    });
}

#[test]
fn it_takes_less_where_less_is_offered() {
    bench(async |b| {
        for (key, value) in [
            ("feature-sg", "0"),
            ("feature-split-event-channels", "0"),
            ("feature-ipv6-csum-offload", "0"),
            ("feature-no-csum-offload", "1"),
        ] {
            b.back.offer(key, value);
        }
        b.back.set_front_key("mtu", "9000");
        let mut net = b.connected().await;
        assert_eq!((net.mtu(), net.offloads()), (1500, Default::default()));
        assert_eq!(b.back.front_key("event-channel-tx"), None);
        let too_long = send(&mut net, &frame(1515, 0));
        assert_eq!(too_long, Err(TransmitError::TooLong { len: 1515, max: 1514 }));
        // One channel serves both directions.
        let back = b.back.clone();
        let answer = spawn(async move {
            sleep(Duration::from_secs(1)).await;
            back.with_rings(|r| assert!(r.deliver(&frame(100, 1), &Delivery::default())));
        });
        assert_eq!(receive(&mut net).await, frame(100, 1));
        answer.await;
        net
    });
}

#[test]
fn frames_go_both_ways_with_one_notification_a_burst() {
    bench(async |b| {
        b.back.set_front_key("mtu", "9000");
        let mut net = b.connected().await;
        let address = b.back.with_rings(|r| {
            assert!(r.take_sent().is_empty());
            r.address
        });
        b.hv.take_notified(address.tx_port);
        for n in 0..40 {
            send(&mut net, &frame(60 + n * 200, n)).unwrap();
        }
        assert_eq!(b.back.with_rings(|r| r.take_sent()), [], "nothing before the flush");
        net.flush();
        assert_eq!(b.hv.take_notified(address.tx_port), 1);
        let sent = b.back.with_rings(|r| r.take_sent());
        assert_eq!(sent.len(), 40);
        assert!(sent.iter().enumerate().all(|(n, f)| f.bytes == frame(60 + n * 200, n)));

        let back = b.back.clone();
        spawn(async move {
            for n in 0..1000 {
                let how = Delivery { flags: rx_flags::DATA_VALIDATED, ..Delivery::default() };
                while !back.with_rings(|r| r.deliver(&frame(14 + n * 9, n), &how)) {
                    sleep(Duration::from_micros(100)).await;
                }
                if n % 7 == 0 {
                    sleep(Duration::from_micros(100)).await;
                }
            }
        })
        .detach();
        for n in 0..1000 {
            assert!(receive(&mut net).await == frame(14 + n * 9, n), "frame {n}");
        }
        let counters = net.counters();
        assert_eq!((counters.rx_frames, counters.tx_frames), (1000, 40));
        assert_eq!((counters.rx_errors, counters.tx_errors, counters.faults), (0, 0, 0));
        net
    });
}

#[test]
fn more_pages_are_given_when_they_run_out() {
    bench(async |b| {
        let mut net = b.connected().await;
        let mut buf = [0; 1514];
        let mut deepest = 0;
        for _ in 0..8 {
            let mut sent = 0;
            while b.back.with_rings(|r| r.deliver(&frame(60, sent), &Delivery::default())) {
                sent += 1;
            }
            deepest = deepest.max(sent);
            while net.receive(&mut buf).is_some() {}
            net.flush();
        }
        assert_eq!(deepest, 256);
        net
    });
}

#[test]
fn a_full_queue_says_so_and_wakes_when_there_is_room() {
    bench(async |b| {
        let mut net = b.connected().await;
        let mut taken = 0;
        while net.can_transmit() {
            send(&mut net, &frame(60, taken)).unwrap();
            taken += 1;
        }
        assert_eq!(taken, 256);
        let mut called = false;
        let full = net.transmit(60, TransmitMeta::default(), &mut |_| called = true);
        assert_eq!((full, called), (Err(TransmitError::Full), false));
        let start = Instant::now();
        let back = b.back.clone();
        spawn(async move {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(back.with_rings(|r| r.take_sent()).len(), 256);
        })
        .detach();
        ready(&mut net).await;
        while !net.can_transmit() {
            ready(&mut net).await;
        }
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        net
    });
}

#[test]
fn answers_to_what_was_sent_wake_nobody() {
    bench(async |b| {
        let mut net = b.connected().await;
        ready(&mut net).await;
        send(&mut net, &frame(60, 0)).unwrap();
        net.flush();
        let woken = spawn(async move {
            ready(&mut net).await;
            net
        });
        sleep(Duration::from_secs(1)).await;
        for _ in 0..3 {
            b.back.with_rings(|r| r.take_sent());
            sleep(Duration::from_secs(1)).await;
        }
        assert!(!woken.is_finished());
        b.back.with_rings(|r| assert!(r.deliver(&frame(60, 0), &Delivery::default())));
        woken.await
    });
}

#[test]
fn checksums_are_marked_in_either_direction() {
    bench(async |b| {
        let mut net = b.connected().await;
        for (checksum, flags) in [(Checksum::Complete, 0), (Checksum::Verified, 2), (Checksum::Partial, 3)] {
            net.transmit(60, TransmitMeta::new(checksum), &mut |buf| buf.fill(1)).unwrap();
            net.flush();
            assert_eq!(b.back.with_rings(|r| r.take_sent())[0].flags, flags);
        }
        for (flags, checksum) in [(0, Checksum::Complete), (1, Checksum::Verified), (3, Checksum::Partial)] {
            b.back.with_rings(|r| r.deliver(&frame(60, 0), &Delivery { flags, ..Delivery::default() }));
            assert_eq!(net.receive(&mut [0; 100]).unwrap().checksum, checksum);
        }
        net
    });
}

#[test]
fn detached_and_attached_again_it_goes_on_with_what_is_there_then() {
    bench(async |b| {
        let mut net = b.connected().await;
        ready(&mut net).await;
        for n in 0..5 {
            send(&mut net, &frame(60, n)).unwrap();
        }
        net.flush();
        b.back.unplug();
        ready(&mut net).await;
        assert!(!net.is_up(), "woken because it went down");
        assert_eq!(send(&mut net, &frame(60, 0)), Err(TransmitError::Down));
        assert_eq!(net.counters().tx_errors, 6, "five in flight, one refused");
        until("both are closed", || b.back.state() == XenbusState::Closed).await;
        assert_eq!(b.back.front_state(), XenbusState::Closed);
        b.back.remove();
        sleep(Duration::from_secs(100)).await;
        assert_eq!(b.xen.grants().counts().in_use, 0);
        assert_eq!(b.daemon.read("device/vif/0/state"), None, "nothing is made anew in what was removed");

        b.back.plug(9);
        ready(&mut net).await;
        assert!(net.is_up(), "woken because it came up");
        assert_eq!(net.mac(), MacAddress([0, 0x16, 0x3e, 0, 0, 9]));
        assert_eq!(net.counters().connects, 2);
        send(&mut net, &frame(60, 1)).unwrap();
        net.flush();
        assert_eq!(b.back.with_rings(|r| r.take_sent())[0].bytes, frame(60, 1));
        net
    });
}

#[test]
fn attached_as_another_number_it_is_known_by_its_address() {
    bench(async |b| {
        let net = b.connected().await;
        b.back.unplug();
        until("it is down", || !net.is_up()).await;
        b.back.remove();
        sleep(Duration::from_secs(1)).await;
        let stranger = FakeNetback::attach(b.hv, &b.daemon, BACKEND, 3);
        sleep(Duration::from_secs(10)).await;
        assert!(!net.is_up());
        let other = FakeNetback::attach(b.hv, &b.daemon, DomId(4), 7);
        other.set_front_key("mac", "00:16:3e:00:00:00");
        until("it is up", || net.is_up()).await;
        assert_eq!((stranger.connects(), other.connects()), (0, 1));
        net
    });
}

#[test]
fn a_device_that_vanishes_at_once_is_let_go() {
    bench(async |b| {
        let net = b.connected().await;
        b.back.remove();
        until("it is down", || !net.is_up()).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(b.xen.grants().counts().in_use, 0);
        b.back.plug(0);
        until("it is up", || net.is_up()).await;
        net
    });
}

#[test]
fn a_back_end_that_may_not_be_read_any_more_is_gone() {
    run(async |hv, xen| {
        let b = Bench::new(hv, &xen);
        let net = b.connected().await;
        b.daemon.deny(&format!("/local/domain/{BACKEND}/backend"));
        b.back.remove();
        until("it is down", || !net.is_up()).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(b.xen.grants().counts().in_use, 0);
        let other = FakeNetback::attach(b.hv, &b.daemon, DomId(9), 0);
        until("it is up", || net.is_up()).await;
        assert_eq!((other.connects(), net.counters().faults), (1, 0));
    });
}

#[test]
fn a_back_end_that_dies_is_waited_for() {
    bench(async |b| {
        let net = b.connected().await;
        b.back.drive_by_hand();
        b.back.unmap();
        b.daemon.rm(&format!("/local/domain/{BACKEND}/backend/vif/5/0"));
        until("it is down", || !net.is_up()).await;
        sleep(Duration::from_secs(3600)).await;
        b.back.drive_itself();
        b.back.plug(0);
        let start = Instant::now();
        until("it is up", || net.is_up()).await;
        assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
        net
    });
}

#[test]
fn a_back_end_that_restarts_is_connected_again() {
    bench(async |b| {
        let net = b.connected().await;
        for n in 2..6 {
            b.back.show_state(XenbusState::Closing);
            until("it is down", || !net.is_up()).await;
            until("it is up", || net.is_up()).await;
            assert_eq!(b.back.connects(), n);
        }
        assert_eq!(net.counters().faults, 0);
        net
    });
}

#[test]
fn another_back_end_takes_the_place_of_one_that_died() {
    bench(async |b| {
        let net = b.connected().await;
        b.back.drive_by_hand();
        let other = FakeNetback::attach(b.hv, &b.daemon, DomId(9), 0);
        until("it is connected to the other", || other.connects() == 1 && net.is_up()).await;
        b.back.unmap();
        b.daemon.write("device/vif/0/mac", "00:16:3e:00:00:00");
        net
    });
}

/// Tells `lie` to a connected device and sees it closed.
fn lies(lie: impl FnOnce(&Bench)) {
    bench(async |b| {
        let mut net = b.connected().await;
        send(&mut net, &frame(60, 0)).unwrap();
        net.flush();
        b.back.drive_by_hand();
        lie(b);
        let _ = timeout(Duration::from_millis(10), ready(&mut net)).await;
        while net.receive(&mut [0; 70000]).is_some() {}
        while net.is_up() && send(&mut net, &frame(60, 0)).is_ok() {
            net.flush();
        }
        until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
        assert!(!net.is_up());
        assert_eq!(net.counters().faults, 1);
        // The back end does not care, and holds the rings: they are parked, everything else is freed.
        sleep(Duration::from_secs(10)).await;
        let counts = b.xen.grants().counts();
        assert_eq!((counts.in_use, counts.parked_pages), (2, 2));
        assert_eq!(b.hv.open_ports(), 1);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(b.back.front_state(), XenbusState::Closed, "no new try while it does not start anew");
        b.back.unmap();
        b.back.show_state(XenbusState::Closed);
        b.back.drive_itself();
        until("it is up again", || net.is_up()).await;
        net
    });
}

#[test]
fn a_back_end_that_lies_on_a_ring_is_closed() {
    lies(|b| b.back.with_rings(|r| r.rx.memory.store_u32(8, 12345)));
    lies(|b| b.back.with_rings(|r| r.tx.memory.store_u32(8, 12345)));
    lies(|b| b.back.with_rings(|r| r.answer([TxResponse { id: 77, status: 0 }])));
    lies(|b| {
        b.back.with_rings(|r| {
            r.rx.response(RxResponse { id: 31, offset: 0, flags: 0, status: 60 }.into());
            r.publish();
        });
    });
}

#[test]
fn a_back_end_whose_states_make_no_sense_is_closed() {
    for state in [XenbusState::Initialising, XenbusState::Initialised, XenbusState::Reconfiguring] {
        lies(|b| b.back.show_state(state));
    }
    lies(|b| b.back.set_back_key("state", "banana"));
}

#[test]
fn a_back_end_that_starts_anew_without_closing_is_connected_again() {
    bench(async |b| {
        let net = b.connected().await;
        b.back.show_state(XenbusState::InitWait);
        until("it is down", || !net.is_up()).await;
        until("it is up", || net.is_up()).await;
        assert_eq!((net.counters().connects, net.counters().faults), (2, 1));
        net
    });
}

#[test]
fn a_back_end_is_connected_before_it_was_told_where() {
    bench(async |b| {
        b.back.drive_by_hand();
        b.back.show_state(XenbusState::Connected);
        let net = b.open().await;
        until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
        assert_eq!((net.counters().faults, net.is_up()), (1, false));
        b.back.drive_itself();
        until("it is up", || net.is_up()).await;
        net
    });
}

#[test]
fn a_back_end_may_close_in_the_middle_of_connecting() {
    bench(async |b| {
        b.back.drive_by_hand();
        let net = b.open().await;
        b.back.set_back_key("feature-rx-copy", "1");
        b.back.show_state(XenbusState::InitWait);
        until("it has answered", || b.back.front_state() == XenbusState::Connected).await;
        b.back.show_state(XenbusState::Closing);
        until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
        sleep(Duration::from_secs(10)).await;
        assert_eq!(b.xen.grants().counts().in_use, 0);
        b.back.show_state(XenbusState::Closed);
        b.back.drive_itself();
        until("it is up", || net.is_up()).await;
        assert_eq!(net.counters().faults, 0);
        net
    });
}

#[test]
fn keys_that_do_not_parse_close_the_device_until_they_do() {
    for (key, value) in [("feature-sg", "banana"), ("feature-rx-copy", "0"), ("multi-queue-max-queues", "-1")]
    {
        bench(async |b| {
            b.back.offer(key, value);
            let net = b.open().await;
            until("it is a fault", || net.counters().faults > 0).await;
            assert!(!net.is_up());
            b.back.offer(key, "1");
            until("it is up", || net.is_up()).await;
            net
        });
    }
    for mtu in ["banana", "67", "65522", ""] {
        bench(async |b| {
            let net = b.open().await;
            b.back.set_front_key("mtu", mtu);
            until("it is a fault", || net.counters().faults > 0).await;
            b.back.set_front_key("mtu", "1400");
            until("it is up", || net.is_up()).await;
            assert_eq!(net.mtu(), 1400);
            net
        });
    }
}

#[test]
fn a_back_end_that_lies_for_ever_is_tried_ever_less_often() {
    bench(async |b| {
        b.back.offer("feature-sg", "banana");
        let net = b.open().await;
        sleep(Duration::from_secs(3600)).await;
        let faults = net.counters().faults;
        assert!((30..=70).contains(&faults), "{faults} tries in an hour");
        net
    });
}

#[test]
fn without_memory_it_waits_for_some() {
    for allocations in 0..6 {
        bench(async |b| {
            b.hv.fail_allocations_after(Some(allocations));
            let net = b.open().await;
            sleep(Duration::from_secs(20)).await;
            assert_eq!(net.is_up(), allocations >= 4, "two rings, 32 and 8 pages");
            if !net.is_up() {
                assert_eq!(b.xen.grants().counts().in_use, 0);
            }
            b.hv.fail_allocations_after(None);
            until("it is up", || net.is_up()).await;
            net
        });
    }
}

#[test]
fn a_handle_that_is_dropped_takes_the_device_down_in_any_state() {
    for millis in [0, 1, 2, 3, 5, 10, 100] {
        bench(async |b| {
            let net = b.open().await;
            sleep(Duration::from_micros(millis * 100)).await;
            net
        });
    }
    bench(async |b| {
        let net = b.connected().await;
        b.back.unplug();
        until("it is down", || !net.is_up()).await;
        b.back.remove();
        sleep(Duration::from_secs(5)).await;
        net
    });
}

#[test]
fn two_interfaces_are_two_devices_in_the_order_of_their_numbers() {
    bench(async |b| {
        let second = FakeNetback::attach(b.hv, &b.daemon, DomId(8), 10);
        FakeNetback::attach(b.hv, &b.daemon, DomId(8), 2);
        let mut net = b.connected().await;
        let mut tenth = open(&b.xen, b.store.clone(), 2).await.unwrap();
        assert_eq!(tenth.name(), "vif10");
        until("both are up", || tenth.is_up()).await;
        send(&mut net, &frame(60, 0)).unwrap();
        send(&mut tenth, &frame(60, 10)).unwrap();
        net.flush();
        tenth.flush();
        assert_eq!(b.back.with_rings(|r| r.take_sent())[0].bytes, frame(60, 0));
        assert_eq!(second.with_rings(|r| r.take_sent())[0].bytes, frame(60, 10));
        let none = open(&b.xen, b.store.clone(), 3).await.err();
        assert_eq!(none, Some(OpenError::NoSuchVif { index: 3, have: 3 }));
        net
    });
}
