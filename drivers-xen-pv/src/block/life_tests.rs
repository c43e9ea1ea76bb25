//! Tests of back ends that come and go, and what becomes of requests then.

use super::link::AWAY;
use super::tests::{NUMBER, OCTETS, bench, is_done, octets, read, restart, until, write};
use super::{OpenError, find, open};
use crate::fake::blkback::FakeBlkback;
use crate::types::DomId;
use crate::xenbus::XenbusState;
use fata_libos::block::{Access, BlockDevice, BlockError, InFlight, Request};
use fata_libos::time::{Duration, Instant, sleep};

async fn all_done(requests: &mut [InFlight]) {
    for request in requests {
        request.await.result.unwrap();
    }
}

#[test]
fn what_was_in_flight_is_issued_again_once() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut requests: Vec<_> =
            (0..50).map(|n| write(&disk, 21 * n, &octets(10_240, n as usize))).collect();
        sleep(Duration::from_millis(10)).await;
        // One is answered before, and not issued again.
        let taken = b.back.take();
        b.back.perform(taken[3]);
        sleep(Duration::from_millis(10)).await;
        restart(b).await;
        b.back.serve();
        all_done(&mut requests).await;
        let log = b.back.log.borrow();
        assert_eq!(log.len(), 50, "each was performed once");
        for n in 0..50 {
            let at = 21 * n * 512;
            assert!(b.back.disk.borrow()[at..at + 10_240] == octets(10_240, n));
        }
        drop(log);
        disk
    });
}

/// As Linux's does with what the medium has not ended yet: a write from before comes to its end, and only then is issued anew.
#[test]
fn a_back_end_that_closes_may_hold_pages_for_a_while() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut requests: Vec<_> = (0..3).map(|n| write(&disk, 40 * n, &octets(512, n as usize))).collect();
        sleep(Duration::from_millis(10)).await;
        let held: Vec<_> = b.back.take().into_iter().map(|taken| b.back.keep_a_page(taken)).collect();
        assert_eq!(held.len(), 3);
        b.back.show_state(XenbusState::Closing);
        for map in held {
            sleep(Duration::from_secs(2)).await;
            assert_eq!(b.back.connects(), 1);
            drop(map);
        }
        b.back.serve();
        until("it is connected again", || b.back.connects() == 2).await;
        all_done(&mut requests).await;
        assert_eq!(b.back.log.borrow().len(), 3, "each was performed once");
        assert_eq!(b.xen.grants().counts().parked_pages, 0);
        disk
    });
}

#[test]
fn what_was_lost_twice_is_an_error() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let request = write(&disk, 9, &octets(512, 1));
        for _ in 0..2 {
            sleep(Duration::from_millis(10)).await;
            assert_eq!(b.back.take().len(), 1);
            restart(b).await;
        }
        let outcome = request.await;
        assert_eq!(outcome.result, Err(BlockError::Gone { sector: 9 }));
        assert_eq!(outcome.buffer.as_deref(), Some(&*octets(512, 1)));
        b.back.serve();
        assert!(read(&disk, 9, 512).await.result.is_ok());
        disk
    });
}

#[test]
fn a_request_cut_in_two_by_a_loss_is_whole_afterwards() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut request = write(&disk, 0, &octets(200 * 512, 5));
        sleep(Duration::from_millis(10)).await;
        let parts = b.back.take();
        assert_eq!(parts.len(), 3);
        b.back.perform(parts[1]);
        restart(b).await;
        b.back.serve();
        (&mut request).await.result.unwrap();
        assert!(b.back.disk.borrow()[..200 * 512] == octets(200 * 512, 5));
        disk
    });
}

#[test]
fn detached_means_errors_and_attached_again_it_works() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut requests: Vec<_> = (0..40).map(|n| write(&disk, n, &[1; 512])).collect();
        sleep(Duration::from_millis(10)).await;
        b.back.unplug();
        for (n, request) in requests.iter_mut().enumerate() {
            assert_eq!(request.await.result, Err(BlockError::Gone { sector: n as u64 }));
        }
        b.back.remove();
        let start = Instant::now();
        assert_eq!(read(&disk, 3, 512).await.result, Err(BlockError::Gone { sector: 3 }));
        assert_eq!(start.elapsed(), Duration::ZERO, "at once");
        sleep(Duration::from_secs(100)).await;
        b.back.plug();
        b.back.serve();
        until("it is connected again", || b.back.connects() == 2).await;
        assert!(read(&disk, 3, 512).await.result.is_ok());
        disk
    });
}

#[test]
fn a_device_that_vanishes_at_once_is_let_go() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let request = write(&disk, 9, &[1; 512]);
        sleep(Duration::from_millis(10)).await;
        b.back.remove();
        assert_eq!(request.await.result, Err(BlockError::Gone { sector: 9 }));
        disk
    });
}

#[test]
fn a_back_end_that_stays_away_is_waited_for_so_long() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.drive_by_hand();
        let start = Instant::now();
        b.back.show_state(XenbusState::Closing);
        sleep(Duration::from_secs(1)).await;
        let request = write(&disk, 9, &[1; 512]);
        assert_eq!(request.await.result, Err(BlockError::Gone { sector: 9 }));
        assert!((AWAY..AWAY + Duration::from_secs(2)).contains(&start.elapsed()), "{:?}", start.elapsed());
        // It looks at last, and finds this end closed.
        b.back.drive_itself();
        until("it is connected again", || b.back.connects() == 2).await;
        write(&disk, 9, &[1; 512]).await.result.unwrap();
        disk
    });
}

#[test]
fn a_disk_may_be_another_one_when_it_is_back() {
    bench(async |b| {
        let disk = b.connected().await;
        *b.back.disk.borrow_mut() = vec![3; OCTETS / 2];
        restart(b).await;
        until("its size is known", || disk.geometry().sectors == 1024).await;
        let beyond = Err(BlockError::OutOfRange { sector: 1024, count: 1, sectors: 1024 });
        assert_eq!(read(&disk, 1024, 512).await.result, beyond);
        disk
    });
}

/// What was checked against the disk before is checked against the one that is there now.
#[test]
fn what_waited_for_another_disk_is_refused() {
    let write_2000 = BlockError::OutOfRange { sector: 2000, count: 1, sectors: 1024 };
    let length = |sector| BlockError::Length { sector, octets: 512, sector_size: 4096 };
    for (key, value, octets, expected) in [
        ("info", "0", OCTETS / 2, [None, Some(write_2000), None]),
        ("info", "4", OCTETS, [9, 2000, 16].map(|sector| Some(BlockError::ReadOnly { sector }))),
        ("sector-size", "4096", OCTETS, [Some(length(9)), Some(length(2000)), None]),
        ("feature-discard", "0", OCTETS, [None, None, Some(BlockError::Unsupported { sector: 16 })]),
    ] {
        bench(async |b| {
            let disk = b.connected().await;
            b.back.hold();
            let discard = disk.submit(Request::Discard { sector: 16, count: 8 });
            let requests = [write(&disk, 9, &[1; 512]), write(&disk, 2000, &[1; 512]), discard];
            let rest = read(&disk, 0, 8 * 4096);
            sleep(Duration::from_millis(10)).await;
            b.back.offer(key, value);
            b.back.disk.borrow_mut().resize(octets, 0);
            restart(b).await;
            b.back.serve();
            for (request, expected) in requests.into_iter().zip(expected) {
                assert_eq!(request.await.result.err(), expected, "{key}={value}");
            }
            assert_eq!(rest.await.result, Ok(()));
            let done = expected.iter().filter(|error| error.is_none()).count();
            assert_eq!(b.back.log.borrow().len(), 1 + done, "the back end was not asked in vain");
            disk
        });
    }
}

#[test]
fn a_handle_that_is_dropped_takes_the_device_down_in_any_state() {
    for wait_ms in [0, 1, 2, 3, 5, 10] {
        bench(async |b| {
            let disk = b.open();
            sleep(Duration::from_millis(wait_ms)).await;
            drop(disk);
            sleep(Duration::from_secs(60)).await;
            assert!(matches!(b.back.front_state(), XenbusState::Closed | XenbusState::Initialising));
            b.back.plug();
            b.open()
        });
    }
}

/// That the handle is gone is not forgotten while the back end takes its time.
#[test]
fn a_handle_that_is_dropped_while_the_back_end_closes_ends_the_task() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.drive_by_hand();
        b.back.show_state(XenbusState::Closing);
        sleep(Duration::from_secs(1)).await;
        drop(disk);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(b.daemon.watch_count(), 0);
        b.back.drive_itself();
        b.open()
    });
}

/// The task is gone, but not its requests: they end.
#[test]
fn requests_end_when_the_handle_does() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut request = write(&disk, 9, &[1; 512]);
        sleep(Duration::from_millis(10)).await;
        drop(disk);
        sleep(Duration::from_secs(60)).await;
        let outcome = is_done(&mut request).await.expect("it has ended");
        assert_eq!(outcome.result, Err(BlockError::Gone { sector: 9 }));
        b.back.serve();
        b.back.plug();
        b.open()
    });
}

#[test]
fn disks_are_found_by_name_or_place() {
    bench(async |b| {
        FakeBlkback::attach(b.hv, &b.daemon, DomId(8), NUMBER + 16, OCTETS / 4);
        let open = async |which: &str| {
            open(&b.xen, b.store.clone(), "data", which, Access::ReadWrite, 1)
                .await
                .map(|d| d.geometry().sectors)
        };
        for (which, sectors) in [("0", 2048), ("1", 512), ("xvdb", 512), ("vda", 2048)] {
            assert_eq!(open(which).await.ok(), Some(sectors), "{which}");
            sleep(Duration::from_secs(10)).await;
        }
        for which in ["xvda1", "xvdaa", "vda ", "xvd", "xvdA", "vd1", ""] {
            let refused = open(which).await;
            assert!(matches!(refused, Err(OpenError::Missing { have: 2, .. })), "{which}: {refused:?}");
        }
        let said = open("xvdc").await.unwrap_err().to_string();
        let line = "block device data is missing: the domain has 2 disks, none is xvdc; its xl configuration needs \
                    the line `disk = [ 'format=raw,vdev=xvdc,access=rw,target=PATH' ]`";
        assert_eq!(said, line);
        assert!(matches!(open("2").await, Err(OpenError::Missing { have: 2, .. })));
        b.connected().await
    });
}

#[test]
fn a_disk_is_opened_once() {
    bench(async |b| {
        let open = async |which| open(&b.xen, b.store.clone(), "data", which, Access::ReadWrite, 1).await;
        let disk = open("xvda").await.unwrap();
        let said = open("0").await.unwrap_err().to_string();
        assert_eq!(said, "block device data: vbd 51712 is open already, or is still being closed");
        drop(disk);
        assert!(
            matches!(open("0").await, Err(OpenError::InUse { number: NUMBER, .. })),
            "still being closed"
        );
        sleep(Duration::from_secs(10)).await;
        drop(open("0").await.unwrap());
        sleep(Duration::from_secs(10)).await;
        b.connected().await
    });
}

/// The first sixteen have numbers of their own major number, the others do not.
#[test]
fn disks_are_found_as_far_as_the_alphabet_goes() {
    bench(async |b| {
        for (which, number) in [("xvdp", 51952), ("xvdq", 0x1000_1000), ("xvdz", 0x1000_1900)] {
            assert!(find(&b.store, "data", which).await.is_err());
            FakeBlkback::attach(b.hv, &b.daemon, DomId(8), number, OCTETS / 4);
            assert_eq!(find(&b.store, "data", which).await.ok(), Some(number), "{which}");
        }
        let disk = open(&b.xen, b.store.clone(), "data", "xvdz", Access::ReadWrite, 1).await.unwrap();
        assert_eq!(disk.read(0, 1).await.unwrap()[..], [0; 512]);
        drop(disk);
        b.connected().await
    });
}

#[test]
fn a_back_end_that_never_answers_is_an_error() {
    bench(async |b| {
        b.back.drive_by_hand();
        let silent = open(&b.xen, b.store.clone(), "data", "0", Access::ReadWrite, 1).await.map(drop);
        let said = silent.unwrap_err().to_string();
        assert_eq!(said, "block device data: the back end of vbd 51712 did not connect within 20 s");
        b.back.drive_itself();
        b.open()
    });
}

/// Before the first connection there is nothing to be read, and nothing waits for ever.
#[test]
fn a_device_that_is_never_connected_ends_what_is_asked() {
    bench(async |b| {
        b.back.drive_by_hand();
        let disk = b.open();
        let start = Instant::now();
        let beyond = BlockError::OutOfRange { sector: 3, count: 1, sectors: 0 };
        assert_eq!(read(&disk, 3, 512).await.result, Err(beyond));
        let mut flush = disk.submit(Request::Flush);
        assert_eq!(start.elapsed(), Duration::ZERO);
        sleep(AWAY + Duration::from_secs(1)).await;
        let ended = is_done(&mut flush).await.map(|outcome| outcome.result);
        assert_eq!(ended, Some(Err(BlockError::Gone { sector: 0 })));
        b.back.drive_itself();
        until("it connects", || disk.geometry().sectors > 0).await;
        assert_eq!(disk.submit(Request::Flush).await.result, Ok(()));
        disk
    });
}

/// A flush is not told to be done by a connection that is gone.
#[test]
fn a_flush_is_issued_again_too() {
    bench(async |b| {
        let disk = b.connected().await;
        // That the back end has closed means that it keeps what was written.
        write(&disk, 0, &[1; 512]).await.result.unwrap();
        b.back.hold();
        let flush = disk.submit(Request::Flush);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(b.back.take().len(), 1);
        restart(b).await;
        b.back.serve();
        flush.await.result.unwrap();
        assert_eq!(b.back.log.borrow().len(), 2);
        disk
    });
}
