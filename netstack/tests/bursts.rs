//! Segments that come in one burst: what they tell together is told by as few acknowledgements as have room for it.

mod common;

use common::*;
use fata_libos::net::Checksum;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::testing::Hub;
use fata_netstack::testing::tcp::{Flags, Header, Options, Seq, Timestamp};
use fata_netstack::{Stack, TcpListener, TcpStream};
use std::cell::Cell;

/// The stranger's ports and first number.
const PORTS: (u16, u16) = (1234, 80);
const FIRST: Seq = Seq(u32::MAX - 20_000);
/// Octets of a segment: enough for its data to be taken where it is.
const LEN: u32 = 1000;

/// A frame of a stranger, 10.0.0.9, to B.
fn frame(header: &Header, data: usize) -> Vec<u8> {
    let mut segment = vec![7; header.len() + data];
    header.write(PORTS.0, PORTS.1, &mut segment);
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0];
    frame.extend((20 + segment.len() as u16).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 9, 10, 0, 0, 2]);
    let words = frame[14..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.extend(segment);
    frame
}

/// What B has sent to the stranger since the last look.
fn heard(hub: &Hub) -> Vec<Header> {
    let frames = hub.captured();
    let segments = frames.iter().filter(|f| f.len() > 53 && f[23] == 6 && f[26..30] == B.octets());
    segments.map(|frame| Header::parse(&frame[34..]).unwrap().header).collect()
}

/// A stranger that is connected to B.
struct Stranger {
    hub: Hub,
    ack: Seq,
    clocks: bool,
    /// B's clock as it was heard last.
    clock: Cell<u32>,
    _stack: Stack,
    stream: TcpStream,
}

impl Stranger {
    async fn connect(clocks: bool) -> Self {
        let hub = Hub::default();
        let (stack, interface) = host(&hub, 2, B, false);
        interface.configured().await;
        let listener = TcpListener::bind(&stack, at(B, PORTS.1)).unwrap();
        hub.capture();
        let options = Options {
            mss: Some(1460),
            sack_permitted: true,
            timestamp: clocks.then_some(Timestamp { value: 1, echo: 0 }),
            ..Options::default()
        };
        let syn = Header { seq: FIRST - 1, flags: Flags::SYN, window: 9000, options, ..Header::default() };
        hub.inject_with(&frame(&syn, 0), Checksum::Verified);
        let mut arp = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 2];
        arp.extend([2, 0, 0, 0, 0, 9, 10, 0, 0, 9, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
        hub.inject(&arp);
        sleep(Duration::from_millis(10)).await;
        let answer = *heard(&hub).last().unwrap();
        let ack = answer.seq + 1;
        let clock = Cell::new(answer.options.timestamp.map_or(0, |clocks| clocks.value));
        let header = Self::header(clocks, ack, 0);
        hub.inject_with(&frame(&header, 0), Checksum::Verified);
        let (stream, _) = listener.accept().await.unwrap();
        Self { hub, ack, clocks, clock, _stack: stack, stream }
    }

    fn header(clocks: bool, ack: Seq, at: u32) -> Header {
        let timestamp = clocks.then_some(Timestamp { value: 2, echo: 0 });
        let options = Options { timestamp, ..Options::default() };
        Header { seq: FIRST + at, ack, flags: Flags::ACK, window: 9000, options }
    }

    /// Sends 64 segments of [`LEN`] octets in one burst, the first at `place`, and echoes a clock that is so old: what is said to
    /// them, and how often the device was told to send something.
    async fn long_burst(&self, place: u32, age: u32) -> (Vec<Header>, u64) {
        sleep(Duration::from_millis(u64::from(age) + 1)).await;
        let clock = self.clock.get();
        for place in place..place + 64 {
            let mut header = Self::header(true, self.ack, place * LEN);
            header.options.timestamp = Some(Timestamp { value: 2, echo: clock });
            self.hub.inject_with(&frame(&header, LEN as usize), Checksum::Verified);
        }
        let before = self.hub.flushes(0);
        sleep(Duration::from_millis(1)).await;
        let said = heard(&self.hub);
        self.clock.set(said.last().unwrap().options.timestamp.unwrap().value);
        (said, self.hub.flushes(0) - before)
    }

    /// Sends these segments of [`LEN`] octets, by their places, in one burst: what is said to them.
    async fn burst(&self, places: &[u32]) -> Vec<Header> {
        for place in places {
            let header = Self::header(self.clocks, self.ack, place * LEN);
            self.hub.inject_with(&frame(&header, LEN as usize), Checksum::Verified);
        }
        sleep(Duration::from_millis(1)).await;
        heard(&self.hub)
    }
}

/// The places of the first segments of the blocks.
fn blocks(header: &Header) -> Vec<u32> {
    header.options.sack.iter().map(|(from, _)| (*from - FIRST) / LEN).collect()
}

#[test]
fn each_range_of_a_burst_is_told() {
    for (clocks, expected) in
        [(false, [&[7, 5, 3, 1][..], &[11, 9, 7, 5]]), (true, [&[5, 3, 1][..], &[11, 9, 7]])]
    {
        run(async move {
            let stranger = Stranger::connect(clocks).await;
            let said = stranger.burst(&[1, 3, 5, 7, 9, 11]).await;
            assert_eq!(said.iter().map(blocks).collect::<Vec<_>>(), expected);
            // Those that follow on the newest hide nothing.
            let said = stranger.burst(&[13, 14, 15, 16, 17]).await;
            assert_eq!(said.len(), 1);
            assert_eq!(blocks(&said[0])[0], 13);
            // Looked at before what they hide was told, and again after it.
            assert_eq!(stranger.hub.placed(0), 10);
        });
    }
}

#[test]
fn each_duplicate_of_a_burst_is_told() {
    run(async {
        let stranger = Stranger::connect(true).await;
        let said = stranger.burst(&[0, 1, 2, 3, 4, 5]).await;
        assert_eq!(said.last().unwrap().ack, FIRST + 6 * LEN);
        let said = stranger.burst(&[0, 2, 3, 5, 6]).await;
        let ends = said.iter().map(|said| said.options.sack.first().map(|(_, to)| (*to - FIRST) / LEN));
        assert_eq!(said.iter().flat_map(blocks).collect::<Vec<_>>(), [0, 2, 5]);
        assert_eq!(ends.collect::<Vec<_>>(), [Some(1), Some(4), Some(6)]);
    });
}

#[test]
fn what_comes_in_order_in_one_burst_is_acknowledged_once() {
    run(async {
        let mut stranger = Stranger::connect(true).await;
        // The first ones are acknowledged at once.
        for place in 0..16 {
            assert_eq!(stranger.burst(&[place]).await.len(), 1);
        }
        assert_eq!(stranger.stream.read_with(|shown| (shown.len(), shown.len())).await, Ok(16_000));
        heard(&stranger.hub);
        let said = stranger.burst(&[16, 17, 18, 19, 20, 21, 22, 23]).await;
        assert_eq!(said.iter().map(|said| said.ack - FIRST).collect::<Vec<_>>(), [24 * LEN]);
        assert_eq!(stranger.hub.placed(0), 24);
    });
}

/// Over a long way each 64 KiB or so are acknowledged as soon as they are taken, so that who sends is not answered for all of a
/// burst at once; over a short one a burst is.
#[test]
fn a_long_burst_over_a_long_way_is_acknowledged_in_parts() {
    for (age, expected) in [(20, &[60, 64][..]), (1, &[64])] {
        run(async move {
            let mut stranger = Stranger::connect(true).await;
            // The clock of the handshake is old.
            let said = stranger.burst(&[0]).await;
            stranger.clock.set(said.last().unwrap().options.timestamp.unwrap().value);
            assert_eq!(stranger.stream.read_with(|shown| (shown.len(), shown.len())).await, Ok(1000));
            for start in [1, 65] {
                let (said, flushes) = stranger.long_burst(start, age).await;
                let ends = said.iter().map(|said| (said.ack - FIRST) / LEN - start).collect::<Vec<_>>();
                assert_eq!((&ends[..], flushes), (expected, expected.len() as u64), "{age} ms");
                let read = stranger.stream.read_with(|shown| (shown.len(), shown.len())).await;
                assert_eq!(read, Ok(64_000));
                sleep(Duration::from_millis(1)).await;
                let said = heard(&stranger.hub);
                if let Some(said) = said.last() {
                    stranger.clock.set(said.options.timestamp.unwrap().value);
                }
            }
        });
    }
}
