//! Tests of waiting for several frames, on a hypervisor whose polls take time.

use super::frontend_tests::{Bench, bench, frame, ready, until};
use crate::fake::netback::Delivery;
use crate::xenbus::XenbusState;
use fata_libos::net::NetDevice;
use fata_libos::spawn;
use fata_libos::time::{Duration, Instant, sleep};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const POLL: Duration = Duration::from_micros(5);
/// The longest wait with polls of that cost, and what a wake-up may take beside it.
const LONGEST: Duration = Duration::from_micros(5 * 300 + 200);
/// The same for frames of so many octets and more.
const LONG: usize = 50_000;
const LONGEST_OF_LONG: Duration = Duration::from_micros(5 * 900 + 200);

/// Frames on their way: when they were delivered, and their numbers.
type Delivered = Rc<RefCell<VecDeque<(Instant, usize)>>>;

/// Lets the back end deliver frames, each so many microseconds after the one before, of that length.
fn deliver(b: &Bench, frames: Vec<(u64, usize)>) -> Delivered {
    let delivered = Delivered::default();
    let (back, list) = (b.back.clone(), delivered.clone());
    spawn(async move {
        for (n, (gap, len)) in frames.into_iter().enumerate() {
            sleep(Duration::from_micros(gap)).await;
            while !back.with_rings(|r| r.deliver(&frame(len, n), &Delivery::default())) {
                sleep(Duration::from_micros(50)).await;
            }
            list.borrow_mut().push_back((Instant::now(), n));
        }
    })
    .detach();
    delivered
}

/// Takes `count` frames as a stack does; how often it was woken. None is late.
async fn receive(net: &mut impl NetDevice, delivered: &Delivered, lens: &[usize]) -> usize {
    let (mut got, mut wakes) = (0, 0);
    let mut buf = vec![0; 70000];
    let longest = if lens.iter().all(|len| *len >= LONG) { LONGEST_OF_LONG } else { LONGEST };
    while got < lens.len() {
        while let Some(received) = net.receive(&mut buf) {
            let (at, n) = delivered.borrow_mut().pop_front().expect("delivered");
            assert_eq!((n, received.len), (got, lens[got]));
            assert!(buf[..received.len] == frame(lens[got], n), "frame {n}");
            assert!(at.elapsed() <= longest, "frame {n} waited {:?}", at.elapsed());
            got += 1;
        }
        if got < lens.len() {
            std::future::poll_fn(|cx| net.poll(cx)).await;
            wakes += 1;
        }
    }
    wakes
}

fn moderated(mtu: &str, frames: Vec<(u64, usize)>) -> usize {
    let mtu = mtu.to_owned();
    let wakes = Rc::new(RefCell::new(0));
    let out = wakes.clone();
    bench(async move |b| {
        b.hv.set_poll_cost(POLL);
        b.back.set_front_key("mtu", &mtu);
        let mut net = b.connected().await;
        let lens: Vec<usize> = frames.iter().map(|(_, len)| *len).collect();
        let delivered = deliver(b, frames.clone());
        *out.borrow_mut() = receive(&mut net, &delivered, &lens).await;
        net
    });
    wakes.take()
}

#[test]
fn a_stream_is_gathered() {
    let wakes = moderated("1500", vec![(12, 60); 3000]);
    assert!(wakes < 1000, "{wakes} wake-ups for 3000 frames");
}

#[test]
fn so_is_one_of_frames_in_several_slots() {
    let wakes = moderated("9000", vec![(30, 9000); 2000]);
    assert!(wakes < 1200, "{wakes} wake-ups for 2000 frames");
}

#[test]
fn so_is_data_in_bulk() {
    let wakes = moderated("65521", vec![(500, 60_000); 600]);
    assert!(wakes < 350, "{wakes} wake-ups for 600 frames");
    let wakes = moderated("65521", vec![(3000, 60_000); 300]);
    assert!(wakes >= 300, "{wakes} wake-ups for 300 frames that come seldom");
}

#[test]
fn frames_that_come_seldom_wake_each() {
    assert!(moderated("1500", vec![(2000, 60); 300]) >= 300);
}

/// Brings a stream to where it is gathered, and to where the next wait has begun.
async fn waiting(b: &Bench) -> super::Netfront {
    b.hv.set_poll_cost(POLL);
    let mut net = b.connected().await;
    let lens = vec![60; 1000];
    let delivered = deliver(b, vec![(12, 60); 1000]);
    let wakes = receive(&mut net, &delivered, &lens).await;
    assert!(wakes < 500, "{wakes} wake-ups");
    net
}

#[test]
fn a_wait_ends_with_the_link() {
    bench(async |b| {
        let mut net = waiting(b).await;
        b.back.unplug();
        let start = Instant::now();
        ready(&mut net).await;
        until("it is down", || !net.is_up()).await;
        assert!(start.elapsed() < Duration::from_millis(100));
        b.back.remove();
        net
    });
}

#[test]
fn a_lie_in_a_wait_is_noticed() {
    bench(async |b| {
        let mut net = waiting(b).await;
        b.back.drive_by_hand();
        b.back.with_rings(|r| r.rx.memory.store_u32(8, 12345));
        ready(&mut net).await;
        assert!(net.receive(&mut [0; 2000]).is_none());
        until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
        assert_eq!(net.counters().faults, 1);
        b.back.unmap();
        b.back.show_state(XenbusState::Closed);
        b.back.drive_itself();
        until("it is up again", || net.is_up()).await;
        net
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn no_frame_is_late_or_lost_whatever_comes_when(
        bursts in vec((0..3000_u64, 1..40_usize, 0..60_u64, prop::sample::select(vec![60, 1514, 5000, 9014])), 1..60)
    ) {
        let frames = bursts.iter().flat_map(|(pause, count, gap, len)| {
            (0..*count).map(move |i| (if i == 0 { *pause } else { *gap }, *len))
        });
        moderated("9000", frames.collect());
    }
}
