//! A client of the victim that says what it has said before, to a connection that has other numbers.

use crate::common::*;
use crate::{Devices, talk, victim};
use fata_libos::net::Checksum;
use fata_libos::testing::run;
use fata_libos::time::{Duration, sleep};
use fata_netstack::Stack;
use fata_netstack::testing::Hub;
use std::sync::OnceLock;

/// Where TCP's header begins in a frame without options of IP, and its options.
const TCP: usize = 34;
const OPTIONS: usize = TCP + 20;

/// What a client has said in a whole conversation, and where the other end began.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) frames: Vec<Vec<u8>>,
    began: Beginning,
}

/// The first number of an end, and its clock at that moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beginning {
    number: u32,
    clock: u32,
}

/// The conversation: it asks for an echo, some pieces long, and leaves.
pub(crate) fn said() -> &'static Said {
    static SAID: OnceLock<Said> = OnceLock::new();
    SAID.get_or_init(|| {
        run(async {
            let hub = Hub::default();
            let b = victim(&hub, Devices::PLAIN).await;
            let (a, interface) = host(&hub, 1, A, false);
            interface.configured().await;
            hub.capture();
            talk(&a, at(B, 80), 7000, 3000).await.expect("an echo");
            sleep(Duration::from_secs(1)).await;
            assert_eq!((b.stats().tcp_opened, b.stats().tcp_connections), (1, 0));
            let captured = hub.captured();
            let began = beginning(&captured).expect("an answer");
            Said { frames: captured.into_iter().filter(|frame| is_of_tcp(frame, 1)).collect(), began }
        })
    })
}

/// Whether it is a segment from the host whose hardware address ends so.
fn is_of_tcp(frame: &[u8], n: u8) -> bool {
    frame.len() >= OPTIONS && frame[11] == n && frame[12..15] == [8, 0, 0x45] && frame[23] == 6
}

fn word(frame: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(frame[at..at + 4].try_into().unwrap())
}

fn add(frame: &mut [u8], at: usize, more: u32) {
    let sum = word(frame, at).wrapping_add(more);
    frame[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Where each option of a segment begins, and its kind and length; as far as they make sense.
fn options(frame: &[u8]) -> Vec<(usize, u8, usize)> {
    let end = (TCP + usize::from(frame[TCP + 12] >> 4) * 4).min(frame.len());
    let (mut at, mut all) = (OPTIONS, vec![]);
    while at + 1 < end {
        let (kind, len) = (frame[at], usize::from(frame[at + 1]));
        match kind {
            0 => break,
            1 => at += 1,
            _ if len < 2 || at + len > end => break,
            _ => {
                all.push((at, kind, len));
                at += len;
            }
        }
    }
    all
}

/// The numbers of the SYN-ACK among frames.
fn beginning(frames: &[Vec<u8>]) -> Option<Beginning> {
    let answer = frames.iter().find(|frame| is_of_tcp(frame, 2) && frame[TCP + 13] & 0x12 == 0x12)?;
    let clock = options(answer).into_iter().find(|(_, kind, _)| *kind == 8)?.0 + 2;
    Some(Beginning { number: word(answer, TCP + 4), clock: word(answer, clock) })
}

/// Opens the client's connection anew: how far what the other end says now is from what it said then.
pub(crate) async fn open(hub: &Hub, b: &Stack) -> Beginning {
    // Who asks for an address says where he is.
    let mut ask = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1];
    ask.extend([A.octets().as_slice(), &[0; 6], &B.octets()].concat());
    hub.inject(&ask);
    hub.capture();
    let Said { frames, began } = said();
    hub.inject_with(&frames[0], Checksum::Verified);
    sleep(Duration::from_millis(10)).await;
    let now = beginning(&hub.captured()).expect("an answer");
    let number = now.number.wrapping_sub(began.number);
    let moved = Beginning { number, clock: now.clock.wrapping_sub(began.clock) };
    let mut second = frames[1].clone();
    rename(&mut second, moved);
    hub.inject_with(&second, Checksum::Verified);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(b.stats().tcp_connections, 1);
    moved
}

/// Moves what a segment of the client acknowledges, its blocks included, and the clock that it echoes, as far.
pub(crate) fn rename(frame: &mut [u8], moved: Beginning) {
    if !is_of_tcp(frame, 1) || frame[26..34] != [A.octets(), B.octets()].concat() || frame[36..38] != [0, 80]
    {
        return;
    }
    add(frame, TCP + 8, moved.number);
    for (at, kind, len) in options(frame) {
        match (kind, len) {
            (8, 10) => add(frame, at + 6, moved.clock),
            (5, _) => (at + 2..at + len - 3).step_by(4).for_each(|at| add(frame, at, moved.number)),
            _ => {}
        }
    }
}

/// That what the client said before is what it would say now: without this the frames would not get past the numbers.
#[test]
fn the_client_is_heard() {
    let said = said();
    run(async {
        let hub = Hub::default();
        let b = victim(&hub, Devices::PLAIN).await;
        let moved = open(&hub, &b).await;
        let mut echoed = 0;
        for frame in &said.frames[2..] {
            let mut frame = frame.clone();
            rename(&mut frame, moved);
            hub.inject_with(&frame, Checksum::Partial);
            sleep(Duration::from_millis(1)).await;
            for answer in hub.captured().iter().filter(|frame| is_of_tcp(frame, 2)) {
                echoed += answer.len() - TCP - usize::from(answer[TCP + 12] >> 4) * 4;
            }
        }
        let stats = b.stats();
        assert!(echoed >= 7000, "{echoed} {stats:?}");
        assert_eq!((stats.tcp_connections, stats.tcp_resets_ignored, stats.rx_bad), (0, 0, 0), "{stats:?}");
    });
}
