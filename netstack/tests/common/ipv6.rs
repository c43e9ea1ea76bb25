//! Hosts and packets of IPv6.

use super::checksum as checksum_of;
use embedded_io_async::Write as _;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::Hub;
use fata_netstack::{Addressing, Config, Interface, Ipv4Config, Ipv6Config, Stack, TcpListener, TcpStream};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub const A: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const B: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
/// A host of the link that is none of ours, with hardware address 02:00:00:00:00:09.
pub const STRANGER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9);
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// What the port with number 2 makes of its hardware address 02:00:00:00:00:02.
pub const LOCAL_B: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 2);

pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

pub fn only(ipv6: Ipv6Config) -> Config {
    Config { ipv4: Ipv4Config::None, ipv6: Some(ipv6), ..Config::default() }
}

pub fn add(stack: &Stack, hub: &Hub, n: u8, config: Config) -> Interface {
    stack.add_interface("main", Box::new(hub.device(n, false)), config)
}

pub fn host(hub: &Hub, n: u8, config: Config) -> (Stack, Interface) {
    let stack = Stack::new();
    let interface = add(&stack, hub, n, config);
    (stack, interface)
}

/// Two hosts with addresses of IPv6 alone.
pub async fn pair(hub: &Hub) -> (Stack, Stack) {
    let (a, ia) = host(hub, 1, only(Ipv6Config::fixed(A, 64, None)));
    let (b, ib) = host(hub, 2, only(Ipv6Config::fixed(B, 64, None)));
    assert_eq!(ia.configured().await.address, IpAddr::V6(A));
    ib.configured().await;
    (a, b)
}

pub fn at(host: Ipv6Addr, port: u16) -> SocketAddr {
    SocketAddr::new(host.into(), port)
}

pub fn addresses(interface: &Interface) -> Vec<Addressing> {
    let mut all = Vec::new();
    interface.each_address(&mut |addressing| all.push(addressing));
    all
}

/// The sum over a pseudo-header and what follows it.
pub fn checksum(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, data: &[u8]) -> [u8; 2] {
    let mut all = [source.octets(), destination.octets()].concat();
    all.extend((data.len() as u32).to_be_bytes());
    all.extend([0, 0, 0, protocol]);
    all.extend(data);
    checksum_of(&all)
}

/// A frame with a packet from the stranger's hardware address.
pub fn frame(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let [.., a, b, c, d] = destination.octets();
    let mut frame = match destination.is_multicast() {
        true => vec![0x33, 0x33, a, b, c, d],
        false => vec![2, 0, 0, 0, 0, 2],
    };
    frame.extend([2, 0, 0, 0, 0, 9, 0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([protocol, hop_limit]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(payload);
    frame
}

/// A frame with an ICMPv6 message, whose checksum is filled in.
pub fn icmp(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    message[2..4].fill(0);
    let sum = checksum(source, destination, ICMPV6, &message);
    message[2..4].copy_from_slice(&sum);
    frame(source, destination, ICMPV6, hop_limit, &message)
}

/// A router's advertisement of 2001:db8:1::/64 with a name server.
pub fn advertisement(lifetime: u16, valid: u32) -> Vec<u8> {
    let mut message = vec![134, 0, 0, 0, 64, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend([0; 8]);
    message.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    message.extend([5, 1, 0, 0, 0, 0, 0x05, 0x78]);
    message.extend([3, 4, 64, 0xc0]);
    message.extend(valid.to_be_bytes());
    message.extend(valid.to_be_bytes());
    message.extend([0; 4]);
    message.extend("2001:db8:1::".parse::<Ipv6Addr>().unwrap().octets());
    message.extend([25, 3, 0, 0]);
    message.extend(valid.to_be_bytes());
    message.extend("2001:db8:1::53".parse::<Ipv6Addr>().unwrap().octets());
    icmp(ROUTER, ALL_NODES, 255, &message)
}

/// The IPv6 packets among frames: source, destination, protocol, payload.
pub fn packets(frames: &[Vec<u8>]) -> Vec<(Ipv6Addr, Ipv6Addr, u8, Vec<u8>)> {
    let of_six = frames.iter().filter(|frame| frame[12..14] == [0x86, 0xdd]);
    let address = |octets: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap());
    of_six.map(|f| (address(&f[22..38]), address(&f[38..54]), f[20], f[54..].to_vec())).collect()
}

/// What was sent, after a moment.
pub async fn sent(hub: &Hub) -> Vec<(Ipv6Addr, Ipv6Addr, u8, Vec<u8>)> {
    sleep(Duration::from_millis(20)).await;
    let mut frames = hub.captured();
    frames.retain(|frame| frame[6..12] != [2, 0, 0, 0, 0, 9]);
    packets(&frames)
}

/// B alone on a hub, with a stranger whose hardware address it knows.
pub async fn alone(ipv6: Ipv6Config) -> (Hub, Stack, Interface) {
    let hub = Hub::default();
    let (b, ib) = host(&hub, 2, only(ipv6));
    sleep(Duration::from_secs(3)).await;
    hub.capture();
    (hub, b, ib)
}

pub async fn echo(mut stream: TcpStream) {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf).await {
            Ok(len) if len > 0 => stream.write_all(&buf[..len]).await.unwrap(),
            _ => return,
        }
    }
}

/// A connection from A to B: the hub, both hosts, and its ends.
pub async fn connected() -> (Hub, [Stack; 2], TcpStream, TcpStream) {
    let hub = Hub::default();
    let (a, b) = pair(&hub).await;
    let listener = TcpListener::bind(&b, at(B, 7)).unwrap();
    let stream = TcpStream::connect(&a, at(B, 7)).await.unwrap();
    let (there, _) = listener.accept().await.unwrap();
    (hub, [a, b], stream, there)
}

/// A stranger's question for the hardware address of `target`, by which it is known itself.
pub fn question(target: Ipv6Addr) -> Vec<u8> {
    let mut ask = vec![135, 0, 0, 0, 0, 0, 0, 0];
    ask.extend(target.octets());
    ask.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    ask
}
