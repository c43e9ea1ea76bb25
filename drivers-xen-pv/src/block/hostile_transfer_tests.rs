//! Tests against a back end that lies about what was negotiated: what it keeps, what it lists, what it echoes.

use super::Limits;
use super::fault::BlockFault;
use super::negotiation_tests::{connected_with, offer, works};
use super::queues::MAX_HELD;
use super::tests::{BACKEND, Bench, bench, is_done, octets, read, until, write};
use crate::abi::blkif::{Response, op, status};
use crate::fake::PeerMap;
use crate::fake::blkback::{Echo, Taken};
use crate::grant::{Access, GrantedPages};
use crate::types::{DomId, GrantRef};
use crate::xenbus::XenbusState;
use fata_libos::block::{BlockError, InFlight};
use fata_libos::time::{Duration, sleep};

const KEEPS: (&str, &str) = ("feature-persistent", "1");
const INDIRECT: (&str, &str) = ("feature-max-indirect-segments", "64");

/// The pages that a request names, those of its segments included.
pub(super) fn pages_of(b: &Bench, taken: &Taken) -> Vec<GrantRef> {
    let list = match taken.operation() {
        op::INDIRECT => taken.indirect().indirect_grefs[0],
        _ => {
            let request = taken.request();
            return request.seg[..usize::from(request.nr_segments)]
                .iter()
                .map(|s| GrantRef(s.gref))
                .collect();
        }
    };
    let count = usize::from(taken.indirect().nr_segments);
    let mut octets = vec![0; 8 * count];
    if b.hv.peer_copy_from(BACKEND, GrantRef(list), 0, &mut octets).is_err() {
        // Of an earlier connection.
        return Vec::new();
    }
    let grefs = octets.chunks(8).map(|s| u32::from_le_bytes([s[0], s[1], s[2], s[3]]));
    grefs.chain([list]).map(GrantRef).collect()
}

/// Only the operation within, or that of the request itself, is an echo; and the latter only of such a request.
#[test]
fn an_echo_is_that_of_the_request() {
    for (pages, seen, is_echo) in [
        (12, op::WRITE, true),
        (12, op::INDIRECT, true),
        (12, op::READ, false),
        (12, op::DISCARD, false),
        (12, 255, false),
        (11, op::WRITE, true),
        (11, op::INDIRECT, false),
    ] {
        bench(async |b| {
            offer(b, &[INDIRECT]);
            let disk = b.connected().await;
            b.back.hold();
            let mut request = write(&disk, 7, &octets(pages * 4096, 1));
            sleep(Duration::from_millis(10)).await;
            let taken = b.back.take()[0];
            let id = taken.request().id;
            b.back.respond(Response { id, operation: seen, ..Response::default() });
            sleep(Duration::from_millis(10)).await;
            let outcome = is_done(&mut request).await.expect("it was answered");
            let expected = if is_echo { Ok(()) } else { Err(BlockError::Gone { sector: 7 }) };
            assert_eq!(outcome.result, expected, "{pages} pages, {seen}");
            b.back.serve();
            until("it is connected", || b.back.connects() == if is_echo { 1 } else { 2 }).await;
            disk
        });
    }
}

/// A lie about a request of several neighbours costs all of them, and no other.
#[test]
fn a_lie_about_neighbours_is_about_each() {
    for (operation, status) in [(op::READ, status::OKAY), (op::WRITE, 5), (op::WRITE, i16::MIN)] {
        bench(async |b| {
            let disk = b.connected().await;
            b.back.hold();
            let mut together: Vec<InFlight> = (0..4).map(|n| write(&disk, n, &octets(512, 1))).collect();
            let other = write(&disk, 100, &octets(512, 2));
            sleep(Duration::from_millis(10)).await;
            let taken = b.back.take();
            assert_eq!(taken.len(), 2);
            let id = taken[0].request().id;
            b.back.respond(Response { id, operation, status, ..Response::default() });
            b.back.serve();
            for (n, request) in together.iter_mut().enumerate() {
                let outcome = request.await;
                assert_eq!(outcome.result, Err(BlockError::Gone { sector: n as u64 }));
                assert!(outcome.buffer.is_some(), "nobody holds it");
            }
            other.await.result.unwrap();
            disk
        });
    }
}

/// All fails, together and each alone: nothing is tried for ever.
#[test]
fn what_fails_always_ends() {
    for status in [status::ERROR, status::EOPNOTSUPP] {
        bench(async |b| {
            let disk = b.connected().await;
            b.back.hold();
            let mut requests: Vec<InFlight> = (0..9).map(|n| write(&disk, n, &octets(512, 1))).collect();
            let mut asked = 0;
            for _ in 0..100 {
                sleep(Duration::from_millis(1)).await;
                for taken in b.back.take() {
                    asked += 1;
                    let id = taken.request().id;
                    b.back.respond(Response { id, operation: op::WRITE, status, ..Response::default() });
                }
            }
            for request in &mut requests {
                assert!(is_done(request).await.expect("it has ended").result.is_err());
            }
            assert_eq!(asked, 1 + 9);
            b.back.serve();
            disk
        });
    }
}

/// What a back end writes into pages that it keeps, when nothing is asked of it, is read by nobody.
#[test]
fn what_is_scribbled_into_kept_pages_changes_nothing() {
    bench(async |b| {
        offer(b, &[KEEPS, INDIRECT]);
        let disk = connected_with(b, Limits { copied_pages: 64, ..Limits::DEFAULT }).await;
        let scribble = || {
            b.back.with_ring(|ring| {
                assert!(!ring.kept.is_empty());
                ring.kept.values().for_each(|page| page.memory().write(0, &[0xff; 4096]));
            });
        };
        for round in 0..3 {
            let sent = octets(60 * 4096, round);
            write(&disk, 0, &sent).await.result.unwrap();
            scribble();
            let got = read(&disk, 0, sent.len()).await;
            scribble();
            assert!(got.buffer.as_deref() == Some(&*sent));
            works(b, &disk).await;
        }
        disk
    });
}

/// While a request is in flight its pages and its list are the back end's to write: what it reads then is its own affair.
#[test]
fn a_list_that_is_overwritten_is_not_read_again() {
    for keys in [&[INDIRECT][..], &[INDIRECT, KEEPS]] {
        bench(async |b| {
            offer(b, keys);
            let disk = b.connected().await;
            b.back.hold();
            let request = read(&disk, 0, 40 * 4096);
            sleep(Duration::from_millis(10)).await;
            let taken = b.back.take()[0];
            let pages = pages_of(b, &taken);
            assert_eq!(pages.len(), 41);
            for page in pages {
                let written = b.hv.peer_copy_to(BACKEND, page, 0, &[0xff; 4096]);
                // Without grants that are kept the list is for reading only.
                assert!(written.is_ok() || !keys.contains(&KEEPS));
            }
            let id = taken.indirect().id;
            b.back.respond(Response { id, operation: op::READ, ..Response::default() });
            let got = request.await;
            assert!(got.result.is_ok() && got.buffer.unwrap().iter().all(|octet| *octet == 0xff));
            b.back.serve();
            works(b, &disk).await;
            disk
        });
    }
}

/// Pages that a back end keeps mapped beyond the connection's end are nobody's until it lets go, and there are never too many.
#[test]
fn a_back_end_that_never_lets_go_is_given_no_more_in_the_end() {
    bench(async |b| {
        offer(b, &[KEEPS]);
        let disk = connected_with(b, Limits::DEFAULT).await;
        let mut hoard: Vec<PeerMap> = Vec::new();
        for _ in 0..20 {
            if b.back.state() == XenbusState::Connected {
                let mut request = write(&disk, 0, &octets(1 << 20, 1));
                sleep(Duration::from_secs(1)).await;
                if let Some(outcome) = is_done(&mut request).await {
                    outcome.result.unwrap();
                }
                hoard.extend(b.back.with_ring(|ring| std::mem::take(&mut ring.kept)).into_values());
                b.back.show_state(XenbusState::Closing);
            }
            sleep(Duration::from_secs(120)).await;
            let parked = b.xen.grants().counts().parked_pages;
            assert!(parked <= MAX_HELD + 512, "{parked} pages");
        }
        assert!(b.xen.grants().counts().parked_pages > MAX_HELD, "it was given what it may have");
        assert_ne!(b.back.state(), XenbusState::Connected);
        drop(hoard);
        until("it is connected again", || b.back.state() == XenbusState::Connected).await;
        sleep(Duration::from_secs(600)).await;
        assert_eq!(b.xen.grants().counts().parked_pages, 0);
        works(b, &disk).await;
        disk
    });
}

/// What another domain does not let go of is not this back end's fault.
#[test]
fn what_another_domain_holds_shuts_nobody_out() {
    bench(async |b| {
        let pages = GrantedPages::alloc(&b.xen, DomId(9), MAX_HELD + 1, Access::ReadOnly).unwrap();
        let held = b.hv.peer_map(DomId(9), pages.refs()[0], Access::ReadOnly).unwrap();
        drop(pages);
        assert!(b.xen.grants().counts().parked_pages > MAX_HELD);
        let disk = b.connected().await;
        works(b, &disk).await;
        drop(held);
        disk
    });
}

/// A list, and a page of a caller's that is held: the queue's own pages come back in any case.
#[test]
fn a_list_that_is_held_is_parked_at_the_end() {
    bench(async |b| {
        offer(b, &[INDIRECT]);
        b.back.echo.set(Echo::Outer);
        let disk = b.connected().await;
        b.back.hold();
        let request = read(&disk, 0, 30 * 4096);
        sleep(Duration::from_millis(10)).await;
        let taken = b.back.take()[0];
        let kept = b.back.keep_a_page(taken);
        assert_eq!(kept.reference(), GrantRef(taken.indirect().indirect_grefs[0]));
        b.back.perform(taken);
        request.await.result.unwrap();
        b.back.serve();
        b.back.show_state(XenbusState::Closing);
        until("it is connected again", || b.back.connects() == 2).await;
        assert_eq!(b.xen.grants().counts().parked_pages, 16, "with the others made together with it");
        works(b, &disk).await;
        drop(kept);
        sleep(Duration::from_secs(10)).await;
        assert_eq!(b.xen.grants().counts().parked_pages, 0);
        disk
    });
}

/// Each queue's answers are for what is in flight on it.
#[test]
fn an_answer_on_another_queue_is_a_lie() {
    bench(async |b| {
        b.back.offer("multi-queue-max-queues", "2");
        let disk = connected_with(b, Limits { queues: 2, ..Limits::DEFAULT }).await;
        b.back.hold();
        let request = write(&disk, 7, &octets(512, 1));
        sleep(Duration::from_millis(10)).await;
        let taken = b.back.take()[0];
        let id = taken.request().id;
        b.back.respond_on(1 - taken.queue, Response { id, operation: op::WRITE, ..Response::default() });
        b.back.serve();
        until("it is connected again", || b.back.connects() == 2).await;
        request.await.result.unwrap();
        disk
    });
}

/// A page that the peer may only read, as without grants that are kept, it cannot write.
#[test]
fn what_is_written_is_lent_for_reading() {
    bench(async |b| {
        offer(b, &[INDIRECT]);
        let disk = b.connected().await;
        b.back.hold();
        let request = write(&disk, 0, &octets(20 * 4096, 1));
        sleep(Duration::from_millis(10)).await;
        let taken = b.back.take()[0];
        let pages = pages_of(b, &taken);
        assert_eq!(pages.len(), 21);
        for page in pages {
            assert!(b.hv.peer_map(BACKEND, page, Access::ReadWrite).is_err());
            assert!(b.hv.peer_map(BACKEND, page, Access::ReadOnly).is_ok());
        }
        b.back.perform(taken);
        b.back.serve();
        request.await.result.unwrap();
        disk
    });
}

/// Says what it saw, for the log.
#[test]
fn a_fault_says_what_was_seen() {
    let fault = BlockFault::Operation { id: 3, seen: op::INDIRECT, expected: op::WRITE };
    assert_eq!(fault.to_string(), "response to request 3 has operation 6, expected 1");
}
