//! Ethernet frames into a stack, and the answers of name servers and DHCP servers.

mod client;
#[path = "../../../netstack/tests/common/mod.rs"]
mod common;
mod ipv6;

use client::{open, rename, said};
use common::*;
use embedded_io_async::{Read, Write};
use fata_fuzz::{Changes, changes, fuzz, mutated};
use fata_libos::net::Checksum;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::{Device, Hub};
use fata_netstack::{Config, Resolver, Stack, TcpListener, TcpStream, UdpSocket};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use std::net::{Ipv4Addr, SocketAddr};

/// A connection and datagrams from `a`, of which each kind of frame is to be seen: from `here` to `stream` and `datagrams`.
async fn exchange(a: &Stack, b: &Stack, [here, stream, datagrams]: [SocketAddr; 3]) {
    let listener = TcpListener::bind(b, stream).unwrap();
    let mut client = TcpStream::connect(a, stream).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(&[1; 3000]).await.unwrap();
    server.read_exact(&mut [0; 3000]).await.unwrap();
    server.shutdown().await.unwrap();
    drop(client);
    let socket = UdpSocket::bind(a, here).unwrap();
    socket.send_to(&[1; 4000], datagrams).await.unwrap();
    socket.send_to(&[1; 40], datagrams).await.unwrap();
}

/// Sends so many octets to a host that echoes, so many at a time, and hears them; `None`: it did not get so far.
async fn talk(a: &Stack, to: SocketAddr, len: usize, piece: usize) -> Option<()> {
    let mut stream = TcpStream::connect(a, to).await.ok()?;
    let mut buf = vec![0; piece];
    for start in (0..len).step_by(piece) {
        let part = piece.min(len - start);
        stream.write_all(&pattern(start, part)).await.ok()?;
        stream.read_exact(&mut buf[..part]).await.ok()?;
    }
    Some(())
}

/// The longest frame that a device brings, octets.
const LONGEST: usize = 14 + 65_535;

/// The devices of two hosts, and what is between them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Devices {
    /// The most data of a large send, octets; 0 where they send none.
    large: usize,
    /// What is said of the checksums of frames that come from another guest of the same host: nobody has looked at them, or they are
    /// not there yet.
    checksum: Checksum,
}

pub(crate) fn devices() -> impl Strategy<Value = Devices> {
    let large = select(&[0, 0, 3000, 20_000, 65_535][..]);
    let checksum = select(&[Checksum::Verified, Checksum::Partial][..]);
    (large, checksum).prop_map(|(large, checksum)| Devices { large, checksum })
}

impl Devices {
    /// One that sends as any.
    pub(crate) const PLAIN: Self = Self { large: 0, checksum: Checksum::Verified };

    pub(crate) fn make(self, hub: &Hub, n: u8) -> Box<Device> {
        let device = hub.device(n, false);
        if self.large > 0 {
            device.set_large(self.large);
        }
        Box::new(device)
    }

    /// How much is said, of so much, and how much at a time: with large sends so much that there are some.
    pub(crate) fn said(self, len: usize) -> (usize, usize) {
        if self.large > 0 { (len * 4, 30_000) } else { (len, 1000) }
    }
}

/// Frames of every protocol that the stack speaks, from a day in its life.
fn day() -> Vec<Vec<u8>> {
    run(async {
        let hub = Hub::default();
        hub.capture();
        let (a, ia) = host(&hub, 1, A, false);
        let b = Stack::new();
        b.add_interface("main", Box::new(hub.device(2, false)), Config { dns: vec![A.into()], ..fixed(B) });
        Stack::new().add_interface("main", Box::new(hub.device(3, false)), Config::default());
        ia.configured().await;
        sleep(Duration::from_millis(10)).await;
        exchange(&a, &b, [at(A, 5), at(B, 80), at(B, 6)]).await;
        let _ = timeout(Duration::from_secs(1), Resolver::new(&b).resolve("www.example.org")).await;
        sleep(Duration::from_secs(5)).await;
        hub.captured()
    })
}

/// What is made right again after a mutation, so that what lies behind it is reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mended {
    Nothing,
    Checksum,
    LengthAndChecksum,
}

fn mend(frame: &mut [u8], how: Mended) {
    let is_ipv4 = frame.len() >= 34 && frame[12..14] == [8, 0];
    if matches!(how, Mended::Nothing) || !is_ipv4 {
        return;
    }
    if matches!(how, Mended::LengthAndChecksum) {
        let len = (frame.len() - 14) as u16;
        frame[16..18].copy_from_slice(&len.to_be_bytes());
    }
    let header = usize::from(frame[14] & 15) * 4;
    if header < 20 || frame.len() < 14 + header {
        return;
    }
    frame[24..26].fill(0);
    let words = frame[14..14 + header].chunks_exact(2);
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// A server with all kinds of sockets, and one interface that still looks for an address.
async fn victim(hub: &Hub, devices: Devices) -> Stack {
    let b = Stack::new();
    b.add_interface("main", devices.make(hub, 2), fixed(B)).configured().await;
    b.add_interface("dhcp", devices.make(hub, 2), Config::default());
    let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            spawn(echo(stream)).detach();
        }
    })
    .detach();
    let socket = UdpSocket::bind(&b, at(Ipv4Addr::UNSPECIFIED, 6)).unwrap();
    spawn(async move { while socket.recv_from(&mut [0; 100]).await.is_ok() {} }).detach();
    b
}

pub(crate) async fn echo(mut stream: TcpStream) {
    let mut buf = [0; 512];
    while let Ok(n @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..n]).await.is_err() {
            return;
        }
    }
}

/// Frames of every protocol, and of a client whose connection there is in most runs: what that acknowledges is moved to this
/// connection's numbers, so that all that is changed is what the input says.
#[test]
fn frames() {
    let mended =
        || prop_oneof![Just(Mended::Nothing), Just(Mended::Checksum), Just(Mended::LengthAndChecksum)];
    let checksum = prop_oneof![Just(Checksum::Complete), Just(Checksum::Verified), Just(Checksum::Partial)];
    let to_victim = |mut frame: Vec<u8>, mended| {
        let len = frame.len().min(6);
        frame[..len].copy_from_slice(&[2, 0, 0, 0, 0, 2][..len]);
        frame.truncate(LONGEST);
        mend(&mut frame, mended);
        frame
    };
    let any = (mutated(day()), mended(), checksum)
        .prop_map(move |(frame, mended, checksum)| (to_victim(frame, mended), checksum, false));
    let taken = prop_oneof![Just(Checksum::Verified), Just(Checksum::Partial)];
    let of_client = (mutated(said().frames.clone()), mended(), taken)
        .prop_map(move |(frame, mended, checksum)| (to_victim(frame, mended), checksum, true));
    let frame = prop_oneof![any, of_client];
    fuzz(&(prop::bool::weighted(0.8), vec(frame, 1..60)), |(connected, frames)| {
        run(async move {
            let hub = Hub::default();
            let b = victim(&hub, Devices::PLAIN).await;
            let moved = if connected { open(&hub, &b).await } else { Default::default() };
            for (n, (mut frame, checksum, of_client)) in frames.into_iter().enumerate() {
                if of_client {
                    rename(&mut frame, moved);
                }
                hub.inject_with(&frame, checksum);
                if n % 8 == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
            }
            sleep(Duration::from_secs(300)).await;
            let (a, interface) = host(&hub, 1, Ipv4Addr::new(10, 0, 0, 200), false);
            interface.configured().await;
            let mut stream = TcpStream::connect(&a, at(B, 80)).await.expect("alive");
            stream.write_all(b"x").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            assert!(b.stats().tcp_connections < 100);
        });
    });
}

/// What somebody between two hosts does to a frame.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    Change(Changes, Mended),
    Lose,
    /// Again, after so many milliseconds.
    Repeat(u16),
    Late(u16),
}

pub(crate) fn deed() -> impl Strategy<Value = Deed> {
    let mended = prop_oneof![Just(Mended::Checksum), Just(Mended::LengthAndChecksum)];
    prop_oneof![
        4 => (changes(), mended).prop_map(|(changes, mended)| Deed::Change(changes, mended)),
        2 => Just(Deed::Lose),
        1 => (0..3000_u16).prop_map(Deed::Repeat),
        1 => (1..300_u16).prop_map(Deed::Late),
    ]
}

/// Carries the frames of the host that ends in `n` from one hub to the other, with the next deed done to every `every`th.
pub(crate) async fn carry(
    from: Hub,
    n: u8,
    to: Hub,
    (deeds, every): (Vec<Deed>, usize),
    Devices { checksum, .. }: Devices,
) {
    let mut deeds = deeds.into_iter();
    let (mut count, mut pause) = (0, Duration::ZERO);
    loop {
        pause = (pause * 2).clamp(Duration::from_micros(200), Duration::from_millis(50));
        for mut frame in from.captured() {
            if frame.get(6..12) != Some(&[2, 0, 0, 0, 0, n]) {
                continue;
            }
            count += 1;
            pause = Duration::ZERO;
            let later = |wait: u16, frame: Vec<u8>| {
                let to = to.clone();
                spawn(async move {
                    sleep(Duration::from_millis(wait.into())).await;
                    to.inject_with(&frame, checksum);
                })
                .detach();
            };
            match if count % every == 0 { deeds.next() } else { None } {
                None => later(0, frame),
                Some(Deed::Lose) => {}
                Some(Deed::Late(wait)) => later(wait, frame),
                Some(Deed::Repeat(wait)) => {
                    later(0, frame.clone());
                    later(wait, frame);
                }
                Some(Deed::Change(changes, mended)) => {
                    // The hardware addresses stay, so that it arrives.
                    let mut rest = frame.split_off(12);
                    changes.apply(&mut rest);
                    frame.extend(rest);
                    frame.truncate(LONGEST);
                    mend(&mut frame, mended);
                    ipv6::mend(&mut frame, matches!(mended, Mended::LengthAndChecksum));
                    later(0, frame);
                }
            }
        }
        sleep(pause).await;
    }
}

/// Two hosts that talk as they always do, and somebody in between who changes what they say.
#[test]
fn conversations() {
    let side = || (vec(deed(), 0..20), 1..10_usize);
    fuzz(&(devices(), side(), side(), 1..40_000_usize), |(devices, there, back, len)| {
        run(async move {
            let (left, right) = (Hub::default(), Hub::default());
            left.capture();
            right.capture();
            let a = Stack::new();
            let ia = a.add_interface("main", devices.make(&left, 1), fixed(A));
            let b = victim(&right, devices).await;
            ia.configured().await;
            let is_clean = there.0.is_empty() && back.0.is_empty();
            let task = spawn(carry(left.clone(), 1, right.clone(), there, devices));
            let other = spawn(carry(right.clone(), 2, left.clone(), back, devices));
            let (len, piece) = devices.said(len);
            for _ in 0..3 {
                let talked = timeout(Duration::from_secs(60), talk(&a, at(B, 80), len, piece)).await;
                assert!(!is_clean || talked == Ok(Some(())), "nobody was in between");
            }
            drop((task, other));
            // What is left over ends by itself, and others are served.
            sleep(Duration::from_secs(3600)).await;
            let (c, interface) = host(&right, 3, Ipv4Addr::new(10, 0, 0, 200), false);
            interface.configured().await;
            let mut stream = TcpStream::connect(&c, at(B, 80)).await.expect("alive");
            stream.write_all(b"x").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            drop(stream);
            sleep(Duration::from_secs(300)).await;
            let stats = b.stats();
            assert!(stats.tcp_connections <= 3, "{stats:?}");
            assert!(stats.tcp_buffer_octets <= stats.tcp_connections * (128 << 10), "{stats:?}");
        });
    });
}

/// That there are large frames in the target above, both ways.
#[test]
fn large_frames_are_carried() {
    run(async {
        let (left, right) = (Hub::default(), Hub::default());
        left.capture();
        right.capture();
        let devices = Devices { large: 65_535, checksum: Checksum::Partial };
        let a = Stack::new();
        let ia = a.add_interface("main", devices.make(&left, 1), fixed(A));
        let b = victim(&right, devices).await;
        ia.configured().await;
        let _there = spawn(carry(left.clone(), 1, right.clone(), (vec![], 1), devices));
        let _back = spawn(carry(right.clone(), 2, left.clone(), (vec![], 1), devices));
        talk(&a, at(B, 80), 150_000, 30_000).await.unwrap();
        for stack in [&a, &b] {
            let counters = stack.interface("main").unwrap().device_counters();
            assert!(counters.rx_octets > 3000 * counters.rx_frames, "{counters:?}");
        }
    });
}

/// Answers to a question for `a.b`, without the question's number.
fn answers() -> Vec<Vec<u8>> {
    let message = |flags: [u8; 2], counts: [u8; 2], records: &[&[u8]]| {
        let head =
            [&flags[..], &[0, 1, 0, counts[0], 0, counts[1], 0, 0], b"\x01a\x01b\0\0\x01\0\x01"].concat();
        [head, records.concat()].concat()
    };
    let address = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x07";
    let alias = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01c\xc0\x0e";
    let of_alias = b"\xc0\x21\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x08";
    let loops = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x21";
    let soa = b"\x01b\0\0\x06\0\x01\0\0\0\x3c\0\x1a\x01n\0\x01m\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
    vec![
        message([0x81, 0x80], [1, 0], &[address]),
        message([0x81, 0x80], [3, 0], &[address, address, address]),
        message([0x81, 0x80], [2, 0], &[alias, of_alias]),
        message([0x81, 0x80], [1, 0], &[alias]),
        message([0x81, 0x80], [2, 0], &[loops, alias]),
        message([0x83, 0x80], [1, 0], &[address]),
        message([0x81, 0x83], [0, 1], &[soa]),
        message([0x81, 0x82], [0, 0], &[]),
    ]
}

#[test]
fn name_servers() {
    fuzz(&vec(mutated(answers()), 1..12), |answers| {
        run(async {
            let hub = Hub::default();
            let (a, _) = host(&hub, 1, A, false);
            let b = Stack::new();
            let config = Config { dns: vec![A.into()], ..fixed(B) };
            let interface = b.add_interface("main", Box::new(hub.device(2, false)), config);
            interface.configured().await;
            let count = answers.len();
            spawn(async move {
                let socket = UdpSocket::bind(&a, at(A, 53)).unwrap();
                let mut buf = [0; 512];
                for answer in answers.iter().cycle() {
                    let (_, from) = socket.recv_from(&mut buf).await.unwrap();
                    let _ = socket.send_to(&[&buf[..2], answer].concat(), from).await;
                }
            })
            .detach();
            let resolver = Resolver::new(&b);
            for _ in 0..count {
                let found = timeout(Duration::from_secs(300), resolver.resolve("a.b")).await.expect("an end");
                assert!(found.is_err() || found.is_ok_and(|found| (1..=16).contains(&found.len())));
                // Beyond what is remembered.
                sleep(Duration::from_secs(90_000)).await;
            }
        });
    });
}

/// An offer and an acknowledgement, without the number and the client's address, which the server below puts in.
fn leases() -> Vec<Vec<u8>> {
    let message = |kind: u8, options: &[u8]| {
        let mut message = vec![2, 1, 6, 0];
        message.resize(16, 0);
        message.extend([10, 0, 0, 50]);
        message.resize(236, 0);
        message.extend([99, 130, 83, 99, 53, 1, kind, 54, 4, 10, 0, 0, 2]);
        message.extend(options);
        message.push(255);
        message
    };
    let options = [
        1, 4, 255, 255, 255, 0, 3, 8, 10, 0, 0, 2, 10, 0, 0, 3, 6, 4, 10, 0, 0, 2, 26, 2, 5, 220, 51, 4, 0,
        0, 0, 60, 58, 4, 0, 0, 0, 30, 59, 4, 0, 0, 0, 50,
    ];
    vec![
        message(2, &options),
        message(5, &options),
        message(5, &[51, 4, 255, 255, 255, 255]),
        message(6, &[]),
    ]
}

#[test]
fn dhcp_servers() {
    // Mostly what lies behind the addresses: the options.
    fuzz(&vec((mutated(leases()), any::<bool>()), 2..24), |replies| {
        run(async {
            let hub = Hub::default();
            let (server, _) = host(&hub, 1, B, false);
            spawn(async move {
                let socket = UdpSocket::bind(&server, at(Ipv4Addr::UNSPECIFIED, 67)).unwrap();
                let mut buf = [0; 1500];
                for (reply, fits) in replies.iter().cycle() {
                    let (len, _) = socket.recv_from(&mut buf).await.unwrap();
                    let mut reply = reply.clone();
                    if *fits && reply.len() > 242 && len > 242 {
                        reply[4..8].copy_from_slice(&buf[4..8]);
                        reply[28..34].copy_from_slice(&buf[28..34]);
                        reply[236..240].copy_from_slice(&[99, 130, 83, 99]);
                        // An offer to who looks for one.
                        let kind = if buf[242] == 1 { 2 } else { reply[242] };
                        reply[240..243].copy_from_slice(&[53, 1, kind]);
                    }
                    let _ = socket.send_to(&reply, at(Ipv4Addr::BROADCAST, 68)).await;
                }
            })
            .detach();
            hub.capture();
            let client = Stack::new();
            client.add_interface("main", Box::new(hub.device(2, false)), Config::default());
            sleep(Duration::from_secs(3600)).await;
            let sent = hub.captured().iter().filter(|frame| frame[6..12] == [2, 0, 0, 0, 0, 2]).count();
            assert!(sent < 4 * 3600, "{sent} frames in an hour");
        });
    });
}
