//! Tests of the whole front end against a fake back end and XenStore: requests and what they are on the ring.

use super::negotiation_tests::{connected_with, offers};
use super::{Blkfront, Limits, open_number};
use crate::abi::blkif::op;
use crate::fake::blkback::FakeBlkback;
use crate::fake::{FakeHypervisor, FakeXenstored, run};
use crate::types::{DomId, Mfn};
use crate::xen::Xen;
use crate::xenbus::XenbusState;
use crate::xenstore::XenStore;
use fata_libos::block::{
    Access, BlockDevice, BlockError, Buffer, Discard, Geometry, InFlight, Outcome, Request,
};
use fata_libos::spawn;
use fata_libos::time::{Duration, sleep};
use proptest::prelude::*;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

pub(super) const BACKEND: DomId = DomId(3);
/// `xvda`.
pub(super) const NUMBER: u32 = 51712;
pub(super) const OCTETS: usize = 1 << 20;

/// A guest with one disk.
pub(super) struct Bench {
    pub(super) hv: &'static FakeHypervisor,
    pub(super) xen: Rc<Xen>,
    pub(super) daemon: Rc<FakeXenstored>,
    pub(super) store: XenStore,
    pub(super) back: Rc<FakeBlkback>,
}

impl Bench {
    fn new(hv: &'static FakeHypervisor, xen: &Rc<Xen>) -> Self {
        let (daemon, store) = FakeXenstored::start(hv, xen);
        let back = FakeBlkback::attach(hv, &daemon, BACKEND, NUMBER, OCTETS);
        Self { hv, xen: xen.clone(), daemon, store, back }
    }

    pub(super) fn open(&self) -> Blkfront {
        open_number(&self.xen, self.store.clone(), NUMBER, Access::ReadWrite, Limits::DEFAULT)
    }

    pub(super) async fn connected(&self) -> Blkfront {
        let disk = self.open();
        let connects = self.back.connects();
        until("it connects", || self.back.connects() > connects && disk.geometry().sectors > 0).await;
        disk
    }

    /// Drops the handle and sees that nothing is left but the daemon's page and channel.
    async fn end(self, disk: Blkfront) {
        drop(disk);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(self.xen.grants().counts().in_use, 0);
        assert_eq!(self.xen.grants().counts().parked_pages, 0);
        assert_eq!((self.hv.live_pages(), self.hv.open_ports()), (1, 1));
        assert_eq!((self.daemon.watch_count(), self.daemon.open_transactions()), (0, 0));
    }
}

pub(super) fn bench(test: impl AsyncFnOnce(&Bench) -> Blkfront) {
    run(async |hv, xen| {
        let bench = Bench::new(hv, &xen);
        let disk = test(&bench).await;
        bench.end(disk).await;
    });
}

pub(super) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if is() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("100 s long not so: {what}");
}

/// The back end closes and starts anew, as a driver domain that is updated does.
pub(super) async fn restart(b: &Bench) {
    let connects = b.back.connects();
    b.back.show_state(XenbusState::Closing);
    until("it is connected again", || b.back.connects() > connects).await;
}

pub(super) fn octets(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 13 + i / 256) as u8).collect()
}

pub(super) fn write(disk: &Blkfront, sector: u64, octets: &[u8]) -> InFlight {
    disk.submit(Request::Write { sector, buffer: Buffer::copy_of(octets) })
}

pub(super) fn read(disk: &Blkfront, sector: u64, len: usize) -> InFlight {
    disk.submit(Request::Read { sector, buffer: Buffer::zeroed(len) })
}

pub(super) async fn is_done(request: &mut InFlight) -> Option<Outcome> {
    poll_fn(|cx| match request.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[test]
fn what_is_written_is_on_the_disk_and_read_again() {
    bench(async |b| {
        let disk = b.connected().await;
        let mut geometry = Geometry::new(512, 2048, Access::ReadWrite);
        geometry.discard = Discard::Supported;
        assert_eq!(disk.geometry(), geometry);
        // From a part of a page to several requests of the ring.
        for (n, len) in [512, 1024, 4096, 4608, 45_056, 45_568, 300_032].into_iter().enumerate() {
            let (sector, sent) = (3 + n as u64, octets(len, n));
            write(&disk, sector, &sent).await.result.unwrap();
            let at = sector as usize * 512;
            assert_eq!(b.back.disk.borrow()[at..at + len], sent, "{len} octets");
            let got = read(&disk, sector, len).await;
            assert_eq!((got.result, got.buffer.as_deref()), (Ok(()), Some(&*sent)));
        }
        disk
    });
}

#[test]
fn long_requests_are_cut_and_short_ones_are_not() {
    bench(async |b| {
        let disk = b.connected().await;
        write(&disk, 0, &octets(100 * 512, 1)).await.result.unwrap();
        write(&disk, 8, &[]).await.result.unwrap();
        assert_eq!(*b.back.log.borrow(), [(op::WRITE, 0, 88), (op::WRITE, 88, 12)]);
        disk
    });
}

#[test]
fn flushes_and_discards_are_what_the_back_end_offers() {
    for (keys, expected) in [
        (&[][..], vec![(op::FLUSH_DISKCACHE, 0, 0)]),
        (&[("feature-flush-cache", "0"), ("feature-barrier", "1")], vec![(op::WRITE_BARRIER, 0, 0)]),
        (&[("feature-flush-cache", "0"), ("feature-barrier", "0")], vec![]),
    ] {
        bench(async |b| {
            keys.iter().for_each(|(key, value)| b.back.offer(key, value));
            let disk = b.connected().await;
            disk.submit(Request::Flush).await.result.unwrap();
            assert_eq!(*b.back.log.borrow(), expected);
            disk
        });
    }
    bench(async |b| {
        let disk = b.connected().await;
        write(&disk, 0, &[1; 4096]).await.result.unwrap();
        disk.submit(Request::Discard { sector: 2, count: 3 }).await.result.unwrap();
        assert_eq!(b.back.log.borrow()[1..], [(op::DISCARD, 2, 3)]);
        assert_eq!(b.back.disk.borrow()[512..3072], [&[1; 512][..], &[0; 1536], &[1; 512]].concat());
        disk
    });
    bench(async |b| {
        b.back.offer("feature-discard", "0");
        let disk = b.connected().await;
        let refused = disk.submit(Request::Discard { sector: 2, count: 3 }).await.result;
        assert_eq!(refused, Err(BlockError::Unsupported { sector: 2 }));
        disk
    });
}

#[test]
fn sectors_of_4096_are_eight_of_the_rings() {
    bench(async |b| {
        b.back.offer("sector-size", "4096");
        let disk = b.connected().await;
        assert_eq!((disk.geometry().sector_size, disk.geometry().sectors), (4096, 256));
        write(&disk, 255, &[9; 4096]).await.result.unwrap();
        assert_eq!(*b.back.log.borrow(), [(op::WRITE, 2040, 8)]);
        b.back.bad_sector.set(Some(83));
        let failed = read(&disk, 10, 4096).await.result;
        assert_eq!(failed, Err(BlockError::Failed { sector: 10, status: -1 }));
        disk
    });
}

#[test]
fn more_than_the_ring_holds_waits_and_answers_come_in_any_order() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.hold();
        let mut requests: Vec<_> = (0..100).map(|n| write(&disk, 17 * n as u64, &octets(8192, n))).collect();
        sleep(Duration::from_secs(1)).await;
        let mut done = 0;
        while done < 100 {
            let mut slots = b.back.take();
            assert!((1..=32).contains(&slots.len()), "{} on the ring", slots.len());
            done += slots.len();
            while let Some(slot) = slots.pop() {
                b.back.perform(slot);
            }
            sleep(Duration::from_millis(1)).await;
        }
        for (n, request) in requests.iter_mut().enumerate() {
            is_done(request).await.expect("it was answered").result.unwrap();
            let at = 17 * n * 512;
            assert_eq!(b.back.disk.borrow()[at..at + 8192], octets(8192, n));
        }
        disk
    });
}

#[test]
fn an_error_is_that_requests_and_says_where() {
    bench(async |b| {
        let disk = b.connected().await;
        b.back.bad_sector.set(Some(100));
        let (mut bad, mut good) = (write(&disk, 0, &[1; 200 * 512]), write(&disk, 200, &[2; 512]));
        let outcome = (&mut bad).await;
        assert_eq!(outcome.result, Err(BlockError::Failed { sector: 88, status: -1 }));
        assert_eq!(outcome.buffer.map(|b| b.len()), Some(200 * 512), "the buffer is given back");
        (&mut good).await.result.unwrap();
        disk
    });
}

#[test]
fn a_task_that_is_cancelled_takes_no_memory_from_the_device() {
    bench(async |b| {
        let disk = Rc::new(b.connected().await);
        b.back.hold();
        let handle = disk.clone();
        let task = spawn(async move { read(&handle, 0, 20 * 4096).await.result });
        sleep(Duration::from_secs(1)).await;
        drop(task);
        sleep(Duration::from_secs(1)).await;
        b.back.disk.borrow_mut().fill(7);
        let slots = b.back.take();
        assert_eq!(slots.len(), 2);
        slots.into_iter().for_each(|slot| b.back.perform(slot));
        b.back.serve();
        sleep(Duration::from_secs(1)).await;
        // The ring's page alone.
        assert_eq!(b.xen.grants().counts().in_use, 1);
        Rc::try_unwrap(disk).ok().expect("the task is gone")
    });
}

#[test]
fn read_only_is_what_either_side_says() {
    bench(async |b| {
        b.back.offer("info", "4");
        let disk = b.connected().await;
        let refused = write(&disk, 5, &[0; 512]).await.result;
        assert_eq!(refused, Err(BlockError::ReadOnly { sector: 5 }));
        assert!(read(&disk, 5, 512).await.result.is_ok());
        // Linux's back end refuses it, though it offers flushes.
        assert_eq!(disk.submit(Request::Flush).await.result, Ok(()));
        assert_eq!(*b.back.log.borrow(), [(op::READ, 5, 1)]);
        disk
    });
    bench(async |b| {
        let disk = open_number(&b.xen, b.store.clone(), NUMBER, Access::ReadOnly, Limits::DEFAULT);
        until("it connects", || disk.geometry().sectors > 0).await;
        assert_eq!(disk.geometry().access, Access::ReadOnly);
        disk
    });
}

#[test]
fn without_grants_requests_wait_or_fail_but_end() {
    bench(async |b| {
        let disk = b.connected().await;
        b.hv.limit_grant_frames(1);
        // 512 entries are not enough for all at once.
        let requests: Vec<_> =
            (0..4).map(|n| write(&disk, n * 400, &octets(400 * 512, n as usize))).collect();
        for request in requests {
            request.await.result.unwrap();
        }
        disk
    });
}

/// One shortage is not everybody's: what needs no page goes on, and what can do with one has one.
#[test]
fn where_grants_are_short_others_go_on() {
    bench(async |b| {
        let disk = b.connected().await;
        b.hv.limit_grant_frames(1);
        let grant = || b.xen.grants().grant(BACKEND, Mfn(0x77), crate::grant::Access::ReadOnly).ok();
        let mut all: Vec<_> = std::iter::from_fn(grant).collect();
        let big = || write(&disk, 0, &octets(30 * 4096, 1));
        let (none, flush) = (big(), disk.submit(Request::Flush));
        let discard = disk.submit(Request::Discard { sector: 500, count: 3 });
        assert_eq!(none.await.result, Err(BlockError::NoMemory { sector: 0, octets: 30 * 4096 }));
        assert_eq!((flush.await.result, discard.await.result), (Ok(()), Ok(())));
        b.xen.grants().try_end(all.pop().unwrap()).unwrap();
        assert_eq!(big().await.result, Ok(()), "with one page at a time");
        assert_eq!(b.back.log.borrow().len(), 2 + 30);
        assert!(b.back.disk.borrow()[..30 * 4096] == octets(30 * 4096, 1));
        all.into_iter().for_each(|grant| b.xen.grants().try_end(grant).unwrap());
        disk
    });
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        sector: u64,
        sectors: usize,
    },
    Read {
        sector: u64,
        sectors: usize,
    },
    /// Neighbours, written at once.
    Stream {
        sector: u64,
        each: usize,
        count: usize,
    },
    Serve,
    Reverse,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u64..1800, 1usize..200).prop_map(|(sector, sectors)| Step::Write { sector, sectors }),
        (0u64..1800, 1usize..200).prop_map(|(sector, sectors)| Step::Read { sector, sectors }),
        (0u64..1500, 1usize..20, 1usize..20).prop_map(|(sector, each, count)| Step::Stream {
            sector,
            each,
            count
        }),
        Just(Step::Serve),
        Just(Step::Reverse),
        Just(Step::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Requests that do not overlap others in flight: what is read is what was written last.
    #[test]
    fn behaves_as_a_disk((keys, limits) in offers(), steps in prop::collection::vec(step(), 1..60)) {
        bench(async |b| {
            keys.iter().for_each(|(key, value)| b.back.offer(key, value));
            let disk = connected_with(b, limits).await;
            let mut model = vec![0u8; OCTETS];
            let mut pending: Vec<(InFlight, Option<(usize, usize)>)> = Vec::new();
            b.back.hold();
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Write { sector, sectors } => {
                        let (at, data) = (sector as usize * 512, octets(sectors * 512, n));
                        settle(b, &mut pending, &model).await;
                        model[at..at + data.len()].copy_from_slice(&data);
                        pending.push((write(&disk, sector, &data), None));
                        settle(b, &mut pending, &model).await;
                    }
                    Step::Stream { sector, each, count } => {
                        settle(b, &mut pending, &model).await;
                        for k in 0..count {
                            let sector = sector + (k * each) as u64;
                            let (at, data) = (sector as usize * 512, octets(each * 512, n + k));
                            model[at..at + data.len()].copy_from_slice(&data);
                            pending.push((write(&disk, sector, &data), None));
                        }
                        settle(b, &mut pending, &model).await;
                    }
                    Step::Read { sector, sectors } => {
                        let (at, len) = (sector as usize * 512, sectors * 512);
                        pending.push((read(&disk, sector, len), Some((at, len))));
                    }
                    Step::Flush => pending.push((disk.submit(Request::Flush), None)),
                    Step::Serve => settle(b, &mut pending, &model).await,
                    Step::Reverse => b.back.take().into_iter().rev().for_each(|slot| b.back.perform(slot)),
                }
            }
            settle(b, &mut pending, &model).await;
            b.back.serve();
            disk
        });
    }
}

/// Lets the back end answer all, and checks what was read.
async fn settle(b: &Bench, pending: &mut Vec<(InFlight, Option<(usize, usize)>)>, model: &[u8]) {
    for (mut request, place) in pending.drain(..) {
        let outcome = loop {
            if let Some(outcome) = is_done(&mut request).await {
                break outcome;
            }
            b.back.take().into_iter().for_each(|slot| b.back.perform(slot));
            sleep(Duration::from_micros(10)).await;
        };
        outcome.result.unwrap();
        if let Some((at, len)) = place {
            assert!(*outcome.buffer.unwrap() == model[at..at + len]);
        }
    }
}
