//! Tests of the front end's ring against an honest and a lying back end.

use super::super::{BackRing, FrontRing, Message, Protocol, RingFault, RingIdx, layout};
use crate::shared::SharedMemory;
use crate::types::PAGE_SIZE;
use core::ptr::NonNull;
use proptest::prelude::*;
use std::collections::VecDeque;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Number(u32);

impl Message for Number {
    type Words = [u32; 1];
    fn to_words(self) -> [u32; 1] {
        [self.0]
    }
    fn from_words([n]: [u32; 1]) -> Self {
        Self(n)
    }
}

#[derive(Debug)]
struct Numbers;

impl Protocol for Numbers {
    type Request = Number;
    type Response = Number;
    const SLOT_SIZE: usize = 12;
}

#[repr(align(4096))]
struct Page(#[allow(dead_code)] [u8; PAGE_SIZE]);

/// A page that lives as long as the test process.
fn page() -> SharedMemory {
    let page = NonNull::from(Box::leak(Box::new(Page([0; PAGE_SIZE]))));
    // SAFETY: leaked, so valid for ever; used through the value alone.
    unsafe { SharedMemory::new(page.cast(), PAGE_SIZE) }
}

fn pair(start: u32) -> (FrontRing<Numbers>, BackRing<Numbers>) {
    let page = page();
    let front = FrontRing::starting_at(page.clone(), RingIdx(start));
    (front, BackRing::new(page))
}

#[test]
fn a_page_holds_a_power_of_two_of_slots() {
    assert_eq!(pair(0).0.size(), 256);
}

#[test]
fn requests_are_invisible_until_pushed() {
    let (mut front, mut back) = pair(u32::MAX);
    front.request(Number(1));
    assert_eq!(back.request(), None);
    assert!(front.push(), "the first request passes req_event");
    assert_eq!(back.request(), Some(Number(1)));
    front.request(Number(2));
    assert!(!front.push(), "nobody asked");
    assert!(!front.push(), "nothing new");
    assert_eq!(back.arm(), 1);
    assert_eq!(back.request(), Some(Number(2)));
    assert_eq!(back.arm(), 0);
    front.request(Number(3));
    assert!(front.push());
}

#[test]
fn arming_sees_what_came_before_it() {
    let (mut front, mut back) = pair(0);
    for n in 0..8 {
        front.request(Number(n));
    }
    assert!(front.push());
    back.response(Number(0));
    assert!(back.push(), "rsp_event is one past the start");
    assert_eq!(front.arm(1), Ok(1), "work to do: no sleeping");
    assert_eq!(front.response(), Some((RingIdx(0), Number(0))));
    assert_eq!(front.arm(4), Ok(0));
    for n in 1..4 {
        back.response(Number(n));
        assert!(!back.push(), "response {n} is not the fourth");
    }
    back.response(Number(4));
    assert!(back.push());
    assert_eq!(front.look(), Ok(4));
}

#[test]
fn responses_that_were_not_asked_for_are_a_fault() {
    let (mut front, back) = pair(u32::MAX - 1);
    for n in 0..4 {
        front.request(Number(n));
    }
    let _ = front.push();
    front.request(Number(4));
    back.memory.store_u32(layout::RSP_PROD, 3);
    let (least, most) = (RingIdx(u32::MAX - 1), RingIdx(2));
    assert_eq!(front.look(), Err(RingFault::Producer { seen: RingIdx(3), least, most }), "one is not pushed");
    back.memory.store_u32(layout::RSP_PROD, 1);
    assert_eq!(front.look(), Ok(3));
    back.memory.store_u32(layout::RSP_PROD, 0);
    let fault = RingFault::Producer { seen: RingIdx(0), least: RingIdx(1), most };
    assert_eq!(front.look(), Err(fault), "it went back");
    assert_eq!(fault.to_string(), "response producer is 0, expected 1 to 2");
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Request(u32),
    Push,
    Serve(u32),
    Take(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1u32..300).prop_map(Step::Request),
        Just(Step::Push),
        (1u32..300).prop_map(Step::Serve),
        (1u32..300).prop_map(Step::Take),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn every_request_is_answered_once_and_in_order(start in prop_oneof![any::<u32>(), u32::MAX - 600..=u32::MAX], steps in steps()) {
        let (mut front, mut back) = pair(start);
        let (mut next, mut expected) = (0, VecDeque::new());
        for step in steps {
            match step {
                Step::Request(n) => for _ in 0..n.min(front.free()) {
                    front.request(Number(next));
                    expected.push_back(next);
                    next += 1;
                },
                Step::Push => { let _ = front.push(); }
                Step::Serve(n) => {
                    for _ in 0..n {
                        let Some(Number(m)) = back.request() else { break };
                        back.response(Number(!m));
                    }
                    let _ = back.push();
                }
                Step::Take(n) => {
                    front.look().unwrap();
                    for _ in 0..n {
                        let Some((_, Number(m))) = front.response() else { break };
                        prop_assert_eq!(expected.pop_front(), Some(!m));
                    }
                }
            }
            prop_assert_eq!(front.in_use() as usize, expected.len());
            prop_assert!(front.in_use() <= front.size());
        }
    }

    #[test]
    fn no_producer_index_lets_more_be_taken_than_was_asked(start: u32, asked in 0u32..=256, lies in prop::collection::vec(any::<u32>(), 1..50)) {
        let (mut front, back) = pair(start);
        (0..asked).for_each(|n| { front.request(Number(n)); });
        let _ = front.push();
        let mut taken = 0;
        for lie in lies {
            // Near the truth more often than not, or no lie would ever be believed.
            let lie = if lie % 2 == 0 { lie } else { start.wrapping_add(lie % 600) };
            back.memory.store_u32(layout::RSP_PROD, lie);
            let _ = front.look();
            while front.response().is_some() {
                taken += 1;
            }
        }
        prop_assert!(taken <= asked);
    }
}
