//! IPv6 with an independent stack, smoltcp, on the same wire: neighbours found by either, streams over a line that loses,
//! datagrams, pings.

mod common;

use common::ipv6::{A, B, add, at, only};
use common::pattern;
use embedded_io_async::{Read, Write};
use fata_libos::net::{NetDevice, TransmitMeta};
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep, timeout};
use fata_netstack::testing::{self, Faults, Hub};
use fata_netstack::{Error, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::Instant as Micros;
use smoltcp::wire::{EthernetAddress, Icmpv6Packet, Icmpv6Repr, IpCidr, IpEndpoint};
use std::cell::RefCell;
use std::net::Ipv6Addr;
use std::rc::Rc;

/// smoltcp's link-local address.
const LOCAL_A: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A port of the hub, as smoltcp wants its devices.
struct Port(testing::Device);

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut testing::Device);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let out = f(&mut frame);
        self.0.transmit(len, TransmitMeta::default(), &mut |buf| buf.copy_from_slice(&frame)).unwrap();
        self.0.flush();
        out
    }
}

impl Device for Port {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Micros) -> Option<(Rx, Tx<'_>)> {
        let mut frame = vec![0; 2000];
        let received = self.0.receive(&mut frame)?;
        frame.truncate(received.len);
        Some((Rx(frame), Tx(&mut self.0)))
    }

    fn transmit(&mut self, _: Micros) -> Option<Tx<'_>> {
        Some(Tx(&mut self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        // All are made and checked by smoltcp.
        capabilities.checksum = ChecksumCapabilities::default();
        capabilities
    }
}

/// The other stack, at [`A`].
struct Smol {
    port: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
}

impl Smol {
    fn poll(&mut self) {
        self.interface.poll(now(), &mut self.port, &mut self.sockets);
    }
}

/// Both on a hub, ours at [`B`].
async fn both() -> (Hub, Rc<RefCell<Smol>>, Stack) {
    let hub = Hub::default();
    let mut port = Port(hub.device(1, false));
    let mut config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
    config.random_seed = 7;
    let mut interface = Interface::new(config, &mut port, now());
    interface.update_ip_addrs(|addresses| {
        for address in [A, LOCAL_A] {
            addresses.push(IpCidr::new(address.into(), 64)).unwrap();
        }
    });
    let smol = Rc::new(RefCell::new(Smol { port, interface, sockets: SocketSet::new(vec![]) }));
    let driven = smol.clone();
    spawn(async move {
        loop {
            driven.borrow_mut().poll();
            sleep(Duration::from_millis(1)).await;
        }
    })
    .detach();
    let b = Stack::new();
    add(&b, &hub, 2, only(Ipv6Config::fixed(B, 64, None))).configured().await;
    (hub, smol, b)
}

fn now() -> Micros {
    Micros::from_micros((Instant::now().as_nanos() / 1000) as i64)
}

fn stream(smol: &Rc<RefCell<Smol>>) -> SocketHandle {
    let buffer = || tcp::SocketBuffer::new(vec![0; 20_000]);
    smol.borrow_mut().sockets.add(tcp::Socket::new(buffer(), buffer()))
}

/// Sends back what comes, up to the end.
async fn echo(smol: Rc<RefCell<Smol>>, handle: SocketHandle) {
    loop {
        {
            let mut smol = smol.borrow_mut();
            let socket = smol.sockets.get_mut::<tcp::Socket>(handle);
            while socket.can_recv() && socket.can_send() {
                let room = socket.send_capacity() - socket.send_queue();
                let mut data = vec![0; room.min(1000)];
                let len = socket.recv_slice(&mut data).unwrap();
                assert_eq!(socket.send_slice(&data[..len]), Ok(len));
            }
            if socket.state() == tcp::State::CloseWait && !socket.can_recv() {
                socket.close();
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
}

const LOSSES: Faults =
    Faults { lose: 200, double: 50, reorder: 100, corrupt: 50, delay: Duration::from_millis(1) };

#[test]
fn our_client_and_its_server() {
    run(async {
        let (hub, smol, b) = both().await;
        hub.set_faults(LOSSES);
        let handle = stream(&smol);
        smol.borrow_mut().sockets.get_mut::<tcp::Socket>(handle).listen(7).unwrap();
        spawn(echo(smol.clone(), handle)).detach();
        let (mut read, mut write) = TcpStream::connect(&b, at(A, 7)).await.unwrap().into_split();
        spawn(async move {
            write.write_all(&pattern(0, 300_000)).await.unwrap();
            write.shutdown().await.unwrap();
            sleep(Duration::from_secs(6000)).await;
        })
        .detach();
        let (mut all, mut buf) = (Vec::<u8>::new(), vec![0; 4096]);
        while let len @ 1.. = timeout(Duration::from_secs(60), read.read(&mut buf)).await.unwrap().unwrap() {
            all.extend(&buf[..len]);
        }
        assert!(all == pattern(0, 300_000), "{} octets", all.len());
    });
}

#[test]
fn its_client_and_our_server() {
    for to in [B, common::ipv6::LOCAL_B] {
        run(async move {
            let (hub, smol, b) = both().await;
            hub.set_faults(LOSSES);
            let listener = TcpListener::bind(&b, at(Ipv6Addr::UNSPECIFIED, 7)).unwrap();
            spawn(async move { common::ipv6::echo(listener.accept().await.unwrap().0).await }).detach();
            let handle = stream(&smol);
            {
                let Smol { interface, sockets, .. } = &mut *smol.borrow_mut();
                let socket = sockets.get_mut::<tcp::Socket>(handle);
                socket.connect(interface.context(), IpEndpoint::new(to.into(), 7), 4000).unwrap();
            }
            let data = pattern(0, 200_000);
            let (mut sent, mut back, started) = (0, Vec::<u8>::new(), Instant::now());
            while back.len() < data.len() {
                {
                    let mut smol = smol.borrow_mut();
                    let socket = smol.sockets.get_mut::<tcp::Socket>(handle);
                    if socket.can_send() {
                        sent += socket.send_slice(&data[sent..]).unwrap();
                    }
                    let mut buf = [0; 4096];
                    if socket.can_recv() {
                        let len = socket.recv_slice(&mut buf).unwrap();
                        back.extend(&buf[..len]);
                    }
                }
                assert!(started.elapsed() < Duration::from_secs(300), "{} octets", back.len());
                sleep(Duration::from_millis(1)).await;
            }
            assert!(back == data);
            smol.borrow_mut().sockets.get_mut::<tcp::Socket>(handle).close();
            sleep(Duration::from_secs(60)).await;
            let state = smol.borrow().sockets.get::<tcp::Socket>(handle).state();
            assert_eq!((state, b.stats().tcp_connections), (tcp::State::Closed, 0));
        });
    }
}

#[test]
fn datagrams_for_minutes_and_to_nobody() {
    run(async {
        let (hub, smol, b) = both().await;
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 8], vec![0; 20_000]);
        let handle = smol.borrow_mut().sockets.add(udp::Socket::new(buffer(), buffer()));
        smol.borrow_mut().sockets.get_mut::<udp::Socket>(handle).bind(6).unwrap();
        let socket = UdpSocket::bind(&b, at(Ipv6Addr::UNSPECIFIED, 5)).unwrap();
        hub.capture();
        let mut buf = [0; 1500];
        // As long as neighbours are asked again whether they are there, several times.
        for n in 0..300 {
            let data = pattern(n, [0, 1, 100, 1452][n % 4]);
            let to = if n % 2 == 0 { A } else { LOCAL_A };
            socket.send_to(&data, at(to, 6)).await.unwrap();
            sleep(Duration::from_millis(20)).await;
            {
                let mut smol = smol.borrow_mut();
                let socket = smol.sockets.get_mut::<udp::Socket>(handle);
                let (got, from) = socket.recv().expect("a datagram");
                assert_eq!(got, data);
                let (got, from) = (got.to_vec(), from.endpoint);
                socket.send_slice(&got, from).unwrap();
            }
            let answer =
                timeout(Duration::from_secs(1), socket.recv_from(&mut buf)).await.expect("an answer");
            let (len, from) = answer.unwrap();
            assert_eq!((&buf[..len], from.ip()), (&data[..], to.into()));
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(b.stats().arp_unanswered, 0);
        let asked = hub
            .captured()
            .iter()
            .filter(|frame| frame[20] == 58 && frame[54] == 135 && frame[11] == 2)
            .count();
        // Once by the group, then where it was, for each of the two addresses.
        assert!((8..=14).contains(&asked), "{asked}");
        socket.connect(at(A, 9)).unwrap();
        socket.send(b"nobody").await.unwrap();
        assert_eq!(socket.recv(&mut buf).await, Err(Error::ConnectionRefused));
        assert_eq!(b.stats().rx_bad + b.stats().rx_bad_checksum, 0);
    });
}

#[test]
fn pings() {
    run(async {
        let (_hub, smol, b) = both().await;
        let buffer = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 8], vec![0; 20_000]);
        let handle = smol.borrow_mut().sockets.add(icmp::Socket::new(buffer(), buffer()));
        let mut socket_bound = false;
        for (seq_no, len) in [0, 1, 56, 1400].into_iter().enumerate() {
            let (seq_no, data) = (seq_no as u16, pattern(0, len));
            let request = Icmpv6Repr::EchoRequest { ident: 9, seq_no, data: &data };
            {
                let mut smol = smol.borrow_mut();
                let socket = smol.sockets.get_mut::<icmp::Socket>(handle);
                if !std::mem::replace(&mut socket_bound, true) {
                    socket.bind(icmp::Endpoint::Ident(9)).unwrap();
                }
                let payload = socket.send(request.buffer_len(), B.into()).unwrap();
                let mut packet = Icmpv6Packet::new_unchecked(payload);
                request.emit(&A, &B, &mut packet, &ChecksumCapabilities::default());
            }
            sleep(Duration::from_millis(50)).await;
            let mut smol = smol.borrow_mut();
            let (payload, from) = smol.sockets.get_mut::<icmp::Socket>(handle).recv().expect("a reply");
            assert_eq!(from, B.into());
            let packet = Icmpv6Packet::new_checked(payload).unwrap();
            let reply = Icmpv6Repr::parse(&B, &A, &packet, &ChecksumCapabilities::default()).unwrap();
            assert_eq!(reply, Icmpv6Repr::EchoReply { ident: 9, seq_no, data: &data });
        }
        assert_eq!(b.stats().icmp_echoes, 4);
    });
}
