//! Tests against a back end that lies: each lie closes the device, requests end, no memory is lost or used twice.

use super::fault::BlockFault;
use super::hostile_transfer_tests::pages_of;
use super::job::Job;
use super::limits::{Kept, Limits};
use super::negotiation_tests::{connected_with, offers};
use super::queue::{Issued, Queue};
use super::terms::Flushes;
use super::tests::{BACKEND, Bench, NUMBER, OCTETS, bench, is_done, octets, read, until, write};
use crate::abi::blkif::{Response, op, status};
use crate::fake::blkback::Taken;
use crate::fake::run;
use crate::grant::{Access, Lent, Owner};
use crate::ring::{IdFault, RingFault, RingIdx, layout};
use crate::types::{DomId, GrantRef};
use crate::xenbus::XenbusState;
use fata_libos::block::{BlockDevice, BlockError, Buffer, InFlight, Request};
use fata_libos::time::{Duration, sleep};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::rc::Rc;

/// What a queue with three writes in flight makes of a lie, and whether all is given back afterwards.
fn fault(lie: impl FnOnce(&crate::shared::SharedMemory, &[u64])) -> BlockFault {
    run(async |hv, xen| {
        let mut queue = Queue::new(&xen, BACKEND, NUMBER as u16, 0).unwrap();
        let jobs: Vec<Rc<Job>> = (0..3)
            .map(|n| Request::Write { sector: n, buffer: Buffer::copy_of(&octets(512, 1)) })
            .map(|request| Job::new(request, 512, &Rc::default()))
            .collect();
        let transfer = Limits::DEFAULT.transfer(0, Kept::No, 1);
        queue.agree(Flushes::default(), transfer);
        for job in jobs {
            assert!(queue.issue(&mut VecDeque::from([job])) == Issued::Something);
        }
        queue.push();
        let map = hv.peer_map(BACKEND, queue.refs()[0], Access::ReadWrite).unwrap();
        lie(&map.memory(), &[0, 1, 2]);
        let fault = queue.reap(&mut VecDeque::new()).expect_err("the lie is noticed");
        drop(map);
        queue.end(&mut Vec::new());
        assert_eq!(xen.grants().counts().in_use, 0);
        fault
    })
}

/// Writes responses into the ring, and publishes so many.
fn respond(ring: &crate::shared::SharedMemory, responses: &[(u64, u8, i16)], producer: u32) {
    for (n, (id, operation, status)) in responses.iter().enumerate() {
        let at = layout::SLOTS + 112 * n;
        ring.write(at, &id.to_le_bytes());
        ring.write(at + 8, &[*operation, 0]);
        ring.write(at + 10, &status.to_le_bytes());
    }
    ring.store_u32(layout::RSP_PROD, producer);
}

#[test]
fn responses_must_be_for_what_is_in_flight() {
    let (least, most) = (RingIdx(0), RingIdx(3));
    let jump = fault(|ring, _| respond(ring, &[], 4));
    assert_eq!(jump, BlockFault::Ring(RingFault::Producer { seen: RingIdx(4), least, most }));
    let unknown = fault(|ring, _| respond(ring, &[(u64::MAX, op::WRITE, 0)], 1));
    assert_eq!(unknown, BlockFault::Id(IdFault::Unknown { seen: u64::MAX, limit: 32 }));
    let twice = fault(|ring, ids| respond(ring, &[(ids[1], op::WRITE, 0), (ids[1], op::WRITE, 0)], 2));
    assert_eq!(twice, BlockFault::Id(IdFault::NotInFlight { seen: 1, in_flight: 2 }));
    let other = fault(|ring, ids| respond(ring, &[(ids[0], op::READ, 0)], 1));
    assert_eq!(other, BlockFault::Operation { id: 0, seen: op::READ, expected: op::WRITE });
    let odd = fault(|ring, ids| respond(ring, &[(ids[0], op::WRITE, 7)], 1));
    assert_eq!(odd, BlockFault::Status { id: 0, seen: 7 });
}

/// After a lie the device is closed; the requests that the lie was not about are done by the next connection.
#[test]
fn a_lie_on_the_ring_costs_a_connection_and_no_request() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut requests: Vec<_> = (0..5).map(|n| write(&disk, 2 * n, &octets(512, n as usize))).collect();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(b.back.take().len(), 5);
        b.back.respond(Response { id: 31, operation: op::WRITE, ..Response::default() });
        b.back.serve();
        until("it is connected again", || b.back.connects() == 2).await;
        for request in &mut requests {
            request.await.result.unwrap();
        }
        disk
    });
}

/// A response to a request whose page stays mapped: the buffer is not given back, and its pages are nobody's until then.
#[test]
fn a_page_that_is_held_is_not_used_again() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let request = read(&disk, 7, 3 * 4096);
        sleep(Duration::from_millis(10)).await;
        let slot = b.back.take()[0];
        let kept = b.back.keep_a_page(slot);
        b.back.perform(slot);
        let outcome = request.await;
        assert_eq!(outcome.result, Err(BlockError::Gone { sector: 7 }));
        assert!(outcome.buffer.is_none(), "the peer has it");
        assert_eq!(b.xen.grants().counts().parked_pages, 3);
        b.back.serve();
        until("it is connected again", || b.back.connects() == 2).await;
        assert!(read(&disk, 7, 512).await.result.is_ok());
        // The peer's page is memory that is there, and it can be let go of.
        kept.memory().write(0, &[1]);
        drop(kept);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(b.xen.grants().counts().parked_pages, 0);
        disk
    });
}

/// A connection that comes to nothing ends as others do: first the back end lets go, then the rings are taken away.
#[test]
fn rings_outlive_their_back_end() {
    bench(async |b| {
        b.back.offer("sectors", "many");
        b.back.drive_by_hand();
        b.back.show_state(XenbusState::InitWait);
        let disk = b.open();
        until("the rings are told of", || b.back.try_connect()).await;
        b.back.show_state(XenbusState::Connected);
        until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(b.xen.grants().counts().parked_pages, 0, "it is still waited for");
        b.back.drive_itself();
        disk
    });
}

#[test]
fn keys_that_make_no_sense_close_the_device_until_they_do() {
    for (key, value) in [
        ("sectors", "many"),
        ("sectors", "-1"),
        ("sectors", "18014398509481984"),
        ("sector-size", "0"),
        ("sector-size", "1000"),
        ("info", "ro"),
        ("feature-flush-cache", "yes"),
        ("feature-persistent", "yes"),
        ("feature-persistent", "-1"),
        ("feature-max-indirect-segments", "4294967296"),
        ("feature-max-indirect-segments", "a few"),
    ] {
        bench(async |b| {
            b.back.offer(key, value);
            let disk = b.open();
            let mut request = read(&disk, 0, 0);
            sleep(Duration::from_secs(10)).await;
            assert_eq!(disk.geometry().sectors, 0, "{key}={value}");
            assert!(is_done(&mut request).await.is_some(), "a request for nothing of nothing is done");
            b.back.offer("sectors", "2048");
            b.back.offer("sector-size", "512");
            b.back.offer("info", "0");
            b.back.offer("feature-flush-cache", "1");
            b.back.offer("feature-persistent", "1");
            b.back.offer("feature-max-indirect-segments", "32");
            until("it connects", || disk.geometry().sectors == 2048).await;
            disk
        });
    }
}

#[test]
fn states_that_make_no_sense_close_the_device_until_they_do() {
    for state in ["9", "x", "2", "7"] {
        bench(async |b| {
            let disk = b.connected().await;
            b.back.drive_by_hand();
            b.back.set_back_key("state", state);
            until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
            b.back.unmap();
            b.back.show_state(XenbusState::Closed);
            b.back.drive_itself();
            until("it is connected again", || b.back.connects() == 2).await;
            write(&disk, 9, &octets(512, 1)).await.result.unwrap();
            disk
        });
    }
}

#[test]
fn lent_pages_are_the_peers_until_it_lets_go() {
    run(async |hv, xen| {
        let mut buffer = Buffer::zeroed(8192);
        let start = buffer.start();
        let owner: Rc<Buffer> = Rc::new(buffer);
        let keeper = Owner { memory: owner.clone(), pages: 2 };
        // SAFETY: the buffer's two pages, kept by `owner`, which nobody touches.
        let lent = unsafe { Lent::lend(&xen, DomId(9), keeper, start, 2, Access::ReadWrite) }.unwrap();
        let refs: Vec<GrantRef> = lent.refs().to_vec();
        hv.peer_copy_to(DomId(9), refs[1], 4, b"there").unwrap();
        let held = hv.peer_map(DomId(9), refs[0], Access::ReadOnly).unwrap();
        assert_eq!(lent.end(), 1);
        assert!(hv.peer_map(DomId(9), refs[1], Access::ReadOnly).is_err());
        assert_eq!(Rc::strong_count(&owner), 2, "kept while one page is held");
        drop(held);
        xen.grants().retry_parked();
        assert_eq!(&Rc::try_unwrap(owner).expect("let go of")[4100..4105], b"there");
        assert_eq!(xen.grants().counts().in_use, 0);
    });
}

#[derive(Clone, Debug)]
enum Step {
    Submit(u64, usize),
    Perform(i16),
    Scribble,
    Resize(usize),
    Lie { id: u64, operation: u8, status: i16 },
    Producer(u32),
    Keep,
    LetGo,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..1000, 1usize..400).prop_map(|(sector, sectors)| Step::Submit(sector, sectors)),
        4 => Just(Step::Perform(status::OKAY)),
        1 => Just(Step::Perform(status::ERROR)),
        1 => Just(Step::Scribble),
        1 => (0..2 * OCTETS).prop_map(Step::Resize),
        1 => (prop_oneof![0u64..33, any::<u64>()], 0u8..7, -3i16..3)
            .prop_map(|(id, operation, status)| Step::Lie { id, operation, status }),
        1 => prop_oneof![0u32..40, any::<u32>()].prop_map(Step::Producer),
        1 => Just(Step::Keep),
        1 => Just(Step::LetGo),
        3 => (1u64..3000).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_back_end_makes_it_panic_leak_or_hang(
        (keys, limits) in offers(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        bench(async |b: &Bench| {
            keys.iter().for_each(|(key, value)| b.back.offer(key, value));
            let disk = connected_with(b, limits).await;
            b.back.hold();
            let mut requests: Vec<InFlight> = Vec::new();
            let (mut kept, mut taken) = (Vec::new(), Vec::<Taken>::new());
            let mut connects = b.back.connects();
            for step in steps {
                if std::mem::replace(&mut connects, b.back.connects()) != b.back.connects() {
                    taken.clear();
                }
                taken.extend(b.back.take());
                let is_up = b.back.state() == XenbusState::Connected;
                match step {
                    Step::Submit(sector, sectors) => requests.push(write(&disk, sector, &octets(sectors * 512, 3))),
                    _ if !is_up => {
                        taken.clear();
                        sleep(Duration::from_millis(500)).await;
                    }
                    Step::Perform(status) => if let Some(slot) = taken.pop() {
                        let (operation, id) = (slot.operation(), slot.request().id);
                        b.back.respond_on(slot.queue, Response { id, operation, status, ..Response::default() });
                    },
                    Step::Scribble => if let Some(slot) = taken.last() {
                        // A page that is no longer granted, or only for reading, is refused to it.
                        for page in pages_of(b, slot) {
                            let _ = b.hv.peer_copy_to(BACKEND, page, 0, &[0xff; 4096]);
                        }
                    },
                    Step::Resize(octets) => b.back.set_back_key("sectors", &(octets / 512).to_string()),
                    Step::Lie { id, operation, status } => {
                        b.back.respond(Response { id, operation, status, ..Response::default() });
                    }
                    Step::Producer(value) => b.back.with_ring(|ring| ring.ring.memory.store_u32(layout::RSP_PROD, value)),
                    Step::Keep => if let Some(slot) = taken.last() && slot.operation() == op::WRITE
                        && b.xen.grants().counts().in_use > 1 {
                        kept.extend(b.back.try_keep_a_page(*slot));
                    },
                    Step::LetGo => drop(kept.pop()),
                    Step::Wait(ms) => sleep(Duration::from_millis(ms)).await,
                }
            }
            drop(kept);
            // What a lie was about before it was taken is not there to be performed.
            sleep(Duration::from_millis(1)).await;
            b.back.take();
            b.back.serve();
            // An honest back end from now on: whatever was asked for ends.
            if b.back.state() == XenbusState::Connected {
                // What it took and never answered is not waited for by the next one.
                b.back.show_state(XenbusState::Closing);
            }
            sleep(Duration::from_secs(200)).await;
            for request in &mut requests {
                assert!(is_done(request).await.is_some(), "a request that never ends");
            }
            disk
        });
    }
}
