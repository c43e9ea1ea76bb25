//! Who shares a device that never has room for all: connections with each other, and with datagrams.

mod common;

use common::*;
use embedded_io_async::{Read, Write};
use fata_libos::testing::run;
use fata_libos::time::{Duration, Instant, sleep};
use fata_libos::{spawn, spawn_detached};
use fata_netstack::testing::Hub;
use fata_netstack::{Stack, TcpListener, TcpStream, UdpSocket};
use std::cell::Cell;
use std::rc::Rc;

/// Frames that the device of A takes in each of these times.
const ROOM: usize = 8;
const TURN: Duration = Duration::from_micros(100);

/// A, whose device cuts up sends of so many octets, and B.
async fn hosts(hub: &Hub, large: usize) -> (Stack, Stack) {
    let device = hub.device(1, false);
    if large > 0 {
        device.set_large(large);
    }
    device.set_room(ROOM);
    device.set_turn(TURN);
    let a = Stack::new();
    a.add_interface("main", Box::new(device), fixed(A)).configured().await;
    let (b, interface) = host(hub, 2, B, large > 0);
    interface.configured().await;
    (a, b)
}

/// Sends from A to a port of B for ever; counts what arrives there.
async fn bulk(a: &Stack, b: &Stack, port: u16) -> Rc<Cell<u64>> {
    let listener = TcpListener::bind(b, at(B, port)).unwrap();
    let mut out = TcpStream::connect(a, at(B, port)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let got = Rc::new(Cell::new(0));
    let count = got.clone();
    spawn_detached(async move { while out.write_all(&[7; 20_000]).await.is_ok() {} });
    spawn_detached(async move {
        let mut buf = vec![0; 70_000];
        while let Ok(n @ 1..) = stream.read(&mut buf).await {
            count.set(count.get() + n as u64);
        }
    });
    got
}

/// The longest that B waits for an answer of A, of ten.
async fn ask(a: &Stack, b: &Stack) -> Duration {
    let listener = TcpListener::bind(a, at(A, 7)).unwrap();
    let mut asker = TcpStream::connect(b, at(A, 7)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let answers = spawn(async move {
        let mut buf = [0; 10];
        while stream.read_exact(&mut buf).await.is_ok() {
            stream.write_all(&buf).await.unwrap();
        }
    });
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        sleep(TURN * 7).await;
        let asked = Instant::now();
        asker.write_all(&[1; 10]).await.unwrap();
        asker.read_exact(&mut [0; 10]).await.unwrap();
        longest = longest.max(Instant::now().duration_since(asked));
    }
    drop(answers);
    longest
}

/// Two that send all they can share the room that there is, and who has little to say waits for a few turns of the others.
#[test]
fn connections_take_turns() {
    for large in [0, 65_535] {
        run(async move {
            let hub = Hub::default();
            let (a, b) = hosts(&hub, large).await;
            let streams = [bulk(&a, &b, 81).await, bulk(&a, &b, 82).await];
            sleep(TURN * 100).await;
            let before = streams.each_ref().map(|got| got.get());
            let longest = ask(&a, &b).await;
            assert!(longest <= TURN * 6, "{longest:?} for an answer");
            let [first, second] = [0, 1].map(|n| streams[n].get() - before[n]);
            assert!(first.min(second) * 3 > first.max(second), "{first} and {second} octets");
            a.abort_all();
        });
    }
}

/// Datagrams that are sent as fast as there is room for them leave half of it to connections, and get the other half.
#[test]
fn datagrams_and_connections_take_turns() {
    for large in [0, 65_535] {
        run(async move {
            let hub = Hub::default();
            let (a, b) = hosts(&hub, large).await;
            let stream = bulk(&a, &b, 81).await;
            let socket = UdpSocket::bind(&a, at(A, 9)).unwrap();
            let sender = spawn(async move { while socket.send_to(&[3; 1000], at(B, 9)).await.is_ok() {} });
            sleep(TURN * 100).await;
            let longest = ask(&a, &b).await;
            assert!(longest <= TURN * 8, "{longest:?} for an answer");
            let before = stream.get();
            // Last, as it keeps all frames.
            hub.capture();
            sleep(TURN * 50).await;
            let seen = hub.captured();
            let frames =
                |protocol| seen.iter().filter(|f| f[26..30] == A.octets() && f[23] == protocol).count();
            let (udp, tcp) = (frames(17), frames(6));
            // A large one counts as much as a turn of others.
            let cost = if large > 0 { 12 } else { 1 };
            assert!(tcp * cost * 4 > 50 * ROOM && udp * 4 > 50 * ROOM, "{tcp} of TCP, {udp} of UDP");
            assert!(stream.get() - before > 100_000, "{} octets", stream.get() - before);
            drop(sender);
            a.abort_all();
        });
    }
}
