//! A fake network back end, step-driven, that can be hostile.
//!
//! [`FakeNetback`] plays the toolstack (it makes and removes the device's directories) and the back end's driver in another
//! domain. By itself it keeps to the protocol as Linux's netback does; a test takes over by [`FakeNetback::drive_by_hand`],
//! [`Vdev::show_state`] and by writing to its [`NetbackRings`].

mod rings;

pub use rings::{Delivery, NetbackRings, QueueAddress, SentFrame};

use super::{FakeHypervisor, FakeXenstored, Peer, PeerMap, Vdev};
use crate::grant::Access;
use crate::types::{DomId, EvtchnPort, GrantRef};
use crate::xenbus::XenbusState;
use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;

/// The keys that Linux's netback offers.
pub const LINUX_FEATURES: &[(&str, &str)] = &[
    ("feature-sg", "1"),
    ("feature-gso-tcpv4", "1"),
    ("feature-gso-tcpv6", "1"),
    ("feature-ipv6-csum-offload", "1"),
    ("feature-rx-copy", "1"),
    ("feature-rx-flip", "0"),
    ("feature-multicast-control", "1"),
    ("feature-split-event-channels", "1"),
    ("multi-queue-max-queues", "2"),
    ("feature-ctrl-ring", "1"),
];

/// Who moves the back end's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Driver {
    Netback,
    Test,
}

/// A back end of one interface.
pub struct FakeNetback {
    hv: &'static FakeHypervisor,
    vdev: Vdev,
    driver: Cell<Driver>,
    /// Beside or instead of what Linux offers.
    features: RefCell<Vec<(String, String)>>,
    /// Of each queue; none while it is not connected.
    rings: RefCell<Vec<NetbackRings>>,
    connects: Cell<usize>,
    /// What it has never let go of, if it is of that kind.
    hoard: RefCell<Option<Vec<(NetbackRings, PeerMap)>>>,
}

impl FakeNetback {
    /// Makes interface `number` of the guest, with its back end in `domain`, and attaches it to `hv`.
    pub fn attach(
        hv: &'static FakeHypervisor,
        store: &Rc<FakeXenstored>,
        domain: DomId,
        number: u32,
    ) -> Rc<Self> {
        let back = Rc::new(Self {
            hv,
            vdev: Vdev::new(store, domain, "vif", number),
            driver: Cell::new(Driver::Netback),
            features: RefCell::default(),
            rings: RefCell::default(),
            connects: Cell::new(0),
            hoard: RefCell::default(),
        });
        back.plug(number as u8);
        hv.attach(back.clone());
        back
    }

    /// What `xl network-attach` does: both directories, with the last octet of the address.
    pub fn plug(&self, mac: u8) {
        self.vdev.make(&[("mac", &format!("00:16:3e:00:00:{mac:02x}"))]);
    }

    /// The second half: removes both directories.
    pub fn remove(&self) {
        self.rings.take();
        self.vdev.rm();
    }

    /// Overrides a key of what Linux offers; to be called before the front end looks.
    pub fn offer(&self, key: &str, value: &str) {
        self.features.borrow_mut().push((key.into(), value.into()));
    }

    /// From now on only the test moves the state.
    pub fn drive_by_hand(&self) {
        self.driver.set(Driver::Test);
    }

    /// From now on the back end moves its state itself.
    pub fn drive_itself(&self) {
        self.driver.set(Driver::Netback);
    }

    /// Times that it has connected.
    pub fn connects(&self) -> usize {
        self.connects.get()
    }

    /// Whether the rings are mapped.
    pub fn is_connected(&self) -> bool {
        !self.rings.borrow().is_empty()
    }

    /// The rings, of the first queue.
    ///
    /// # Panics
    /// If it is not connected.
    pub fn with_rings<R>(&self, f: impl FnOnce(&mut NetbackRings) -> R) -> R {
        self.with_queue(0, f)
    }

    /// The rings of a queue.
    ///
    /// # Panics
    /// If it is not connected, or has no such queue.
    pub fn with_queue<R>(&self, number: usize, f: impl FnOnce(&mut NetbackRings) -> R) -> R {
        f(self.rings.borrow_mut().get_mut(number).expect("connected, and so many queues"))
    }

    /// How many queues it is connected with.
    pub fn queues(&self) -> usize {
        self.rings.borrow().len()
    }

    /// Lets go of the rings, unless it hoards.
    pub fn unmap(&self) {
        let rings = self.rings.take();
        let Some(hoard) = &mut *self.hoard.borrow_mut() else { return };
        for mut rings in rings {
            let request = rings.take_empty().expect("an empty page");
            let page = self.hv.peer_map(self.domain, GrantRef(request.gref), Access::ReadWrite);
            hoard.push((rings, page.expect("it is granted")));
        }
    }

    /// Keeps the rings of each connection from now on, and one page that it was given to fill.
    pub fn hoard(&self) {
        *self.hoard.borrow_mut() = Some(Vec::new());
    }

    /// Lets go of what it has hoarded.
    pub fn let_go(&self) {
        self.hoard.take();
    }

    /// Maps the rings that the front end has named.
    ///
    /// # Panics
    /// If it has named none, or they are not granted.
    pub fn map(&self) {
        assert!(self.try_map(), "the rings are named and granted");
    }

    /// The same; false if it cannot be.
    fn try_map(&self) -> bool {
        let rings: Option<Vec<_>> = self.addresses().map(|at| self.map_queue(at?)).collect();
        let Some(rings) = rings.filter(|rings| !rings.is_empty()) else { return false };
        *self.rings.borrow_mut() = rings;
        self.connects.set(self.connects.get() + 1);
        true
    }

    fn map_queue(&self, at: QueueAddress) -> Option<NetbackRings> {
        NetbackRings::map(self.hv, self.domain, at).ok()
    }

    /// Where the queues are that the front end says it has; none if they are more than were offered.
    fn addresses(&self) -> impl Iterator<Item = Option<QueueAddress>> {
        let number = |text: Option<String>| text.map_or(Some(1), |text| text.parse::<usize>().ok());
        let offered = number(self.back_key("multi-queue-max-queues")).unwrap_or(1);
        let count = number(self.front_key("multi-queue-num-queues")).filter(|count| *count <= offered);
        (0..count.unwrap_or(0)).map(move |queue| match count {
            Some(1) => self.queue_address(""),
            _ => self.queue_address(&format!("queue-{queue}/")),
        })
    }

    fn queue_address(&self, place: &str) -> Option<QueueAddress> {
        let number = |key: &str| self.front_key(&format!("{place}{key}")).and_then(|v| v.parse().ok());
        let shared = number("event-channel");
        let port = |key: &str| number(key).or(shared).map(EvtchnPort);
        let ring = |key: &str| number(key).map(GrantRef);
        Some(QueueAddress {
            tx_ring: ring("tx-ring-ref")?,
            rx_ring: ring("rx-ring-ref")?,
            tx_port: port("event-channel-tx")?,
            rx_port: port("event-channel-rx")?,
        })
    }

    fn start(&self) {
        for (key, value) in LINUX_FEATURES {
            self.set_back_key(key, value);
        }
        for (key, value) in self.features.borrow().iter() {
            self.set_back_key(key, value);
        }
        self.show_state(XenbusState::InitWait);
    }
}

impl Deref for FakeNetback {
    type Target = Vdev;
    fn deref(&self) -> &Vdev {
        &self.vdev
    }
}

impl Peer for FakeNetback {
    /// What netback does when either end's state has changed.
    fn step(&self) {
        if self.driver.get() == Driver::Test {
            return;
        }
        match (self.state(), self.front_state()) {
            (XenbusState::Initialising, _) => self.start(),
            (XenbusState::Closed, XenbusState::Initialising) if self.is_online() => self.start(),
            // Somebody else may have written the front end's state.
            (XenbusState::InitWait, XenbusState::Connected) if self.try_map() => {
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
