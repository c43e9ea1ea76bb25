//! Nothing that arrives makes the stack panic: noise, mutated frames, and segments that a hostile peer could send.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::net::Checksum;
use fata_libos::spawn;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep, timeout};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Buffers, Config, Resolver, Stack, TcpListener, TcpStream, UdpSocket};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::{LazyLock, mpsc};

/// Makes the IP header's checksum right, so that what lies behind it is reached.
fn fix_header(frame: &mut [u8]) {
    if frame.len() < 34 || frame[12..14] != [8, 0] {
        return;
    }
    let len = usize::from(frame[14] & 15) * 4;
    if len < 20 || frame.len() < 14 + len {
        return;
    }
    frame[24..26].fill(0);
    let words = frame[14..14 + len].chunks_exact(2);
    let mut sum: u32 = words.map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// Frames of every protocol that the stack speaks, from a day in its life.
static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    run(async {
        let hub = Hub::default();
        hub.capture();
        let (a, ia) = host(&hub, 1, A, false);
        let b = Stack::new();
        b.add_interface("main", Box::new(hub.device(2, false)), Config { dns: vec![A.into()], ..fixed(B) });
        let dhcp = Stack::new();
        dhcp.add_interface("main", Box::new(hub.device(3, false)), Config::default());
        ia.configured().await;
        sleep(Duration::from_millis(10)).await;
        let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        let mut client = TcpStream::connect(&a, at(B, 80)).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(&[1; 3000]).await.unwrap();
        server.read_exact(&mut [0; 3000]).await.unwrap();
        server.shutdown().await.unwrap();
        drop(client);
        let socket = UdpSocket::bind(&a, at(A, 5)).unwrap();
        socket.send_to(&[1; 4000], at(B, 6)).await.unwrap();
        socket.send_to(&[1; 40], at(B, 6)).await.unwrap();
        let _ = timeout(Duration::from_secs(1), Resolver::new(&b).resolve("www.example.org")).await;
        sleep(Duration::from_secs(5)).await;
        hub.captured()
    })
});

/// A frame of the corpus with some octets changed, perhaps cut short or with something behind it.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let parts = (
        any::<prop::sample::Index>(),
        vec(change, 0..6),
        any::<bool>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    );
    parts.prop_map(|(which, changes, cut, len, fix)| {
        let mut frame = CORPUS[which.index(CORPUS.len())].clone();
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
        for (at, value) in changes {
            // The headers are where it hurts.
            let at = at.index(frame.len().min(80));
            frame[at] = value;
        }
        if cut {
            frame.truncate(len.index(frame.len()));
        }
        if fix {
            fix_header(&mut frame);
        }
        frame
    })
}

/// A server with all kinds of sockets, and one interface that still looks for an address.
async fn victim(hub: &Hub) -> Stack {
    let (b, ib) = host(hub, 2, B, false);
    ib.configured().await;
    b.add_interface("dhcp", Box::new(hub.device(2, false)), Config::default());
    let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
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
    let socket = UdpSocket::bind(&b, at(Ipv4Addr::UNSPECIFIED, 6)).unwrap();
    spawn(async move { while socket.recv_from(&mut [0; 100]).await.is_ok() {} }).detach();
    b
}

/// One thing that a hostile peer or the application does. Numbers are relative to what would be right.
#[derive(Clone, Debug)]
enum Step {
    Segment { seq: i32, ack: i32, flags: u8, window: u16, len: u16, options: Vec<u8> },
    Write(u16),
    Read(u16),
    Shutdown,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let near = || prop_oneof![4 => Just(0), 2 => -3..3i32, 2 => -70_000..70_000i32, 1 => any::<i32>()];
    let flags = prop_oneof![4 => Just(0x10u8), 2 => Just(0x18), 2 => Just(0x11), 1 => Just(0x12), 1 => Just(0x04), 2 => any::<u8>()];
    let window = prop_oneof![Just(0u16), Just(1), Just(8192), any::<u16>()];
    let len = prop_oneof![3 => Just(0u16), 2 => 1..20u16, 2 => 0..1460u16];
    let segment = (near(), near(), flags, window, len, vec(any::<u8>(), 0..3));
    prop_oneof![
        8 => segment.prop_map(|(seq, ack, flags, window, len, options)| Step::Segment { seq, ack, flags, window, len, options }),
        2 => (1..9000u16).prop_map(Step::Write),
        2 => (1..9000u16).prop_map(Step::Read),
        1 => Just(Step::Shutdown),
        2 => (0..3000u16).prop_map(Step::Wait),
    ]
}

struct Peer {
    hub: Hub,
    port: u16,
    server_port: u16,
    seq: u32,
    ack: u32,
}

impl Peer {
    fn send(&mut self, seq: u32, ack: u32, flags: u8, window: u16, data: usize, options: &[u8]) {
        let mut tcp = Vec::new();
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(self.server_port.to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        let padded = options.len().div_ceil(4) * 4;
        tcp.extend([((20 + padded) / 4 * 16) as u8, flags]);
        tcp.extend(window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(options);
        tcp.resize(20 + padded, 0);
        tcp.resize(20 + padded + data, 0x55);
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0];
        frame.extend((20 + tcp.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 9, 10, 0, 0, 2]);
        frame.extend(tcp);
        fix_header(&mut frame);
        self.hub.inject_with(&frame, Checksum::Verified);
    }

    /// Notes where the victim's numbers are.
    fn listen(&mut self) {
        for frame in self.hub.captured() {
            if frame.len() >= 54
                && frame[23] == 6
                && frame[26..30] == B.octets()
                && frame[30..34] == [10, 0, 0, 9]
            {
                let word = |at: usize| u32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
                let len = frame.len() - 34 - usize::from(frame[46] >> 4) * 4;
                let syn_fin = u32::from(frame[47] & 2 != 0) + u32::from(frame[47] & 1 != 0);
                self.ack = word(38).wrapping_add(len as u32 + syn_fin);
                self.server_port = u16::from_be_bytes([frame[34], frame[35]]);
                if frame[47] & 0x10 != 0 {
                    self.seq = word(42);
                }
            }
        }
    }
}

/// Plays a script against a connection to, or from, the victim.
async fn play(steps: Vec<Step>, scale: Option<u8>, active: bool, buffers: Buffers) {
    let hub = Hub::default();
    let (b, ib) = host(&hub, 2, B, false);
    ib.configured().await;
    hub.capture();
    let mut arp = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend([2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    hub.inject(&arp);
    sleep(Duration::from_millis(1)).await;
    let mut peer = Peer { hub, port: 999, server_port: 80, seq: 77, ack: 0 };
    let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
    listener.set_buffers(buffers);
    let options: Vec<u8> = scale.map_or(vec![], |s| vec![2, 4, 5, 180, 3, 3, s, 1, 4, 2]);
    let connecting = active.then(|| {
        let b = b.clone();
        spawn(async move { TcpStream::connect_with(&b, at([10, 0, 0, 9].into(), 999), buffers).await })
    });
    sleep(Duration::from_millis(1)).await;
    if active {
        peer.listen();
        peer.send(77, peer.ack, 0x12, 8192, 0, &options);
    } else {
        peer.send(77, 0, 2, 8192, 0, &options);
        sleep(Duration::from_millis(1)).await;
        peer.listen();
        peer.send(78, peer.ack, 0x10, 8192, 0, &[]);
    }
    let mut stream = match connecting {
        Some(connecting) => connecting.await.unwrap(),
        None => listener.accept().await.unwrap().0,
    };
    peer.seq = 78;
    for step in steps {
        match step {
            Step::Segment { seq, ack, flags, window, len, options } => {
                let (seq, ack) = (peer.seq.wrapping_add_signed(seq), peer.ack.wrapping_add_signed(ack));
                peer.send(seq, ack, flags, window, len.into(), &options);
                sleep(Duration::from_millis(1)).await;
            }
            Step::Write(len) => {
                let _ = timeout(Duration::from_millis(5), stream.write(&vec![1; len.into()])).await;
            }
            Step::Read(len) => {
                let _ = timeout(Duration::from_millis(5), stream.read(&mut vec![0; len.into()])).await;
            }
            Step::Shutdown => stream.shutdown().await.unwrap(),
            Step::Wait(millis) => sleep(Duration::from_millis(millis.into())).await,
        }
        peer.listen();
    }
    // The listener too: an old port may have opened a new connection, which waits to be accepted.
    drop((stream, listener));
    sleep(Duration::from_secs(200)).await;
    let stats = b.stats();
    assert_eq!((stats.tcp_connections, stats.tcp_buffer_octets, stats.tcp_time_wait), (0, 0, 0));
}

proptest! {
    #[test]
    fn noise(frames in vec(vec(any::<u8>(), 0..200), 1..50)) {
        run(async {
            let hub = Hub::default();
            let b = victim(&hub).await;
            for mut frame in frames {
                hub.inject(&frame);
                if frame.len() > 14 {
                    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
                    frame[12..14].copy_from_slice(&[8, 0]);
                    frame[14] = 0x45;
                    fix_header(&mut frame);
                    hub.inject(&frame);
                }
            }
            sleep(Duration::from_secs(100)).await;
            prop_assert_eq!(b.stats().tcp_connections, 0);
            Ok(())
        })?;
    }

    #[test]
    fn mutations(frames in vec((mutated(), any::<bool>()), 1..100)) {
        run(async {
            let hub = Hub::new(Faults::default());
            let b = victim(&hub).await;
            for (frame, verified) in frames {
                hub.inject_with(&frame, if verified { Checksum::Verified } else { Checksum::Complete });
            }
            sleep(Duration::from_secs(100)).await;
            // Still alive.
            let (a, ia) = host(&hub, 1, Ipv4Addr::new(10, 0, 0, 200), false);
            ia.configured().await;
            let mut stream = TcpStream::connect(&a, at(B, 80)).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            prop_assert!(b.stats().tcp_connections < 100);
            Ok(())
        })?;
    }

    #[test]
    fn hostile_peers(
        steps in vec(step(), 1..60),
        scale in prop_oneof![Just(None), (0..=20u8).prop_map(Some)],
        active in any::<bool>(),
        room in prop_oneof![Just(1024usize), Just(5000), Just(65_536), Just(200_000)],
    ) {
        // On a thread of its own, so that a panic leaves nothing behind for the next case.
        let case = format!("{steps:?} {scale:?} {active} {room}");
        let (done, over) = mpsc::channel();
        let played = std::thread::spawn(move || {
            run(play(steps, scale, active, Buffers { receive: room, send: room }));
            let _ = done.send(());
        });
        if over.recv_timeout(Duration::from_secs(20)) == Err(mpsc::RecvTimeoutError::Timeout) {
            // The thread cannot be stopped: it sends for ever.
            let _ = writeln!(std::io::stderr(), "does not come to an end: {case}");
            std::process::abort();
        }
        prop_assert!(played.join().is_ok());
    }
}
