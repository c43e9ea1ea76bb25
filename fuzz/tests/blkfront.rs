//! A hostile block back end on the fake hypervisor.

use std::rc::Rc;

use fata_fuzz::fuzz;
use fata_libos::block::{Access, BlockDevice, Buffer, InFlight, Request};
use fata_libos::task::yield_now;
use fata_libos::time::{Duration, sleep, timeout};
use fata_xen::abi::blkif::{Response, op};
use fata_xen::block::{Blkfront, Limits, open_number};
use fata_xen::fake::blkback::{FakeBlkback, Taken};
use fata_xen::fake::{FakeHypervisor, FakeXenstored, PeerMap, run};
use fata_xen::ring::layout;
use fata_xen::types::{DomId, GrantRef};
use fata_xen::xenbus::XenbusState;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const BACKEND: DomId = DomId(3);
/// `xvda`.
const NUMBER: u32 = 51712;
const OCTETS: usize = 256 << 10;
/// After which no request may be left: longer than a back end that is away is waited for.
const AT_LAST: Duration = Duration::from_secs(300);

/// What the back end, or the appliance, does next.
#[derive(Clone, Debug)]
enum Step {
    Read(u64, usize),
    Write(u64, usize),
    Flush,
    Discard(u64, u64),
    Forget,
    Answer { which: usize, status: i16 },
    Respond { queue: usize, id: u64, operation: u8, status: i16 },
    Producer { queue: usize, index: u32 },
    Scribble(u8),
    Keep,
    LetGo,
    BackKey(&'static str, String),
    State(u8),
    Unplug,
    Remove,
    Plug,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![4 => "[0-9]{1,3}", 2 => "[0-9]{8,20}", 1 => "-?[0-9a-z]{0,8}", 1 => "\\PC{0,8}"];
    let back = select(
        &[
            "feature-persistent",
            "feature-max-indirect-segments",
            "feature-flush-cache",
            "feature-barrier",
            "feature-discard",
            "sectors",
            "sector-size",
            "info",
            "state",
            "online",
        ][..],
    );
    let status = || prop_oneof![20 => Just(0_i16), 3 => -2..0_i16, 1 => any::<i16>()];
    let place = || 0..512_u64;
    // Most steps keep to the rules, or no run would get far.
    prop_oneof![
        8 => (place(), 1..200_usize).prop_map(|(sector, sectors)| Step::Read(sector, sectors)),
        8 => (place(), 1..200_usize).prop_map(|(sector, sectors)| Step::Write(sector, sectors)),
        3 => Just(Step::Flush),
        2 => (place(), 0..300_u64).prop_map(|(sector, count)| Step::Discard(sector, count)),
        1 => Just(Step::Forget),
        24 => (0..64_usize, status()).prop_map(|(which, status)| Step::Answer { which, status }),
        1 => (0..4_usize, prop_oneof![0..130_u64, any::<u64>()], 0..8_u8, status())
            .prop_map(|(queue, id, operation, status)| Step::Respond { queue, id, operation, status }),
        1 => (0..4_usize, prop_oneof![0..200_u32, any::<u32>()])
            .prop_map(|(queue, index)| Step::Producer { queue, index }),
        2 => any::<u8>().prop_map(Step::Scribble),
        1 => Just(Step::Keep),
        1 => Just(Step::LetGo),
        2 => (back, value).prop_map(|(key, value)| Step::BackKey(key, value)),
        1 => (0..10_u8).prop_map(Step::State),
        1 => Just(Step::Unplug),
        1 => Just(Step::Remove),
        2 => Just(Step::Plug),
        12 => (0..3000_u64).prop_map(Step::Wait),
    ]
}

/// What a back end says first.
fn offers() -> impl Strategy<Value = [(&'static str, u32); 4]> {
    (0..4_u32, 0..4_u32, select(&[0_u32, 12, 64, 256][..]), 0..2_u32).prop_map(
        |(order, queues, segments, keeps)| {
            [
                ("max-ring-page-order", order),
                ("multi-queue-max-queues", queues),
                ("feature-max-indirect-segments", segments),
                ("feature-persistent", keeps),
            ]
        },
    )
}

/// The device, its back end, and what was asked and taken so far.
struct Scene {
    hv: &'static FakeHypervisor,
    disk: Blkfront,
    back: Rc<FakeBlkback>,
    requests: Vec<InFlight>,
    taken: Vec<Taken>,
    kept: Vec<PeerMap>,
    connects: usize,
}

impl Scene {
    /// The pages of a request's that it names itself: its own, or the list of them.
    fn pages(taken: &Taken) -> Vec<GrantRef> {
        match taken.operation() {
            op::INDIRECT => vec![GrantRef(taken.indirect().indirect_grefs[0])],
            op::READ | op::WRITE => {
                taken.request().seg.iter().map(|segment| GrantRef(segment.gref)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn submit(&mut self, request: Request) {
        self.requests.push(self.disk.submit(request));
    }

    fn respond(&self, queue: usize, response: Response) {
        if self.back.with_rings(|rings| queue < rings.len()) {
            self.back.respond_on(queue, response);
        }
    }

    async fn take(&mut self, step: &Step) {
        if std::mem::replace(&mut self.connects, self.back.connects()) != self.back.connects() {
            // Their grants may be other pages' now, the ring's own among them.
            self.taken.clear();
        }
        self.taken.extend(self.back.take());
        match step {
            Step::Read(sector, sectors) => {
                let buffer = Buffer::zeroed(512 * sectors);
                self.submit(Request::Read { sector: *sector, buffer });
            }
            Step::Write(sector, sectors) => {
                let buffer = Buffer::zeroed(512 * sectors);
                self.submit(Request::Write { sector: *sector, buffer });
            }
            Step::Flush => self.submit(Request::Flush),
            Step::Discard(sector, count) => {
                self.submit(Request::Discard { sector: *sector, count: *count });
            }
            Step::Forget => drop(self.requests.pop()),
            Step::Answer { which, status } => {
                if !self.taken.is_empty() {
                    let taken = self.taken.swap_remove(which % self.taken.len());
                    let (operation, id) = (taken.operation(), taken.request().id);
                    let response = Response { id, operation, status: *status, ..Response::default() };
                    self.respond(taken.queue, response);
                }
            }
            Step::Respond { queue, id, operation, status } => {
                let (id, operation, status) = (*id, *operation, *status);
                self.respond(*queue, Response { id, operation, status, ..Response::default() });
            }
            Step::Producer { queue, index } => self.back.with_rings(|rings| {
                if let Some(ring) = rings.get(*queue) {
                    ring.ring.memory.store_u32(layout::RSP_PROD, *index);
                }
            }),
            Step::Scribble(octet) => {
                for page in self.taken.last().map(Self::pages).unwrap_or_default() {
                    let _ = self.hv.peer_copy_to(BACKEND, page, 0, &[*octet; 4096]);
                }
            }
            Step::Keep => {
                self.kept.extend(self.taken.last().and_then(|taken| self.back.try_keep_a_page(*taken)));
            }
            Step::LetGo => drop(self.kept.pop()),
            Step::BackKey(key, value) => self.back.set_back_key(key, value),
            Step::State(number) => self.back.show_state(XenbusState::from_key(&number.to_string())),
            Step::Unplug => self.back.unplug(),
            Step::Remove => self.back.remove(),
            Step::Plug => self.back.plug(),
            Step::Wait(millis) => sleep(Duration::from_millis(*millis)).await,
        }
        yield_now().await;
    }
}

#[test]
fn block_back_ends() {
    fuzz(&(offers(), 1..4_u32, 0..40_usize, vec(step(), 1..150)), |(offers, queues, copied_pages, steps)| {
        run(async |hv, xen| {
            let (daemon, store) = FakeXenstored::start(hv, &xen);
            let back = FakeBlkback::attach(hv, &daemon, BACKEND, NUMBER, OCTETS);
            offers.iter().for_each(|(key, value)| back.offer(key, &value.to_string()));
            let limits = Limits { queues, copied_pages, ..Limits::DEFAULT };
            let disk = open_number(&xen, store, NUMBER, Access::ReadWrite, limits);
            back.hold();
            while disk.geometry().sectors == 0 {
                sleep(Duration::from_millis(10)).await;
            }
            let (requests, taken, kept) = (Vec::new(), Vec::new(), Vec::new());
            let mut scene = Scene { hv, disk, back, requests, taken, kept, connects: 1 };
            for step in &steps {
                scene.take(step).await;
            }
            // Whatever it did: what was asked ends, and what replaces it is served.
            let Scene { disk, back, requests, kept, .. } = scene;
            drop(kept);
            back.remove();
            offers.iter().for_each(|(key, value)| back.offer(key, &value.to_string()));
            for request in requests {
                assert!(timeout(AT_LAST, request).await.is_ok(), "a request that never ends");
            }
            sleep(Duration::from_secs(60)).await;
            back.plug();
            back.serve();
            let mut waited = 0;
            loop {
                let buffer = Buffer::copy_of(&[0x5a; 4096]);
                if disk.submit(Request::Write { sector: 9, buffer }).await.result.is_ok() {
                    break;
                }
                waited += 1;
                assert!(waited < 100, "it never works again");
                sleep(Duration::from_secs(10)).await;
            }
            assert_eq!(back.disk.borrow()[9 * 512..][..4096], [0x5a; 4096]);
            // The fakes stay for ever; what they no longer need need not.
            back.disk.take();
            drop(disk);
            sleep(Duration::from_secs(60)).await;
            assert_eq!(xen.grants().counts().in_use, 0);
            assert_eq!((hv.live_pages(), hv.open_ports()), (1, 1));
        });
    });
}
