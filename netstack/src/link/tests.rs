//! Frames that are too large for the room that there is.

use super::*;
use core::cell::{Cell, RefCell};
use core::task::{Context, Poll};
use fata_libos::net::{NetCounters, Received};

/// A device with room for so many octets, and the lengths of what it took.
#[derive(Default)]
struct Narrow {
    room: Cell<usize>,
    taken: RefCell<Vec<usize>>,
}

struct Device(Rc<Narrow>);

impl NetDevice for Device {
    fn mac(&self) -> MacAddress {
        MacAddress([2, 0, 0, 0, 0, 1])
    }

    fn mtu(&self) -> usize {
        1500
    }

    fn offloads(&self) -> fata_libos::net::Offloads {
        fata_libos::net::Offloads::default()
    }

    fn is_up(&self) -> bool {
        true
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn receive(&mut self, _: &mut [u8]) -> Option<Received> {
        None
    }

    fn can_transmit(&self) -> bool {
        self.0.room.get() > 0
    }

    fn transmit(
        &mut self,
        len: usize,
        _: TransmitMeta,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> Result<(), TransmitError> {
        let left = self.0.room.get().checked_sub(len).ok_or(TransmitError::Full)?;
        self.0.room.set(left);
        fill(&mut vec![0; len]);
        self.0.taken.borrow_mut().push(len - ETHERNET_HEADER);
        Ok(())
    }

    fn flush(&mut self) {}

    fn counters(&self) -> NetCounters {
        NetCounters::default()
    }
}

fn link() -> (Rc<Narrow>, Link) {
    let narrow = Rc::new(Narrow::default());
    let link =
        Link::new(Box::new(Device(narrow.clone())), None, &Memory::of(1 << 20), &Rc::new(Traffic::default()));
    (narrow, link)
}

fn send(link: &mut Link, len: usize, carries: Carries) {
    let what = (TransmitMeta::default(), carries);
    link.send_frame([0; ETHERNET_HEADER], len, what, &Counters::default(), &mut |_| {});
}

/// A large one that came to the front while others waited is as good as one that found too little room at once: connections
/// leave it what is freed little by little.
#[test]
fn a_large_frame_at_the_front_is_not_overtaken_for_ever() {
    let (narrow, mut link) = link();
    send(&mut link, 10_000, Carries::Tcp);
    send(&mut link, 100, Carries::Other);
    let counters = Counters::default();
    for n in 1..20 {
        // Each time a connection would use up what there is if it had a turn.
        narrow.room.set(narrow.room.get() + 3000);
        while !link.is_full() {
            if link.begins_turn(true) {
                if !link.send_waiting(&counters) {
                    break;
                }
            } else {
                send(&mut link, narrow.room.get() - ETHERNET_HEADER, Carries::Tcp);
            }
        }
        if narrow.taken.borrow().contains(&100) {
            assert!(n > 3, "{n}");
            return;
        }
    }
    panic!("only {:?}", narrow.taken);
}

/// A second large one waits behind the first, which goes on keeping connections from overtaking it.
#[test]
fn a_frame_that_is_held_stays_the_first() {
    let (narrow, mut link) = link();
    narrow.room.set(100);
    send(&mut link, 10_000, Carries::Tcp);
    send(&mut link, 200, Carries::Tcp);
    narrow.room.set(1000);
    assert!(link.begins_turn(true) && !link.send_waiting(&Counters::default()));
    assert!(!link.has_room());
    narrow.room.set(20_000);
    while link.is_waiting() {
        link.begins_turn(false);
        assert!(link.send_waiting(&Counters::default()));
    }
    assert_eq!(*narrow.taken.borrow(), [10_000, 200]);
    assert!(link.has_room());
}
