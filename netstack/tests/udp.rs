//! UDP: thousands of sockets, bursts, floods, and datagrams that nobody copies.

mod common;

use common::{A, B, at, dropped, pair};
use fata_libos::net::ETHERNET_HEADER;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::Faults;
use fata_netstack::{Direction, Error, SendManyError, UdpSocket};
use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;

const ANY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

#[test]
fn each_of_10_000_sockets_gets_its_own() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let sockets: Vec<UdpSocket> = (1..=10_000)
            .map(|port| UdpSocket::bind(&b, at(if port % 2 == 0 { B } else { ANY }, port)).unwrap())
            .collect();
        assert_eq!(UdpSocket::bind(&b, at(ANY, 77)).unwrap_err(), Error::AddrInUse);
        let client = UdpSocket::bind(&a, at(ANY, 0)).unwrap();
        client.send_to(b"who is there", at(B, 20_000)).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        for port in 1..=10_000u16 {
            client.send_to(&port.to_be_bytes(), at(B, port)).await.unwrap();
            if port % 32 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        sleep(Duration::from_millis(10)).await;
        for socket in &sockets {
            let port = socket.local_addr().port();
            let got = socket.try_recv_with(|data, from| (data.to_vec(), from.port())).unwrap();
            assert_eq!(got, Some((port.to_be_bytes().to_vec(), client.local_addr().port())));
            assert_eq!(socket.try_recv_from(&mut [0]), Ok(None));
        }
        assert_eq!((b.stats().udp_received, b.stats().udp_no_port), (10_000, 1));
        drop(sockets);
        UdpSocket::bind(&b, at(ANY, 77)).unwrap();
    });
}

#[test]
fn a_burst_is_sent_in_one_call_and_read_after_one_wakeup() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let (client, server) =
            (UdpSocket::bind(&a, at(ANY, 0)).unwrap(), UdpSocket::bind(&b, at(ANY, 5)).unwrap());
        // Next hops are known by now.
        client.send_to(b"first", at(B, 5)).await.unwrap();
        assert_eq!(server.recv_with(|data, _| data.to_vec()).await.unwrap(), b"first");
        let (calls, octets) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let reading = spawn({
            let (calls, octets) = (calls.clone(), octets.clone());
            async move {
                let mut got = 0;
                while got < 1000 {
                    calls.set(calls.get() + 1);
                    got += server
                        .recv_many(4096, |data, _| octets.set(octets.get() + data.len()))
                        .await
                        .unwrap();
                }
            }
        });
        let datagrams = (0..1000usize).map(|n| (vec![n as u8; n], at(B, 5)));
        assert_eq!(client.send_many(datagrams).await, Ok(1000));
        timeout(Duration::from_secs(1), reading).await.unwrap();
        assert_eq!(octets.get(), (0..1000).sum::<usize>());
        // The interface takes at most 64 frames at a time.
        assert!(calls.get() <= 40, "{} wakeups", calls.get());
    });
}

#[test]
fn a_datagram_is_written_where_the_device_takes_it() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let (client, server) =
            (UdpSocket::bind(&a, at(ANY, 0)).unwrap(), UdpSocket::bind(&b, at(ANY, 5)).unwrap());
        client.send_to(b"first", at(B, 5)).await.unwrap();
        server.recv_from(&mut [0; 8]).await.unwrap();
        hub.capture();
        let asked = Cell::new(0);
        client
            .send_with(100, at(B, 5), |buf| {
                asked.set(asked.get() + buf.len());
                assert_eq!(buf, [0; 100], "of no other frame");
                buf[0] = 7;
            })
            .await
            .unwrap();
        assert_eq!(client.try_send_with(3, at(B, 5), |buf| buf.copy_from_slice(b"abc")), Ok(Some(())));
        sleep(Duration::from_millis(1)).await;
        assert_eq!(asked.get(), 100);
        let frames = hub.captured();
        assert_eq!(frames[0].len(), ETHERNET_HEADER + 28 + 100);
        let mut got = Vec::new();
        assert_eq!(server.recv_many(9, |data, _| got.push(data.to_vec())).await, Ok(2));
        let mut first = vec![0; 100];
        first[0] = 7;
        assert_eq!(got, [first, b"abc".to_vec()]);
        // Longer than a packet: in fragments.
        client.send_with(5000, at(B, 5), |buf| buf.fill(9)).await.unwrap();
        assert!(server.recv_with(|data, _| data == [9; 5000]).await.unwrap());
        assert_eq!(client.send_with(65_508, at(B, 5), |_| panic!()).await, Err(Error::MessageTooLong));
        let two = [(b"one", at(B, 5)), (b"two", at(B, 0)), (b"end", at(B, 5))];
        let error = SendManyError { sent: 1, error: Error::InvalidInput };
        assert_eq!(client.send_many(two).await, Err(error));
        assert_eq!(error.to_string(), "invalid argument, after 1 datagrams were sent");
    });
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_by_reason() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let client = UdpSocket::bind(&a, at(ANY, 0)).unwrap();
        let (small, few) =
            (UdpSocket::bind(&b, at(ANY, 5)).unwrap(), UdpSocket::bind(&b, at(ANY, 6)).unwrap());
        small.set_queue(10 * (1000 + 64));
        few.set_queue_datagrams(10);
        for port in [5, 6, 7] {
            for _ in 0..50 {
                client.send_to(&[0; 1000], at(B, port)).await.unwrap();
                sleep(Duration::from_micros(100)).await;
            }
        }
        sleep(Duration::from_millis(10)).await;
        let main = b.interface("main").unwrap();
        assert_eq!((small.dropped(), few.dropped()), (40, 40));
        assert_eq!((dropped(&main, "udp", "queue_full"), dropped(&main, "udp", "no_port")), (80, 50));
        assert_eq!((b.stats().udp_dropped, b.stats().udp_no_port), (80, 50));
        assert!(b.stats().memory_octets < 30_000);
        let mut udp = Vec::new();
        main.each_packets(&mut |packets| {
            if packets.protocol == "udp" {
                udp.push((packets.direction, packets.count));
            }
        });
        assert_eq!(udp, [(Direction::Rx, 150), (Direction::Tx, 0)]);
        for socket in [&small, &few] {
            assert_eq!(
                socket
                    .recv_many(100, |data, from| assert_eq!((data.len(), from.ip()), (1000, A.into())))
                    .await,
                Ok(10)
            );
        }
    });
}

#[test]
fn without_room_nothing_waits() {
    run(async {
        let (hub, a, _b) = pair(Faults::default()).await;
        let client = UdpSocket::bind(&a, at(ANY, 0)).unwrap();
        client.send_to(b"who is there", at(B, 5)).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        // Until the interface's task runs the device takes 64 frames, and the queue before it 192: the rest is kept for what does not wait.
        let taken = (0..1000).filter(|_| client.try_send_to(b"x", at(B, 5)) == Ok(Some(1))).count();
        assert_eq!(taken, 64 + 192);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(client.try_send_to(b"x", at(B, 5)), Ok(Some(1)));
        let main = a.interface("main").unwrap();
        assert_eq!(dropped(&main, "ethernet", "queue_full"), 0);
        hub.set_up(0, false);
        sleep(Duration::from_millis(1)).await;
        client.send_to(b"x", at(B, 5)).await.unwrap();
        sleep(Duration::from_millis(5000)).await;
        // It waits for an answer to three requests, none of which leaves.
        assert_eq!((dropped(&main, "ip", "no_neighbour"), dropped(&main, "ethernet", "down")), (1, 3));
    });
}
