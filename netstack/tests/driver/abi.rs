//! The mailbox, an invented network device: the memory that its two ends share. Pure data.

// ANCHOR: abi
use core::mem::{offset_of, size_of};

/// Slots of each direction; a power of two, as indices wrap at 2^32.
pub const SLOTS: u32 = 8;
/// Octets of the longest frame.
pub const FRAME: usize = 1514;

/// One direction. Indices count frames since the start; a frame lies in the slot `index % SLOTS`.
#[repr(C)]
pub struct Direction {
    /// Frames that the sender has put in; the sender's.
    pub produced: u32,
    /// Frames that the receiver has taken out; the receiver's.
    pub consumed: u32,
    /// The frames.
    pub slots: [Slot; SLOTS as usize],
}

/// A frame with its length.
#[repr(C)]
pub struct Slot {
    /// Octets of the frame.
    pub len: u32,
    /// The frame.
    pub frame: [u8; FRAME],
}

/// What both ends were compiled for.
const _: () = {
    assert!(size_of::<Slot>() == 1520);
    assert!(size_of::<Direction>() == 8 + 8 * 1520);
    assert!(offset_of!(Direction, consumed) == 4 && offset_of!(Slot, frame) == 4);
};
// ANCHOR_END: abi

/// Octets of one direction.
pub const DIRECTION: usize = size_of::<Direction>();

/// Where a slot's length is, from the start of its direction; the frame follows it.
pub fn slot(index: u32) -> usize {
    offset_of!(Direction, slots) + (index % SLOTS) as usize * size_of::<Slot>()
}
