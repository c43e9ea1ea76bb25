//! A server in IPv6 that is given what is hostile, and what it must still do afterwards.

use crate::common::ipv6::*;
use crate::{Devices, echo};
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::Hub;
use fata_netstack::{Config, Ipv4Config, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where the victim's addresses come from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    Auto,
    Fixed,
    Both,
}

/// A server with all kinds of sockets.
pub(super) async fn victim(hub: &Hub, way: Way, devices: Devices) -> Stack {
    let ipv6 = match way {
        Way::Auto => Ipv6Config::auto(),
        Way::Fixed | Way::Both => Ipv6Config::fixed(B, 64, None),
    };
    let b = Stack::new();
    b.add_interface("main", devices.make(hub, 2), Config { dns: vec![A.into()], ..only(ipv6) });
    if let Way::Both = way {
        // Another interface of the same wire, with a hardware address of its own and IPv4 beside.
        let address = Ipv4Addr::new(10, 0, 0, 22);
        let ipv4 = Ipv4Config::Static { address, prefix_len: 24, gateway: None };
        let config = Config { ipv4, ..only(Ipv6Config::auto()) };
        b.add_interface("second", devices.make(hub, 22), config);
    }
    let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 80)).unwrap();
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(echo(stream)).detach();
        }
    })
    .detach();
    let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 6)).unwrap();
    spawn(async move {
        let mut buf = [0; 100];
        while let Ok((len, from)) = socket.recv_from(&mut buf).await {
            let _ = socket.send_to(&buf[..len], from).await;
        }
    })
    .detach();
    // Something of its own is always on its way: its packets to A and beyond the link may be answered.
    let talker = b.clone();
    spawn(async move {
        let socket = UdpSocket::bind(&talker, at(Ipv6Addr::UNSPECIFIED, 1234)).unwrap();
        loop {
            let _ = socket.send_to(&[7; 3000], at(A, 6)).await;
            let _ = socket.send_to(&[7; 3000], "[2001:db8:9::9]:53".parse().unwrap()).await;
            let _ = timeout(Duration::from_secs(2), TcpStream::connect(&talker, at(A, 9))).await;
            sleep(Duration::from_secs(5)).await;
        }
    })
    .detach();
    sleep(Duration::from_secs(3)).await;
    b
}

/// That it has come to rest, and serves a stranger.
pub(super) async fn is_alive(hub: &Hub, b: &Stack) {
    sleep(Duration::from_secs(300)).await;
    hub.capture();
    sleep(Duration::from_secs(60)).await;
    let sent = hub.captured().iter().filter(|frame| frame[11] == 2).count();
    assert!(sent < 1000, "{sent} frames in a minute");
    let stats = b.stats();
    assert!(stats.tcp_connections < 100 && stats.memory_octets < 1 << 20, "{stats:?}");
    // From an address and a hardware address that nobody has named.
    let (a, ia) = host(hub, 200, only(Ipv6Config::auto()));
    sleep(Duration::from_secs(3)).await;
    assert_eq!(addresses(&ia).len(), 1);
    let mut stream = TcpStream::connect(&a, at(LOCAL_B, 80)).await.expect("alive");
    stream.write_all(b"x").await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
}

/// Each of them.
pub(super) fn way() -> impl Strategy<Value = Way> {
    prop_oneof![Just(Way::Auto), Just(Way::Fixed), Just(Way::Both)]
}
