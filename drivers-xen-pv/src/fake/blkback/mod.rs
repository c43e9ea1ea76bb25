//! A fake block back end, step-driven, that can be hostile.
//!
//! [`FakeBlkback`] plays the toolstack (it makes and removes the device's directories) and the back end's driver in another
//! domain, with a disk in memory. By itself it keeps to the protocol as Linux's blkback does, and is strict about the guest's
//! requests; a test takes over by [`FakeBlkback::hold`], [`FakeBlkback::drive_by_hand`] and the rings. What it can do beyond the
//! least - rings of several pages, several of them, segments in pages of their own, grants that it keeps - it does where
//! [`FakeBlkback::offer`] says so, and for each it checks what the front end makes of it.

mod perform;
mod rings;

pub use rings::BlkbackRing;

use super::{FakeHypervisor, FakeXenstored, Peer, PeerMap, Vdev};
use crate::abi::blkif::{Response, SECTOR, Slot, op};
use crate::grant::Access;
use crate::types::{DomId, GrantRef};
use crate::xenbus::XenbusState;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// The most slots of a ring that is known of.
const MAX_SLOTS: usize = 512;

/// A request that was taken from a ring.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The queue that it came from.
    pub queue: usize,
    slot: Slot,
}

impl Deref for Taken {
    type Target = Slot;
    fn deref(&self) -> &Slot {
        &self.slot
    }
}

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Performed {
    /// On which queue.
    pub queue: usize,
    /// In how many pages.
    pub segments: usize,
    /// Whether they were listed in a page of their own.
    pub is_indirect: bool,
}

/// The operation in a response to a request with its segments elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// That within, as Linux's back end does.
    Inner,
    /// The request's, as the header says.
    Outer,
}

/// Who moves the back end's state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Blkback,
    Test,
}

/// Who answers requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serve {
    Itself,
    Test,
}

/// A back end of one disk.
pub struct FakeBlkback {
    hv: &'static FakeHypervisor,
    vdev: Vdev,
    number: u32,
    driver: Cell<Driver>,
    serve: Cell<Serve>,
    keys: RefCell<Vec<(String, String)>>,
    rings: RefCell<Vec<BlkbackRing>>,
    connects: Cell<usize>,
    /// The disk's octets.
    pub disk: RefCell<Vec<u8>>,
    /// Requests that were performed, in their order: operation, sector, sectors.
    pub log: RefCell<Vec<(u8, u64, u64)>>,
    /// How those came, likewise.
    pub performed: RefCell<Vec<Performed>>,
    /// A sector of 512 octets that cannot be read or written.
    pub bad_sector: Cell<Option<u64>>,
    /// An operation that it says not to do.
    pub refused: Cell<Option<u8>>,
    /// What its responses to indirect requests say.
    pub echo: Cell<Echo>,
}

impl FakeBlkback {
    /// Makes disk `number` of the guest, of `octets` zeros, with its back end in `domain`, and attaches it to `hv`.
    pub fn attach(
        hv: &'static FakeHypervisor,
        store: &Rc<FakeXenstored>,
        domain: DomId,
        number: u32,
        octets: usize,
    ) -> Rc<Self> {
        let back = Rc::new(Self {
            hv,
            vdev: Vdev::new(store, domain, "vbd", number),
            number,
            driver: Cell::new(Driver::Blkback),
            serve: Cell::new(Serve::Itself),
            keys: RefCell::default(),
            rings: RefCell::default(),
            connects: Cell::new(0),
            disk: RefCell::new(vec![0; octets]),
            log: RefCell::default(),
            performed: RefCell::default(),
            bad_sector: Cell::new(None),
            refused: Cell::new(None),
            echo: Cell::new(Echo::Inner),
        });
        back.plug();
        hv.attach(back.clone());
        back
    }

    /// What `xl block-attach` does: both directories.
    pub fn plug(&self) {
        self.vdev.make(&[("virtual-device", &self.number.to_string())]);
    }

    /// The second half: removes both directories.
    pub fn remove(&self) {
        self.unmap();
        self.vdev.rm();
    }

    /// Overrides a key of what is offered; to be called before the front end looks.
    pub fn offer(&self, key: &str, value: &str) {
        self.keys.borrow_mut().push((key.into(), value.into()));
    }

    /// From now on only the test moves the state.
    pub fn drive_by_hand(&self) {
        self.driver.set(Driver::Test);
    }

    /// From now on the back end moves its state itself.
    pub fn drive_itself(&self) {
        self.driver.set(Driver::Blkback);
    }

    /// From now on requests are left for the test to answer.
    pub fn hold(&self) {
        self.serve.set(Serve::Test);
    }

    /// From now on requests are answered.
    pub fn serve(&self) {
        self.serve.set(Serve::Itself);
    }

    /// Times that it has connected.
    pub fn connects(&self) -> usize {
        self.connects.get()
    }

    /// Its rings; none while it is not connected.
    pub fn with_rings<R>(&self, f: impl FnOnce(&mut [BlkbackRing]) -> R) -> R {
        f(&mut self.rings.borrow_mut())
    }

    /// The first of them.
    ///
    /// # Panics
    /// If it is not connected.
    pub fn with_ring<R>(&self, f: impl FnOnce(&mut BlkbackRing) -> R) -> R {
        self.with_rings(|rings| f(rings.first_mut().expect("connected")))
    }

    /// Lets go of the rings, and of the grants that were kept.
    pub fn unmap(&self) {
        self.rings.take();
    }

    /// Takes the requests that are there, of one queue after the other.
    pub fn take(&self) -> Vec<Taken> {
        let mut taken = Vec::new();
        for (queue, ring) in self.rings.borrow_mut().iter_mut().enumerate() {
            // Bounded, as a test may have spoilt the ring.
            let slots = std::iter::from_fn(|| ring.ring.request()).take(MAX_SLOTS);
            taken.extend(slots.map(|slot| Taken { queue, slot }));
        }
        taken
    }

    /// Answers on the first queue, and notifies the guest.
    pub fn respond(&self, response: Response) {
        self.respond_on(0, response);
    }

    /// Answers on a queue, and notifies the guest.
    pub fn respond_on(&self, queue: usize, response: Response) {
        self.with_rings(|rings| {
            let ring = &mut rings[queue];
            ring.ring.response(response);
            let _ = ring.ring.push();
            self.hv.peer_notify(ring.port);
        });
    }

    /// Performs a request and answers it.
    ///
    /// # Panics
    /// If the request breaks the protocol.
    pub fn perform(&self, taken: Taken) {
        let parsed = self.parse(taken);
        let (operation, id) = (self.echo_of(taken), parsed.id);
        let status = self.status_of(taken, &parsed);
        self.respond_on(taken.queue, Response { id, operation, status, ..Response::default() });
    }

    /// The operation that a response says.
    fn echo_of(&self, taken: Taken) -> u8 {
        match (taken.operation(), self.echo.get()) {
            (op::INDIRECT, Echo::Inner) => taken.indirect().indirect_op,
            (operation, _) => operation,
        }
    }

    /// Keeps a page of a request's mapped.
    ///
    /// # Panics
    /// If it has none.
    pub fn keep_a_page(&self, slot: Taken) -> PeerMap {
        self.try_keep_a_page(slot).expect("it is granted")
    }

    /// The same, if the page is still granted.
    pub fn try_keep_a_page(&self, taken: Taken) -> Option<PeerMap> {
        let gref = match taken.operation() {
            op::INDIRECT => taken.indirect().indirect_grefs[0],
            _ => taken.request().seg[0].gref,
        };
        self.hv.peer_map(self.domain, GrantRef(gref), Access::ReadOnly).ok()
    }

    /// What `xl` or the disk's owner does to a disk that is in use: it has so many octets from now on.
    pub fn resize(&self, octets: usize) {
        self.disk.borrow_mut().resize(octets, 0);
        self.set_back_key("sectors", &(octets / SECTOR).to_string());
        // Linux's back end writes its state again, so that front ends which watch that alone look.
        self.show_state(self.state());
    }

    /// Maps the rings that the front end has named, and says what the disk is; false if they cannot be.
    pub fn try_connect(&self) -> bool {
        let Some(rings) = self.map_rings() else { return false };
        *self.rings.borrow_mut() = rings;
        let sectors = (self.disk.borrow().len() / SECTOR).to_string();
        for (key, value) in [
            ("sectors", &*sectors),
            ("sector-size", "512"),
            ("info", "0"),
            ("feature-flush-cache", "1"),
            ("feature-discard", "1"),
        ] {
            self.set_back_key(key, value);
        }
        self.write_offers();
        self.connects.set(self.connects.get() + 1);
        true
    }

    fn write_offers(&self) {
        for (key, value) in self.keys.borrow().iter() {
            self.set_back_key(key, value);
        }
    }

    fn wait_for_front(&self) {
        self.write_offers();
        self.show_state(XenbusState::InitWait);
    }

    fn step_state(&self) {
        match (self.state(), self.front_state()) {
            (XenbusState::Initialising, _) => self.wait_for_front(),
            (XenbusState::Closed, XenbusState::Initialising) if self.is_online() => self.wait_for_front(),
            (XenbusState::InitWait, XenbusState::Initialised | XenbusState::Connected)
                if self.try_connect() =>
            {
                self.show_state(XenbusState::Connected);
            }
            (XenbusState::Connected | XenbusState::InitWait, XenbusState::Closing) => {
                self.unmap();
                self.show_state(XenbusState::Closing);
            }
            (XenbusState::Unknown | XenbusState::Closed, _) => {}
            (_, XenbusState::Closed) => {
                self.unmap();
                self.show_state(XenbusState::Closed);
            }
            _ => {}
        }
    }
}

impl Deref for FakeBlkback {
    type Target = Vdev;
    fn deref(&self) -> &Vdev {
        &self.vdev
    }
}

impl Peer for FakeBlkback {
    /// What blkback does when either end's state has changed, or requests have come.
    fn step(&self) {
        if self.driver.get() == Driver::Blkback {
            self.step_state();
        }
        if self.serve.get() == Serve::Itself {
            self.take().into_iter().for_each(|slot| self.perform(slot));
        }
    }
}
