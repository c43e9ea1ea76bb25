//! The driver of the book's chapter "Writing a driver" (docs/driver.md), which shows these files: an invented device in the
//! four layers that the project's drivers have, under the real stack.

mod abi;
mod binding;
mod device;
mod ring;

use abi::{DIRECTION, FRAME};
use binding::{Binding, Fake};
use core::future::poll_fn;
use device::Mailbox;
use fata_libos::net::{NetDevice, TransmitError, TransmitMeta};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, timeout};
use fata_netstack::{Config, Ipv4Config, Stack, UdpSocket};
use std::net::Ipv4Addr;

/// Both ends, and what is below the first: a test's hand on the second end's side.
fn pair() -> (Mailbox<Fake>, Mailbox<Fake>, Fake) {
    let [a, b] = Fake::pair();
    (Mailbox::new(a.clone(), 0), Mailbox::new(b, 1), a)
}

fn send(device: &mut Mailbox<Fake>, frame: &[u8]) -> Result<(), TransmitError> {
    device.transmit(frame.len(), TransmitMeta::default(), &mut |into| into.copy_from_slice(frame))
}

/// Waits for the device as a stack does; whether it is ready within a second.
async fn is_ready(device: &mut Mailbox<Fake>) -> bool {
    timeout(Duration::from_secs(1), poll_fn(|cx| device.poll(cx))).await.is_ok()
}

#[test]
fn frames_come_as_they_were_sent_when_they_are_flushed() {
    run(async {
        let (mut a, mut b, _) = pair();
        let mut buf = [0; FRAME];
        for n in 0..100u8 {
            let frame = vec![n; 14 + usize::from(n) * 15];
            send(&mut a, &frame).unwrap();
            assert!(!is_ready(&mut b).await, "before the flush");
            a.flush();
            assert!(is_ready(&mut b).await);
            assert_eq!(b.receive(&mut buf).unwrap().len, frame.len());
            assert_eq!(buf[..frame.len()], frame);
            assert_eq!(b.receive(&mut buf), None);
            b.flush();
            assert!(!is_ready(&mut a).await, "room is no news for who was refused nothing");
        }
        assert_eq!((a.counters().tx_frames, b.counters().rx_frames), (100, 100));
    });
}

#[test]
fn a_full_mailbox_says_so_and_wakes_when_there_is_room() {
    run(async {
        let (mut a, mut b, _) = pair();
        for _ in 0..abi::SLOTS {
            send(&mut a, &[0; 60]).unwrap();
        }
        assert!(!a.can_transmit());
        assert_eq!(send(&mut a, &[0; 60]), Err(TransmitError::Full));
        assert_eq!(send(&mut a, &[0; FRAME + 1]), Err(TransmitError::TooLong { len: FRAME + 1, max: FRAME }));
        a.flush();
        assert!(!is_ready(&mut a).await);
        assert!(is_ready(&mut b).await);
        assert!(b.receive(&mut [0; 10]).is_none(), "too long for the buffer, all of them");
        assert_eq!(b.counters().rx_errors, u64::from(abi::SLOTS));
        b.flush();
        assert!(is_ready(&mut a).await && a.can_transmit());
    });
}

// ANCHOR: hostile
#[test]
fn a_peer_that_lies_loses_the_device() {
    run(async {
        // What the peer writes where it sends: its index, and the length of its first frame.
        for (produced, len) in [(9, 60), (u32::MAX, 60), (1, 0), (1, 1515), (1, u32::MAX)] {
            let (mut a, _, memory) = pair();
            memory.store(DIRECTION + abi::slot(0), len);
            memory.store(DIRECTION, produced);
            assert!(is_ready(&mut a).await, "{produced} {len}");
            assert_eq!(a.receive(&mut [0; FRAME]), None);
            assert!(!a.is_up());
            assert_eq!(a.counters().faults, 1);
            assert_eq!(send(&mut a, &[0; 60]), Err(TransmitError::Down));
        }
    });
}
// ANCHOR_END: hostile

// ANCHOR: stack
#[test]
fn a_stack_runs_over_it() {
    run(async {
        let (a, b, _) = pair();
        let [here, there] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
        let stack_with = async |device: Mailbox<Fake>, address| {
            let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
            let stack = Stack::new();
            let config = Config { ipv4, ..Config::default() };
            stack.add_interface("main", Box::new(device), config).configured().await;
            stack
        };
        let (client, server) = (stack_with(a, here).await, stack_with(b, there).await);
        let echo = UdpSocket::bind(&server, (Ipv4Addr::UNSPECIFIED, 7).into()).unwrap();
        spawn(async move {
            let mut buf = [0; 2000];
            loop {
                let (len, peer) = echo.recv_from(&mut buf).await.unwrap();
                echo.send_to(&buf[..len], peer).await.unwrap();
            }
        })
        .detach();
        let socket = UdpSocket::bind(&client, (Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        // The last one takes two frames.
        for len in [1, 100, 1472, 1800] {
            socket.send_to(&vec![7; len], (there, 7).into()).await.unwrap();
            let mut buf = [0; 2000];
            let answer = timeout(Duration::from_secs(5), socket.recv_from(&mut buf)).await.unwrap().unwrap();
            assert_eq!(answer, (len, (there, 7).into()));
        }
    });
}
// ANCHOR_END: stack
