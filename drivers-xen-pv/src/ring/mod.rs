//! The ring core of all paravirtual devices: one shared page, requests out, responses in.
//!
//! [`FrontRing`] is this guest's side; `BackRing` is the other, for the fakes of host tests. A device names its messages
//! with a [`Protocol`]; [`IdTable`] remembers what is in flight under which identifier. Nothing here knows a device, and
//! nothing trusts the peer: indices are read once and range-checked, messages are copied out once, and what makes no
//! sense is a [`RingFault`].
//!
//! Layout and notification rules: `xen/include/public/io/ring.h`.

#[cfg(not(target_os = "xen"))]
mod back;
mod front;
mod id_table;
mod index;

#[cfg(not(target_os = "xen"))]
pub use back::BackRing;
pub use front::FrontRing;
pub use id_table::{IdFault, IdTable};
pub use index::RingIdx;

use crate::types::PAGE_SIZE;

/// Offsets of the shared indices, octets (`ring.h`: `struct name_sring`).
pub mod layout {
    /// `req_prod`: requests the front end has published.
    pub const REQ_PROD: usize = 0;
    /// `req_event`: the back end wants a notification when `req_prod` passes it.
    pub const REQ_EVENT: usize = 4;
    /// `rsp_prod`: responses the back end has published.
    pub const RSP_PROD: usize = 8;
    /// `rsp_event`: the front end wants a notification when `rsp_prod` passes it.
    pub const RSP_EVENT: usize = 12;
    /// `ring`: the slots.
    pub const SLOTS: usize = 64;
}

/// A message as it lies in a slot: so many little-endian 32-bit words, copied word by word, each once.
pub trait Message: Copy {
    /// An array of `u32`.
    type Words: AsRef<[u32]> + AsMut<[u32]> + Default + Copy;
    /// The message as it goes into a slot.
    fn to_words(self) -> Self::Words;
    /// The message that lay in a slot; every pattern is one, what it means is checked by who uses it.
    fn from_words(words: Self::Words) -> Self;
}

/// The messages of one kind of ring.
pub trait Protocol {
    /// What the front end sends.
    type Request: Message;
    /// What the back end answers, in a slot of the same ring.
    type Response: Message;
    /// Octets of a slot: those of the longer message, as C lays out a union of both.
    const SLOT_SIZE: usize;
}

/// Slots of a ring of protocol `P` in `len` octets: the largest power of two that fits (`ring.h`: `__RING_SIZE`).
pub const fn slots_in<P: Protocol>(len: usize) -> u32 {
    let fit = ((len - layout::SLOTS) / P::SLOT_SIZE) as u32;
    assert!(fit > 0, "no slot fits into the ring");
    1 << fit.ilog2()
}

/// Slots of a ring of one page.
pub const fn slots_in_page<P: Protocol>() -> u32 {
    slots_in::<P>(PAGE_SIZE)
}

/// The peer broke the ring's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingFault {
    /// The peer's producer index lies outside of what can be.
    #[error("response producer is {seen}, expected {least} to {most}")]
    Producer {
        /// The index seen.
        seen: RingIdx,
        /// The index seen before: it never goes back.
        least: RingIdx,
        /// As many responses as requests were published.
        most: RingIdx,
    },
}
