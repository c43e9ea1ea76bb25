//! What routers say of the packets of a connection (RFC 1191), true and forged (RFC 5927).

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{TcpListener, TcpStream};

/// A router's word to A that the next link takes packets of `mtu` octets, of a packet of which this is the beginning.
fn fragmentation_needed(mtu: u16, quote: &[u8]) -> Vec<u8> {
    let mut icmp = vec![3, 4, 0, 0, 0, 0];
    icmp.extend(mtu.to_be_bytes());
    icmp.extend(quote);
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let mut ip = vec![0x45, 0];
    ip.extend((20 + icmp.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 77, 10, 0, 0, 1]);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 77, 8, 0][..], &ip, &icmp].concat()
}

/// Packets of TCP with data that A has sent since the last look.
fn sent_by_a(hub: &Hub) -> Vec<Vec<u8>> {
    let frames = hub.captured().into_iter();
    let data = frames.filter(|f| f.len() > 100 && f[23] == 6 && f[26..30] == A.octets());
    data.map(|frame| frame[14..].to_vec()).collect()
}

#[test]
fn a_router_makes_packets_smaller_and_who_guesses_does_not() {
    run(async {
        let (hub, a, b) = pair(Faults { delay: Duration::from_millis(10), ..Faults::default() }).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let reader = spawn(async move {
            let mut got = vec![0; 600_000];
            server.read_exact(&mut got).await.unwrap();
            got
        });
        hub.capture();
        let sender = spawn(async move {
            client.write_all(&pattern(0, 600_000)).await.unwrap();
            client
        });
        sleep(Duration::from_millis(5)).await;
        let mut first = sent_by_a(&hub);
        assert!(first.len() == 10 && first.iter().all(|packet| packet.len() == 1500));
        let quote = &mut first[3][..28];
        let seq = u32::from_be_bytes(quote[24..].try_into().unwrap());
        let before = a.stats();
        let says = async |quote: &[u8], mtu: u16| {
            hub.inject(&fragmentation_needed(mtu, quote));
            sleep(Duration::from_millis(11)).await;
            let stats = a.stats();
            (stats.tcp_resets_ignored - before.tcp_resets_ignored, stats.rx_bad - before.rx_bad)
        };
        // Of a segment that was not sent yet, and of one before the connection.
        let mut forged = quote.to_vec();
        for (n, wrong) in [seq.wrapping_add(1 << 20), seq.wrapping_sub(1 << 20)].into_iter().enumerate() {
            forged[24..].copy_from_slice(&wrong.to_be_bytes());
            assert_eq!(says(&forged, 1000).await, (n as u64 + 1, 0));
        }
        // Without the number; without the ports; with a header that is longer than all of it; of another connection.
        assert_eq!(says(&quote[..27], 1000).await, (2, 1));
        assert_eq!(says(&quote[..19], 1000).await, (2, 2));
        let mut long = quote.to_vec();
        long[0] = 0x4f;
        assert_eq!(says(&long, 1000).await, (2, 3));
        let mut other = quote.to_vec();
        other[21] ^= 1;
        assert_eq!(says(&other, 1000).await, (2, 3));
        let all = sent_by_a(&hub);
        assert!(all.len() > 100 && all.iter().all(|packet| packet.len() == 1500));
        // A true one, of what was sent just now; the second for the same flight is no news, and no forgery.
        for mtu in [1000, 1000] {
            hub.inject(&fragmentation_needed(mtu, &all.last().unwrap()[..28]));
        }
        sleep(Duration::from_millis(11)).await;
        hub.captured();
        let got = reader.await;
        assert!(got == pattern(0, 600_000));
        let all = sent_by_a(&hub);
        assert!(all.len() > 100 && all.iter().all(|packet| packet.len() <= 1000), "{}", all.len());
        assert!(all.iter().any(|packet| packet.len() == 1000));
        assert_eq!(a.stats().tcp_resets_ignored - before.tcp_resets_ignored, 2);
        assert_eq!(a.stats().tcp_recoveries, 0, "no congestion");
        drop(sender.await);
    });
}
