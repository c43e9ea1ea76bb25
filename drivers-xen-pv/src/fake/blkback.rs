//! A fake block back end, step-driven, that can be hostile.
//!
//! [`FakeBlkback`] plays the toolstack (it makes and removes the device's directories) and the back end's driver in another
//! domain, with a disk in memory. By itself it keeps to the protocol as Linux's blkback does, and is strict about the guest's
//! requests; a test takes over by [`FakeBlkback::hold`], [`FakeBlkback::drive_by_hand`] and the ring.

use super::{FakeHypervisor, FakeXenstored, Peer, PeerMap};
use crate::abi::blkif::{Blk, MAX_SEGMENTS, PROTOCOL, Response, SECTOR, Segment, Slot, op, status};
use crate::grant::Access;
use crate::ring::BackRing;
use crate::types::{DomId, EvtchnPort, GrantRef};
use crate::xenbus::XenbusState;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The ring, mapped.
pub struct BlkbackRing {
    /// Requests in, responses out.
    pub ring: BackRing<Blk>,
    port: EvtchnPort,
    _map: PeerMap,
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
    store: Rc<FakeXenstored>,
    domain: DomId,
    number: u32,
    driver: Cell<Driver>,
    serve: Cell<Serve>,
    keys: RefCell<Vec<(String, String)>>,
    ring: RefCell<Option<BlkbackRing>>,
    connects: Cell<usize>,
    /// The disk's octets.
    pub disk: RefCell<Vec<u8>>,
    /// Requests that were performed, in their order: operation, sector, sectors.
    pub log: RefCell<Vec<(u8, u64, u64)>>,
    /// A sector of 512 octets that cannot be read or written.
    pub bad_sector: Cell<Option<u64>>,
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
            store: store.clone(),
            domain,
            number,
            driver: Cell::new(Driver::Blkback),
            serve: Cell::new(Serve::Itself),
            keys: RefCell::default(),
            ring: RefCell::new(None),
            connects: Cell::new(0),
            disk: RefCell::new(vec![0; octets]),
            log: RefCell::default(),
            bad_sector: Cell::new(None),
        });
        back.plug();
        hv.attach(back.clone());
        back
    }

    /// What `xl block-attach` does: both directories.
    pub fn plug(&self) {
        self.store.write(&self.back("online"), "1");
        self.store.write(&self.back("state"), "1");
        self.set_front_key("backend-id", &self.domain.to_string());
        self.set_front_key("virtual-device", &self.number.to_string());
        self.set_front_key("state", "1");
        self.set_front_key("backend", &self.back_path());
    }

    /// The first half of `xl block-detach`: asks the front end to let go.
    pub fn unplug(&self) {
        self.store.write(&self.back("online"), "0");
        self.show_state(XenbusState::Closing);
    }

    /// The second half: removes both directories.
    pub fn remove(&self) {
        self.ring.take();
        self.store.rm(&self.front_path());
        self.store.rm(&self.back_path());
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

    /// Shows the front end a state.
    pub fn show_state(&self, state: XenbusState) {
        self.set_back_key("state", &state.to_string());
    }

    /// The back end's own state.
    pub fn state(&self) -> XenbusState {
        self.state_at(&self.back("state"))
    }

    /// The state that the front end shows.
    pub fn front_state(&self) -> XenbusState {
        self.state_at(&self.front("state"))
    }

    /// Writes a key of the front end's directory, as the toolstack.
    pub fn set_front_key(&self, key: &str, value: &str) {
        self.store.write(&self.front(key), value);
    }

    /// Writes a key of the back end's directory.
    pub fn set_back_key(&self, key: &str, value: &str) {
        self.store.write(&self.back(key), value);
    }

    /// Times that it has connected.
    pub fn connects(&self) -> usize {
        self.connects.get()
    }

    /// The ring.
    ///
    /// # Panics
    /// If it is not connected.
    pub fn with_ring<R>(&self, f: impl FnOnce(&mut BlkbackRing) -> R) -> R {
        f(self.ring.borrow_mut().as_mut().expect("connected"))
    }

    /// Lets go of the ring.
    pub fn unmap(&self) {
        self.ring.take();
    }

    /// Takes the requests that are there.
    pub fn take(&self) -> Vec<Slot> {
        let Some(ring) = &mut *self.ring.borrow_mut() else { return Vec::new() };
        std::iter::from_fn(|| ring.ring.request()).collect()
    }

    /// Answers, and notifies the guest.
    pub fn respond(&self, response: Response) {
        self.with_ring(|ring| {
            ring.ring.response(response);
            let _ = ring.ring.push();
            self.hv.peer_notify(ring.port);
        });
    }

    /// Performs a request and answers it.
    ///
    /// # Panics
    /// If the request breaks the protocol.
    pub fn perform(&self, slot: Slot) {
        let (operation, id) = (slot.operation(), slot.request().id);
        let status = self.status_of(slot);
        self.respond(Response { id, operation, status, ..Response::default() });
    }

    /// Keeps a page of a request's mapped.
    ///
    /// # Panics
    /// If it has none.
    pub fn keep_a_page(&self, slot: Slot) -> PeerMap {
        self.try_keep_a_page(slot).expect("it is granted")
    }

    /// The same, if the page is still granted.
    pub fn try_keep_a_page(&self, slot: Slot) -> Option<PeerMap> {
        let Segment { gref, .. } = slot.request().seg[0];
        self.hv.peer_map(self.domain, GrantRef(gref), Access::ReadOnly).ok()
    }

    fn status_of(&self, slot: Slot) -> i16 {
        let request = slot.request();
        assert_eq!(u32::from(request.handle), self.number & 0xffff, "the device's number");
        let sectors = match slot.operation() {
            op::DISCARD => slot.discard().nr_sectors,
            _ => {
                let count = usize::from(request.nr_segments);
                assert!(count <= MAX_SEGMENTS, "{count} segments");
                request.seg[..count].iter().map(|s| u64::from(s.last_sect - s.first_sect) + 1).sum()
            }
        };
        self.log.borrow_mut().push((slot.operation(), request.sector_number, sectors));
        let range = request.sector_number..request.sector_number + sectors;
        if self.bad_sector.get().is_some_and(|bad| range.contains(&bad)) {
            return status::ERROR;
        }
        match slot.operation() {
            op::READ | op::WRITE => self.transfer(slot),
            op::DISCARD => {
                let disk = &mut *self.disk.borrow_mut();
                disk[range.start as usize * SECTOR..range.end as usize * SECTOR].fill(0);
            }
            op::FLUSH_DISKCACHE | op::WRITE_BARRIER => {}
            _ => return status::EOPNOTSUPP,
        }
        status::OKAY
    }

    fn transfer(&self, slot: Slot) {
        let request = slot.request();
        let mut at = request.sector_number as usize * SECTOR;
        let disk = &mut *self.disk.borrow_mut();
        for Segment { gref, first_sect, last_sect, .. } in &request.seg[..usize::from(request.nr_segments)] {
            assert!(
                first_sect <= last_sect && *last_sect < 8,
                "sectors {first_sect} to {last_sect} of a page"
            );
            let (offset, len) =
                (usize::from(*first_sect) * SECTOR, usize::from(last_sect - first_sect + 1) * SECTOR);
            let octets = &mut disk[at..at + len];
            let copied = match request.operation {
                op::READ => self.hv.peer_copy_to(self.domain, GrantRef(*gref), offset, octets),
                _ => self.hv.peer_copy_from(self.domain, GrantRef(*gref), offset, octets),
            };
            copied.expect("the page is granted for this");
            at += len;
        }
    }

    fn state_at(&self, key: &str) -> XenbusState {
        self.store.read(key).map_or(XenbusState::Unknown, |text| XenbusState::from_key(&text))
    }

    fn front_path(&self) -> String {
        format!("device/vbd/{}", self.number)
    }

    fn back_path(&self) -> String {
        format!("/local/domain/{}/backend/vbd/5/{}", self.domain, self.number)
    }

    fn front(&self, key: &str) -> String {
        format!("{}/{key}", self.front_path())
    }

    fn back(&self, key: &str) -> String {
        format!("{}/{key}", self.back_path())
    }

    /// Maps the ring that the front end has named, and says what the disk is; false if it cannot be.
    pub fn try_connect(&self) -> bool {
        let number = |key: &str| self.store.read(&self.front(key)).and_then(|v| v.parse().ok());
        let (Some(ring), Some(port)) = (number("ring-ref"), number("event-channel")) else { return false };
        let Ok(map) = self.hv.peer_map(self.domain, GrantRef(ring), Access::ReadWrite) else { return false };
        assert_eq!(self.store.read(&self.front("protocol")).as_deref(), Some(PROTOCOL));
        let ring = BlkbackRing { ring: BackRing::new(map.memory()), port: EvtchnPort(port), _map: map };
        *self.ring.borrow_mut() = Some(ring);
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
        for (key, value) in self.keys.borrow().iter() {
            self.set_back_key(key, value);
        }
        self.connects.set(self.connects.get() + 1);
        true
    }

    fn is_online(&self) -> bool {
        self.store.read(&self.back("online")).as_deref() == Some("1")
    }

    fn step_state(&self) {
        match (self.state(), self.front_state()) {
            (XenbusState::Initialising, _) => self.show_state(XenbusState::InitWait),
            (XenbusState::Closed, XenbusState::Initialising) if self.is_online() => {
                self.show_state(XenbusState::InitWait);
            }
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
