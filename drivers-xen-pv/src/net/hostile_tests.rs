//! Tests of a queue against a back end that lies: each lie ends in the fault that says so, and no memory is lost or shown.

use super::chain::{MAX_EXTRAS, MAX_FRAME, MAX_PARTS};
use super::cut::tests::segment;
use super::fault::NetFault;
use super::queue::Queue;
use super::queue_tests::{frame, send, send_to_be_cut, with_pair};
use crate::abi::netif::{ExtraInfo, RxResponse, RxSlot, TxResponse, extra_type, rx_flags};
use crate::fake::netback::{Delivery, NetbackRings};
use crate::ring::{IdFault, Message, RingFault, RingIdx, layout};
use crate::types::PAGE_SIZE;
use proptest::prelude::*;

/// What receiving ends in after `lie` was told.
fn rx_fault(lie: impl FnOnce(&mut NetbackRings)) -> NetFault {
    let mut fault = None;
    with_pair(1514, |_, queue, back| {
        lie(back);
        back.publish();
        fault = drain(queue).err();
    });
    fault.expect("the lie is noticed")
}

/// What sending ends in after `lie` was told of three frames in flight.
fn tx_fault(lie: impl FnOnce(&mut NetbackRings)) -> NetFault {
    let mut fault = None;
    with_pair(1514, |_, queue, back| {
        for n in 0..3 {
            assert!(send(queue, &frame(60, n), 0).unwrap());
        }
        queue.flush();
        lie(back);
        fault = exhaust(queue).err();
    });
    fault.expect("the lie is noticed")
}

fn drain(queue: &mut Queue) -> Result<(), NetFault> {
    while queue.receive_whole(&mut [0; 70000])?.is_some() {}
    Ok(())
}

/// Sends until there is no more room, which is when responses are looked at.
fn exhaust(queue: &mut Queue) -> Result<(), NetFault> {
    while send(queue, &[0; 60], 0)? {}
    Ok(())
}

/// A response for the next empty page.
fn respond(back: &mut NetbackRings, response: RxResponse) {
    let id = back.take_empty().expect("an empty page").id;
    back.rx.response(RxResponse { id, ..response }.into());
}

fn extra(back: &mut NetbackRings, kind: u8, flags: u8, body: [u8; 6]) {
    back.take_empty().expect("an empty page");
    back.rx.response(RxSlot::from(ExtraInfo { kind, flags, body }));
}

const FIRST_OF_SEVERAL: RxResponse = RxResponse { id: 0, offset: 0, flags: rx_flags::MORE_DATA, status: 100 };
const WITH_EXTRA: RxResponse = RxResponse { id: 0, offset: 0, flags: rx_flags::EXTRA_INFO, status: 100 };

#[test]
fn a_receive_response_must_have_the_id_of_its_slot() {
    let fault =
        rx_fault(|back| back.rx.response(RxResponse { id: 7, status: 60, ..Default::default() }.into()));
    assert_eq!(fault, NetFault::RxId { slot: 0, seen: 7, expected: 0 });
    assert_eq!(fault.to_string(), "receive slot 0 has a response with id 7, expected 0");
    let twice = rx_fault(|back| {
        let response = RxResponse { id: 0, status: 60, ..Default::default() };
        back.rx.response(response.into());
        back.rx.response(response.into());
    });
    assert_eq!(twice, NetFault::RxId { slot: 1, seen: 0, expected: 1 });
}

#[test]
fn a_receive_response_must_lie_within_its_page() {
    for (offset, status) in [(0, 4097), (1, 4096), (4096, 1), (u16::MAX, 1), (u16::MAX, i16::MAX)] {
        let fault = rx_fault(|back| respond(back, RxResponse { id: 0, offset, flags: 0, status }));
        assert_eq!(fault, NetFault::RxBounds { offset, len: status as u16 });
    }
}

#[test]
fn a_receive_response_must_have_flags_and_a_status_that_exist() {
    for flags in [rx_flags::GSO_PREFIX, 1 << 5, 1 << 15] {
        let fault = rx_fault(|back| respond(back, RxResponse { id: 0, offset: 0, flags, status: 60 }));
        assert_eq!(fault, NetFault::RxFlags { seen: flags, known: 15 });
    }
    for seen in [-3, i16::MIN] {
        let fault = rx_fault(|back| respond(back, RxResponse { id: 0, offset: 0, flags: 0, status: seen }));
        assert_eq!(fault, NetFault::RxStatus { seen });
    }
    let late_extra = rx_fault(|back| {
        respond(back, FIRST_OF_SEVERAL);
        respond(back, WITH_EXTRA);
    });
    assert_eq!(late_extra, NetFault::RxFlags { seen: 8, known: 7 });
}

#[test]
fn frames_that_failed_or_are_too_short_or_too_long_are_dropped_and_counted() {
    with_pair(1514, |_, queue, back| {
        for status in [-1, -2, 0, 13, 1515] {
            respond(back, RxResponse { id: 0, offset: 0, flags: 0, status });
        }
        respond(back, RxResponse { status: -1, ..FIRST_OF_SEVERAL });
        respond(back, RxResponse { status: 100, ..Default::default() });
        let good = frame(60, 1);
        assert!(back.deliver(&good, &Delivery::default()));
        let mut buf = [0; 1514];
        assert_eq!(queue.receive_whole(&mut buf).unwrap().map(|r| r.len), Some(60));
        assert_eq!(buf[..60], good);
        let mut counters = Default::default();
        queue.add_counts(&mut counters);
        assert_eq!((counters.rx_frames, counters.rx_errors), (1, 6));
    });
}

#[test]
fn a_frame_without_an_end_is_a_fault() {
    let empty = rx_fault(|back| {
        for _ in 0..32 {
            respond(back, RxResponse { status: 0, ..FIRST_OF_SEVERAL });
        }
    });
    assert_eq!(empty, NetFault::TooManyParts { seen: MAX_PARTS + 1, most: MAX_PARTS });
    let long = rx_fault(|back| {
        for _ in 0..32 {
            respond(back, RxResponse { status: PAGE_SIZE as i16, ..FIRST_OF_SEVERAL });
        }
    });
    assert_eq!(long, NetFault::TooLong { seen: 17 * PAGE_SIZE, most: MAX_FRAME });
}

#[test]
fn a_frame_in_two_pieces_waits_for_the_second() {
    with_pair(1514, |_, queue, back| {
        let mut buf = [0; 9000];
        respond(back, FIRST_OF_SEVERAL);
        back.publish();
        assert_eq!(queue.receive_whole(&mut buf), Ok(None));
        queue.flush();
        assert_eq!(queue.receive_whole(&mut buf), Ok(None));
        respond(back, RxResponse { flags: 0, ..FIRST_OF_SEVERAL });
        back.publish();
        assert_eq!(queue.receive_whole(&mut buf).unwrap().map(|r| r.len), Some(200));
    });
}

#[test]
fn extra_info_is_checked_and_takes_a_slot_of_its_own() {
    with_pair(1514, |_, queue, back| {
        let gso = ExtraInfo { kind: extra_type::GSO, flags: 1, body: [0xb4, 5, 1, 0, 0, 0] };
        let hash = ExtraInfo { kind: extra_type::HASH, flags: 0, body: [9; 6] };
        let bytes = frame(9000, 3);
        let mut buf = [0; 9000];
        for len in [60, 9000] {
            let how = Delivery { extras: vec![gso, hash], ..Delivery::default() };
            assert!(back.deliver(&bytes[..len], &how));
            assert_eq!(queue.receive_whole(&mut buf).unwrap().map(|r| r.len), Some(len));
            assert!(buf[..len] == bytes[..len]);
            queue.flush();
        }
        assert_eq!(back.empty_pages(), 32, "every page is back");
    });
}

#[test]
fn extra_info_that_makes_no_sense_is_a_fault() {
    let fault_of = |kind, flags, body| {
        rx_fault(|back| {
            respond(back, WITH_EXTRA);
            extra(back, kind, flags, body);
        })
    };
    for seen in [extra_type::NONE, extra_type::MCAST_ADD, extra_type::MCAST_DEL, extra_type::MAX, 255] {
        assert_eq!(fault_of(seen, 0, [0; 6]), NetFault::ExtraType { seen });
    }
    assert_eq!(fault_of(extra_type::HASH, 2, [0; 6]), NetFault::ExtraFlags { seen: 2 });
    let gso = |size, kind, features| NetFault::Gso { kind, size, features };
    assert_eq!(fault_of(extra_type::GSO, 0, [0, 0, 1, 0, 0, 0]), gso(0, 1, 0));
    assert_eq!(fault_of(extra_type::GSO, 0, [9, 0, 3, 0, 0, 0]), gso(9, 3, 0));
    assert_eq!(fault_of(extra_type::GSO, 0, [9, 0, 2, 0, 1, 0]), gso(9, 2, 1));
    let endless = rx_fault(|back| {
        respond(back, WITH_EXTRA);
        (0..8).for_each(|_| extra(back, extra_type::HASH, 1, [0; 6]));
    });
    assert_eq!(endless, NetFault::TooManyParts { seen: MAX_EXTRAS + 1, most: MAX_EXTRAS });
}

#[test]
fn indices_that_jump_are_a_fault_in_either_ring() {
    let (least, most) = (RingIdx(0), RingIdx(32));
    for seen in [33, 256, 257, u32::MAX, 1 << 31] {
        let fault = rx_fault(|back| {
            back.rx.rsp_prod = RingIdx(seen);
        });
        assert_eq!(fault, NetFault::RxRing(RingFault::Producer { seen: RingIdx(seen), least, most }));
        let fault = tx_fault(|back| back.tx.memory.store_u32(layout::RSP_PROD, seen));
        assert!(
            matches!(fault, NetFault::TxRing(RingFault::Producer { seen: s, .. }) if s.0 == seen),
            "{fault}"
        );
    }
}

#[test]
fn transmit_responses_must_be_for_what_is_in_flight() {
    let unknown = tx_fault(|back| back.answer([TxResponse { id: 256, status: 0 }]));
    assert_eq!(unknown, NetFault::TxId(IdFault::Unknown { seen: 256, limit: 256 }));
    let twice = tx_fault(|back| {
        back.answer([TxResponse { id: 1, status: 0 }]);
        back.answer([TxResponse { id: 1, status: 0 }]);
    });
    assert!(matches!(twice, NetFault::TxId(IdFault::NotInFlight { seen: 1, .. })), "{twice}");
    for seen in [1, 2, -3, i16::MIN, i16::MAX] {
        let fault = tx_fault(|back| back.answer([TxResponse { id: 0, status: seen }]));
        assert_eq!(fault, NetFault::TxStatus { id: 0, seen });
    }
}

#[test]
fn transmit_responses_may_come_in_any_order_and_report_errors() {
    with_pair(1514, |_, queue, back| {
        for n in 0..3 {
            assert!(send(queue, &frame(60, n), 0).unwrap());
        }
        queue.flush();
        back.answer([(2, 0), (0, -1), (1, -2)].map(|(id, status)| TxResponse { id, status }));
        exhaust(queue).unwrap();
        let mut counters = Default::default();
        queue.add_counts(&mut counters);
        assert_eq!(counters.tx_errors, 2);
    });
}

#[test]
fn a_page_written_after_its_response_changes_only_that_frame() {
    with_pair(1514, |hv, queue, back| {
        let request = back.take_empty().unwrap();
        let page = hv.peer_map(
            super::queue_tests::BACKEND,
            crate::GrantRef(request.gref),
            crate::grant::Access::ReadWrite,
        );
        let page = page.unwrap();
        page.memory().write(0, &frame(60, 1));
        back.rx.response(RxResponse { id: request.id, offset: 0, flags: 0, status: 60 }.into());
        back.publish();
        page.memory().write(0, &[0xee; 4096]);
        let mut buf = [0x11; 100];
        assert_eq!(queue.receive_whole(&mut buf).unwrap().map(|r| r.len), Some(60));
        assert_eq!(buf[60..], [0x11; 40], "not an octet more than was said");
        page.memory().write(0, &[0xff; 4096]);
        assert_eq!(buf[..60], [0xee; 60], "and none after it was taken");
    });
}

/// A step of a back end that does as it likes.
#[derive(Clone, Debug)]
enum Step {
    RxHonest { len: usize, flags: u16 },
    RxRaw([u32; 2]),
    RxNearly { id_off: u16, offset: u16, flags: u16, status: i16 },
    RxProducer(u32),
    TxHonest,
    TxRaw(u32),
    TxProducer(u32),
    GuestSends(usize),
    GuestSendsToBeCut(u8, usize),
    GuestReceives,
    GuestFlushes,
}

fn step() -> impl Strategy<Value = Step> {
    // Most steps keep to the rules, or no run would get far.
    prop_oneof![
        8 => (14usize..9000, 0u16..4).prop_map(|(len, flags)| Step::RxHonest { len, flags }),
        1 => any::<[u32; 2]>().prop_map(Step::RxRaw),
        3 => (0u16..2, 0u16..4097, 0u16..16, -2i16..4097).prop_map(|(id_off, offset, flags, status)| {
            Step::RxNearly { id_off: id_off / 2, offset, flags, status }
        }),
        1 => any::<u32>().prop_map(Step::RxProducer),
        8 => Just(Step::TxHonest),
        1 => any::<u32>().prop_map(Step::TxRaw),
        1 => any::<u32>().prop_map(Step::TxProducer),
        8 => (1usize..9014).prop_map(Step::GuestSends),
        4 => (1_u8..3, 0_usize..65000).prop_map(|(kind, payload)| Step::GuestSendsToBeCut(kind, payload)),
        8 => Just(Step::GuestReceives),
        8 => Just(Step::GuestFlushes),
    ]
}

/// What every octet is that the back end puts into a page: any other that arrives is from elsewhere.
const MARK: u8 = 0x5a;

fn take(step: &Step, queue: &mut Queue, back: &mut NetbackRings) -> Result<(), NetFault> {
    match *step {
        Step::RxHonest { len, flags } => {
            back.deliver(&vec![MARK; len], &Delivery { flags, ..Delivery::default() });
        }
        Step::RxRaw(words) => {
            // Only into a slot whose request was taken, or the fake would trip over its own lie.
            if back.take_empty().is_some() {
                back.rx.response(RxSlot::from_words(words));
                back.publish();
            }
        }
        Step::RxNearly { id_off, offset, flags, status } => {
            if let Some(page) = back.take_empty() {
                let id = page.id.wrapping_add(id_off);
                back.rx.response(RxResponse { id, offset, flags, status }.into());
                back.publish();
            }
        }
        Step::RxProducer(index) => back.rx.memory.store_u32(layout::RSP_PROD, index),
        Step::TxHonest => drop(back.take_sent()),
        Step::TxRaw(word) => {
            // All of them, as they are whole frames: what is left of one would be none to the fake.
            if std::iter::from_fn(|| back.tx.request()).count() > 0 {
                back.answer([TxResponse::from_words([word])]);
            }
        }
        Step::TxProducer(index) => back.tx.memory.store_u32(layout::RSP_PROD, index),
        Step::GuestSends(len) => drop(send(queue, &vec![1; len], 0)?),
        Step::GuestSendsToBeCut(kind, payload) => {
            send_to_be_cut(queue, &segment(kind, 0, payload), 1448)?;
        }
        Step::GuestReceives => {
            let mut buf = vec![0; 9014];
            while let Some(received) = queue.receive_whole(&mut buf)? {
                // Pages start zeroed; what else is in them, the back end wrote.
                assert!(buf[..received.len].iter().all(|b| *b == MARK || *b == 0), "other memory");
                assert!(buf[received.len..].iter().all(|b| *b == 0 || *b == MARK));
            }
        }
        Step::GuestFlushes => queue.flush(),
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_back_end_makes_it_panic_leak_or_show_other_memory(steps in prop::collection::vec(step(), 1..200)) {
        with_pair(9014, |_, queue, back| {
            // A fault ends the queue's life, as it does the device's.
            let _ = steps.iter().try_for_each(|step| take(step, queue, back));
        });
    }
}
