//! A guest of 8 MiB under floods of all kinds: what a remote fills leaves memory free, and who comes after is served.
//!
//! The memory is real: an allocator that has no more than that for the test's thread, and fails beyond.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::platform::{Leave, MemoryStats, Platform};
use fata_libos::spawn;
use fata_libos::task::block_on;
use fata_libos::time::{Duration, Instant, SystemTime, sleep, timeout};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Buffers, Config, Ipv6Config, Stack, TcpListener, TcpStream, UdpSocket};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What the guest has, octets.
const TOTAL: usize = 8 << 20;
/// What image and drivers take of it.
const BOOT: usize = 1 << 20;

thread_local! {
    static LIMIT: Cell<usize> = const { Cell::new(usize::MAX) };
    static USED: Cell<usize> = const { Cell::new(0) };
    static MOST: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator with each thread's limit on it.
struct Limited;

impl Limited {
    fn take(octets: usize) -> bool {
        let used = USED.get() + octets;
        // What tells of a failure has as much as it needs.
        if used > LIMIT.get() && !std::thread::panicking() {
            return false;
        }
        USED.set(used);
        MOST.set(MOST.get().max(used));
        true
    }

    fn give(octets: usize) {
        USED.set(USED.get().saturating_sub(octets));
    }
}

// SAFETY: all is left to the system's allocator, but that it is not asked beyond the limit.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Self::take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::give(layout.size());
        // SAFETY: by the caller.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // As if it were moved: for a moment there are two.
        if !Self::take(new_size) {
            return std::ptr::null_mut();
        }
        Self::give(layout.size());
        // SAFETY: by the caller.
        unsafe { System.realloc(block, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Virtual time, and the memory that the allocator has left.
struct SmallGuest(Cell<u64>);

impl Platform for SmallGuest {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.get())
    }
    fn wall_clock(&self, _: Instant) -> SystemTime {
        SystemTime::from_unix(Duration::ZERO)
    }
    fn wait(&self, deadline: Option<Instant>) {
        let deadline = deadline.expect("every task waits for something that can never happen");
        self.0.set(self.0.get().max(deadline.as_nanos()));
    }
    fn entropy(&self, seed: &mut [u8; 32]) -> bool {
        *seed = [7; 32];
        true
    }
    fn memory(&self) -> MemoryStats {
        let mut stats = MemoryStats::default();
        stats.total = TOTAL as u64;
        stats.free = (LIMIT.get() - USED.get()) as u64;
        stats
    }
    fn leave(&self, how: Leave) -> ! {
        panic!("the guest leaves: {how:?}")
    }
}

/// Runs `test` in a guest of 8 MiB, and looks that a sixteenth of it was free at any time.
fn run<F: Future>(test: F) {
    let platform = Box::leak(Box::new(SmallGuest(Cell::new(1_000_000))));
    LIMIT.set(USED.get() + TOTAL - BOOT);
    block_on(platform, test);
    let least_free = LIMIT.get() - MOST.get();
    LIMIT.set(usize::MAX);
    println!("at least {least_free} octets were free");
    assert!(least_free > TOTAL / 16, "only {least_free} octets were free");
}

/// A packet to B. `cut` is its number, and the field with flags and offset.
fn packet(from: Ipv4Addr, protocol: u8, cut: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend((20 + payload.len() as u16).to_be_bytes());
    ip.extend(cut.0.to_be_bytes());
    ip.extend(cut.1.to_be_bytes());
    ip.extend([64, protocol, 0, 0]);
    ip.extend(from.octets());
    ip.extend(B.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0][..], &ip, payload].concat()
}

/// A neighbour that there is not.
fn forged(n: u32) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 3 + (n % 250) as u8)
}

/// Puts frames on the wire, as many at a time as a ring holds.
async fn flood(hub: &Hub, count: u32, frame: impl Fn(u32) -> Vec<u8>) {
    for n in 0..count {
        hub.inject_with(&frame(n), fata_libos::net::Checksum::Verified);
        if n % 64 == 0 {
            sleep(Duration::from_micros(100)).await;
        }
    }
    sleep(Duration::from_millis(10)).await;
}

/// Says what it hears, to each connection for as long as it lives.
fn serve(stack: &Stack) {
    serve_by(TcpListener::bind(stack, at(B, 80)).unwrap());
}

fn serve_by(listener: TcpListener) {
    spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            spawn(async move {
                let mut buf = [0; 512];
                while let Ok(n @ 1..) = stream.read(&mut buf).await {
                    if stream.write_all(&buf[..n]).await.is_err() {
                        return;
                    }
                }
            })
            .detach();
        }
    })
    .detach();
}

const SMALL: Buffers = Buffers { receive: 1024, send: 1024 };

async fn is_served(a: &Stack) {
    let mut client = TcpStream::connect_with(a, at(B, 80), SMALL).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
}

#[test]
fn floods_of_packets() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        serve(&b);
        let silent = UdpSocket::bind(&b, at(B, 9)).unwrap();
        is_served(&a).await;
        let before = b.stats();

        flood(&hub, 20_000, |n| {
            let mut syn = vec![0; 20];
            syn[..2].copy_from_slice(&(1 + (n / 250) as u16).to_be_bytes());
            (syn[3], syn[12], syn[13], syn[14]) = (80, 0x50, 2, 9);
            packet(forged(n), 6, (0, 0), &syn)
        })
        .await;
        let stats = b.stats();
        assert!((100..1024).contains(&stats.tcp_half_open), "{stats:?}");
        assert!(stats.tcp_cookies > 10_000, "{stats:?}");
        is_served(&a).await;

        for port in [9, 10] {
            flood(&hub, 5000, |n| {
                let mut datagram = vec![0; 1208];
                datagram[..8].copy_from_slice(&[1, 1, 0, port, 4, 184, 0, 0]);
                packet(forged(n), 17, (0, 0), &datagram)
            })
            .await;
        }
        assert!(b.stats().udp_dropped > 4000 && b.stats().udp_no_port >= 5000);
        is_served(&a).await;

        for offset in [0, 8000] {
            flood(&hub, 5000, |n| packet(forged(n), 17, (n as u16, 0x2000 | offset), &[1; 1480])).await;
        }
        is_served(&a).await;

        flood(&hub, 5000, |n| {
            let mut arp = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
            arp.extend([2, 0, 0, 0, 0, 9]);
            arp.extend((0x0a01_0000 + n).to_be_bytes());
            arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
            arp
        })
        .await;
        is_served(&a).await;

        // A large ping is answered with one that has to be built first.
        flood(&hub, 5000, |n| {
            packet(forged(n), 1, (n as u16 / 2, if n % 2 == 0 { 0x2000 } else { 185 }), &[0; 1480])
        })
        .await;
        is_served(&a).await;

        let stats = b.stats();
        assert!(stats.memory_refused > before.memory_refused, "{stats:?}");
        drop(silent);
        sleep(Duration::from_secs(100)).await;
        let stats = b.stats();
        assert_eq!((stats.tcp_half_open, stats.tcp_time_wait, stats.tcp_timers), (0, 0, 0));
        assert!(stats.memory_octets < 400_000, "addresses of neighbours and the last fragments: {stats:?}");
    });
}

/// One of many neighbours of IPv6 that there are not.
fn forged6(n: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | 0xbad << 32 | u128::from(n))
}

/// A part of a packet to B, which begins at so many times 8 octets.
fn piece6(from: Ipv6Addr, protocol: u8, ident: u32, at: u16, data: &[u8]) -> Vec<u8> {
    let header = [&[protocol, 0][..], &(at << 3 | 1).to_be_bytes(), &ident.to_be_bytes()].concat();
    ipv6::frame(from, ipv6::B, 44, 64, &[&header[..], data].concat())
}

async fn is_served6(a: &Stack) {
    let mut client = TcpStream::connect_with(a, ipv6::at(ipv6::B, 80), SMALL).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    client.read_exact(&mut [0; 5]).await.unwrap();
}

#[test]
fn floods_of_packets_of_ipv6() {
    run(async {
        let hub = Hub::default();
        let both = |n: u8, four: Ipv4Addr, six: Ipv6Addr| {
            ipv6::host(&hub, n, Config { ipv6: Some(Ipv6Config::fixed(six, 64, None)), ..fixed(four) }).0
        };
        let (a, b) = (both(1, A, ipv6::A), both(2, B, ipv6::B));
        sleep(Duration::from_secs(3)).await;
        let listener = TcpListener::bind(&b, ipv6::at(Ipv6Addr::UNSPECIFIED, 80)).unwrap();
        serve_by(listener);
        let silent = UdpSocket::bind(&b, ipv6::at(Ipv6Addr::UNSPECIFIED, 9)).unwrap();
        is_served6(&a).await;

        flood(&hub, 20_000, |n| {
            let mut syn = vec![0; 20];
            (syn[1], syn[3], syn[12], syn[13], syn[14]) = (9, 80, 0x50, 2, 9);
            ipv6::frame(forged6(n), ipv6::B, 6, 64, &syn)
        })
        .await;
        let stats = b.stats();
        assert!((100..1024).contains(&stats.tcp_half_open), "{stats:?}");
        assert!(stats.tcp_cookies > 10_000, "{stats:?}");
        is_served6(&a).await;
        is_served(&a).await;

        for port in [9, 10] {
            flood(&hub, 5000, |n| {
                let mut datagram = vec![0; 1208];
                datagram[..8].copy_from_slice(&[1, 1, 0, port, 4, 184, 1, 1]);
                ipv6::frame(forged6(n), ipv6::B, 17, 64, &datagram)
            })
            .await;
        }
        assert!(b.stats().udp_dropped > 4000 && b.stats().udp_no_port >= 5000);
        is_served6(&a).await;

        // Packets of both versions that are never whole: one bound for all.
        let before = b.stats().memory_octets;
        for at in [0, 1000] {
            flood(&hub, 5000, |n| match n % 2 {
                0 => packet(forged(n), 17, (n as u16, 0x2000 | at), &[1; 1480]),
                _ => piece6(forged6(n), 17, n, at, &[1; 1440]),
            })
            .await;
        }
        let held = b.stats().memory_octets.saturating_sub(before);
        assert!(held <= TOTAL as u64 / 16, "{held} octets of fragments");
        is_served6(&a).await;

        // Neighbours that ask, each with a hardware address of its own; routers; and who answers what nobody asked.
        flood(&hub, 5000, |n| {
            let ask = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &ipv6::B.octets(), &[1, 1, 2, 9], &n.to_be_bytes()]
                .concat();
            ipv6::icmp(forged6(n), ipv6::B, 255, &ask)
        })
        .await;
        flood(&hub, 5000, |n| {
            let local = Ipv6Addr::from_bits((0xfe80 << 112) | (u128::from(n) + 99));
            let router =
                [&[134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 9][..], &n.to_be_bytes()];
            ipv6::icmp(local, ipv6::ALL_NODES, 255, &router.concat())
        })
        .await;
        is_served6(&a).await;

        // Ways to many, that routers say are small; and pings as large as they come.
        flood(&hub, 5000, |n| {
            let quote = &ipv6::frame(ipv6::B, forged6(n), 17, 64, &[0; 40])[14..];
            ipv6::icmp(forged6(n), ipv6::B, 64, &[&[2, 0, 0, 0, 0, 0, 5, 0][..], quote].concat())
        })
        .await;
        flood(&hub, 5000, |n| match n % 2 {
            0 => {
                piece6(forged6(n / 2), 58, n / 2, 0, &[&[128, 0, 0, 0, 0, 0, 0, 0][..], &[0; 1432]].concat())
            }
            _ => piece6(forged6(n / 2), 58, n / 2, 180, &[0; 1440]),
        })
        .await;
        is_served6(&a).await;
        is_served(&a).await;

        drop(silent);
        sleep(Duration::from_secs(100)).await;
        let stats = b.stats();
        assert_eq!((stats.tcp_half_open, stats.tcp_time_wait, stats.tcp_timers), (0, 0, 0));
        assert!(stats.memory_octets < 400_000, "addresses of neighbours and the last fragments: {stats:?}");
    });
}

#[test]
fn connections_that_stay() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        serve(&b);
        let mut open = Vec::new();
        while let Ok(Ok(stream)) =
            timeout(Duration::from_secs(3), TcpStream::connect_with(&a, at(B, 80), SMALL)).await
        {
            open.push(stream);
        }
        assert!(open.len() > 100, "{} connections", open.len());
        // All that they can make the server hold.
        for stream in &mut open {
            let _ = timeout(Duration::from_millis(10), stream.write_all(&[1; 20_000])).await;
        }
        let stats = b.stats();
        // Both ends are in this guest: either may be the one to whom the last connection is refused.
        let refused = a.stats().tcp_refused_memory + stats.tcp_refused_memory;
        assert!(refused > 0 && stats.memory_octets < TOTAL as u64 / 2, "{stats:?}");
        drop(open);
        sleep(Duration::from_secs(1)).await;
        is_served(&a).await;
        sleep(Duration::from_secs(100)).await;
        assert_eq!(b.stats().memory_octets, 160, "the address of a neighbour");
    });
}

#[test]
fn connections_that_end_by_thousands() {
    run(async {
        let (_hub, a, b) = pair(Faults::default()).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut opened = 0;
        while opened < 2000 {
            let connecting = TcpStream::connect_with(&a, at(B, 80), SMALL);
            // The port may be one that the server remembers.
            let Ok(client) = timeout(Duration::from_millis(10), connecting).await else { continue };
            // The server closes first, so that it is the one that remembers.
            drop(listener.accept().await.unwrap());
            assert_eq!(client.unwrap().read(&mut [0]).await, Ok(0));
            opened += 1;
        }
        sleep(Duration::from_millis(10)).await;
        let stats = b.stats();
        assert!((100..1024).contains(&stats.tcp_time_wait), "{stats:?}");
        assert_eq!(stats.tcp_opened, opened);
    });
}
