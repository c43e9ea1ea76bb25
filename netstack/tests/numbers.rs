//! What nobody can guess: first sequence numbers (RFC 6528), ports (RFC 6056); and connections that are opened anew while
//! the old one is in TIME-WAIT (RFC 6191).

mod common;

use common::*;
use fata_libos::net::Checksum;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::tcp::{Flags, Header, Options, Parsed, Seq, Timestamp};
use fata_netstack::testing::{Faults, Hub};
use fata_netstack::{Error, TcpListener, TcpStream};

/// Ethernet's and IPv4's headers, octets.
const HEADERS: usize = 34;
/// A stranger, 10.0.0.9.
const STRANGER: u8 = 9;

/// A segment from the stranger to B.
fn inject(hub: &Hub, ports: (u16, u16), header: Header) {
    let len = 20 + header.len();
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, STRANGER, 8, 0, 0x45, 0];
    frame.extend((len as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, STRANGER]);
    frame.extend(B.octets());
    let words = frame[14..].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    frame[24..26].copy_from_slice(&(!(sum + (sum >> 16)) as u16).to_be_bytes());
    frame.resize(HEADERS + header.len(), 0);
    header.write(ports.0, ports.1, &mut frame[HEADERS..]);
    hub.inject_with(&frame, Checksum::Verified);
}

/// The stranger's answer to who asks for its hardware address.
fn inject_address(hub: &Hub) {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, STRANGER, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
    frame.extend([2, 0, 0, 0, 0, STRANGER, 10, 0, 0, STRANGER, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
    hub.inject(&frame);
}

/// The segments that the host whose hardware address ends so has sent since the last time.
fn sent_by(hub: &Hub, n: u8) -> Vec<Parsed> {
    let of_tcp = |frame: &Vec<u8>| {
        frame.len() >= HEADERS + 20 && frame[12..14] == [8, 0] && frame[23] == 6 && frame[11] == n
    };
    hub.captured()
        .iter()
        .filter(|frame| of_tcp(frame))
        .filter_map(|frame| Header::parse(&frame[HEADERS..]))
        .collect()
}

fn syn(seq: u32, clock: Option<u32>) -> Header {
    let timestamp = clock.map(|value| Timestamp { value, echo: 0 });
    let options = Options { mss: Some(1460), timestamp, ..Options::default() };
    Header { seq: Seq(seq), window: 8192, flags: Flags::SYN, options, ..Header::default() }
}

#[test]
fn first_numbers_are_a_clock_and_a_secret() {
    run(async {
        let (hub, _, b) = pair(Faults::default()).await;
        let _listener = TcpListener::bind(&b, at(B, 80)).unwrap();
        hub.capture();
        let answer = async |port: u16| {
            inject(&hub, (port, 80), syn(7, None));
            inject_address(&hub);
            sleep(Duration::from_millis(10)).await;
            let number = sent_by(&hub, 2).last().expect("a SYN-ACK").header.seq;
            inject(&hub, (port, 80), Header { seq: Seq(8), flags: Flags::RST, ..Header::default() });
            sleep(Duration::from_millis(90)).await;
            number
        };
        // Of one connection, they run on with a clock of about four microseconds, so that an old one's segments are old.
        let (first, second) = (answer(1000).await, answer(1000).await);
        let ticks = second - first;
        assert!((20_000..30_000).contains(&ticks), "{ticks} in a tenth of a second");
        // Those of others say nothing of it.
        let mut numbers = vec![];
        for port in 1001..1101 {
            numbers.push(answer(port).await);
        }
        let near = numbers.windows(2).filter(|pair| (pair[1] - pair[0]).min(pair[0] - pair[1]) < 1 << 24);
        assert!(near.count() < 10, "{numbers:?}");
    });
}

#[test]
fn ports_cannot_be_guessed() {
    run(async {
        let (hub, a, b) = pair(Faults::default()).await;
        drop(TcpListener::bind(&b, at(B, 7)).unwrap());
        hub.capture();
        for _ in 0..200 {
            assert_eq!(TcpStream::connect(&a, at(B, 9)).await.unwrap_err(), Error::ConnectionRefused);
        }
        let ports: Vec<u16> = sent_by(&hub, 1).iter().map(|segment| segment.source).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| *port >= 49_152));
        // Of 16,384: hardly any near the one before.
        let near = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 64).count();
        assert!(near < 20, "{near} of 200");
    });
}

/// B closes a connection with the stranger, whose clock stood at 1000 last, and which sent numbers up to 5002.
async fn in_time_wait(hub: &Hub, listener: &TcpListener, ports: (u16, u16)) {
    let with = |seq: u32, ack: Seq, flags: Flags, clock: u32| {
        let timestamp = Some(Timestamp { value: clock, echo: 1 });
        let options = Options { timestamp, ..Options::default() };
        Header { seq: Seq(seq), ack, window: 8192, flags, options }
    };
    inject(hub, ports, syn(5000, Some(999)));
    inject_address(hub);
    sleep(Duration::from_millis(10)).await;
    let iss = sent_by(hub, 2).last().expect("a SYN-ACK").header.seq;
    inject(hub, ports, with(5001, iss + 1, Flags::ACK, 1000));
    let (stream, _) = listener.accept().await.unwrap();
    drop(stream);
    sleep(Duration::from_millis(10)).await;
    inject(hub, ports, with(5001, iss + 2, Flags::ACK | Flags::FIN, 1000));
    sleep(Duration::from_millis(10)).await;
    sent_by(hub, 2);
}

#[test]
fn a_later_clock_opens_a_connection_that_waits() {
    for (clock, seq, opens) in [
        // Whatever its number, where its clock is later; by its number, where it has none.
        (Some(1001), 4000, true),
        (Some(1001), 6000, true),
        (None, 6000, true),
        (None, 4000, false),
        (Some(1000), 6000, true),
        (Some(1000), 4000, false),
        (Some(999), 4000, false),
    ] {
        run(async move {
            let (hub, _, b) = pair(Faults::default()).await;
            let listener = TcpListener::bind(&b, at(B, 80)).unwrap();
            hub.capture();
            let ports = (1234, 80);
            in_time_wait(&hub, &listener, ports).await;
            assert_eq!(b.stats().tcp_time_wait, 1);
            inject(&hub, ports, syn(seq, clock));
            sleep(Duration::from_millis(10)).await;
            let answers = sent_by(&hub, 2);
            let has_opened = answers.iter().any(|answer| answer.header.flags.has(Flags::SYN | Flags::ACK));
            assert_eq!(has_opened, opens, "a SYN with clock {clock:?} and number {seq}");
        });
    }
}
