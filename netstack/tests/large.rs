//! Devices that cut up large sends of TCP, and that bring frames far beyond the MTU.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::Duration;
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Buffers, Stack, TcpListener, TcpStream};
use std::net::Ipv4Addr;

/// Octets that go each way.
const OCTETS: usize = 2 << 20;

async fn host(hub: &Hub, n: u8, address: Ipv4Addr, large: usize) -> Stack {
    let device = hub.device(n, false);
    if large > 0 {
        device.set_large(large);
    }
    let stack = Stack::new();
    stack.add_interface("main", Box::new(device), fixed(address)).configured().await;
    stack
}

/// Sends [`OCTETS`] and reads as many, whole or in place, and looks at each.
async fn exchange(stream: TcpStream, in_place: bool) {
    let (mut reader, mut writer) = stream.into_split();
    let sender = spawn(async move {
        for start in (0..OCTETS).step_by(100_000) {
            writer.write_all(&pattern(start, 100_000.min(OCTETS - start))).await.unwrap();
        }
        writer.shutdown().await.unwrap();
    });
    let (mut got, mut buf) = (0, vec![0; 70_000]);
    loop {
        let n = if in_place {
            let is_right =
                |shown: &[u8]| (shown.len(), (shown.len(), *shown == pattern(got, shown.len())[..]));
            let (n, is_right) = reader.read_with(is_right).await.unwrap();
            assert!(is_right, "at {got}");
            n
        } else {
            let n = reader.read(&mut buf).await.unwrap();
            assert!(buf[..n] == pattern(got, n), "at {got}");
            n
        };
        if n == 0 {
            break;
        }
        got += n;
    }
    assert_eq!(got, OCTETS);
    sender.await;
}

/// Two hosts exchange octets: the longest frames on the wire of each, and how many frames each has sent.
fn longest(large: [usize; 2], faults: Faults) -> [(usize, u64); 2] {
    let mut longest = [(0, 0); 2];
    run(async {
        let hub = Hub::new(faults);
        let (a, b) = (host(&hub, 1, A, large[0]).await, host(&hub, 2, B, large[1]).await);
        let buffers = Buffers { receive: 1 << 20, send: 1 << 20 };
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        listener.set_buffers(buffers);
        let client = TcpStream::connect_with(&a, at(B, 80), buffers).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        hub.capture();
        let there = spawn(exchange(client, false));
        exchange(server, true).await;
        there.await;
        for frame in hub.captured().iter().filter(|frame| frame[23] == 6 && frame[12..14] == [8, 0]) {
            let from = usize::from(frame[26..30] != A.octets());
            longest[from] = (longest[from].0.max(frame.len()), longest[from].1 + 1);
        }
        assert!(hub.placed(1) > 20 || large.contains(&0), "{} frames taken where they lay", hub.placed(1));
        for stats in [a.stats(), b.stats()] {
            assert_eq!((stats.tcp_no_memory, stats.tcp_timed_out), (0, 0));
            assert!(faults.corrupt > 0 || (stats.rx_bad, stats.rx_bad_checksum) == (0, 0), "{stats:?}");
        }
    });
    longest
}

#[test]
fn large_frames_go_where_they_are_taken_and_are_cut_where_not() {
    let line = Faults { delay: Duration::from_millis(1), ..Faults::default() };
    for (large, most) in [
        ([65_535, 65_535], [14 + 65_535, 14 + 65_535]),
        ([65_535, 0], [14 + 65_535, 1514]),
        ([0, 65_535], [1514, 14 + 65_535]),
        ([20_000, 3000], [14 + 52 + 20_000, 14 + 52 + 3000]),
    ] {
        let seen = longest(large, line);
        for n in 0..2 {
            let (longest, frames) = seen[n];
            assert!(longest <= most[n] && longest > most[n] - 1448, "{longest} of {}", most[n]);
            assert!(frames < if large[n] > 10_000 { 400 } else { 4000 }, "{large:?} {n}: {frames} frames");
        }
    }
}

#[test]
fn what_is_lost_of_large_frames_comes_again() {
    let delay = Duration::from_millis(1);
    let bad = Faults { lose: 100, double: 100, reorder: 100, corrupt: 0, delay };
    for large in [[65_535, 65_535], [65_535, 0], [0, 65_535]] {
        let seen = longest(large, bad);
        assert!(seen[0].0.max(seen[1].0) > 5000, "{seen:?}");
    }
    // Frames in pieces of which one bit may be wrong.
    longest([65_535, 65_535], Faults { corrupt: 100, ..bad });
}
