//! Tests of how octets move: segments in a page of their own, grants that the back end keeps, neighbours as one request.

use super::Limits;
use super::negotiation_tests::{connected_with, offer, works};
use super::tests::{Bench, bench, is_done, octets, read, restart, write};
use crate::abi::blkif::op;
use crate::fake::blkback::{Echo, Performed};
use fata_libos::block::{BlockDevice, BlockError, InFlight, Request};
use fata_libos::time::{Duration, sleep};

const PAGE: usize = 4096;
const KEEPS: (&str, &str) = ("feature-persistent", "1");
const INDIRECT: (&str, &str) = ("feature-max-indirect-segments", "256");

/// Segments of the requests that were performed since this was asked the last time.
fn shapes(b: &Bench) -> Vec<usize> {
    let performed = b.back.performed.take();
    for Performed { segments, is_indirect, .. } in &performed {
        assert_eq!(*is_indirect, *segments > 11, "{segments} segments");
    }
    performed.iter().map(|p| p.segments).collect()
}

#[test]
fn a_request_has_as_many_pages_as_both_want() {
    for (offered, limits, expected) in [
        (None, Limits::DEFAULT, &[11, 11, 11, 11, 11, 11, 4][..]),
        (Some("0"), Limits::DEFAULT, &[11, 11, 11, 11, 11, 11, 4]),
        (Some("5"), Limits::DEFAULT, &[11, 11, 11, 11, 11, 11, 4]),
        (Some("12"), Limits::DEFAULT, &[12, 12, 12, 12, 12, 10]),
        (Some("32"), Limits::DEFAULT, &[32, 32, 6]),
        (Some("256"), Limits::DEFAULT, &[64, 6]),
        (Some("4294967295"), Limits::DEFAULT, &[64, 6]),
        (Some("256"), Limits { segments: 20, ..Limits::DEFAULT }, &[20, 20, 20, 10]),
        (Some("256"), Limits { segments: 0, ..Limits::DEFAULT }, &[11, 11, 11, 11, 11, 11, 4]),
    ] {
        for (echo, keeps) in [(Echo::Inner, "0"), (Echo::Outer, "0"), (Echo::Inner, "1"), (Echo::Outer, "1")]
        {
            bench(async |b| {
                if let Some(most) = offered {
                    b.back.offer("feature-max-indirect-segments", most);
                }
                b.back.offer("feature-persistent", keeps);
                b.back.echo.set(echo);
                let disk = connected_with(b, limits).await;
                let sent = octets(70 * PAGE, 5);
                write(&disk, 100, &sent).await.result.unwrap();
                assert_eq!(shapes(b), expected, "{offered:?}");
                assert!(b.back.disk.borrow()[100 * 512..][..sent.len()] == sent);
                let got = read(&disk, 100, sent.len()).await;
                assert!(got.result.is_ok() && got.buffer.as_deref() == Some(&*sent));
                assert_eq!(shapes(b), expected);
                disk
            });
        }
    }
}

#[test]
fn lists_of_segments_are_bounded_and_what_has_none_is_cut_shorter() {
    bench(async |b| {
        offer(b, &[INDIRECT, ("max-ring-page-order", "2")]);
        let disk = connected_with(b, Limits::DEFAULT).await;
        b.back.hold();
        // Not neighbours, so that each is a request of its own, or two.
        let mut requests: Vec<InFlight> = (0..20).map(|n| read(&disk, 102 * n, 12 * PAGE)).collect();
        sleep(Duration::from_millis(10)).await;
        let taken = b.back.take();
        let lists = taken.iter().filter(|t| t.operation() == op::INDIRECT).count();
        assert_eq!((lists, taken.len()), (16, 24));
        // The daemon's page, the ring's and the lists.
        assert_eq!(b.hv.live_pages(), 1 + 4 + 16);
        taken.into_iter().for_each(|t| b.back.perform(t));
        b.back.serve();
        for request in &mut requests {
            request.await.result.unwrap();
        }
        disk
    });
}

#[test]
fn pages_that_are_lent_are_bounded() {
    bench(async |b| {
        offer(b, &[INDIRECT, ("max-ring-page-order", "2")]);
        let disk = connected_with(b, Limits::DEFAULT).await;
        b.back.hold();
        let mut requests: Vec<InFlight> = (0..200).map(|_| read(&disk, 0, 200 * PAGE)).collect();
        sleep(Duration::from_millis(10)).await;
        let taken = b.back.take();
        assert_eq!(b.xen.grants().counts().in_use, 1024 + 4 + 16);
        // Five requests of 200 pages in four parts each, and as much of the sixth as there is room for.
        assert_eq!(taken.len(), 5 * 4 + 1);
        taken.into_iter().for_each(|t| b.back.perform(t));
        b.back.serve();
        for request in &mut requests {
            request.await.result.unwrap();
        }
        disk
    });
}

/// A back end that keeps grants sees the same ones again and again, and none of a caller's.
#[test]
fn grants_that_are_kept_are_used_again_and_are_bounded() {
    for pages in [1, 12, 40, 512] {
        bench(async |b| {
            offer(b, &[KEEPS, INDIRECT]);
            let disk = connected_with(b, Limits { copied_pages: pages, ..Limits::DEFAULT }).await;
            works(b, &disk).await;
            write(&disk, 0, &octets(1 << 19, 3)).await.result.unwrap();
            let kept = || b.back.with_ring(|ring| ring.kept.len());
            let (first, in_use) = (kept(), b.xen.grants().counts().in_use);
            assert!((1..=pages + 16).contains(&first), "{first} of {pages} grants are kept");
            for n in 0..5 {
                write(&disk, n, &octets(1 << 19, 3)).await.result.unwrap();
                works(b, &disk).await;
            }
            // Lists come with it where requests are long.
            assert!(kept() <= first + 16 && b.xen.grants().counts().in_use <= in_use + 16);
            assert_eq!(b.xen.grants().counts().in_use as usize, b.hv.live_pages() - 1, "no caller's page");
            disk
        });
    }
}

#[test]
fn grants_are_not_kept_where_one_end_does_not_want_it() {
    for (offered, limits) in [("0", Limits::DEFAULT), ("1", Limits { copied_pages: 0, ..Limits::DEFAULT })] {
        bench(async |b| {
            offer(b, &[INDIRECT, ("feature-persistent", offered)]);
            let disk = connected_with(b, limits).await;
            b.back.hold();
            let request = write(&disk, 0, &octets(3 * PAGE, 1));
            sleep(Duration::from_millis(10)).await;
            assert_eq!(b.xen.grants().counts().in_use, 1 + 3, "the ring and the caller's pages");
            b.back.serve();
            request.await.result.unwrap();
            works(b, &disk).await;
            assert_eq!(b.back.with_ring(|ring| ring.kept.len()), 0);
            disk
        });
    }
}

#[test]
fn without_memory_to_copy_through_requests_wait_or_fail_but_end() {
    bench(async |b| {
        offer(b, &[KEEPS]);
        let disk = connected_with(b, Limits::DEFAULT).await;
        b.hv.fail_allocations_after(Some(0));
        let failed = write(&disk, 7, &octets(2 * PAGE, 1)).await;
        assert_eq!(failed.result, Err(BlockError::NoMemory { sector: 7, octets: 2 * PAGE }));
        assert_eq!(failed.buffer.as_deref(), Some(&*octets(2 * PAGE, 1)));
        // One chunk is enough for all, one after the other.
        b.hv.fail_allocations_after(Some(1));
        works(b, &disk).await;
        b.hv.fail_allocations_after(None);
        disk
    });
}

#[test]
fn neighbours_are_one_request_and_each_has_its_result() {
    for keys in [&[][..], &[KEEPS], &[INDIRECT], &[KEEPS, INDIRECT]] {
        bench(async |b| {
            offer(b, keys);
            let disk = connected_with(b, Limits::DEFAULT).await;
            let most = if keys.contains(&INDIRECT) { 64 } else { 11 };
            // Three sectors each: a segment need not be a page.
            let writes: Vec<_> =
                (0..most as u64).map(|n| write(&disk, 3 * n, &octets(3 * 512, n as usize))).collect();
            for request in writes {
                let outcome = request.await;
                assert!(outcome.result.is_ok() && outcome.buffer.is_some());
            }
            assert_eq!(shapes(b), [most]);
            assert_eq!(b.back.log.take(), [(op::WRITE, 0, 3 * most as u64)]);
            let reads: Vec<_> = (0..most as u64).map(|n| read(&disk, 3 * n, 3 * 512)).collect();
            for (n, request) in reads.into_iter().enumerate() {
                assert_eq!(request.await.buffer.as_deref(), Some(&*octets(3 * 512, n)));
            }
            assert_eq!(shapes(b), [most]);
            disk
        });
    }
}

/// Streams of several tasks are one request each, whatever order they came in.
#[test]
fn streams_that_wait_among_each_other_are_told_apart() {
    bench(async |b| {
        let disk = b.connected().await;
        let mut requests = Vec::new();
        for n in 0..5 {
            requests.push(write(&disk, n, &octets(512, 1)));
            requests.push(write(&disk, 100 + n, &octets(512, 2)));
            requests.push(read(&disk, 200 + n, 512));
        }
        requests.push(disk.submit(Request::Flush));
        requests.push(write(&disk, 5, &octets(512, 1)));
        for request in requests {
            request.await.result.unwrap();
        }
        let expected =
            [(op::WRITE, 0, 5), (op::WRITE, 100, 5), (op::READ, 200, 5), (op::FLUSH_DISKCACHE, 0, 0)];
        assert_eq!(b.back.log.take(), [&expected[..], &[(op::WRITE, 5, 1)]].concat());
        disk
    });
}

#[test]
fn an_error_among_neighbours_is_that_ones_alone() {
    for keys in [&[][..], &[KEEPS]] {
        bench(async |b| {
            offer(b, keys);
            let disk = b.connected().await;
            b.back.bad_sector.set(Some(13));
            let requests: Vec<_> =
                (0..5).map(|n| write(&disk, 4 * n, &octets(4 * 512, n as usize))).collect();
            for (n, request) in requests.into_iter().enumerate() {
                let result = request.await.result;
                let expected =
                    if n == 3 { Err(BlockError::Failed { sector: 12, status: -1 }) } else { Ok(()) };
                assert_eq!(result, expected, "request {n}");
            }
            // All at once, then each alone.
            assert_eq!(shapes(b), [5, 1, 1, 1, 1, 1]);
            b.back.bad_sector.set(None);
            let got = read(&disk, 16, 4 * 512).await;
            assert_eq!(got.buffer.as_deref(), Some(&*octets(4 * 512, 4)));
            disk
        });
    }
}

/// The end of a long request and a short one behind it: if they fail, only that end is tried again.
#[test]
fn the_rest_of_a_long_request_takes_its_neighbour_along() {
    bench(async |b| {
        let disk = b.connected().await;
        let (long, short) =
            (write(&disk, 0, &octets(13 * PAGE, 1)), write(&disk, 13 * 8, &octets(2 * PAGE, 2)));
        for request in [long, short] {
            request.await.result.unwrap();
        }
        assert_eq!(shapes(b), [11, 4]);
        b.back.bad_sector.set(Some(13 * 8));
        let (long, short) = (read(&disk, 0, 13 * PAGE), read(&disk, 13 * 8, 2 * PAGE));
        let got = long.await;
        assert_eq!((got.result, got.buffer.as_deref()), (Ok(()), Some(&*octets(13 * PAGE, 1))));
        assert_eq!(short.await.result, Err(BlockError::Failed { sector: 13 * 8, status: -1 }));
        assert_eq!(shapes(b), [11, 4, 2, 2]);
        disk
    });
}

#[test]
fn a_flush_that_is_refused_is_a_barrier_from_then_on_or_an_error() {
    bench(async |b| {
        b.back.offer("feature-barrier", "1");
        b.back.refused.set(Some(op::FLUSH_DISKCACHE));
        let disk = b.connected().await;
        for _ in 0..2 {
            disk.submit(Request::Flush).await.result.unwrap();
        }
        let operations: Vec<u8> = b.back.log.take().iter().map(|(operation, ..)| *operation).collect();
        assert_eq!(operations, [op::FLUSH_DISKCACHE, op::WRITE_BARRIER, op::WRITE_BARRIER]);
        b.back.refused.set(Some(op::WRITE_BARRIER));
        let refused = disk.submit(Request::Flush).await.result;
        assert_eq!(refused, Err(BlockError::Unsupported { sector: 0 }), "there is no third");
        disk
    });
    bench(async |b| {
        offer(b, &[("feature-barrier", "1"), ("multi-queue-max-queues", "2")]);
        b.back.refused.set(Some(op::FLUSH_DISKCACHE));
        let disk = connected_with(b, Limits { queues: 2, ..Limits::DEFAULT }).await;
        let many: Vec<InFlight> = (0..9).map(|_| disk.submit(Request::Flush)).collect();
        for flush in many {
            flush.await.result.unwrap();
        }
        assert_eq!(b.back.log.take().len(), 18, "each was refused once");
        disk
    });
    for (operation, request) in
        [(op::FLUSH_DISKCACHE, Request::Flush), (op::DISCARD, Request::Discard { sector: 0, count: 1 })]
    {
        bench(async |b| {
            b.back.refused.set(Some(operation));
            let disk = b.connected().await;
            let refused = disk.submit(request).await.result;
            assert_eq!(refused, Err(BlockError::Unsupported { sector: 0 }));
            disk
        });
    }
}

/// Back ends that come one after the other and want something else each time: what is in flight is issued again, once, as the next
/// one wants it.
#[test]
fn what_was_in_flight_goes_to_a_back_end_that_wants_something_else() {
    bench(async |b| {
        offer(b, &[KEEPS, INDIRECT]);
        b.back.disk.borrow_mut().resize(4 << 20, 0);
        let disk = connected_with(b, Limits { queues: 2, ..Limits::DEFAULT }).await;
        for keys in [
            &[("feature-persistent", "0")][..],
            &[("feature-max-indirect-segments", "0"), ("multi-queue-max-queues", "2")],
            &[KEEPS, ("max-ring-page-order", "1")],
            &[INDIRECT, ("multi-queue-max-queues", "1")],
            &[("feature-persistent", "0"), ("max-ring-page-order", "0")],
        ] {
            b.back.hold();
            b.back.log.take();
            // Twenty that wait, of which twelve are neighbours.
            let sizes = (0..20).map(|n| if n < 12 { (n, 1) } else { (40 * n, 30) });
            let mut requests: Vec<InFlight> = sizes
                .clone()
                .map(|(n, pages)| write(&disk, 8 * n, &octets(pages * PAGE, n as usize)))
                .collect();
            sleep(Duration::from_millis(10)).await;
            assert!(!b.back.take().is_empty());
            for (key, value) in keys {
                b.back.offer(key, value);
            }
            restart(b).await;
            b.back.serve();
            for request in &mut requests {
                request.await.result.unwrap();
            }
            let written: u64 = b.back.log.take().iter().map(|(_, _, sectors)| sectors).sum();
            assert_eq!(written, 8 * (12 + 8 * 30), "each sector once");
            for (n, pages) in sizes {
                let at = 8 * n as usize * 512;
                assert!(b.back.disk.borrow()[at..][..pages * PAGE] == octets(pages * PAGE, n as usize));
            }
        }
        disk
    });
}

/// What is copied through is the device's, not the task's: a task that is cancelled leaves it as it was.
#[test]
fn a_task_that_is_cancelled_leaves_no_page_behind() {
    bench(async |b| {
        offer(b, &[KEEPS]);
        let disk = b.connected().await;
        b.back.hold();
        for n in 0..100 {
            drop(read(&disk, n, 5 * PAGE));
        }
        sleep(Duration::from_millis(10)).await;
        b.back.serve();
        sleep(Duration::from_secs(1)).await;
        works(b, &disk).await;
        assert!(b.back.with_ring(|ring| ring.kept.len()) <= 512);
        let mut last = read(&disk, 0, 512);
        sleep(Duration::from_secs(1)).await;
        assert!(is_done(&mut last).await.is_some());
        disk
    });
}
