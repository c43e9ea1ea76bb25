//! Captures: what crossed the interfaces, as a file.

mod common;

use common::{A, B, at, fixed, host, ipv6, pair};
use embedded_io_async::{Read, Write};
use fata_libos::net::ETHERNET_HEADER;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{CaptureError, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use std::net::Ipv4Addr;

/// A frame of a capture.
#[derive(Debug, PartialEq)]
struct Frame {
    interface: u32,
    nanoseconds: u64,
    sent: bool,
    len: usize,
    kept: Vec<u8>,
}

fn word(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*file[at..].first_chunk().unwrap())
}

/// The names of the interfaces, and the frames.
fn read(file: &[u8]) -> (Vec<String>, Vec<Frame>) {
    let (mut at, mut names, mut frames) = (28, Vec::new(), Vec::new());
    assert_eq!((word(file, 0), word(file, 4), word(file, 8)), (0x0a0d_0d0a, 28, 0x1a2b_3c4d));
    while at < file.len() {
        let block = &file[at..at + word(file, at + 4) as usize];
        at += block.len();
        match word(block, 0) {
            1 => {
                let name = &block[28..28 + usize::from(block[26])];
                names.push(String::from_utf8(name.to_vec()).unwrap());
            }
            6 => {
                let kept = word(block, 20) as usize;
                let flags = 28 + kept.next_multiple_of(4) + 4;
                frames.push(Frame {
                    interface: word(block, 8),
                    nanoseconds: u64::from(word(block, 12)) << 32 | u64::from(word(block, 16)),
                    sent: word(block, flags) == 2,
                    len: word(block, 24) as usize,
                    kept: block[28..28 + kept].to_vec(),
                });
            }
            other => panic!("a block of type {other}"),
        }
    }
    (names, frames)
}

#[test]
fn frames_both_ways_as_they_were() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        let (client, server) = (
            UdpSocket::bind(&a, at(Ipv4Addr::UNSPECIFIED, 0)).unwrap(),
            UdpSocket::bind(&b, at(B, 5)).unwrap(),
        );
        client.send_to(b"before", at(B, 5)).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        let capture = b.capture(64 << 10, 9000).unwrap();
        hub.capture();
        for len in [0, 1, 700, 4000] {
            client.send_to(&vec![7; len], at(B, 5)).await.unwrap();
            sleep(Duration::from_millis(1)).await;
            let from = client.local_addr().port();
            server.send_to(&vec![8; len], at(A, from)).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        let (names, frames) = read(&capture.snapshot().unwrap());
        assert_eq!(names, ["main"]);
        // Fragments are frames too; ARP as well, where B looks for A.
        let seen = hub.captured();
        assert_eq!(
            frames.iter().map(|frame| &frame.kept).collect::<Vec<_>>(),
            seen.iter().collect::<Vec<_>>()
        );
        for (frame, next) in frames.iter().zip(&frames[1..]) {
            assert!(frame.len == frame.kept.len() && frame.nanoseconds <= next.nanoseconds);
            assert_eq!((frame.interface, frame.sent), (0, frame.kept[11] == 2), "by its sender");
        }
        // Virtual time begins with the year 2026.
        assert!(frames[0].nanoseconds / 1_000_000_000 / 86_400 == 20_454, "{}", frames[0].nanoseconds);
        assert_eq!(capture.overwritten(), 0);
    });
}

#[test]
fn frames_of_ipv6_as_they_were() {
    run(async {
        let hub = Hub::default();
        let (b, _) = ipv6::host(&hub, 2, ipv6::only(Ipv6Config::fixed(ipv6::B, 64, None)));
        hub.capture();
        let capture = b.capture(64 << 10, 9000).unwrap();
        let (a, _) = ipv6::host(&hub, 1, ipv6::only(Ipv6Config::fixed(ipv6::A, 64, None)));
        sleep(Duration::from_secs(3)).await;
        let listener = TcpListener::bind(&b, ipv6::at(ipv6::B, 7)).unwrap();
        let mut stream = TcpStream::connect(&a, ipv6::at(ipv6::B, 7)).await.unwrap();
        stream.write_all(&[7; 3000]).await.unwrap();
        listener.accept().await.unwrap().0.read_exact(&mut [0; 3000]).await.unwrap();
        let socket = UdpSocket::bind(&b, ipv6::at(ipv6::B, 5)).unwrap();
        socket.send_to(&[8; 4000], ipv6::at(ipv6::A, 5)).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let (_, frames) = read(&capture.snapshot().unwrap());
        let kept: Vec<&Vec<u8>> = frames.iter().map(|frame| &frame.kept).collect();
        assert_eq!(kept, hub.captured().iter().collect::<Vec<_>>());
        // Reports, probes, segments, fragments, and what A says about the datagram that nobody wants.
        for protocol in [0, 58, 6, 44] {
            assert!(kept.iter().any(|frame| frame[20] == protocol && frame[11] == 2), "{protocol}");
        }
        assert!(frames.iter().all(|frame| frame.sent == (frame.kept[11] == 2)), "by its sender");
    });
}

#[test]
fn only_the_beginning_and_only_the_last() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let before = b.stats().memory_octets;
        let capture = b.capture(4096, 50).unwrap();
        assert_eq!(b.stats().memory_octets, before + 4096);
        let client = UdpSocket::bind(&a, at(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        for n in 0..200u8 {
            client.send_to(&[n; 500], at(B, 9)).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
        let held = b.stats().memory_octets;
        let snapshot = capture.snapshot().unwrap();
        assert!(b.stats().memory_octets > held + 4000, "a copy is counted");
        let (_, frames) = read(&snapshot);
        // Of 52 octets each in words, and 44 beside them.
        assert_eq!(frames.len(), 4096 / 96);
        assert!(frames.iter().all(|frame| frame.kept.len() == 50));
        let data = frames.iter().filter(|frame| !frame.sent);
        let data: Vec<(usize, u8)> =
            data.map(|frame| (frame.len, frame.kept[ETHERNET_HEADER + 28])).collect();
        let last = 200 - data.len() as u8;
        assert_eq!(data, (last..200).map(|n| (542, n)).collect::<Vec<_>>());
        // ARP and answers beside the 200.
        assert!(capture.overwritten() > 300, "{}", capture.overwritten());
        drop(snapshot);
        assert_eq!(b.stats().memory_octets, held);
        let copies: Vec<_> = std::iter::from_fn(|| capture.snapshot()).take(1000).collect();
        assert_eq!(copies.len(), 1000, "this stack has room");
        b.set_memory_limit(0);
        assert!(capture.snapshot().is_none());
    });
}

#[test]
fn a_checksum_that_the_device_completes_is_not_there_yet() {
    run(async {
        let hub = Hub::default();
        let (stack, interface) = host(&hub, 1, A, true);
        // Of an interface that comes later too.
        let capture = stack.capture(8192, 96).unwrap();
        stack.add_interface("later", Box::new(hub.device(2, false)), fixed(Ipv4Addr::new(10, 0, 9, 1)));
        interface.configured().await;
        let socket = UdpSocket::bind(&stack, at(Ipv4Addr::UNSPECIFIED, 7)).unwrap();
        // Broadcasts, for which nobody is looked for.
        for to in [Ipv4Addr::new(10, 0, 0, 255), Ipv4Addr::new(10, 0, 9, 255)] {
            socket.send_to(&[0xff; 2], at(to, 7)).await.unwrap();
        }
        sleep(Duration::from_millis(1)).await;
        let (names, frames) = read(&capture.snapshot().unwrap());
        assert_eq!(names, ["main", "later"]);
        let sums: Vec<(u32, u16)> = frames
            .iter()
            .filter(|frame| frame.sent && frame.kept[12] == 8 && frame.kept[13] == 0)
            .map(|frame| (frame.interface, u16::from_be_bytes([frame.kept[40], frame.kept[41]])))
            .collect();
        // The pseudo-header alone where the device does the rest: addresses, protocol, length.
        let partial = 0x0a00 + 0x0001 + 0x0a00 + 0x00ff + 17 + 10;
        let whole = 0x0a00 + 0x0901 + 0x0a00 + 0x09ff + 17 + 10 + 7 + 7 + 10 + 0xffff;
        assert_eq!(sums, [(0, partial), (1, !((whole & 0xffff) + (whole >> 16)) as u16)]);
    });
}

#[test]
fn sizes_that_make_no_sense() {
    run(async {
        let stack = Stack::new();
        stack.set_memory_limit(32 << 20);
        assert_eq!(stack.capture(4095, 96).unwrap_err(), CaptureError::TooSmall { octets: 4095 });
        let most = 4 << 20;
        assert!(stack.capture(most, 96).is_ok());
        let error = stack.capture(most + 1, 96).unwrap_err();
        assert_eq!(error, CaptureError::TooLarge { octets: most + 1, most });
        assert_eq!(
            error.to_string(),
            "a capture of 4194305 octets is too large for this guest's memory: 4194304 is the most"
        );
    });
}
