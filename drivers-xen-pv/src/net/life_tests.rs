//! Tests of the front end's life: detached and attached, back ends that restart, lie, or are not there.

use super::frontend_tests::{BACKEND, Bench, bench, frame, ready, send, until};
use crate::abi::netif::{RxResponse, TxResponse};
use crate::fake::netback::FakeNetback;
use crate::fake::run;
use crate::grant::{Access, GrantedPages};
use crate::types::DomId;
use crate::xenbus::XenbusState;
use fata_libos::net::{MacAddress, NetDevice, TransmitError};
use fata_libos::time::{Duration, Instant, sleep, timeout};

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
fn what_was_answered_before_the_end_is_not_lost() {
    bench(async |b| {
        let mut net = b.connected().await;
        (0..5).for_each(|n| send(&mut net, &frame(60, n)).unwrap());
        net.flush();
        b.back.with_rings(|r| assert_eq!(r.take_sent().len(), 5));
        (0..2).for_each(|n| send(&mut net, &frame(60, n)).unwrap());
        b.back.unplug();
        until("it is down", || !net.is_up()).await;
        assert_eq!(net.counters().tx_errors, 2);
        b.back.remove();
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

/// What another domain does not let go of is not this back end's fault.
#[test]
fn what_another_domain_holds_shuts_nobody_out() {
    bench(async |b| {
        let pages = GrantedPages::alloc(&b.xen, DomId(9), 1024, Access::ReadOnly).unwrap();
        let held = b.hv.peer_map(DomId(9), pages.refs()[0], Access::ReadOnly).unwrap();
        drop(pages);
        assert_eq!(b.xen.grants().counts().parked_pages, 1024);
        let net = b.connected().await;
        drop(held);
        sleep(Duration::from_secs(1)).await;
        net
    });
}

#[test]
fn a_back_end_that_holds_pages_for_ever_does_not_get_all() {
    bench(async |b| {
        let net = b.connected().await;
        b.back.hoard();
        let mut connects = 0;
        for _ in 0..200 {
            if net.is_up() {
                connects += 1;
                b.back.show_state(XenbusState::Closing);
                until("it is down", || !net.is_up()).await;
            }
            b.back.show_state(XenbusState::Initialising);
            sleep(Duration::from_secs(30)).await;
        }
        // A connection's rings and the chunk of its page, until as much is held as a device may have.
        let parked = b.xen.grants().counts().parked_pages;
        assert!((512..512 + 2 * 34).contains(&parked), "{parked} pages");
        assert!(b.hv.live_pages() <= parked + 1, "{} pages", b.hv.live_pages());
        assert!((15..20).contains(&connects), "{connects} connections");
        b.back.let_go();
        b.back.show_state(XenbusState::Initialising);
        until("it is up again", || net.is_up()).await;
        net
    });
}
