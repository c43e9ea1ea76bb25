//! Writes that ended and may be lost, as their back end went away without closing: the next flush tells.

use super::tests::{Bench, bench, until, write};
use crate::xenbus::XenbusState;
use fata_libos::block::{BlockDevice, BlockError, Request};
use fata_libos::time::{Duration, sleep};

/// The back end is gone from one moment to the next, and another one comes.
async fn vanish(b: &Bench) {
    let connects = b.back.connects();
    b.back.remove();
    sleep(Duration::from_secs(1)).await;
    b.back.plug();
    until("it is connected again", || b.back.connects() > connects).await;
}

/// What ended without error may have been in the cache of a domain that died: the next back end's flush does not bring it back.
#[test]
fn a_flush_tells_of_writes_that_were_lost() {
    bench(async |b| {
        let disk = b.connected().await;
        let flush = async || disk.submit(Request::Flush).await.result;
        write(&disk, 9, &[1; 512]).await.result.unwrap();
        vanish(b).await;
        assert_eq!(flush().await, Err(BlockError::Gone { sector: 0 }));
        assert_eq!(flush().await, Ok(()), "told once");
        write(&disk, 9, &[1; 512]).await.result.unwrap();
        assert_eq!(flush().await, Ok(()));
        vanish(b).await;
        assert_eq!(flush().await, Ok(()), "nothing was lost");
        disk
    });
}

/// A back end that is not known to have closed, with a flush in flight and one that waits for the next back end.
#[test]
fn flushes_on_their_way_tell_of_writes_that_were_lost() {
    bench(async |b| {
        let disk = b.connected().await;
        write(&disk, 9, &[1; 512]).await.result.unwrap();
        b.back.hold();
        b.back.drive_by_hand();
        let in_flight = disk.submit(Request::Flush);
        sleep(Duration::from_millis(10)).await;
        assert_eq!(b.back.take().len(), 1);
        b.back.show_state(XenbusState::Closing);
        sleep(Duration::from_secs(1)).await;
        let waits = disk.submit(Request::Flush);
        sleep(Duration::from_secs(9)).await;
        b.back.drive_itself();
        b.back.serve();
        for flush in [in_flight, waits] {
            assert_eq!(flush.await.result, Err(BlockError::Gone { sector: 0 }));
        }
        assert_eq!(disk.submit(Request::Flush).await.result, Ok(()));
        disk
    });
}

/// As Linux's does when its driver is bound to the device again, or one that died and is there again in the same place.
#[test]
fn a_flush_tells_of_a_back_end_that_started_anew() {
    bench(async |b| {
        let disk = b.connected().await;
        let flush = async || disk.submit(Request::Flush).await.result;
        for expected in [Err(BlockError::Gone { sector: 0 }), Ok(())] {
            if expected.is_err() {
                write(&disk, 9, &[1; 512]).await.result.unwrap();
            }
            let connects = b.back.connects();
            b.back.drive_by_hand();
            b.back.show_state(XenbusState::InitWait);
            until("it is closed", || b.back.front_state() == XenbusState::Closed).await;
            b.back.drive_itself();
            until("it is connected again", || b.back.connects() > connects).await;
            assert_eq!(flush().await, expected);
            assert_eq!(flush().await, Ok(()));
        }
        disk
    });
}
