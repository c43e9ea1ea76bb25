//! Tests of the whole front end against a fake back end and XenStore: connecting, and frames.

use super::{Limits, Netfront, OpenError, open, open_with};
use crate::abi::netif::rx_flags;
use crate::fake::netback::{Delivery, FakeNetback};
use crate::fake::{FakeHypervisor, FakeXenstored, run};
use crate::types::DomId;
use crate::xen::Xen;
use crate::xenstore::XenStore;
use fata_libos::net::{Checksum, MacAddress, NetDevice, TransmitError, TransmitMeta};
use fata_libos::spawn;
use fata_libos::time::{Duration, Instant, sleep};
use std::future::poll_fn;
use std::rc::Rc;

pub(super) const BACKEND: DomId = DomId(3);

/// A guest with one interface.
pub(super) struct Bench {
    pub(super) hv: &'static FakeHypervisor,
    pub(super) xen: Rc<Xen>,
    pub(super) daemon: Rc<FakeXenstored>,
    store: XenStore,
    pub(super) back: Rc<FakeNetback>,
}

impl Bench {
    pub(super) fn new(hv: &'static FakeHypervisor, xen: &Rc<Xen>) -> Self {
        let (daemon, store) = FakeXenstored::start(hv, xen);
        let back = FakeNetback::attach(hv, &daemon, BACKEND, 0);
        Self { hv, xen: xen.clone(), daemon, store, back }
    }

    pub(super) async fn open(&self) -> Netfront {
        self.open_with_queues(1).await
    }

    pub(super) async fn open_with_queues(&self, queues: usize) -> Netfront {
        open_with(&self.xen, self.store.clone(), 0, Limits::for_memory(0, queues)).await.unwrap()
    }

    pub(super) async fn connected(&self) -> Netfront {
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

pub(super) fn bench(test: impl AsyncFnOnce(&Bench) -> Netfront) {
    run(async |hv, xen| {
        let bench = Bench::new(hv, &xen);
        let net = test(&bench).await;
        bench.end(net).await;
    });
}

pub(super) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("100 s long not so: {what}");
}

pub(super) fn frame(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 13 + i / 256) as u8).collect()
}

pub(super) fn send(net: &mut Netfront, bytes: &[u8]) -> Result<(), TransmitError> {
    net.transmit(bytes.len(), TransmitMeta::default(), &mut |buf| buf.copy_from_slice(bytes))
}

pub(super) async fn ready(net: &mut Netfront) {
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
fn connecting_asks_xenstore_for_many_things_at_once() {
    bench(async |bench| {
        sleep(Duration::from_secs(1)).await;
        bench.hv.take_notified(bench.daemon.port());
        bench.daemon.take_requests();
        let net = bench.connected().await;
        sleep(Duration::from_secs(1)).await;
        let turns = bench.hv.take_notified(bench.daemon.port());
        let requests = bench.daemon.take_requests().len();
        assert!(turns <= 12 && requests <= 40, "{turns} notifications, {requests} requests");
        net
    });
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
        // 64 KiB with the header, less the longest headers.
        assert_eq!((offloads.tx_segmentation_v4, offloads.tx_segmentation_v6), (65401, 65401));
        for key in ["request-rx-copy", "feature-rx-notify", "feature-sg", "feature-ipv6-csum-offload"] {
            assert_eq!(b.back.front_key(key).as_deref(), Some("1"), "{key}");
        }
        for key in ["feature-gso-tcpv4", "feature-gso-tcpv6"] {
            assert_eq!(b.back.front_key(key).as_deref(), Some("1"), "{key}");
        }
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

/// As long as there is something to receive, nothing sleeps; a burst is a notification each way, however long it is.
#[test]
fn while_busy_there_are_two_hypercalls_a_burst() {
    bench(async |b| {
        let mut net = b.connected().await;
        let mut buf = [0; 1514];
        let mut round = async |burst: usize| {
            for n in 0..burst {
                assert!(b.back.with_rings(|r| r.deliver(&frame(200, n), &Delivery::default())));
            }
            let before = b.hv.hypercalls();
            ready(&mut net).await;
            for n in 0..burst {
                assert_eq!(net.receive(&mut buf).map(|r| r.len), Some(200));
                send(&mut net, &frame(100, n)).unwrap();
            }
            assert_eq!(net.receive(&mut buf), None);
            net.flush();
            let hypercalls = b.hv.hypercalls() - before;
            assert_eq!(b.back.with_rings(|r| r.take_sent().len()), burst);
            hypercalls
        };
        // Pages are few at first, and more are made.
        for burst in [24, 48, 64] {
            round(burst).await;
        }
        for burst in [1, 8, 64, 1, 64] {
            for _ in 0..200 {
                assert!(round(burst).await <= 2, "{burst} frames");
            }
        }
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
        assert_eq!(taken, 255);
        let mut called = false;
        let full = net.transmit(60, TransmitMeta::default(), &mut |_| called = true);
        assert_eq!((full, called), (Err(TransmitError::Full), false));
        let start = Instant::now();
        let back = b.back.clone();
        spawn(async move {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(back.with_rings(|r| r.take_sent()).len(), 255);
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
fn two_interfaces_are_two_devices_in_the_order_of_their_numbers() {
    bench(async |b| {
        let second = FakeNetback::attach(b.hv, &b.daemon, DomId(8), 10);
        FakeNetback::attach(b.hv, &b.daemon, DomId(8), 2);
        let mut net = b.connected().await;
        let mut tenth = open(&b.xen, b.store.clone(), 2, 1).await.unwrap();
        assert_eq!(tenth.name(), "vif10");
        until("both are up", || tenth.is_up()).await;
        send(&mut net, &frame(60, 0)).unwrap();
        send(&mut tenth, &frame(60, 10)).unwrap();
        net.flush();
        tenth.flush();
        assert_eq!(b.back.with_rings(|r| r.take_sent())[0].bytes, frame(60, 0));
        assert_eq!(second.with_rings(|r| r.take_sent())[0].bytes, frame(60, 10));
        let none = open(&b.xen, b.store.clone(), 3, 1).await.err();
        assert_eq!(none, Some(OpenError::NoSuchVif { index: 3, have: 3 }));
        net
    });
}
