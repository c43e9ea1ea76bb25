//! When a machine acknowledges over a short way.

use super::spread::{Reader, SEGMENT};
use super::*;

const WAY: Duration = Duration::from_millis(2);
/// What comes each quarter of a millisecond, segments: 72 kB.
const BULK: u32 = 50;
const STEP: Duration = Duration::from_micros(250);

/// A machine that reads so many segments each quarter of a millisecond; how often it has acknowledged in 100 ms.
fn acknowledgements(reader: &mut Reader, segments: u32) -> usize {
    let mut count = 0;
    for _ in 0..400 {
        reader.burst(segments, 0);
        reader.rest_for(STEP);
        count += reader.told.len();
    }
    count
}

/// One that reads in bulk, whose window has grown by that.
fn in_bulk() -> Reader {
    let mut reader = Reader::over(WAY);
    for segments in [3, 6, 12, 25, BULK] {
        acknowledgements(&mut reader, segments);
    }
    reader
}

/// 8 steps are a round trip, in which 579 kB come: as much as one acknowledgement is for, each third step.
#[test]
fn in_bulk_a_part_of_a_round_trip_is_acknowledged_together() {
    let mut reader = in_bulk();
    let count = acknowledgements(&mut reader, BULK);
    assert!((120..=140).contains(&count), "{count} times");
}

#[test]
fn the_last_of_it_waits_for_a_millisecond() {
    let mut reader = in_bulk();
    reader.rest_for(WAY);
    let began = reader.now;
    reader.burst(BULK, 0);
    assert_eq!(reader.told, []);
    reader.rest_for(WAY);
    let end = reader.end().rcv.next;
    assert_eq!(reader.told, [(began + Duration::from_millis(1), end)]);
}

/// A peer with a small window would wait for each.
#[test]
fn less_than_bulk_is_acknowledged_at_once() {
    let mut reader = Reader::over(WAY);
    assert!(acknowledgements(&mut reader, 4) >= 400);
    // After bulk too, as that peer has lost something.
    let mut reader = in_bulk();
    acknowledgements(&mut reader, 4);
    assert_eq!(acknowledgements(&mut reader, 4), 400);
}

#[test]
fn what_is_lost_is_told_at_once() {
    let mut reader = in_bulk();
    reader.rest_for(WAY);
    reader.burst(BULK, 0);
    assert_eq!(reader.told, []);
    reader.burst(1, SEGMENT);
    let next = reader.end().rcv.next;
    assert_eq!(reader.told.last().map(|told| told.1), Some(next));
}

/// Data that waits in queues takes as long as over a long way, and is acknowledged as over a short one.
#[test]
fn a_queue_makes_no_way_long() {
    let mut reader = in_bulk();
    reader.way = 10 * WAY;
    acknowledgements(&mut reader, BULK);
    let first = reader.end().rcv.next;
    reader.burst(300, 0);
    assert_eq!(reader.told, [(reader.now, first + 300 * SEGMENT)]);
}
