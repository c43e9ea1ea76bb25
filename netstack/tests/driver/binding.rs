//! What the driver needs of the world below it, and a fake of that for tests.

use crate::abi::DIRECTION;
use core::cell::{Cell, RefCell};
use core::task::{Context, Waker};
use std::rc::Rc;

// ANCHOR: binding
/// Memory that the peer may write at any moment, and a bell on either side.
pub trait Binding {
    /// Reads a number once, before all that follows (acquire).
    fn load(&self, offset: usize) -> u32;
    /// Writes a number after all that came before (release).
    fn store(&self, offset: usize, value: u32);
    /// Copies out of the shared memory, once.
    fn read(&self, offset: usize, into: &mut [u8]);
    /// Copies into the shared memory.
    fn write(&self, offset: usize, from: &[u8]);
    /// Rings the peer's bell.
    fn notify(&self);
    /// Keeps the waker for when our bell rings.
    fn register(&self, cx: &mut Context<'_>);
}
// ANCHOR_END: binding

// ANCHOR: fake
/// One end of a pair in this process: no unsafe code, as both ends are tasks of one thread.
#[derive(Clone)]
pub struct Fake {
    memory: Rc<Vec<Cell<u8>>>,
    bells: Rc<[RefCell<Option<Waker>>; 2]>,
    side: usize,
}

impl Fake {
    /// Both ends. Memory begins with zeros: an empty ring in each direction.
    pub fn pair() -> [Self; 2] {
        let memory = Rc::new(vec![Cell::new(0); 2 * DIRECTION]);
        let bells = Rc::new([RefCell::default(), RefCell::default()]);
        [0, 1].map(|side| Self { memory: memory.clone(), bells: bells.clone(), side })
    }
}

impl Binding for Fake {
    fn load(&self, offset: usize) -> u32 {
        let mut octets = [0; 4];
        self.read(offset, &mut octets);
        u32::from_le_bytes(octets)
    }

    fn store(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }

    fn read(&self, offset: usize, into: &mut [u8]) {
        let from = &self.memory[offset..offset + into.len()];
        into.iter_mut().zip(from).for_each(|(to, from)| *to = from.get());
    }

    fn write(&self, offset: usize, from: &[u8]) {
        let to = &self.memory[offset..offset + from.len()];
        to.iter().zip(from).for_each(|(to, from)| to.set(*from));
    }

    fn notify(&self) {
        self.bells[1 - self.side].take().into_iter().for_each(Waker::wake);
    }

    fn register(&self, cx: &mut Context<'_>) {
        self.bells[self.side].replace(Some(cx.waker().clone()));
    }
}
// ANCHOR_END: fake
