//! The DHCP client against a small server.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_netstack::testing::Hub;
use fata_netstack::{Config, Error, Interface, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// What the server does, and what it has seen: message type, current address, requested address, when.
struct Server {
    address: Ipv4Addr,
    lease: u32,
    silent: bool,
    refuse: bool,
    seen: Vec<(u8, Ipv4Addr, Option<Ipv4Addr>, Instant)>,
    hostnames: Vec<String>,
}

type Handle = Rc<RefCell<Server>>;

fn option(message: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = &message[240..];
    while let [k, len, ..] = rest {
        if *k == 255 {
            break;
        }
        let data = &rest[2..2 + usize::from(*len)];
        if *k == kind {
            return Some(data);
        }
        rest = &rest[2 + data.len()..];
    }
    None
}

fn v4(bytes: &[u8]) -> Ipv4Addr {
    <[u8; 4]>::try_from(bytes).unwrap().into()
}

impl Server {
    fn answer(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let kind = option(message, 53)?[0];
        let requested = option(message, 50).map(v4);
        self.seen.push((kind, v4(&message[12..16]), requested, Instant::now()));
        self.hostnames.extend(option(message, 12).map(|n| String::from_utf8(n.into()).unwrap()));
        if self.silent {
            return None;
        }
        let kind = match kind {
            DISCOVER => OFFER,
            REQUEST if self.refuse => NAK,
            REQUEST => ACK,
            _ => return None,
        };
        let mut reply = vec![2, 1, 6, 0];
        reply.extend(&message[4..8]);
        reply.resize(16, 0);
        reply.extend(self.address.octets());
        reply.resize(28, 0);
        reply.extend(&message[28..44]);
        reply.resize(236, 0);
        reply.extend([99, 130, 83, 99, 53, 1, kind, 54, 4, 10, 0, 0, 2]);
        if kind != NAK {
            reply.extend([1, 4, 255, 255, 255, 0, 3, 8, 10, 0, 0, 2, 10, 0, 0, 3, 6, 4, 10, 0, 0, 2, 51, 4]);
            reply.extend(self.lease.to_be_bytes());
        }
        reply.push(255);
        Some(reply)
    }
}

async fn serve(stack: Stack, server: Handle) {
    let socket = UdpSocket::bind(&stack, at(Ipv4Addr::UNSPECIFIED, 67)).unwrap();
    let mut buf = [0; 1500];
    loop {
        let (len, _) = socket.recv_from(&mut buf).await.unwrap();
        let reply = server.borrow_mut().answer(&buf[..len]);
        if let Some(reply) = reply {
            socket.send_to(&reply, at(Ipv4Addr::BROADCAST, 68)).await.unwrap();
        }
    }
}

/// A hub with a server on port 0 and a client on port 1.
fn network(lease: u32) -> (Hub, Stack, Handle, Stack, Interface) {
    let hub = Hub::default();
    let (b, _) = host(&hub, 2, B, false);
    let address = Ipv4Addr::new(10, 0, 0, 50);
    let (seen, hostnames) = (Vec::new(), Vec::new());
    let server = Server { address, lease, silent: false, refuse: false, seen, hostnames };
    let server = Rc::new(RefCell::new(server));
    spawn(serve(b.clone(), server.clone())).detach();
    let client = Stack::new();
    let config = Config { hostname: Some("web".into()), ..Config::default() };
    let interface = client.add_interface("main", Box::new(hub.device(1, false)), config);
    (hub, b, server, client, interface)
}

fn kinds(server: &Handle) -> Vec<u8> {
    server.borrow().seen.iter().map(|s| s.0).collect()
}

#[test]
fn an_address_at_once() {
    run(async {
        let (_hub, b, server, client, interface) = network(3600);
        let start = Instant::now();
        let got = interface.configured().await;
        assert!(start.elapsed() < Duration::from_millis(10));
        assert_eq!(got.address, Ipv4Addr::new(10, 0, 0, 50));
        assert_eq!((got.prefix_len, got.gateway, got.dns), (24, Some(B.into()), vec![B.into()]));
        assert_eq!(kinds(&server), [DISCOVER, REQUEST]);
        assert_eq!(server.borrow().hostnames, ["web", "web"]);
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        TcpStream::connect(&client, at(B, 80)).await.unwrap();
        drop(listener);
    });
}

#[test]
fn a_silent_server_is_asked_ever_less_often() {
    run(async {
        let (_hub, _b, server, _client, interface) = network(3600);
        server.borrow_mut().silent = true;
        assert!(timeout(Duration::from_secs(600), interface.configured()).await.is_err());
        let seen: Vec<Instant> = server.borrow().seen.iter().map(|s| s.3).collect();
        let waits: Vec<u64> = seen.windows(2).map(|w| (w[1] - w[0]).as_secs()).collect();
        assert!((9..=18).contains(&seen.len()), "{waits:?}");
        assert!(waits[0] <= 3 && waits[waits.len() - 1] >= 62, "{waits:?}");
        server.borrow_mut().silent = false;
        timeout(Duration::from_secs(66), interface.configured()).await.unwrap();
    });
}

#[test]
fn a_lease_is_renewed_and_the_connection_stays() {
    run(async {
        let (_hub, b, server, client, interface) = network(1000);
        interface.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut stream = TcpStream::connect(&client, at(B, 80)).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        sleep(Duration::from_secs(1600)).await;
        let address = Ipv4Addr::new(10, 0, 0, 50);
        assert_eq!(kinds(&server), [DISCOVER, REQUEST, REQUEST, REQUEST, REQUEST]);
        assert!(server.borrow().seen[2..].iter().all(|s| (s.1, s.2) == (address, None)));
        stream.write_all(b"x").await.unwrap();
        peer.read_exact(&mut [0]).await.unwrap();
    });
}

#[test]
fn a_lease_that_nobody_renews_ends() {
    run(async {
        let (_hub, b, server, client, interface) = network(1000);
        interface.configured().await;
        let _listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut stream = TcpStream::connect(&client, at(B, 80)).await.unwrap();
        let start = Instant::now();
        server.borrow_mut().silent = true;
        assert_eq!(interface.config_changed().await, None);
        assert!((990..=1000).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        let seen = kinds(&server);
        assert!(seen.len() >= 6 && seen[2..seen.len() - 1].iter().all(|k| *k == REQUEST), "{seen:?}");
        assert_eq!(stream.read(&mut [0]).await, Err(Error::ConnectionAborted));
        assert_eq!(TcpStream::connect(&client, at(B, 80)).await.unwrap_err(), Error::NetworkUnreachable);
        server.borrow_mut().silent = false;
        timeout(Duration::from_secs(70), interface.configured()).await.unwrap();
        TcpStream::connect(&client, at(B, 80)).await.unwrap();
    });
}

#[test]
fn a_refusal_starts_again() {
    run(async {
        let (_hub, _b, server, _client, interface) = network(1000);
        interface.configured().await;
        server.borrow_mut().refuse = true;
        server.borrow_mut().address = Ipv4Addr::new(10, 0, 0, 60);
        assert_eq!(interface.config_changed().await, None);
        sleep(Duration::from_secs(1)).await;
        server.borrow_mut().refuse = false;
        let got = timeout(Duration::from_secs(70), interface.configured()).await.unwrap();
        assert_eq!(got.address, Ipv4Addr::new(10, 0, 0, 60));
    });
}

#[test]
fn after_the_cable_was_out_the_lease_is_confirmed() {
    run(async {
        let (hub, b, server, client, interface) = network(1000);
        interface.configured().await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut stream = TcpStream::connect(&client, at(B, 80)).await.unwrap();
        let (mut peer, _) = listener.accept().await.unwrap();
        hub.set_up(1, false);
        stream.write_all(b"later").await.unwrap();
        sleep(Duration::from_secs(3)).await;
        assert!(!interface.is_up());
        hub.set_up(1, true);
        let mut buf = [0; 5];
        peer.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"later");
        let last = server.borrow().seen.last().map(|s| (s.0, s.1, s.2)).unwrap();
        assert_eq!(last, (REQUEST, Ipv4Addr::UNSPECIFIED, Some(Ipv4Addr::new(10, 0, 0, 50))));
        // In another network by now.
        server.borrow_mut().refuse = true;
        hub.set_up(1, false);
        sleep(Duration::from_secs(1)).await;
        hub.set_up(1, true);
        assert_eq!(interface.config_changed().await, None);
        assert_eq!(stream.read(&mut buf).await, Err(Error::ConnectionAborted));
    });
}

/// Each version has its addresses from its own source: what one of them loses is nothing to the other.
#[test]
fn addresses_of_both_versions() {
    run(async {
        let (hub, b, server, client, _) = network(120);
        // A second interface of the client's, with both, and a peer of IPv6.
        let config = Config { ipv6: Some(Ipv6Config::auto()), ..Config::default() };
        server.borrow_mut().address = Ipv4Addr::new(10, 0, 0, 60);
        let interface = client.add_interface("both", Box::new(hub.device(3, false)), config);
        let near = "2001:db8:1::1".parse().unwrap();
        let (a, _) = ipv6::host(&hub, 4, ipv6::only(Ipv6Config::fixed(near, 64, None)));
        sleep(Duration::from_secs(3)).await;
        hub.inject(&ipv6::advertisement(1800, 7200));
        sleep(Duration::from_secs(3)).await;
        let all = ipv6::addresses(&interface);
        let own: IpAddr = "2001:db8:1::ff:fe00:3".parse().unwrap();
        let expected: [IpAddr; 3] =
            [Ipv4Addr::new(10, 0, 0, 60).into(), own, "fe80::ff:fe00:3".parse().unwrap()];
        assert_eq!(all.iter().map(|one| one.address).collect::<Vec<_>>(), expected);
        // Name servers of both, those of DHCP first.
        let dns: [IpAddr; 2] = [B.into(), "2001:db8:1::53".parse().unwrap()];
        assert!(all.iter().all(|one| one.dns == dns), "{all:?}");

        let listener = TcpListener::bind(&client, ipv6::at(Ipv6Addr::UNSPECIFIED, 80)).unwrap();
        let mut six = TcpStream::connect(&a, SocketAddr::new(own, 80)).await.unwrap();
        let (mut of_six, _) = listener.accept().await.unwrap();
        let _four = TcpStream::connect(&b, at(Ipv4Addr::new(10, 0, 0, 60), 80)).await.unwrap();
        let (mut of_four, _) = listener.accept().await.unwrap();
        server.borrow_mut().silent = true;
        assert_eq!(of_four.read(&mut [0]).await, Err(Error::ConnectionAborted), "its lease is over");
        assert_eq!(ipv6::addresses(&interface).len(), 2);
        of_six.write_all(b"alive").await.unwrap();
        timeout(Duration::from_secs(5), six.read_exact(&mut [0; 5])).await.unwrap().unwrap();
        server.borrow_mut().silent = false;
        sleep(Duration::from_secs(400)).await;
        assert_eq!(ipv6::addresses(&interface).len(), 3, "there is a lease again");
        // And the other way round.
        let mut four = TcpStream::connect(&b, at(Ipv4Addr::new(10, 0, 0, 60), 80)).await.unwrap();
        let (mut of_four, _) = listener.accept().await.unwrap();
        assert_eq!(of_six.read(&mut [0]).await, Err(Error::ConnectionAborted), "its prefix is over");
        assert_eq!(ipv6::addresses(&interface).len(), 2);
        of_four.write_all(b"alive").await.unwrap();
        four.read_exact(&mut [0; 5]).await.unwrap();
    });
}
